//! Containers whose namespaces another one shares.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{ContainerId, Timestamp};

use super::record::Record;
use super::state::Entry;
use super::{Shared, State};
use crate::bundle::{self, Peer, Peers};
use crate::task::{Event, Stage, StopOptions};
use crate::{Error, Result};

/// How long a task's container waits for those whose namespaces it shares.
const OWNER_PATIENCE: Duration = Duration::from_secs(30);

/// A run: its first process, and when it began.
pub type Run = (u32, Timestamp);

/// A run that shares a namespace with another container's.
#[derive(Debug, PartialEq, Eq)]
struct Sharer {
    id: ContainerId,
    /// As /proc names it: `net`, `ipc`.
    namespace: &'static str,
    run: Run,
    /// The present runs of those whose namespace it may have.
    owners: Vec<Run>,
}

impl Shared {
    /// The first processes of those whose namespaces `record` shares; they must run.
    pub(super) fn peers(&self, record: &Record) -> Result<Peers> {
        let state = self.state();
        let ipc = match bundle::ipc_donor(&record.spec.ipc) {
            None => None,
            Some(name) => {
                let (donor, peer) = running(&state, record, name)?;
                bundle::may_join_ipc(name, &donor.spec.ipc)?;
                Some(peer)
            }
        };
        let pid = bundle::pid_donor(&record.spec.pid).map(|name| running(&state, record, name)).transpose()?;
        Ok(Peers { pid: pid.map(|(_, peer)| peer), ipc })
    }

    /// Waits a while for those whose namespaces a task's container shares: its project may be restarting or replacing them.
    pub(super) async fn await_owners(&self, id: ContainerId) {
        let mut changes = self.changes.subscribe();
        let deadline = tokio::time::Instant::now() + OWNER_PATIENCE;
        while self.state().lacks_owner(id) {
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// A container that runs anew has new namespaces: those that shared its old ones run anew too, or they would stay alone
    /// with what is left of them. (Who shares a pid namespace ends with it.)
    pub(super) fn restart_sharers(self: &Arc<Self>) {
        let sharers = self.state().sharers();
        let stale: Vec<Sharer> = sharers.into_iter().filter(Sharer::is_stale).collect();
        for Sharer { id, namespace, owners, .. } in stale {
            // Once for each run of theirs: who cannot come together must not try for ever.
            match self.state().entries.get_mut(&id) {
                Some(entry) if entry.restarted_for != owners => entry.restarted_for = owners,
                _ => continue,
            }
            tracing::info!(container = %id.short(), namespace, "restarting it: whose namespace it shares has a new one");
            self.feed(id, Event::Restart { count: None, options: StopOptions::default() });
        }
    }
}

impl Sharer {
    /// Whether owners run, and none has the namespace that this one is in.
    fn is_stale(&self) -> bool {
        let (pid, _) = self.run;
        let of = |pid: u32| fs::read_link(PathBuf::from(format!("/proc/{pid}/ns/{}", self.namespace))).ok();
        let Some(own) = of(pid) else { return false };
        !self.owners.is_empty() && !self.owners.iter().any(|(owner, _)| of(*owner).is_none_or(|other| other == own))
    }
}

impl State {
    /// The running containers that share namespaces, and with whom; not those of one command, which is not to be done twice.
    fn sharers(&self) -> Vec<Sharer> {
        let mut found = Vec::new();
        // One that was told to stop is not to begin anew.
        let goes_on = |entry: &Entry| !entry.machine.is_ending() && !entry.machine.is_stopped();
        let stays = |entry: &Entry| goes_on(entry) && !entry.record.is_one_off() && !entry.record.auto_remove;
        for (id, entry) in self.entries.iter().filter(|(_, entry)| stays(entry)) {
            let Some(run) = run_of(entry) else { continue };
            let record = &entry.record;
            let mut add = |namespace, owners: Vec<&Entry>| {
                // One that is being ended, as another takes its place, is no owner any more.
                let remains = |owner: &&Entry| owner.record.id != *id && !owner.machine.is_ending();
                let owners = owners.into_iter().filter(remains).filter_map(run_of).collect();
                found.push(Sharer { id: *id, namespace, run, owners });
            };
            if record.network.is_shared() {
                add("net", self.network_owners(record).unwrap_or_default());
            }
            if let Some(name) = bundle::ipc_donor(&record.spec.ipc) {
                add("ipc", self.named(name));
            }
        }
        found
    }

    /// Whether the container of a task shares a namespace with one that does not run.
    fn lacks_owner(&self, id: ContainerId) -> bool {
        // One that is told to end meanwhile does not wait.
        let waits = |entry: &&Entry| entry.record.task.is_some() && entry.machine.is_wanted();
        let Some(record) = self.entries.get(&id).filter(waits).map(|entry| &entry.record) else {
            return false;
        };
        // One that is being ended takes its namespaces along.
        let stays = |owner: &Entry| run_of(owner).is_some() && !owner.machine.is_ending();
        let rests = |owners: Vec<&Entry>| !owners.into_iter().any(stays);
        let network = record.network.is_shared() && rests(self.network_owners(record).unwrap_or_default());
        let donors = [bundle::ipc_donor(&record.spec.ipc), bundle::pid_donor(&record.spec.pid)];
        network || donors.into_iter().flatten().any(|name| rests(self.named(name)))
    }

    fn named(&self, name: &str) -> Vec<&Entry> {
        self.resolve(name).ok().and_then(|id| self.entries.get(&id)).into_iter().collect()
    }
}

fn run_of(entry: &Entry) -> Option<Run> {
    match entry.machine.stage() {
        Stage::Running { pid, started_at } => Some((pid, started_at)),
        _ => None,
    }
}

fn running<'a>(state: &'a State, record: &Record, name: &str) -> Result<(&'a Record, Peer)> {
    let id = state.resolve(name)?;
    if id == record.id {
        let reason = "it cannot share a namespace with itself".into();
        return Err(Error::Spec { key: "container", value: name.into(), reason });
    }
    let entry = state.get(id)?;
    match entry.machine.stage() {
        Stage::Running { pid, .. } => Ok((&entry.record, Peer { process: pid, container: id })),
        _ => Err(Error::NotRunning { name: entry.record.name.clone() }),
    }
}
