//! Loading a project from start to end.

use std::path::{Path, PathBuf};

use crate::discover::{self, Plan, normalized_name, truthy};
use crate::environment;
use crate::error::{Error, Errors, Warning};
use crate::files::{Files, text};
use crate::interpolate;
use crate::node::{Node, Span, Value};
use crate::normalize;
use crate::pipeline::{Env, Loader};
use crate::profiles;
use crate::project::Project;
use crate::template::Model;
use crate::typed;
use crate::validate;

/// What to load, and how. Everything the process knows comes from here.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// `-f`, in order; `-` is standard input. Empty: COMPOSE_FILE, else the nearest Compose file.
    pub files: Vec<PathBuf>,
    /// What `-` holds.
    pub stdin: Option<Vec<u8>>,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// `-p`.
    pub project_name: Option<String>,
    /// Variables of the process.
    pub env: Env,
    /// `--env-file`, in order.
    pub env_files: Vec<PathBuf>,
    /// `--profile`; empty: COMPOSE_PROFILES.
    pub profiles: Vec<String>,
    /// The current directory, absolute.
    pub working_dir: PathBuf,
    /// Only these services and what they depend on; empty: all.
    pub services: Vec<String>,
    /// Don't add the dependencies of the services asked for.
    pub no_deps: bool,
    /// Don't check that what services refer to exists (`config --no-consistency`).
    pub no_consistency: bool,
    /// Neither add defaults nor names, nor dependencies that other attributes imply (`config --no-normalize`).
    pub no_normalize: bool,
    /// Leave relative paths relative to the project's directory (`config --no-path-resolution`).
    pub no_path_resolution: bool,
    /// Leave `env_file` as it is (`config --no-env-resolution`).
    pub no_env_resolution: bool,
    /// Keep networks, volumes, secrets and configs that no enabled service uses.
    pub keep_unused: bool,
    /// `--compatibility`, or COMPOSE_COMPATIBILITY: names as Compose V1 made them.
    pub compatibility: bool,
}

/// A project, and what its user should know about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// In the order they were noticed.
    pub warnings: Vec<Warning>,
}

/// Loads a project: finds its files, interpolates, merges, checks, normalises, and selects.
///
/// # Errors
/// Everything that the first failing stage found, each error with file, line, column and key path.
pub fn load(options: &LoadOptions, files: &dyn Files) -> Result<Loaded, Errors> {
    let plan = discover::plan(options, files)?;
    let mut loader = Loader::new(files, options.stdin.as_deref());
    loader.relative_to = options.no_path_resolution.then(|| plan.directory.clone());
    loader.warnings.extend(plan.warnings.iter().map(|warning| Warning::new(Span::default(), warning)));
    let project = assemble(options, plan, &mut loader);
    let Loader { sources, warnings, .. } = loader;
    let mut project = project.map_err(|errors| errors.locate(&sources))?;
    project.sources = sources;
    let warnings = warnings.into_iter().map(|warning| warning.locate(&project.sources)).collect();
    Ok(Loaded { project, warnings })
}

/// The project's model before any variable has its value: `config --no-interpolate` prints it, and it tells the variables.
/// Profiles, services asked for and unused resources don't count.
///
/// # Errors
/// As [`load`].
pub fn load_model(options: &LoadOptions, files: &dyn Files) -> Result<Model, Errors> {
    let plan = discover::plan(options, files)?;
    let mut loader = Loader::new(files, options.stdin.as_deref());
    loader.relative_to = options.no_path_resolution.then(|| plan.directory.clone());
    loader.uninterpolated = true;
    loader.warnings.extend(plan.warnings.iter().map(|warning| Warning::new(Span::default(), warning)));
    let model = assemble_model(options, plan, &mut loader);
    let Loader { sources, warnings, .. } = loader;
    let Assembled { mut model, name, .. } = model.map_err(|errors| errors.locate(&sources))?;
    if !options.no_normalize {
        normalize::presence(&mut model, &name);
        // Variables without a value stay without.
        normalize::normalize(&mut model, &Env::new());
        if let Some(map) = model.as_map_mut() {
            map.insert("name".into(), Node::string(name, Span::default()));
        }
    }
    Ok(Model { model, warnings: warnings.into_iter().map(|warning| warning.locate(&sources)).collect() })
}

