//! A container's files, for whoever copies, compares or exports them.

use std::path::PathBuf;
use std::sync::Arc;

use model::ContainerId;
use tokio::sync::OwnedMutexGuard;

use super::{Containers, Record};
use crate::files::{Order, Output, Process, Site, Task};
use crate::{Error, Result, shim_client};

/// Which of a container's files a task is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As the container sees them, volumes included, to be read.
    Seen,
    /// The same, to be written.
    Written,
    /// Without what is mounted there.
    Own,
    /// The container's own layer and the image's, each for itself.
    Layers,
}

/// A task at work on a container's files.
pub struct FileTask {
    /// Its process.
    pub process: Process,
    /// What it writes.
    pub output: Output,
    /// Keeps the container from starting while its layer is written to.
    pub alone: Option<OwnedMutexGuard<()>>,
    /// Keeps its volumes mounted.
    pub hold: Hold,
}

/// Lets go of the mounts of volumes when it is dropped.
pub struct Hold {
    executor: Arc<crate::executor::Executor>,
    holder: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let (executor, holder) = (self.executor.clone(), std::mem::take(&mut self.holder));
        // A thread that may wait: a file system on a network can.
        let release = move || executor.volumes().held().release(&holder);
        if let Err(error) = std::thread::Builder::new().name("release".into()).spawn(release) {
            tracing::warn!(%error, "volumes stay mounted until the daemon starts again");
        }
    }
}

impl Containers {
    /// Starts a task on a container's files.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`]; why the files can't be come by.
    pub async fn files(&self, id: ContainerId, reach: Reach, task: Task) -> Result<FileTask> {
        let executor = &self.shared.executor;
        let mut alone = None;
        if reach == Reach::Written && self.pid(id).is_none() {
            // Whoever is starting it now is waited for; who wants to start it later waits.
            alone = Some(executor.exclusive(id).lock_owned().await);
        }
        let record = self.shared.state().get(id)?.record.clone();
        if record.image_id.is_empty() {
            let reason = "its image is not there yet".into();
            return Err(Error::Files { container: record.name, invalid: false, reason });
        }
        let holder = format!("files-{}", crate::random::bits128()?);
        let hold = Hold { executor: executor.clone(), holder: holder.clone() };
        let site = self.site(&record, reach, holder).await?;
        let order = Order { site, task };
        let (process, output) = Process::start(executor.files_program(), &record.name, &order).await?;
        Ok(FileTask { process, output, alone, hold })
    }

    async fn site(&self, record: &Record, reach: Reach, holder: String) -> Result<Site> {
        let executor = &self.shared.executor;
        let container = record.id.to_string();
        match (reach, self.pid(record.id)) {
            (Reach::Seen | Reach::Written, Some(pid)) => Ok(Site::Running { pid, container }),
            (Reach::Own, Some(pid)) => Ok(Site::Own { pid, container, rootfs: executor.mounted_root(record.id) }),
            (reach, None) if reach != Reach::Layers => {
                let (with_mounts, lasting) = (reach != Reach::Own, reach == Reach::Written);
                executor.clone().stopped_site(record.clone(), with_mounts, lasting, holder).await
            }
            _ => executor.clone().layers_site(record.clone()).await,
        }
    }

    /// The record of a container, for those who make images of it.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`].
    pub fn record(&self, id: ContainerId) -> Result<Record> {
        Ok(self.shared.state().get(id)?.record.clone())
    }

    /// Freezes a container that runs for the time of `work`, and thaws it whatever becomes of that. One that is frozen already
    /// stays so. If the daemon ends meanwhile, the next one thaws it.
    ///
    /// # Errors
    /// If it can't be frozen; whatever `work` fails with.
    pub async fn frozen<T>(&self, id: ContainerId, work: impl Future<Output = Result<T>>) -> Result<T> {
        let bundle = self.bundle(id);
        let running = self.pid(id).is_some();
        let free = running && shim_client::state(&bundle).await?.status == model::shim::Status::Running;
        if !free {
            return work.await;
        }
        let thaw = Thaw::prepare(bundle.clone())?;
        shim_client::pause(&bundle).await?;
        let done = work.await;
        thaw.now().await?;
        done
    }

    /// Thaws a container that an earlier daemon has frozen for a moment and not thawed; whether it did.
    pub(super) async fn thaw_left_frozen(&self, id: ContainerId) -> bool {
        let bundle = self.bundle(id);
        if !bundle.join(MARKER).exists() {
            return false;
        }
        let thawed = Thaw { bundle, armed: true }.now().await;
        if let Err(error) = &thawed {
            tracing::warn!(container = %id.short(), %error, "a container stays frozen: use `orca unpause`");
        }
        thawed.is_ok()
    }
}

/// Says in a bundle that the container is frozen only for a moment.
const MARKER: &str = "frozen-for-commit";

/// Thaws when it is told to, or when whoever wanted the container frozen is gone.
struct Thaw {
    bundle: PathBuf,
    armed: bool,
}

impl Thaw {
    fn prepare(bundle: PathBuf) -> Result<Self> {
        let marker = bundle.join(MARKER);
        std::fs::write(&marker, "").map_err(Error::io("write", &marker))?;
        Ok(Self { bundle, armed: true })
    }

    async fn now(mut self) -> Result<()> {
        self.armed = false;
        Self::thaw(&self.bundle).await
    }

    async fn thaw(bundle: &std::path::Path) -> Result<()> {
        let thawed = match shim_client::resume(bundle).await {
            // It has ended, or somebody has thawed it.
            Err(shim_client::ShimClientError::NotRunning { .. } | shim_client::ShimClientError::Refused(_)) => Ok(()),
            done => done.map_err(Error::from),
        };
        let _ = std::fs::remove_file(bundle.join(MARKER));
        thawed
    }
}

impl Drop for Thaw {
    fn drop(&mut self) {
        if self.armed
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let bundle = self.bundle.clone();
            runtime.spawn(async move { Self::thaw(&bundle).await });
        }
    }
}
