//! Which project a command is about, and its Compose files.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use api::node::Container;
use clap::Args;
use compose_spec::{FileError, Files, LoadOptions, Project, TranslateOptions};
use model::{Stack, VolumeSpec};

use super::dry_run::{self, Step};
use super::{models, programs, remote};
use crate::client::Host;
use crate::error::{Error, Result};
use crate::output::manner::MannerArgs;

/// Largest Compose file, secret or config that is read, in bytes.
const FILE_MAX: u64 = 16 << 20;

/// The flags that choose a project.
#[derive(Debug, Clone, Args)]
pub struct ProjectArgs {
    /// Compose file; - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Name of the project
    #[arg(short, long, value_name = "NAME")]
    project_name: Option<String>,
    /// Enable a profile
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// File with variables, instead of .env
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// What relative paths are relative to
    #[arg(long, value_name = "DIR")]
    project_directory: Option<PathBuf>,
    /// Tell what would be done, and do nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// Also resources that no service uses
    #[arg(long)]
    all_resources: bool,
    /// Make names as Compose V1 made them: project_service_1
    #[arg(long)]
    compatibility: bool,
    #[command(flatten)]
    pub manner: MannerArgs,
}

/// The file system of this machine.
#[derive(Debug)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        let error = |reason: String| FileError { is_directory: path.is_dir(), reason };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(source)
                if matches!(source.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(error(source.to_string())),
        };
        let mut bytes = Vec::new();
        file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(|source| error(source.to_string()))?;
        if bytes.len() as u64 > FILE_MAX {
            return Err(error(format!("it is larger than {} MiB", FILE_MAX >> 20)));
        }
        Ok(Some(bytes))
    }

    fn resolved(&self, path: &Path) -> Option<PathBuf> {
        let is_link = |part: &&Path| part.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        // As in the reference: up to the first link, and what is beyond it as it stands.
        let link = path.ancestors().collect::<Vec<_>>().into_iter().rev().find(is_link)?;
        Some(link.canonicalize().ok()?.join(path.strip_prefix(link).ok()?))
    }

    fn local(&self, path: &str) -> Option<Result<PathBuf, FileError>> {
        let found = remote::local(path)?;
        Some(found.map_err(|error| FileError { is_directory: false, reason: error.to_string() }))
    }
}

/// A project that has been read.
#[derive(Debug)]
pub struct Loaded {
    /// In canonical form.
    pub project: Project,
    /// What no service uses is wanted, too.
    pub all_resources: bool,
}

/// How much of a project to read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Only these services and what they depend on.
    pub services: Vec<String>,
    /// Without what they depend on.
    pub no_deps: bool,
    /// Without checking that references lead somewhere.
    pub no_consistency: bool,
    /// Every profile.
    pub all_profiles: bool,
    /// Without defaults and names.
    pub no_normalize: bool,
    /// With relative paths as they are.
    pub no_path_resolution: bool,
    /// With `env_file` as it is.
    pub no_env_resolution: bool,
}

impl ProjectArgs {
    /// The daemon as this command may use it.
    pub fn host(&self, host: &Host) -> Host {
        Host { dry_run: host.dry_run || self.dry_run, ..host.clone() }
    }

    /// Files that have no name yet.
    pub fn of_files(file: Vec<PathBuf>) -> Self {
        Self { project_name: None, ..Self::of_stack(file, "") }
    }

    /// The project of a stack.
    pub fn of_stack(file: Vec<PathBuf>, name: &str) -> Self {
        let (profile, env_file, project_directory) = (Vec::new(), Vec::new(), None);
        let (project_name, dry_run) = (Some(name.to_owned()), false);
        let (all_resources, compatibility, manner) = (false, false, MannerArgs::default());
        Self { file, project_name, profile, env_file, project_directory, dry_run, all_resources, compatibility, manner }
    }

    /// Reads the project; what it warns of goes to standard error.
    pub fn load(&self, services: &[String]) -> Result<Loaded> {
        self.read(Reading { services: services.to_vec(), ..Reading::default() })
    }

    /// Reads the project as if every profile were active, to know all of its services.
    pub fn load_all_profiles(&self) -> Result<Loaded> {
        self.read(Reading { all_profiles: true, no_consistency: true, ..Reading::default() })
    }

