//! Raft: makes one order of all changes and keeps it on disk. openraft does the algorithm, and none of its types leave this
//! room or reach the disk.
//!
//! - [`Raft`]: one manager's member, on threads of its own so that no storm of other work delays it
//! - [`Replica`]: the state machine that entries are applied to
//! - `log`, `writer`: the log in redb, with group commit · `snapshot`, `machine`: raft snapshots
//! - `rebuild`: logs that go on with one member
//! - `record`: what is written · `seal`, `key`: how it is encrypted · `network`, `service`, `wire`: other managers

mod key;
mod log;
mod machine;
mod member;
mod network;
pub(crate) mod rebuild;
mod record;
pub(crate) mod seal;
mod service;
mod snapshot;
#[cfg(test)]
mod tests;
mod types;
mod wire;
mod writer;

use std::sync::Arc;

pub use key::RaftKey;
pub use member::{Leadership, Member, Raft, RaftConfig};
pub use network::Peers;
pub use service::PeerApi;

use crate::state::Refusal;
use crate::store::Applied;

/// What came of an entry.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An entry of Raft's own.
    Nothing,
    /// The change was made.
    Applied(Box<Applied>),
    /// The state machine refused it; nothing was changed.
    Refused(Refusal),
}

/// The replicated state machine.
pub trait Replica: Send + Sync + 'static {
    /// Applies the entry at `index` of the log. An error means that this release doesn't understand it, and ends Raft.
    fn apply(&mut self, index: u64, entry: &[u8]) -> Result<Reply, String>;
    /// The state as it is now, to be encoded later on another thread.
    fn freeze(&self) -> Arc<dyn Fn() -> Vec<u8> + Send + Sync>;
    /// Replaces the state by one that [`freeze`](Self::freeze) has given.
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;
}
