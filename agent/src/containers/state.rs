//! The node's containers in memory, and how events change them.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ContainerId, NetworkMode, RunIntent, TaskId, TaskStatus};
use tokio::sync::watch;

use super::peers::Run;
use super::record::{Record, task_status};
use crate::network::Partner;
use crate::paths::Paths;
use crate::task::{Action, Event, Exit, Machine, Now, Stage};
use crate::{Error, Result};

/// All containers of the node.
#[derive(Debug, Default)]
pub struct State {
    pub entries: BTreeMap<ContainerId, Entry>,
    /// Last reports of tasks whose container is gone, or that never had one.
    pub reports: BTreeMap<TaskId, TaskStatus>,
}

/// One container.
#[derive(Debug)]
pub struct Entry {
    pub record: Record,
    pub machine: Machine,
    /// For those who wait.
    pub progress: watch::Sender<Progress>,
    /// The runs of others for which it was restarted last, as it shares their namespaces.
    pub restarted_for: Vec<Run>,
}

/// What waiters look at. Counters, so that nothing is missed between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Runs that have begun since this daemon started.
    pub starts: u64,
    /// Starts that have failed.
    pub failures: u64,
    /// The last of them: Docker's exit code and the reason.
    pub failure: Option<(i32, String)>,
    /// Runs that have ended, failed starts included.
    pub exits: u64,
    /// How the last one ended.
    pub exit: Option<Exit>,
    /// Something of it runs or is about to.
    pub active: bool,
    /// It is gone.
    pub removed: bool,
}

/// What an event leads to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be carried out.
    pub actions: Vec<Action>,
    /// The record, if it has changed.
    pub save: Option<Record>,
    /// The container is gone.
    pub removed: bool,
}

impl Entry {
    pub fn new(record: Record, machine: Machine) -> Self {
        let progress = Progress { active: machine.is_active(), exit: machine.last_exit(), ..Progress::default() };
        Self { record, machine, progress: watch::Sender::new(progress), restarted_for: Vec::new() }
    }

    /// One move of the machine, and what it means for record, report and waiters.
    pub fn step(&mut self, event: Event, now: Now) -> Outcome {
        let before = self.machine.last_exit();
        let started = matches!(event, Event::Started { .. });
        let failure = match &event {
            Event::StartFailed { code, error, .. } => Some((*code, error.clone())),
            Event::PrepareFailed(error) | Event::RemoveFailed(error) => Some((125, error.clone())),
            _ => None,
        };
        let actions = self.machine.step(event, now);
        let after = self.machine.last_exit();
        let exited = before != after || failure.is_some();
        let removed = self.machine.stage() == Stage::Removed;
        let active = self.machine.is_active();
        self.progress.send_if_modified(|progress| {
            let old = progress.clone();
            progress.starts += u64::from(started);
            if let Some(failure) = failure {
                progress.failures += 1;
                progress.failure = Some(failure);
            }
            progress.exits += u64::from(exited);
            progress.exit = after;
            progress.active = active;
            progress.removed = removed;
            *progress != old
        });
        let save = self.refresh(now).then(|| self.record.clone());
        Outcome { actions, save, removed }
    }

    /// Brings record and report up to the machine; whether that changed them.
    pub fn refresh(&mut self, now: Now) -> bool {
        let life = self.machine.save();
        let mut status = task_status(&self.record, &self.machine);
        (status.revision, status.at) = (self.record.status.revision, self.record.status.at);
        let reported = status != self.record.status;
        if reported {
            status.revision += 1;
            status.at = now.wall;
            self.record.status = status;
        }
        let changed = life != self.record.life;
        self.record.life = life;
        changed || reported
    }

    /// What a task's user wants, as events.
    pub fn intent_events(&self, intent: RunIntent) -> Vec<Event> {
        let before = self.record.intent;
        let mut events = Vec::new();
        if intent.stopped && !before.stopped {
            events.push(Event::Stop(Default::default()));
        }
        if !intent.stopped && before.stopped {
            events.push(Event::Run);
        }
        if intent.restarts > self.machine.restarts_done() && !intent.stopped {
            events.push(Event::Restart { count: Some(intent.restarts), options: Default::default() });
        }
        events
    }
}

impl State {
    /// The container of this id.
    pub fn get(&self, id: ContainerId) -> Result<&Entry> {
        self.entries.get(&id).ok_or_else(|| Error::NoSuchContainer(id.short()))
    }

    /// The container of this id, to be changed.
    pub fn get_mut(&mut self, id: ContainerId) -> Result<&mut Entry> {
        self.entries.get_mut(&id).ok_or_else(|| Error::NoSuchContainer(id.short()))
    }

