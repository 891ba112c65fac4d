//! The node's containers: what callers can do with them.
//!
//! [`Containers`] is a handle. Behind it a map of records and [`Machine`](crate::task::Machine)s; every request is an
//! event for one machine, whose actions run as tasks of their own ([`perform`]) and come back as events.

mod create;
mod files;
mod hooks;
mod inherit;
mod names;
mod networks;
mod peers;
mod perform;
mod record;
mod state;
mod tasks;
mod update;
mod verbs;
mod view;
mod wait;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use model::{ContainerId, ContainerSpec, NetworkMode, PortSpec};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinSet;

use crate::db::Db;
use crate::events::{Events, Kind};
use crate::executor::Executor;
use crate::mounts::{Contents, Volumes};
use crate::task::{Event, Goal, Stage, StopOptions};
use crate::{Error, Result, clock, signal};

pub use create::{BUILD_LABEL, check_labels};
pub use files::{FileTask, Reach};
pub use inherit::warnings as mount_warnings;
pub use networks::made_before;
pub use record::{Record, TaskRef, VolumeUse};
pub use update::LimitChange;
pub use view::{AttachmentView, ContainerView, MountView};
pub use wait::{WaitCondition, Waited};

use state::State;

/// Events that a slow subscriber may be behind before it misses some.
const EVENT_BACKLOG: usize = 1024;

/// The node's containers.
#[derive(Clone)]
pub struct Containers {
    shared: Arc<Shared>,
}

/// What to create.
#[derive(Debug, Clone)]
pub struct CreateContainer {
    /// Its name; `None`: a generated one.
    pub name: Option<String>,
    /// What it is made from.
    pub spec: ContainerSpec,
    /// How it is connected.
    pub network: NetworkMode,
    /// Its published ports.
    pub ports: Vec<PortSpec>,
    /// Remove it when it ends.
    pub auto_remove: bool,
    /// Publish the ports that the image exposes too.
    pub publish_all: bool,
    /// Whose it is; `None`: standalone.
    pub task: Option<TaskRef>,
    /// What its secrets and configs hold, unless managers send that.
    pub contents: Contents,
}

/// What was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A container has changed in some way; look at it to see how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerEvent {
    /// Which.
    pub id: ContainerId,
    /// It is gone.
    pub removed: bool,
}

/// Called with the bundle directory between the making of a container and its start, so that an attached client misses
/// none of its output.
type AttachHook = Box<dyn FnOnce(PathBuf) -> BoxFuture<'static, Result<()>> + Send>;

pub(crate) struct Shared {
    state: Mutex<State>,
    db: Db,
    executor: Arc<Executor>,
    events: broadcast::Sender<ContainerEvent>,
    /// What users are told of.
    notices: Events,
    /// Counts changes of any container.
    changes: watch::Sender<u64>,
    /// Deadlines have changed.
    wake: Notify,
    hooks: Mutex<BTreeMap<ContainerId, AttachHook>>,
    /// The node is being reset: nothing new is made.
    closed: AtomicBool,
    /// Actions under way.
    work: Mutex<JoinSet<()>>,
    /// Which directories that last from build to build are in use.
    build_caches: Locks,
}