    /// Reads the project.
    pub fn read(&self, reading: Reading) -> Result<Loaded> {
        let options = self.options(reading)?;
        let loaded = compose_spec::load(&options, &Disk).map_err(|errors| Error::Compose(errors.to_string()))?;
        tell(loaded.warnings.iter());
        remote::check_paths(&loaded.project)?;
        Ok(Loaded { project: loaded.project, all_resources: self.all_resources })
    }

    /// Reads the project as it is before its variables have values; what it warns of goes to standard error.
    pub fn template(&self, reading: Reading) -> Result<compose_spec::Model> {
        let options = self.options(reading)?;
        let model = compose_spec::load_model(&options, &Disk).map_err(|errors| Error::Compose(errors.to_string()))?;
        tell(model.warnings.iter());
        Ok(model)
    }

    fn options(&self, reading: Reading) -> Result<LoadOptions> {
        let here = std::env::current_dir();
        let working_dir = here.map_err(|source| Error::File { action: "find", path: ".".into(), source })?;
        let stdin = if self.file.iter().any(|path| path.as_os_str() == "-") { Some(read_stdin()?) } else { None };
        let variable = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        let mut env: std::collections::BTreeMap<String, String> = std::env::vars_os().filter_map(variable).collect();
        env.entry("PWD".to_owned()).or_insert_with(|| working_dir.to_string_lossy().into_owned());
        let profiles = if reading.all_profiles { vec!["*".into()] } else { self.profile.clone() };
        let local = |path: &PathBuf| path.to_str().and_then(remote::local).unwrap_or_else(|| Ok(path.clone()));
        Ok(LoadOptions {
            files: self.file.iter().map(local).collect::<Result<_>>()?,
            stdin,
            project_directory: self.project_directory.clone(),
            project_name: self.project_name.clone(),
            env,
            env_files: self.env_file.clone(),
            profiles,
            working_dir,
            services: reading.services,
            no_deps: reading.no_deps,
            no_consistency: reading.no_consistency,
            no_normalize: reading.no_normalize,
            no_path_resolution: reading.no_path_resolution,
            no_env_resolution: reading.no_env_resolution,
            keep_unused: self.all_resources,
            compatibility: self.compatibility,
        })
    }

    /// The project's name: as given, else as its files have it.
    pub fn name(&self) -> Result<String> {
        let given = self.project_name.clone().or_else(|| std::env::var("COMPOSE_PROJECT_NAME").ok());
        match given.filter(|name| !name.is_empty()) {
            Some(name) => Ok(name),
            None => Ok(self.load_all_profiles()?.project.name),
        }
    }

    /// Leaves the containers of services that the Compose file has; all of them if there is no file.
    pub fn keep_declared(&self, containers: &mut Vec<Container>) -> Result<()> {
        if self.has_file()? {
            let known = self.load_all_profiles()?.all_services();
            containers.retain(|container| known.contains(super::ps::service(container)));
        }
        Ok(())
    }

    /// Whether there is a Compose file to read; with `-p` alone there need not be.
    pub fn has_file(&self) -> Result<bool> {
        match self.load_all_profiles() {
            Ok(_) => Ok(true),
            Err(_) if self.file.is_empty() && self.project_name.is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Each warning once, however often a command reads the files.
fn tell(warnings: impl Iterator<Item = impl ToString>) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    for warning in warnings.map(|warning| warning.to_string()) {
        if told.insert(warning.clone()) {
            eprintln!("WARNING: {warning}");
        }
    }
}

fn read_stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(FILE_MAX + 1).read_to_end(&mut bytes);
    let error = |source| Error::File { action: "read", path: "standard input".into(), source };
    if read.map_err(error)? as u64 > FILE_MAX {
        return Err(error(std::io::Error::other("it is larger than 16 MiB")));
    }
    Ok(bytes)
}

impl Loaded {
    /// The project's name.
    pub fn name(&self) -> &str {
        &self.project.name
    }

    /// The keys of services with `attach: false`.
    pub fn silent_services(&self) -> BTreeSet<String> {
        let is_silent = |service: &compose_spec::Service<'_>| {
            service.node.get("attach").and_then(compose_spec::node::Node::as_bool) == Some(false)
        };
        self.project.services().filter(is_silent).map(|service| service.name.to_owned()).collect()
    }

    /// Whether the file says when containers of a service are started again.
    pub fn says_restart(&self, key: &str) -> bool {
        let service = self.project.services().find(|service| service.name == key);
        service.is_some_and(|service| {
            let policy = service.node.get("deploy").and_then(|deploy| deploy.as_map()?.get("restart_policy"));
            service.node.get("restart").is_some() || policy.is_some()
        })
    }