/// A file set as one canonical model, and what it was loaded with.
struct Assembled {
    model: Node,
    name: String,
    files: Vec<PathBuf>,
    directory: PathBuf,
    env: Env,
}

fn assemble_model(options: &LoadOptions, plan: Plan, loader: &mut Loader) -> Result<Assembled, Errors> {
    let Plan { files, directory, mut env, .. } = plan;
    let name = project_name(options, &files, &directory, &env, loader)?;
    env.insert("COMPOSE_PROJECT_NAME".into(), name.clone());
    let model = loader.model(&files, &directory, &env, &[], Span::default())?;
    if model.as_map().is_none_or(|map| map.is_empty()) {
        return Err(Error::Empty { file: files.first().map(|file| text(file)).unwrap_or_default() }.into());
    }
    if name.is_empty() {
        return Err(Error::NoProjectName.into());
    }
    Ok(Assembled { model, name, files, directory, env })
}

fn assemble(options: &LoadOptions, plan: Plan, loader: &mut Loader) -> Result<Project, Errors> {
    let Assembled { mut model, name, files, directory, env } = assemble_model(options, plan, loader)?;
    if !options.no_normalize {
        normalize::presence(&mut model, &name);
    }
    typed::coerce(&mut model, &typed::PROJECT)?;
    if !options.no_normalize {
        normalize::normalize(&mut model, &env);
    }
    let mut project = Project::from_model(model, name, directory, env, Default::default());
    if options.compatibility || project.environment.get("COMPOSE_COMPATIBILITY").is_some_and(|flag| truthy(flag)) {
        project.separator = '_';
    }
    project.contents = std::mem::take(&mut loader.contents);
    project.files = files.iter().map(|file| text(file)).collect();
    let profiles = active_profiles(options, &project.environment);
    profiles::activate(&mut project, &profiles);
    if !options.no_consistency {
        validate::consistency(&project)?;
        normalize::replicas(project.services.values_mut());
    }
    profiles::select(&mut project, &options.services, !options.no_deps)?;
    if !options.keep_unused {
        profiles::prune(&mut project);
    }
    let mut problems = Vec::new();
    for service in project.services.values_mut().filter_map(Node::as_map_mut) {
        let read = environment::Reading { directory: &project.directory, env_files: !options.no_env_resolution };
        problems.extend(environment::resolve(service, &project.environment, &read, loader.files).err());
    }
    Errors(problems).into_result()?;
    Ok(project)
}

fn active_profiles(options: &LoadOptions, env: &Env) -> Vec<String> {
    if !options.profiles.is_empty() {
        return options.profiles.clone();
    }
    let named = env.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `-p`, else COMPOSE_PROJECT_NAME, else the last `name:`, else the directory's name. The first two must be valid, the
/// others are normalised.
fn project_name(
    options: &LoadOptions,
    files: &[PathBuf],
    directory: &Path,
    env: &Env,
    loader: &mut Loader,
) -> Result<String, Errors> {
    let from_env = || env.get("COMPOSE_PROJECT_NAME").cloned();
    if let Some(name) =
        options.project_name.clone().filter(|name| !name.is_empty()).or_else(from_env).filter(|name| !name.is_empty())
    {
        return if normalized_name(&name) == name { Ok(name) } else { Err(Error::ProjectName { name }.into()) };
    }
    let mut declared = None;
    for file in files {
        for mut document in loader.peek(file)? {
            let name = document.as_map_mut().and_then(|map| map.shift_remove("name"));
            if let Some(name) = name.filter(|name| name.as_str().is_some_and(|text| !text.is_empty())) {
                declared = Some(name);
            }
        }
    }
    let Some(mut name) = declared else {
        let base = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        return Ok(normalized_name(&base));
    };
    if loader.uninterpolated {
        let name = name.as_str().unwrap_or_default();
        return Ok(if options.no_normalize { name.to_owned() } else { normalized_name(name) });
    }
    let mut unused = Vec::new();
    let mut root = Node::map(name.span);
    if let Some(map) = root.as_map_mut() {
        map.insert("name".into(), std::mem::replace(&mut name, Node::new(Value::Null, Span::default())));
    }
    interpolate::interpolate(&mut root, &|name| env.get(name).cloned(), &mut unused)?;
    let name = root.get("name").and_then(Node::as_str).unwrap_or_default();
    Ok(if options.no_normalize { name.to_owned() } else { normalized_name(name) })
}
