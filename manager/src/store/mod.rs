//! The store: the replicated state as the other rooms use it. Reads are free and consistent; changes are proposed and come back
//! applied or refused.

mod replica;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use model::{ClusterId, KeptKey, NodeId, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;

use crate::error::Error;
use crate::metrics::Proposals;
use crate::raft::{Leadership, Peers, Raft, RaftConfig, Reply};
use crate::state::{Command, Entry, Event, IdSource, State, codec};
use replica::{Shared, StateReplica};

/// What came of a proposal.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The state before.
    pub before: State,
    /// The state after.
    pub after: State,
    /// What was touched.
    pub events: Vec<Event>,
}

/// The replicated state.
pub struct Store {
    node: NodeId,
    raft: Raft,
    shared: Arc<Shared>,
    proposals: Proposals,
}

impl Store {
    /// Opens the store under `data_dir`, a new one at the first start, and waits until everything that was ever acknowledged is
    /// in the state.
    ///
    /// # Errors
    /// Files that can't be read or written, each by name.
    pub async fn open(
        data_dir: &Path,
        node: NodeId,
        peers: Peers,
        joins: Option<ClusterId>,
        unlock: Option<KeptKey>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let config = RaftConfig { dir: data_dir.join(crate::manager::RAFT), node, peers, joins, unlock };
        let raft = Raft::start(config, Box::new(StateReplica::new(shared.clone()))).await?;
        Ok(Self { node, raft, shared, proposals: Proposals::default() })
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// This manager's part in Raft.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Managers that the leader has not heard of lately; only the leader knows.
    pub fn unreachable(&self) -> Vec<NodeId> {
        let silent = self.raft.unreachable();
        let state = self.snapshot();
        let is_silent =
            |node: &&model::Node| node.manager.as_ref().is_some_and(|manager| silent.contains(&manager.raft));
        state.nodes.values().filter(is_silent).map(|node| node.id).collect()
    }

    /// The cluster that the store is of.
    pub fn cluster(&self) -> ClusterId {
        self.raft.cluster()
    }

    /// The state as it is now.
    pub fn snapshot(&self) -> State {
        self.shared.state()
    }

    /// The state's version, and changes of it.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.watch()
    }

    /// Whether this manager leads, and changes of that.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.raft.leadership()
    }

    /// Whether this manager leads now.
    pub fn leads(&self) -> bool {
        matches!(*self.raft.leadership().borrow(), Leadership::Leads { .. })
    }

    /// Waits until Raft has ended.
    pub async fn stopped(&self) {
        // An error means that its last task is gone too.
        let _ = self.raft.leadership().wait_for(|now| matches!(now, Leadership::Stopped { .. })).await;
    }

    /// Makes all of the changes, or none.
    ///
    /// # Errors
    /// [`Error::Refused`] by the state, [`Error::NotLeader`], [`Error::DiskFull`], [`Error::TooLarge`]; [`Error::Uncertain`] when
    /// only time will tell.
    pub async fn propose(&self, commands: Vec<Command>) -> Result<Applied, Error> {
        let begin = std::time::Instant::now();
        let entry = codec::encode_entry(&Entry { now: now(), commands });
        let result = match self.raft.propose(entry).await {
            Ok(Reply::Applied(applied)) => Ok(*applied),
            Ok(Reply::Refused(refusal)) => Err(refusal.into()),
            Ok(Reply::Nothing) => Err(Error::Stopped { reason: "raft gave no answer to a proposal".into() }),
            Err(error) => Err(error),
        };
        self.proposals.count(&result, begin.elapsed());
        result
    }

    /// What came of proposals.
    pub fn proposals(&self) -> &Proposals {
        &self.proposals
    }

    /// Ends Raft and closes the files.
    pub async fn shutdown(&self) {
        self.raft.shutdown().await;
    }
}

/// Wall time, read here and passed on as an argument.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// A source of ids that no other has.
///
/// # Errors
/// [`Error::Random`].
pub fn id_source() -> Result<IdSource, Error> {
    let mut bits = [0; 16];
    SystemRandom::new().fill(&mut bits).map_err(|_| Error::Random)?;
    Ok(IdSource::new(u128::from_le_bytes(bits)))
}