    /// The container that a name, an id or the beginning of an id means, in this order as in Docker.
    pub fn resolve(&self, text: &str) -> Result<ContainerId> {
        let name = text.strip_prefix('/').unwrap_or(text);
        if let Ok(id) = text.parse()
            && self.entries.contains_key(&id)
        {
            return Ok(id);
        }
        if let Some(id) = self.by_name(name) {
            return Ok(id);
        }
        let hex = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        let fits = |id: &&ContainerId| hex && id.to_string().starts_with(&text.to_ascii_lowercase());
        let mut matches = self.entries.keys().filter(fits);
        match (matches.next(), matches.count()) {
            (Some(id), 0) => Ok(*id),
            (Some(_), more) => Err(Error::AmbiguousContainer { prefix: text.into(), count: more + 1 }),
            (None, _) => Err(Error::NoSuchContainer(text.chars().take(300).collect())),
        }
    }

    /// The container of this name.
    pub fn by_name(&self, name: &str) -> Option<ContainerId> {
        self.entries.iter().find(|(_, entry)| entry.record.name == name).map(|(id, _)| *id)
    }

    /// The container of this task.
    pub fn by_task(&self, task: TaskId) -> Option<ContainerId> {
        let is_its = |entry: &Entry| entry.record.task.is_some_and(|owner| owner.task == task);
        self.entries.iter().find(|(_, entry)| is_its(entry)).map(|(id, _)| *id)
    }

    /// The containers whose network a record shares: one that it names, or those of a service; none if its network is its own.
    ///
    /// # Errors
    /// [`Error::NoSuchContainer`], [`Error::AmbiguousContainer`].
    pub fn network_owners<'a>(&'a self, record: &'a Record) -> Result<Vec<&'a Entry>> {
        match &record.network {
            NetworkMode::Container(name) => Ok(vec![self.get(self.resolve(name)?)?]),
            NetworkMode::Service(key) => Ok(self.members(record, key).collect()),
            NetworkMode::None | NetworkMode::Host | NetworkMode::Networks(_) => Ok(Vec::new()),
        }
    }

    /// The running container whose network namespace another one is to share: the first of a service.
    pub fn partner(&self, record: &Record, paths: &Paths) -> Result<Partner> {
        let refuse = |name: &str, reason: &str| Error::Network { name: name.into(), reason: reason.into() };
        let runs =
            |entry: &&Entry| matches!(entry.machine.stage(), Stage::Running { .. }) && !entry.machine.is_ending();
        let slot = |entry: &&Entry| entry.record.task.map(|task| task.slot);
        let owners = self.network_owners(record)?;
        let is_own = owners.iter().any(|owner| owner.record.id == record.id);
        let other = owners.iter().copied().filter(runs).min_by_key(slot);
        let name = match (&record.network, other.or_else(|| owners.first().copied())) {
            (NetworkMode::Service(key), None) => format!("service:{key}"),
            (_, Some(owner)) => format!("container:{}", owner.record.name),
            (_, None) => return Err(refuse(&record.name, "its network is its own")),
        };
        if is_own {
            return Err(refuse(&name, "a container cannot share its own network"));
        }
        let Some(other) = other else {
            return Err(refuse(&name, "a container that does not run has no network to share"));
        };
        let id = other.record.id;
        match other.record.network {
            NetworkMode::Host => Err(refuse(&name, "it has the host's network: use host")),
            NetworkMode::Container(_) | NetworkMode::Service(_) => {
                Err(refuse(&name, "it shares another container's network: name that one"))
            }
            NetworkMode::None | NetworkMode::Networks(_) => {
                Ok(Partner { netns: paths.netns(id, other.record.life.generation), files: paths.files(id) })
            }
        }
    }

    /// The containers of a service of the same project.
    pub fn members<'a, 'b>(&'a self, record: &'b Record, key: &'b str) -> impl Iterator<Item = &'a Entry> {
        let is_of = move |other: &Record| other.project() == record.project() && other.service() == Some(key);
        self.entries.values().filter(move |entry| is_of(&entry.record))
    }

    /// The containers that use a volume.
    pub fn users_of_volume<'a>(&'a self, name: &'a str) -> impl Iterator<Item = ContainerId> + 'a {
        let uses = move |record: &Record| record.volumes.iter().any(|volume| volume.name == name);
        self.entries.values().filter(move |entry| uses(&entry.record)).map(|entry| entry.record.id)
    }

    /// When the next container wants a tick.
    pub fn deadline(&self) -> Option<Duration> {
        self.entries.values().filter_map(|entry| entry.machine.deadline()).min()
    }

    /// Who wants a tick now.
    pub fn due(&self, now: Now) -> Vec<ContainerId> {
        let is_due = |entry: &Entry| entry.machine.deadline().is_some_and(|at| at <= now.monotonic);
        self.entries.iter().filter(|(_, entry)| is_due(entry)).map(|(id, _)| *id).collect()
    }
}
