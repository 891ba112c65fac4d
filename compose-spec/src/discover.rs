//! What to load: env files, Compose files and the project's directory and name.

use std::path::{Path, PathBuf};

use crate::dotenv::{self, Variables};
use crate::error::{Error, Errors};
use crate::files::{Files, join, text};
use crate::load::LoadOptions;
use crate::node::Span;
use crate::pipeline::Env;

/// Names of a project's file, in the order of preference.
const FILE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Names of the file that is merged over it.
const OVERRIDE_NAMES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// What will be loaded.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Compose files, absolute; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The project's directory.
    pub directory: PathBuf,
    /// Process variables over those of env files.
    pub env: Env,
    /// What of the choice the user should know.
    pub warnings: Vec<String>,
}

/// Finds the files and reads the env files.
///
/// # Errors
/// [`Error::NoFile`], [`Error::Read`] and [`Error::EnvFile`].
pub fn plan(options: &LoadOptions, files: &dyn Files) -> Result<Plan, Errors> {
    let mut env = options.env.clone();
    let given = options.project_directory.as_ref().map(|path| join(&options.working_dir, &text(path)));
    let first = given
        .clone()
        .or_else(|| directory_of(&options.files, &options.working_dir))
        .unwrap_or_else(|| options.working_dir.clone());
    let explicit = explicit_env_files(options, &env);
    let use_default = explicit.is_empty() && !env.get("COMPOSE_DISABLE_ENV_FILE").is_some_and(|flag| truthy(flag));
    if use_default {
        default_env_file(&first, &mut env, files)?;
    } else {
        read_env_files(&explicit, &options.working_dir, &mut env, files)?;
    }
    let mut paths: Vec<PathBuf> = options.files.iter().map(|path| absolute(&options.working_dir, path)).collect();
    if paths.is_empty() {
        paths = from_environment(&env, &options.working_dir);
    }
    let mut warnings = Vec::new();
    if paths.is_empty() {
        paths = discover(given.as_deref().unwrap_or(&options.working_dir), files, &mut warnings)?;
    }
    let directory =
        given.or_else(|| directory_of(&paths, &options.working_dir)).unwrap_or_else(|| options.working_dir.clone());
    if use_default && directory != first {
        default_env_file(&directory, &mut env, files)?;
    }
    Ok(Plan { files: paths, directory, env, warnings })
}

fn absolute(base: &Path, path: &Path) -> PathBuf {
    if path == Path::new("-") { path.to_path_buf() } else { join(base, &text(path)) }
}

fn directory_of(files: &[PathBuf], base: &Path) -> Option<PathBuf> {
    let first = files.iter().find(|path| path.as_path() != Path::new("-"))?;
    absolute(base, first).parent().map(Path::to_path_buf)
}

/// What switches a variable on.
pub fn truthy(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn explicit_env_files(options: &LoadOptions, env: &Env) -> Vec<PathBuf> {
    if !options.env_files.is_empty() {
        return options.env_files.clone();
    }
    let named = env.get("COMPOSE_ENV_FILES").map(String::as_str).unwrap_or_default();
    named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

/// Later files win over earlier ones, the process wins over all.
fn read_env_files(paths: &[PathBuf], base: &Path, env: &mut Env, files: &dyn Files) -> Result<(), Errors> {
    let mut variables = Variables::new();
    for path in paths {
        let path = absolute(base, path);
        let problem = |reason: String| Error::Read {
            at: Span::default().into(),
            what: "couldn't find env file:",
            file: text(&path),
            reason,
        };
        let bytes =
            files.read(&path).map_err(|error| problem(error.reason))?.ok_or_else(|| problem("not found".into()))?;
        dotenv::parse(&bytes, &text(&path), &|name| env.get(name).cloned(), &mut variables)?;
    }
    add(env, variables);
    Ok(())
}

fn default_env_file(directory: &Path, env: &mut Env, files: &dyn Files) -> Result<(), Errors> {
    let path = directory.join(".env");
    let bytes = match files.read(&path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(()),
        Err(error) if error.is_directory => return Ok(()),
        Err(error) => {
            return Err(Error::Read {
                at: Span::default().into(),
                what: "env file",
                file: text(&path),
                reason: error.reason,
            }
            .into());
        }
    };
    let mut variables = Variables::new();
    dotenv::parse(&bytes, &text(&path), &|name| env.get(name).cloned(), &mut variables)?;
    add(env, variables);
    Ok(())
}

fn add(env: &mut Env, variables: Variables) {
    for (name, value) in variables {
        env.entry(name).or_insert(value);
    }
}

fn from_environment(env: &Env, base: &Path) -> Vec<PathBuf> {
    let Some(list) = env.get("COMPOSE_FILE").filter(|list| !list.is_empty()) else { return Vec::new() };
    let separator = env.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty()).map_or(":", String::as_str);
    list.split(separator).filter(|name| !name.is_empty()).map(|name| absolute(base, Path::new(name))).collect()
}

/// The first Compose file in the directory or above it, and the override beside it.
fn discover(from: &Path, files: &dyn Files, warnings: &mut Vec<String>) -> Result<Vec<PathBuf>, Error> {
    for directory in from.ancestors() {
        let Some(main) = preferred(directory, FILE_NAMES, "config", files, warnings) else { continue };
        let mut found = vec![main];
        found.extend(preferred(directory, OVERRIDE_NAMES, "override", files, warnings));
        return Ok(found);
    }
    Err(Error::NoFile { directory: text(from) })
}

/// The first of these files that is there; it is told if there are several.
fn preferred(
    directory: &Path,
    names: [&str; 4],
    kind: &str,
    files: &dyn Files,
    warnings: &mut Vec<String>,
) -> Option<PathBuf> {
    let there = |path: &PathBuf| matches!(files.read(path), Ok(Some(_)));
    let mut found = names.iter().map(|name| directory.join(name)).filter(there);
    let first = found.next()?;
    let others: Vec<String> = found.map(|path| text(&path)).collect();
    if !others.is_empty() {
        let (first, others) = (text(&first), others.join(", "));
        warnings.push(format!("Found multiple {kind} files with supported names: {first}, {others}; using {first}"));
    }
    Some(first)
}

/// Lower case, only `[a-z0-9_-]`, no leading `_` or `-`.
pub fn normalized_name(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        .collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}