    /// The keys of all its services, disabled ones too.
    pub fn all_services(&self) -> BTreeSet<String> {
        self.project.all_services().map(|service| service.name.to_owned()).collect()
    }

    /// How the image of a service is made; `None` if it isn't made here.
    pub fn build(&self, service: &str) -> Result<Option<compose_spec::Build>> {
        let Some(service) = self.project.any_service(service) else { return Ok(None) };
        compose_spec::build(&self.project, service, &Disk).map_err(|errors| Error::Compose(errors.to_string()))
    }

    /// The volumes that no service uses, by name, if those are wanted.
    pub fn unused_volumes(&self) -> Result<Vec<(String, VolumeSpec)>> {
        if !self.all_resources {
            return Ok(Vec::new());
        }
        let unused = compose_spec::unused(&self.project).map_err(|errors| Error::Compose(errors.to_string()))?;
        match unused.networks.first() {
            None => Ok(unused.volumes),
            Some(name) => Err(Error::Unsupported {
                what: format!("network {name}, which no service uses,"),
                instead: "a project's network comes with the first service on it; `orca network create` makes others"
                    .into(),
            }),
        }
    }

    /// The project in the words of the model: these services, with what they depend on. What programs provide they get from
    /// [`provided`](Self::provided).
    pub fn stack(&self, services: &[String], no_deps: bool, scale: &[(String, u32)]) -> Result<Stack> {
        self.translate(&options(services, no_deps, scale))
    }

    /// The project for a cluster, on which tasks give way one after the other.
    pub fn cluster_stack(&self) -> Result<Stack> {
        self.translate(&TranslateOptions { rolls: true, ..options(&[], false, &[]) })
    }

    /// The same, once the programs that provide services and run models have done their part. Before one that depends on containers
    /// `before` is called with the part of the project that it needs. A dry run only tells of them.
    pub async fn provided(
        &self,
        services: &[String],
        no_deps: bool,
        scale: &[(String, u32)],
        dry_run: bool,
        mut before: impl AsyncFnMut(Stack, &compose_spec::Provider) -> Result<()>,
    ) -> Result<Stack> {
        let mut options = options(services, no_deps, scale);
        // Nothing is begun for a file that is refused.
        let stack = self.translate(&options)?;
        let providers = compose_spec::providers(&self.project, &options);
        let providers = providers.map_err(|errors| Error::Compose(errors.to_string()))?;
        if dry_run {
            dry_run::tell(providers.into_iter().map(|provider| Step::new("Service", provider.service, "Provided")));
            dry_run::tell(
                compose_spec::models(&self.project).into_iter().map(|m| Step::new("Model", m.key, "Configured")),
            );
            return Ok(stack);
        }
        options.variables = models::ensure(&self.project).await?;
        for provider in &providers {
            if !provider.needs.is_empty() && !no_deps {
                let services = provider.needs.iter().map(|(service, _)| service.clone()).collect();
                let mut needed = TranslateOptions { services, scale: Default::default(), ..options.clone() };
                let part = self.translate(&needed)?;
                // Of the numbers of containers only those of this part.
                let is_there = |key: &String| part.services.iter().any(|service| service.key() == key);
                let scale = options.scale.iter().filter(|(key, _)| is_there(key));
                needed.scale = scale.map(|(key, number)| (key.clone(), *number)).collect();
                before(self.translate(&needed)?, provider).await?;
            }
            let provided = programs::run(&self.project, provider, programs::Verb::Up).await?;
            programs::hand_out(&self.project, provider, &provided, &mut options.variables);
        }
        self.translate(&options)
    }

    /// The provided services.
    pub fn providers(&self) -> Result<Vec<compose_spec::Provider>> {
        let providers = compose_spec::providers(&self.project, &TranslateOptions::default());
        providers.map_err(|errors| Error::Compose(errors.to_string()))
    }

    fn translate(&self, options: &TranslateOptions) -> Result<Stack> {
        compose_spec::translate(&self.project, options, &Disk).map_err(|errors| Error::Compose(errors.to_string()))
    }
}

fn options(services: &[String], no_deps: bool, scale: &[(String, u32)]) -> TranslateOptions {
    TranslateOptions {
        services: services.to_vec(),
        no_deps,
        scale: scale.iter().cloned().collect(),
        variables: Default::default(),
        models: models::runner().is_some(),
        rolls: false,
    }
}
