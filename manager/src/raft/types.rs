//! openraft's types with Orca's filled in. They stay inside this room.

use std::fmt;
use std::sync::Arc;

use openraft::type_config::alias;

use super::Reply;

openraft::declare_raft_types!(
    /// The types of Orca's Raft.
    pub Types: D = Proposal, R = Reply, NodeId = u64, Node = Address
);

pub type Entry = alias::EntryOf<Types>;
pub type LogId = alias::LogIdOf<Types>;
pub type LeaderId = alias::LeaderIdOf<Types>;
pub type Vote = alias::VoteOf<Types>;
pub type Membership = openraft::Membership<u64, Address>;
pub type StoredMembership = alias::StoredMembershipOf<Types>;
pub type SnapshotMeta = alias::SnapshotMetaOf<Types>;
pub type Payload = openraft::EntryPayload<Proposal, u64, Address>;

/// What the state machine gets of a log entry: its encoded form.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal(pub Arc<[u8]>);

impl fmt::Debug for Proposal {
    // Never the content: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where a manager listens for the others, `HOST:PORT`; empty while a cluster has only one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address(pub String);
