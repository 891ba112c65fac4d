//! Carries out one action of a container: the hands of the agent. It decides nothing and holds no container's state.
//!
//! - [`host`](Host), `apparmor`: what this node is like · `bundle`, `devices`, `cdi`, `users`: what a shim is given · `shim`: starting, watching,
//!   cleaning up · `recover`: what an earlier daemon left · `files`: the files of containers that don't run

pub(crate) mod apparmor;
mod bundle;
mod cdi;
mod devices;
mod files;
pub(crate) mod host;
mod recover;
mod shim;
mod syslog;
mod users;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::Unpacker;
use image::store::Image;
use model::{ContainerId, ContainerSpec, NetworkMode};

use crate::bundle::Host;
use crate::cgroup::Cgroup;
use crate::containers::Record;
use crate::health::{Check, Probe, kept_output};
use crate::locks::Locks;
use crate::mounts::Volumes;
use crate::neighbours::Sources;
use crate::network::Networks;
use crate::paths::Paths;
use crate::shim_client::{self, ShimClientError};
use crate::{Error, Programs, Result, clock};

pub use apparmor::load as load_profile;
pub use host::{describe, host};
pub use recover::Recovered;
pub use shim::{Run, StartFailure};
pub use users::{remapped, stage};

/// The hands of the agent.
pub struct Executor {
    paths: Paths,
    host: Host,
    images: Arc<image::Store>,
    unpacker: Unpacker,
    volumes: Arc<Volumes>,
    networks: Arc<Networks>,
    programs: Arc<dyn Programs>,
    /// What cgroup paths begin with.
    cgroup: PathBuf,
    /// Where shims put what containers with other users must reach.
    stage: PathBuf,
    logging: Logging,
    /// Programs that are runtimes, by name.
    runtimes: BTreeMap<String, PathBuf>,
    /// Secrets and configs of the last assignments.
    contents: tokio::sync::watch::Receiver<Arc<model::Assignments>>,
    /// Where images come from that are not here.
    sources: Arc<Sources>,
    /// Containers that are being started, or whose own layer is written to.
    exclusive: Locks<ContainerId, tokio::sync::Mutex<()>>,
}

/// How the node keeps output.
#[derive(Debug, Clone)]
pub struct Logging {
    /// For containers that don't say.
    pub default: model::LogConfig,
    /// The journal's socket.
    pub journal: PathBuf,
}

/// What an executor works with.
pub struct Parts {
    /// The node's directories.
    pub paths: Paths,
    /// The node.
    pub host: Host,
    /// Its images.
    pub images: Arc<image::Store>,
    /// Who unpacks layers.
    pub unpacker: Unpacker,
    /// Its volumes.
    pub volumes: Arc<Volumes>,
    /// Its network.
    pub networks: Arc<Networks>,
    /// Programs that outlive the daemon.
    pub programs: Arc<dyn Programs>,
    /// The node's key.
    pub key: net::plan::NodeKey,
    /// Where output goes.
    pub logging: Logging,
    /// Programs that are runtimes, by name.
    pub runtimes: BTreeMap<String, PathBuf>,
    /// Secrets and configs of the last assignments.
    pub contents: tokio::sync::watch::Receiver<Arc<model::Assignments>>,
    /// Where images come from that are not here.
    pub sources: Arc<Sources>,
}

/// Runs blocking work on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Thread(what))?
}

/// As [`blocking`], where it may be for ever: what a dead file server does not answer must not use up the threads that all
/// others share.
pub(crate) async fn patiently<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // Some of the work asks the resolver.
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let _entered = runtime.enter();
        // Nobody listens any more when the daemon ends.
        drop(sender.send(work()));
    };
    let thread = std::thread::Builder::new().name("mounts".into()).spawn(work);
    thread.map_err(|_| Error::Thread(what))?;
    receiver.await.map_err(|_| Error::Thread(what))?
}

