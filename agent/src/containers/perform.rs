//! Feeds events to machines and carries out what they ask for.

use std::sync::Arc;
use std::time::Duration;

use model::ContainerId;

use super::create::{complete, doomed_volumes, held_addresses, policy};
use super::state::Entry;
use super::{ContainerEvent, Containers, Record, Shared, inherit};
use crate::events::Kind;
use crate::events::life::{self, Look};
use crate::executor::{Recovered, Run, StartFailure};
use crate::shim_client::ShimClientError;
use crate::task::{Action, Event, Machine};
use crate::{Error, Result, clock};

/// The timer wakes at least this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

impl Shared {
    /// One event for one container; what it leads to is begun when this returns.
    pub fn feed(self: &Arc<Self>, id: ContainerId, event: Event) {
        let outcome = {
            let mut state = self.state();
            let Some(entry) = state.entries.get_mut(&id) else { return };
            let before = Look::of(&entry.machine);
            let outcome = entry.step(event, clock::now());
            for (action, more) in life::happened(before, Look::of(&entry.machine)) {
                self.notices.of_container(&entry.record, action, &more);
            }
            if outcome.removed {
                self.notices.of_container(&entry.record, "destroy", &[]);
                if let Some(entry) = state.entries.remove(&id)
                    && let Some(owner) = entry.record.task
                {
                    state.reports.insert(owner.task, entry.record.status);
                }
                self.db.delete_container(id);
            } else if let Some(record) = &outcome.save {
                self.db.save_container(record);
            }
            outcome
        };
        self.announce(id, outcome.removed);
        for action in outcome.actions {
            self.spawn(self.clone().perform(id, action));
        }
    }

    /// Tells users what a container begins or ends to use.
    fn tell_of_parts(&self, record: &Record, network: &str, volume: &str) {
        let id = record.id.to_string();
        for attachment in &record.attachments {
            let name = self.executor.networks().describe(attachment.network).map(|network| network.name);
            let name = name.unwrap_or_else(|| attachment.network.to_string());
            let more = [("container", id.clone()), ("name", name), ("type", "bridge".into())];
            self.notices.record(Kind::Network, network, attachment.network.to_string(), &more);
        }
        for used in &record.volumes {
            let more = [("container", id.clone()), ("destination", used.target.clone()), ("driver", "local".into())];
            self.notices.record(Kind::Volume, volume, &used.name, &more);
        }
    }

    /// Tells users that something was done to a container.
    pub fn tell(&self, id: ContainerId, action: &str, more: &[(&str, String)]) {
        if let Some(record) = self.record(id) {
            self.notices.of_container(&record, action, more);
        }
    }

    /// Tells everybody that a container has changed.
    pub fn announce(&self, id: ContainerId, removed: bool) {
        // Nobody need listen.
        let _ = self.events.send(ContainerEvent { id, removed });
        self.changes.send_modify(|count| *count += 1);
        self.wake.notify_one();
    }

    /// A pause of an earlier daemon is no news.
    fn adopt_pause(&self, id: ContainerId) {
        if let Some(entry) = self.state().entries.get_mut(&id) {
            entry.step(Event::Paused(true), clock::now());
        }
    }

    pub fn record(&self, id: ContainerId) -> Option<Record> {
        self.state().entries.get(&id).map(|entry| entry.record.clone())
    }

    async fn perform(self: Arc<Self>, id: ContainerId, action: Action) {
        match action {
            Action::Prepare => {
                let event = match self.prepare(id).await {
                    Ok(()) => Event::Prepared,
                    Err(error) => Event::PrepareFailed(error.to_string()),
                };
                self.feed(id, event);
            }
            Action::Start { generation } => self.run(id, generation).await,
            Action::Signal(signal) => match self.executor.signal(id, signal).await {
                Ok(()) => self.tell(id, "kill", &[("signal", signal.to_string())]),
                // It has ended by itself.
                Err(crate::Error::ShimClient(ShimClientError::NotRunning { .. } | ShimClientError::Refused(_))) => {}
                Err(error) => {
                    tracing::warn!(container = %id.short(), signal, %error, "a stop signal was not delivered");
                }
            },
            Action::Kill => {
                self.tell(id, "kill", &[("signal", crate::signal::KILL.to_string())]);
                self.executor.kill(id).await;
            }
            Action::Resume => {
                // A SIGKILL thaws it too.
                if let Err(error) = self.executor.set_paused(id, false).await {
                    tracing::debug!(container = %id.short(), %error, "a paused container was not thawed");
                }
            }
            Action::Probe(check) => {
                let probe = self.executor.probe(id, check).await;
                self.feed(id, Event::Probed(probe));
            }
            Action::Hook { turn, index, thaw } => self.hook(id, turn, index, thaw).await,
            Action::Remove { volumes } => self.remove(id, volumes).await,
        }
    }