/// Locks by name.
#[derive(Default)]
pub struct Locks(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Locks {
    /// The lock of this name.
    pub fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(name.to_owned()).or_default().clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an action beside the others, until it ends or the agent does.
    fn spawn(&self, action: impl Future<Output = ()> + Send + 'static) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        while work.try_join_next().is_some() {}
        work.spawn(action);
    }

    fn hooks(&self) -> MutexGuard<'_, BTreeMap<ContainerId, AttachHook>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Containers {
    /// The containers of these records, at rest; [`recover`](Self::recover) finds out what they do.
    pub(crate) fn new(db: Db, executor: Arc<Executor>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            db,
            executor,
            events: broadcast::Sender::new(EVENT_BACKLOG),
            notices: Events::default(),
            changes: watch::Sender::new(0),
            wake: Notify::new(),
            hooks: Mutex::default(),
            closed: AtomicBool::new(false),
            work: Mutex::default(),
            build_caches: Locks::default(),
        });
        Self { shared }
    }

    /// Makes nothing new from now on, whatever managers and users want: for a reset.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
    }

    /// Makes a container; nothing of it runs yet. On disk when this returns.
    ///
    /// # Errors
    /// [`Error::NameInUse`], [`Error::Name`], a missing image or network, what the spec asks for in vain.
    pub async fn create(&self, request: CreateContainer) -> Result<Created> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(Error::BeingReset);
        }
        self.shared.clone().create(request).await
    }

    /// Starts a container and waits until its process runs. One that runs already is left alone.
    ///
    /// # Errors
    /// [`Error::Start`] with Docker's exit code for the reason.
    pub async fn start(&self, id: ContainerId) -> Result<()> {
        let progress = {
            let state = self.shared.state();
            let entry = state.get(id)?;
            let name = || entry.record.name.clone();
            match entry.machine.stage() {
                _ if entry.machine.is_paused() => return Err(Error::Paused { name: name() }),
                Stage::Running { .. } if !entry.machine.is_stopped() => return Ok(()),
                Stage::Removing | Stage::Removed => return Err(Error::BeingRemoved { name: name() }),
                _ => {}
            }
            if entry.record.task.is_some() && entry.machine.task_state().is_terminal() {
                return Err(Error::TaskEnded { name: name() });
            }
            entry.progress.subscribe()
        };
        let before = progress.borrow().clone();
        self.shared.feed(id, Event::Run);
        wait::started(progress, &before).await
    }

    /// As [`start`](Self::start), with `attach` called (with the bundle directory, whose shim answers) before the process
    /// runs.
    ///
    /// # Errors
    /// As [`start`](Self::start), or what `attach` returned; the process does not run then.
    pub async fn start_attached<F, Fut>(&self, id: ContainerId, attach: F) -> Result<()>
    where
        F: FnOnce(PathBuf) -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.shared.hooks().insert(id, Box::new(move |bundle| Box::pin(attach(bundle))));
        let done = self.start(id).await;
        self.shared.hooks().remove(&id);
        done
    }

    /// Ends a container: its stop signal (or `signal`), and SIGKILL after its grace period (or `timeout`). Returns when
    /// it has ended; one that does not run is only marked as stopped.
    ///
    /// # Errors
    /// [`Error::Signal`], [`Error::NoSuchContainer`].
    pub async fn stop(&self, id: ContainerId, timeout: Option<Duration>, signal: Option<&str>) -> Result<()> {
        let options = StopOptions { signal: signal.map(signal::parse).transpose()?, grace: timeout };
        let progress = self.shared.state().get(id)?.progress.subscribe();
        self.shared.feed(id, Event::Stop(options));
        wait::at_rest(progress).await;
        Ok(())
    }

    /// Ends a container as [`stop`](Self::stop) does, and starts it.
    ///
    /// # Errors
    /// [`Error::Signal`], and as [`start`](Self::start).
    pub async fn restart(&self, id: ContainerId, timeout: Option<Duration>, signal: Option<&str>) -> Result<()> {
        let options = StopOptions { signal: signal.map(signal::parse).transpose()?, grace: timeout };
        let progress = {
            let state = self.shared.state();
            let entry = state.get(id)?;
            if entry.record.task.is_some() && entry.machine.task_state().is_terminal() {
                return Err(Error::TaskEnded { name: entry.record.name.clone() });
            }
            entry.progress.subscribe()
        };
        let before = progress.borrow().clone();
        self.shared.feed(id, Event::Restart { count: None, options });
        wait::started(progress, &before).await?;
        self.shared.tell(id, "restart", &[]);
        Ok(())
    }

    /// Removes a container, and with `volumes` its anonymous volumes. Returns when it is gone.
    ///
    /// # Errors
    /// [`Error::Running`] unless `force`; what could not be removed.
    pub async fn remove(&self, id: ContainerId, force: bool, volumes: bool) -> Result<()> {
        let progress = {
            let state = self.shared.state();
            let entry = state.get(id)?;
            if entry.machine.is_active() && !force {
                return Err(Error::Running { name: entry.record.name.clone() });
            }
            entry.progress.subscribe()
        };
        let before = progress.borrow().failures;
        self.shared.feed(id, Event::Goal(Goal::Remove { volumes, force }));
        wait::removed(progress, before).await?;
        self.shared.db.flush().await
    }

    /// Waits for an end of the container.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`].
    pub async fn wait(&self, id: ContainerId, condition: WaitCondition) -> Result<Waited> {
        let progress = self.shared.state().get(id)?.progress.subscribe();
        Ok(wait::until(progress, condition).await)
    }

    /// All containers.
    pub fn list(&self) -> Vec<ContainerView> {
        let state = self.shared.state();
        state.entries.values().map(|entry| self.view(entry)).collect()
    }

    /// One container.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`].
    pub fn get(&self, id: ContainerId) -> Result<ContainerView> {
        let state = self.shared.state();
        state.get(id).map(|entry| self.view(entry))
    }

    /// The container that a name, an id or the beginning of an id means.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::AmbiguousContainer`].
    pub fn resolve(&self, text: &str) -> Result<ContainerId> {
        self.shared.state().resolve(text)
    }

    /// Changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<ContainerEvent> {
        self.shared.events.subscribe()
    }

    /// The directory with the container's shim socket; see [`crate::shim_client`].
    pub fn bundle(&self, id: ContainerId) -> PathBuf {
        self.shared.executor.paths().bundle(id)
    }

    /// What the container has written over its image.
    pub fn upper(&self, id: ContainerId) -> PathBuf {
        self.shared.executor.paths().upper(id)
    }

    /// The container's current log file; older ones have `.1`, `.2`, … appended.
    pub fn log_path(&self, id: ContainerId) -> PathBuf {
        self.shared.executor.paths().log(id)
    }

    /// Host process id of the container's first process while it runs.
    pub fn pid(&self, id: ContainerId) -> Option<u32> {
        match self.shared.state().entries.get(&id)?.machine.stage() {
            Stage::Running { pid, .. } => Some(pid),
            _ => None,
        }
    }

    /// Which directories that last from build to build are in use.
    pub fn build_caches(&self) -> &Locks {
        &self.shared.build_caches
    }

    /// The node's images.
    pub fn images(&self) -> &Arc<image::Store> {
        self.shared.executor.images()
    }

    /// What the node is like.
    pub fn host(&self) -> &crate::bundle::Host {
        self.shared.executor.host()
    }

    /// Where output goes that has no driver of its own.
    pub fn default_log(&self) -> &model::LogConfig {
        self.shared.executor.default_log()
    }

    /// Programs that are runtimes, by name.
    pub fn runtimes(&self) -> &BTreeMap<String, PathBuf> {
        self.shared.executor.runtimes()
    }

    /// Where images come from that are not here.
    pub fn sources(&self) -> &Arc<crate::neighbours::Sources> {
        self.shared.executor.sources()
    }

    /// Who unpacks layers.
    pub fn unpacker(&self) -> &image::Unpacker {
        self.shared.executor.unpacker()
    }

    /// The node's volumes.
    pub fn volumes(&self) -> &Volumes {
        self.shared.executor.volumes()
    }

    /// A container of each image that is in use, to run or to mount; a running one if there is any. A container whose image was
    /// not found yet uses none.
    pub fn image_users(&self) -> image::catalog::Users {
        let mut users = image::catalog::Users::new();
        for entry in self.shared.state().entries.values() {
            let running = matches!(entry.machine.stage(), Stage::Running { .. });
            let mounted = entry.record.spec.mounts.iter().filter_map(|mount| match &mount.source {
                model::MountSource::Image { id, .. } => id.as_ref(),
                _ => None,
            });
            for id in std::iter::once(&entry.record.image_id).chain(mounted) {
                let Ok(id) = id.parse::<image::Digest>() else { continue };
                if running || !users.contains_key(&id) {
                    users.insert(id, image::catalog::User { container: entry.record.id.short(), running });
                }
            }
        }
        users
    }

    /// The containers that use a volume, or are about to take it over.
    pub fn users_of_volume(&self, name: &str) -> Vec<ContainerId> {
        let owner = self.volumes().get(name).and_then(|volume| volume.owner);
        let state = self.shared.state();
        let takes = |record: &Record| {
            let place = record.task.zip(owner.as_ref());
            record.image_id.is_empty()
                && place.is_some_and(|(task, owner)| (task.service, task.slot) == (owner.service, owner.slot))
        };
        let uses = |record: &Record| record.volumes.iter().any(|volume| volume.name == name) || takes(record);
        state.entries.values().filter(|entry| uses(&entry.record)).map(|entry| entry.record.id).collect()
    }

    /// Removes a volume that no container uses.
    ///
    /// # Errors
    /// [`Error::VolumeInUse`], [`Error::NoSuchVolume`] unless `force`, [`Error::Io`].
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        match self.shared.remove_volume(name, None).await {
            Err(Error::NoSuchVolume(_)) if force => return Ok(()),
            done => done?,
        }
        self.shared.notices.record(Kind::Volume, "destroy", name, &[("driver", "local".into())]);
        self.shared.db.flush().await
    }

    /// Makes a volume; one of that name is returned as it is.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Volume`] for driver options that aren't supported.
    pub async fn create_volume(
        &self,
        name: Option<String>,
        spec: model::VolumeSpec,
    ) -> Result<crate::mounts::VolumeRecord> {
        let record = {
            let _nobody_removes_it = self.shared.state();
            let record = self.volumes().create(name, spec, clock::wall())?;
            self.shared.db.save_volume(&record);
            record
        };
        self.shared.db.flush().await?;
        self.shared.notices.record(Kind::Volume, "create", &record.name, &[("driver", "local".into())]);
        Ok(record)
    }

    /// Counts changes of any container: for loops that look at all of them.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// What happens on this node.
    pub fn events(&self) -> &Events {
        &self.shared.notices
    }

    pub(crate) fn save_networks(&self, assigned: &model::Assignments) {
        self.shared.db.save_networks(assigned);
    }

    /// Cuts off what is under way, as the end of the daemon would: the next one goes on with it.
    pub(crate) async fn abandon(&self) {
        let mut work = std::mem::take(&mut *self.shared.work.lock().unwrap_or_else(PoisonError::into_inner));
        work.shutdown().await;
    }

    pub(crate) async fn flush(&self) -> Result<()> {
        self.shared.db.flush().await
    }

    fn view(&self, entry: &state::Entry) -> ContainerView {
        let executor = &self.shared.executor;
        view::view(&entry.record, &entry.machine, executor.paths(), executor.networks())
    }
}