impl Executor {
    /// An executor of these parts.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { paths, host, images, unpacker, volumes, networks, programs, key, logging, runtimes, .. } = parts;
        let cgroup = PathBuf::from(format!("/orca-{key}"));
        let stage = stage(&key);
        let exclusive = Locks::default();
        Arc::new(Self {
            paths,
            host,
            images,
            unpacker,
            volumes,
            networks,
            programs,
            cgroup,
            stage,
            logging,
            runtimes,
            contents: parts.contents,
            sources: parts.sources,
            exclusive,
        })
    }

    /// The node's directories.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The node's images.
    pub fn images(&self) -> &Arc<image::Store> {
        &self.images
    }

    /// Who unpacks layers.
    pub fn unpacker(&self) -> &Unpacker {
        &self.unpacker
    }

    /// The node's volumes.
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// The node's network.
    pub fn networks(&self) -> &Arc<Networks> {
        &self.networks
    }

    /// Where output goes that has no driver of its own.
    pub fn default_log(&self) -> &model::LogConfig {
        &self.logging.default
    }

    /// Programs that are runtimes, by name.
    pub fn runtimes(&self) -> &BTreeMap<String, PathBuf> {
        &self.runtimes
    }

    /// The node.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Where the kernel counts a container.
    pub fn cgroup(&self, record: &Record) -> Cgroup {
        Cgroup::of(&self.cgroup_path(record))
    }

    /// Refuses what this node can't do, before anything is made.
    ///
    /// # Errors
    /// Naming the key and its value.
    pub async fn check(&self, spec: &ContainerSpec, network: &NetworkMode) -> Result<()> {
        crate::bundle::check(spec, network, &self.host)?;
        if !(spec.security.apparmor.is_some() || devices::names_any(spec)) {
            return Ok(());
        }
        let (spec, directories) = (spec.clone(), self.host.cdi.clone());
        let profile = crate::bundle::apparmor_profile(&spec, &self.host).map(str::to_owned);
        blocking("looking at the node's devices", move || {
            profile.as_deref().map_or(Ok(()), apparmor::ready)?;
            cdi::edits(&spec.device_requests, &directories)?;
            devices::check(&spec)
        })
        .await
    }

    /// Finds an image by name or id.
    ///
    /// # Errors
    /// [`image::Error::NoSuchImage`], or what is wrong with its documents.
    pub async fn image(&self, reference: &str) -> Result<Image> {
        let (images, reference) = (self.images.clone(), reference.to_owned());
        blocking("looking up an image", move || Ok(images.get(&reference)?)).await
    }

    /// Where images come from that are not here.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Finds the image of a task; one whose digest is known and that is not here is brought from other nodes or its registry.
    ///
    /// # Errors
    /// [`image::Error::NoSuchImage`], why it could not be brought, or what is wrong with its documents.
    pub async fn image_of_task(&self, reference: &str) -> Result<Image> {
        let missing = match self.image(reference).await {
            Err(Error::Image(error @ image::Error::NoSuchImage(_))) => error,
            other => return other,
        };
        let name = reference.parse::<image::Reference>().ok();
        let Some((name, digest)) = name.and_then(|name| Some((name.clone(), *name.digest()?))) else {
            return Err(missing.into());
        };
        let images = self.images.clone();
        let here = move || match images.by_digest(&digest) {
            Err(image::Error::NoSuchImage(_)) => Ok(None),
            found => Ok(Some(found?)),
        };
        if let Some(image) = blocking("looking up an image", here).await? {
            return Ok(image);
        }
        self.sources.bring(&self.images, &self.unpacker, name).await?;
        self.image(reference).await
    }

    /// Makes layers and directories of a container ready.
    ///
    /// # Errors
    /// A damaged layer, a full disk, what the spec asks for in vain.
    pub async fn prepare(&self, record: &Record, image: Image) -> Result<()> {
        // What users create was checked before it was.
        if record.task.is_some() {
            self.check(&record.spec, &record.network).await?;
        }
        let (images, unpacker) = (self.images.clone(), self.unpacker.clone());
        let id = record.id;
        let (paths, spec) = (self.paths.clone(), record.spec.clone());
        patiently("preparing a container", move || {
            check_sources(&spec)?;
            images.prepare(&image, &unpacker)?;
            make_dirs(&paths, id)
        })
        .await
    }

    /// Sends a signal to the first process.
    ///
    /// # Errors
    /// The shim's refusal, or that there is no shim.
    pub async fn signal(&self, id: ContainerId, signal: i32) -> Result<()> {
        Ok(shim_client::kill(&self.paths.bundle(id), signal, false).await?)
    }

    /// Freezes all its processes, or thaws them.
    ///
    /// # Errors
    /// The shim's refusal, or that there is no shim.
    pub async fn set_paused(&self, id: ContainerId, paused: bool) -> Result<()> {
        let bundle = self.paths.bundle(id);
        let done = if paused { shim_client::pause(&bundle).await } else { shim_client::resume(&bundle).await };
        Ok(done?)
    }

    /// SIGKILL to every process of the container.
    pub async fn kill(&self, id: ContainerId) {
        match shim_client::kill(&self.paths.bundle(id), crate::signal::KILL, true).await {
            // Its end is on its way already.
            Ok(()) | Err(ShimClientError::NotRunning { .. } | ShimClientError::Refused(_)) => {}
            Err(error) => {
                tracing::warn!(container = %id.short(), %error, "a container could not be killed; trying again")
            }
        }
    }

    /// Runs a health probe in the container.
    pub async fn probe(&self, id: ContainerId, check: Check) -> Probe {
        let bundle = self.paths.bundle(id);
        let start = clock::wall();
        let (exit_code, output) = match tokio::time::timeout(check.timeout, exec_probe(&bundle, check.args)).await {
            Ok(Ok((code, output))) => (i32::from(code), kept_output(&output)),
            Ok(Err(error)) => (-1, error.to_string()),
            Err(_) => (-1, format!("health check exceeded its timeout of {} s", check.timeout.as_secs_f64())),
        };
        Probe { start, end: clock::wall(), exit_code, output }
    }

    /// Removes everything that a container has on the node but its record. What is gone already is no error.
    ///
    /// # Errors
    /// What could not be removed.
    pub async fn remove(&self, record: &Record) -> Result<()> {
        let id = record.id;
        let paths = self.paths.clone();
        let files = async {
            self.shim_gone(id).await?;
            let remove = move || {
                let dirs = [paths.secrets().join(id.to_string()), paths.shim_state(id), paths.bundle(id)];
                dirs.iter().try_for_each(|dir| remove_tree(dir))
            };
            blocking("removing a container's files", remove).await
        };
        let ((), removed) = tokio::join!(self.release(id, record.life.generation), files);
        removed?;
        self.networks.forget(id);
        Ok(())
    }
}