    async fn prepare(&self, id: ContainerId) -> Result<()> {
        let Some(record) = self.record(id) else { return Ok(()) };
        let reference = if record.image_id.is_empty() { &record.spec.image } else { &record.image_id };
        let image = match record.task {
            Some(_) => self.executor.image_of_task(reference).await?,
            None => self.executor.image(reference).await?,
        };
        let mut mounts = inherit::mounts(&self.state(), &record)?;
        self.name_images(&mut mounts).await?;
        for warning in inherit::warnings(&mounts, crate::mounts::has_selinux()) {
            tracing::warn!(container = %record.name, "{warning}");
        }
        let record = {
            let mut state = self.state();
            let (held, doomed) = (held_addresses(&state, id), doomed_volumes(&state));
            let Some(entry) = state.entries.get_mut(&id) else { return Ok(()) };
            entry.record.spec.mounts = mounts;
            let policy = complete(&mut entry.record, &image, self.executor.volumes(), &doomed)?;
            entry.machine.set_policy(policy);
            entry.record.attachments = self.executor.networks().addresses(&entry.record, &held)?;
            entry.record.clone()
        };
        self.db.save_with_volumes(&record, &self.executor.volumes().of(&record));
        self.executor.prepare(&record, image).await
    }

    /// The record with addresses on the networks of now: one may have been removed and made anew since the last run.
    fn readdressed(&self, id: ContainerId) -> Option<Result<Record>> {
        let mut state = self.state();
        let held = held_addresses(&state, id);
        let entry = state.entries.get_mut(&id)?;
        let attachments = match self.executor.networks().addresses(&entry.record, &held) {
            Ok(attachments) => attachments,
            Err(error) => return Some(Err(error)),
        };
        let record = entry.record.clone();
        if record.network.is_shared() {
            match state.partner(&record, self.executor.paths()) {
                Ok(partner) => self.executor.networks().share(id, partner),
                Err(error) => return Some(Err(error)),
            }
        }
        let entry = state.entries.get_mut(&id)?;
        if attachments != entry.record.attachments {
            entry.record.attachments = attachments;
            self.db.save_container(&entry.record);
        }
        Some(Ok(entry.record.clone()))
    }

    /// One run from its start to its end.
    async fn run(self: Arc<Self>, id: ContainerId, generation: u64) {
        self.await_owners(id).await;
        let record = match self.readdressed(id) {
            None => return,
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                self.hooks().remove(&id);
                let StartFailure { code, message } = error.into();
                return self.feed(id, Event::StartFailed { generation, code, error: message });
            }
        };
        let attach = self.hooks().remove(&id);
        let started = match self.peers(&record) {
            Ok(peers) => self.executor.start(&record, peers, generation, attach).await,
            Err(error) => Err(error.into()),
        };
        match started {
            Ok(Run { pid, started_at, child }) => {
                self.tell_of_parts(&record, "connect", "mount");
                self.feed(id, Event::Started { generation, pid, started_at });
                self.restart_sharers();
                self.follow(id, generation, child).await;
            }
            Err(failure) => {
                self.executor.release_mounts(id).await;
                let event = Event::StartFailed { generation, code: failure.code, error: failure.message };
                self.feed(id, event);
            }
        }
    }

    /// Waits for the end of a run, says so, and takes its network down. The next run's network waits for that.
    async fn follow(self: Arc<Self>, id: ContainerId, generation: u64, child: Option<tokio::process::Child>) {
        let exit = self.executor.watch(id, generation, child).await;
        let lock = self.executor.networks().lock(id);
        let _removing = lock.lock().await;
        let record = self.record(id);
        // Before anybody can start it again: the next run holds what it mounts by the same name.
        self.executor.release_mounts(id).await;
        self.feed(id, Event::Exited { generation, exit });
        // Whoever took its place may have begun before it ended.
        self.restart_sharers();
        self.executor.networks().remove(id, generation).await;
        if let Some(record) = record {
            self.tell_of_parts(&record, "disconnect", "unmount");
        }
    }

    async fn remove(self: &Arc<Self>, id: ContainerId, volumes: bool) {
        let Some(record) = self.record(id) else { return };
        let removed = async {
            self.executor.remove(&record).await?;
            for volume in record.volumes.iter().filter(|volume| volumes && volume.anonymous) {
                match self.remove_volume(&volume.name, Some(id)).await {
                    // One that another container has taken over stays for that one.
                    Err(Error::NoSuchVolume(_) | Error::VolumeInUse { .. }) => {}
                    done => done?,
                }
            }
            Ok::<(), Error>(())
        };
        let event = match removed.await {
            Ok(()) => Event::Removed,
            Err(error) => Event::RemoveFailed(error.to_string()),
        };
        self.feed(id, event);
    }

    /// Removes a volume that no container uses, but perhaps this one. From the look at its users to the loss of its name nobody can
    /// begin to use it: containers are entered, and take volumes over, under the same lock.
    ///
    /// # Errors
    /// [`Error::VolumeInUse`], [`Error::NoSuchVolume`], [`Error::Io`].
    pub async fn remove_volume(&self, name: &str, but: Option<ContainerId>) -> Result<()> {
        let volumes = self.executor.volumes();
        let taken = {
            let state = self.state();
            let users: Vec<_> = state.users_of_volume(name).filter(|user| Some(*user) != but).collect();
            if !users.is_empty() {
                let containers = users.iter().map(ContainerId::short).collect();
                return Err(Error::VolumeInUse { name: name.into(), containers });
            }
            let taken = volumes.take(name)?;
            // Before anything that is written of the next one of that name.
            self.db.delete_volume(name);
            taken
        };
        let discarded = volumes.discard(taken).await;
        if discarded.is_err()
            && let Some(record) = volumes.get(name)
        {
            self.db.save_volume(&record);
        }
        discarded
    }
}

