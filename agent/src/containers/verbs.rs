//! What is done to a container as it runs: signals, pauses, another name, a look at its processes.

use model::{ContainerId, NetworkMode, check_object_name};

use super::Containers;
use super::state::Entry;
use crate::cgroup::Cgroup;
use crate::task::{Event, Stage, StopOptions};
use crate::{Error, Result, signal, top};

fn runs(entry: &Entry) -> Result<()> {
    match entry.machine.stage() {
        Stage::Running { .. } => Ok(()),
        _ => Err(Error::NotRunning { name: entry.record.name.clone() }),
    }
}

impl Containers {
    /// Sends a signal to a container's first process. SIGKILL counts as a stop by the user. What asks a paused container to
    /// end thaws it, as in Docker.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::Signal`], or the shim's refusal.
    pub async fn kill(&self, id: ContainerId, signal: &str) -> Result<()> {
        let signal = signal::parse(signal)?;
        let thaws = {
            let state = self.shared.state();
            let entry = state.get(id)?;
            runs(entry)?;
            entry.machine.is_paused() && signal == entry.machine.policy().stop_signal
        };
        if signal == signal::KILL {
            let options = StopOptions { signal: Some(signal), grace: Some(std::time::Duration::MAX) };
            self.shared.feed(id, Event::Stop(options));
            return Ok(());
        }
        self.shared.executor.signal(id, signal).await?;
        self.shared.tell(id, "kill", &[("signal", signal.to_string())]);
        if thaws { self.unpause(id).await } else { Ok(()) }
    }

    /// Freezes all processes of a container.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::AlreadyPaused`], or the shim's refusal.
    pub async fn pause(&self, id: ContainerId) -> Result<()> {
        {
            let state = self.shared.state();
            let entry = state.get(id)?;
            runs(entry)?;
            if entry.machine.is_paused() {
                return Err(Error::AlreadyPaused { name: entry.record.name.clone() });
            }
        }
        self.shared.executor.set_paused(id, true).await?;
        self.shared.feed(id, Event::Paused(true));
        Ok(())
    }

    /// Thaws them.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::NotPaused`], or the shim's refusal.
    pub async fn unpause(&self, id: ContainerId) -> Result<()> {
        {
            let state = self.shared.state();
            let entry = state.get(id)?;
            runs(entry)?;
            if !entry.machine.is_paused() {
                return Err(Error::NotPaused { name: entry.record.name.clone() });
            }
        }
        self.shared.executor.set_paused(id, false).await?;
        self.shared.feed(id, Event::Paused(false));
        Ok(())
    }

    /// Gives a standalone container another name; its networks know it by that when this returns.
    ///
    /// # Errors
    /// [`Error::NameInUse`], [`Error::Name`], [`Error::NamedByService`].
    pub async fn rename(&self, id: ContainerId, name: &str) -> Result<()> {
        let name = name.strip_prefix('/').unwrap_or(name);
        check_object_name("container", name)?;
        let old = {
            let mut state = self.shared.state();
            let holder = state.by_name(name);
            let entry = state.get_mut(id)?;
            let current = entry.record.name.clone();
            match holder {
                _ if entry.record.task.is_some() => return Err(Error::NamedByService { name: current }),
                Some(holder) if holder == id => return Err(Error::SameName { name: current }),
                Some(holder) => return Err(Error::NameInUse { name: name.into(), holder: holder.short() }),
                None => entry.record.name = name.into(),
            }
            self.shared.db.save_container(&entry.record);
            current
        };
        self.shared.tell(id, "rename", &[("oldName", format!("/{old}"))]);
        self.shared.executor.networks().rename(id, name).await?;
        self.shared.announce(id, false);
        self.shared.db.flush().await
    }

    /// Tells users that something was done to a container which is no move of its life: `exec_start: …`, `attach`, `copy`.
    pub fn tell(&self, id: ContainerId, action: &str, more: &[(&str, String)]) {
        self.shared.tell(id, action, more);
    }

    /// The ids of containers that run, or of all.
    pub fn ids(&self, all: bool) -> Vec<ContainerId> {
        let state = self.shared.state();
        let wanted = state.entries.iter().filter(|(_, entry)| all || runs(entry).is_ok());
        wanted.map(|(id, _)| *id).collect()
    }

    /// What its counters are found by: name, first process if it runs, cgroup, network.
    pub(crate) fn measured(&self, id: ContainerId) -> Option<(String, Option<u32>, Cgroup, NetworkMode)> {
        let state = self.shared.state();
        let entry = state.entries.get(&id)?;
        let pid = match entry.machine.stage() {
            Stage::Running { pid, .. } => Some(pid),
            _ => None,
        };
        let record = &entry.record;
        Some((record.name.clone(), pid, self.shared.executor.cgroup(record), record.network.clone()))
    }

    /// The processes of a container, in the columns that these arguments of ps(1) ask for.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::PsOption`].
    pub fn top(&self, id: ContainerId, args: &[String]) -> Result<top::Listing> {
        let columns = top::columns(args)?;
        let cgroup = {
            let state = self.shared.state();
            let entry = state.get(id)?;
            runs(entry)?;
            self.shared.executor.cgroup(&entry.record)
        };
        Ok(top::list(&columns, &cgroup.processes()))
    }
}