impl Executor {
    /// Removes what is left of a container that has no record: ends its shim, then its files.
    pub async fn remove_remains(&self, id: ContainerId) {
        self.kill(id).await;
        let recovered = self.recover(id).await;
        let generation = match recovered {
            Recovered::Nothing => 0,
            Recovered::Running { generation, .. } => {
                self.kill(id).await;
                self.watch(id, generation, None).await;
                generation
            }
            Recovered::Ended { generation, .. } | Recovered::Failed { generation } => generation,
        };
        self.release(id, generation).await;
        self.networks.forget(id);
        for dir in [self.paths.secrets().join(id.to_string()), self.paths.shim_state(id), self.paths.bundle(id)] {
            if let Err(error) = remove_tree(&dir) {
                tracing::warn!(container = %id.short(), %error, "remains of a container stay");
            }
        }
    }
}

async fn exec_probe(bundle: &Path, args: Vec<String>) -> shim_client::Result<(u8, Vec<u8>)> {
    let request = model::shim::ExecRequest {
        args,
        env: Vec::new(),
        cwd: None,
        user: None,
        additional_gids: Vec::new(),
        terminal: false,
        terminal_size: None,
        stdin: false,
        capabilities: None,
        no_new_privileges: None,
        privileged: false,
        kill_on_disconnect: true,
    };
    let (mut session, _) = shim_client::exec(bundle, request).await?;
    session.output.collect(crate::health::OUTPUT_MAX).await
}

/// Missing bind sources are refused before a task counts as ready.
fn check_sources(spec: &ContainerSpec) -> Result<()> {
    for mount in &spec.mounts {
        if let model::MountSource::Bind { path, create: false, .. } = &mount.source
            && !Path::new(path).exists()
        {
            return Err(Error::BindSource { path: path.into() });
        }
    }
    Ok(())
}

fn make_dirs(paths: &Paths, id: ContainerId) -> Result<()> {
    let dir = |path: PathBuf, mode: u32| {
        fs::DirBuilder::new().recursive(true).mode(mode).create(&path).map_err(Error::io("make", &path))
    };
    dir(paths.bundle(id), 0o710)?;
    // The writable layer's root is the container's `/`.
    dir(paths.upper(id), 0o755)?;
    dir(paths.work(id), 0o700)?;
    dir(paths.rootfs(id), 0o755)
}

fn remove_tree(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", dir)(error)),
        _ => Ok(()),
    }
}
