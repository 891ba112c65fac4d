//! The state machine as openraft sees it: hands entries to a [`Replica`] and writes its raft snapshots.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, RaftSnapshotBuilder};

use super::snapshot::{SnapshotFile, SnapshotStore};
use super::types::{LogId, Payload, SnapshotMeta, StoredMembership, Types};
use super::{Replica, Reply};
use crate::error::Error;

/// How long a raft snapshot waits for room on a full disk before it is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_secs(5);

pub struct Machine {
    replica: Box<dyn Replica>,
    applied: Option<LogId>,
    membership: StoredMembership,
    snapshots: Arc<SnapshotStore>,
}

impl Machine {
    pub fn new(replica: Box<dyn Replica>, snapshots: Arc<SnapshotStore>) -> Self {
        Self { replica, applied: None, membership: StoredMembership::default(), snapshots }
    }
}

/// A frozen state on its way to disk.
pub struct Builder {
    state: Arc<dyn Fn() -> Vec<u8> + Send + Sync>,
    applied: Option<LogId>,
    membership: StoredMembership,
    snapshots: Arc<SnapshotStore>,
}

impl Builder {
    async fn write(&self) -> Result<SnapshotFile, Error> {
        let (state, applied, membership) = (self.state.clone(), self.applied, self.membership.clone());
        let snapshots = self.snapshots.clone();
        // Encoding and fsync take long for a large state, and must not hold up entries.
        let written = tokio::task::spawn_blocking(move || snapshots.write(applied, &membership, &state())).await;
        written.map_err(|error| Error::Stopped { reason: format!("writing a raft snapshot: {error}") })?
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, SnapshotFile>, io::Error> {
        loop {
            match self.write().await {
                Ok(snapshot) => {
                    let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
                    return Ok(SnapshotOf::<Types, SnapshotFile> { meta, snapshot });
                }
                // An error would end Raft for good; the log goes on without a snapshot for a while.
                Err(error) if error.is_full_disk() => {
                    tracing::warn!(%error, "raft snapshot put off");
                    tokio::time::sleep(FULL_DISK_RETRY).await;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            let index = entry.log_id.index;
            let reply = match entry.payload {
                Payload::Blank => Reply::Nothing,
                Payload::Normal(proposal) => {
                    let applied = self.replica.apply(index, &proposal.0);
                    // An entry that can't be understood is never skipped: this manager stops instead.
                    applied.map_err(|reason| io::Error::other(Error::UnknownEntry { index, reason }))?
                }
                Payload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Reply::Nothing
                }
            };
            self.applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            state: self.replica.freeze(),
            applied: self.applied,
            membership: self.membership.clone(),
            snapshots: self.snapshots.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        let state = snapshot.read().map_err(io::Error::other)?;
        let index = meta.last_log_id.map_or(0, |id| id.index);
        self.replica.restore(&state).map_err(|reason| io::Error::other(Error::UnknownEntry { index, reason }))?;
        let current = self.snapshots.current().map_err(io::Error::other)?;
        if current.is_none_or(|(current, _)| current.last_log_id < meta.last_log_id) {
            self.snapshots.write(meta.last_log_id, &meta.last_membership, &state).map_err(io::Error::other)?;
        }
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, SnapshotFile>>, io::Error> {
        let current = self.snapshots.current().map_err(io::Error::other)?;
        Ok(current.map(|(meta, snapshot)| SnapshotOf::<Types, SnapshotFile> { meta, snapshot }))
    }
}