impl Containers {
    /// Takes the records of an earlier daemon over, finds out what became of each, and goes on from there.
    pub(crate) async fn recover(&self, records: Vec<Record>) {
        let shared = &self.shared;
        for record in records {
            let image = match record.image_id.as_str() {
                "" => None,
                id => shared.executor.image(id).await.ok(),
            };
            let made =
                policy(&record, image.as_ref().map(|image| &image.config.config)).or_else(|_| policy(&record, None));
            match made {
                Ok(policy) => {
                    let mut record = record;
                    // Reports that the earlier daemon sent but had not saved yet are behind this one.
                    record.status.revision += 1 << 20;
                    let machine = Machine::resume(policy, record.life.clone());
                    shared.state().entries.insert(record.id, Entry::new(record, machine));
                }
                Err(error) => tracing::error!(container = %record.name, %error, "a container's record makes no sense"),
            }
        }
        let ids: Vec<ContainerId> = shared.state().entries.keys().copied().collect();
        futures::future::join_all(ids.into_iter().map(|id| self.recover_one(id))).await;
        shared.executor.settle_mounts().await;
        shared.restart_sharers();
        self.sweep();
    }

    async fn recover_one(&self, id: ContainerId) {
        let shared = &self.shared;
        let Some(record) = shared.record(id) else { return };
        match shared.executor.recover(id).await {
            Recovered::Nothing => {}
            Recovered::Running { generation, pid, started_at, paused } => {
                let paused = paused && !self.thaw_left_frozen(id).await;
                shared.executor.adopt_mounts(&record);
                shared.executor.networks().adopt(&record, generation);
                shared.executor.networks().shed(&record, generation).await;
                shared.feed(id, Event::Started { generation, pid, started_at });
                if paused {
                    shared.adopt_pause(id);
                }
                shared.spawn(shared.clone().follow(id, generation, None));
            }
            Recovered::Ended { generation, exit } => {
                shared.executor.release(id, generation).await;
                shared.feed(id, Event::Exited { generation, exit });
            }
            Recovered::Failed { generation } => shared.executor.release(id, generation).await,
        }
        let again = {
            let state = shared.state();
            let Some(entry) = state.entries.get(&id) else { return };
            entry.record.task.is_none()
                && entry.machine.is_stopped()
                && entry.machine.policy().starts_with_daemon()
                && !entry.machine.is_active()
        };
        shared.feed(id, if again { Event::Run } else { Event::Tick });
    }

    /// Removes directories of containers that have no record: their creation was never acknowledged, or their removal was cut
    /// off.
    fn sweep(&self) {
        let root = self.shared.executor.paths().containers();
        let Ok(entries) = std::fs::read_dir(&root) else { return };
        for entry in entries.flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<ContainerId>().ok());
            let Some(id) = id.filter(|id| !self.shared.state().entries.contains_key(id)) else { continue };
            let shared = self.shared.clone();
            self.shared.spawn(async move {
                tracing::warn!(container = %id.short(), "removing the remains of a container that has no record");
                shared.executor.remove_remains(id).await;
            });
        }
    }

    /// Sends ticks when machines want them; runs until the agent ends.
    pub(crate) async fn run_timer(self) {
        loop {
            let now = clock::now();
            let (due, next) = {
                let state = self.shared.state();
                (state.due(now), state.deadline())
            };
            for id in due {
                self.shared.feed(id, Event::Tick);
            }
            let next = match next {
                // A tick has moved it.
                Some(at) if at <= now.monotonic => Duration::from_millis(1),
                Some(at) => (at - now.monotonic).min(LONGEST_SLEEP),
                None => LONGEST_SLEEP,
            };
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                () = self.shared.wake.notified() => {}
            }
        }
    }
}
