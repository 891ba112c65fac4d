//! Containers whose namespaces another one shares.

use super::record::Record;
use super::{Shared, State};
use crate::bundle::{self, Peers};
use crate::task::Stage;
use crate::{Error, Result};

impl Shared {
    /// The first processes of those whose namespaces `record` shares; they must run.
    pub(super) fn peers(&self, record: &Record) -> Result<Peers> {
        let state = self.state();
        let ipc = match bundle::ipc_donor(&record.spec.ipc) {
            None => None,
            Some(name) => {
                let (donor, pid) = running(&state, record, name)?;
                bundle::may_join_ipc(name, &donor.spec.ipc)?;
                Some(pid)
            }
        };
        let pid = bundle::pid_donor(&record.spec.pid).map(|name| running(&state, record, name)).transpose()?;
        Ok(Peers { pid: pid.map(|(_, pid)| pid), ipc })
    }
}

fn running<'a>(state: &'a State, record: &Record, name: &str) -> Result<(&'a Record, u32)> {
    let id = state.resolve(name)?;
    if id == record.id {
        let reason = "it cannot share a namespace with itself".into();
        return Err(Error::Spec { key: "container", value: name.into(), reason });
    }
    let entry = state.get(id)?;
    match entry.machine.stage() {
        Stage::Running { pid, .. } => Ok((&entry.record, pid)),
        _ => Err(Error::NotRunning { name: entry.record.name.clone() }),
    }
}
