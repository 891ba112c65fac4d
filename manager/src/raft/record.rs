//! What stands in the log and in raft snapshots, before it is sealed: protobuf messages of our own, so that the disk format
//! never follows a library's types. Field numbers are never reused.

use std::collections::{BTreeMap, BTreeSet};

use openraft::vote::RaftLeaderId;
use prost::Message;

use super::types::{Address, Entry, LeaderId, LogId, Membership, Payload, Proposal, StoredMembership, Vote};
use crate::error::RecordFlaw;

/// One log entry; its index is the key that it is stored under.
#[derive(Clone, PartialEq, Message)]
pub struct EntryRecord {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    leader: u64,
    #[prost(oneof = "PayloadRecord", tags = "3, 4, 5")]
    payload: Option<PayloadRecord>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum PayloadRecord {
    /// A new leader's first entry.
    #[prost(bool, tag = "3")]
    Blank(bool),
    /// For the state machine.
    #[prost(bytes, tag = "4")]
    Proposal(Vec<u8>),
    #[prost(message, tag = "5")]
    Membership(MembershipRecord),
}

/// Who votes and who is known.
#[derive(Clone, PartialEq, Message)]
pub struct MembershipRecord {
    /// One set of voters, two while they change.
    #[prost(message, repeated, tag = "1")]
    configs: Vec<VotersRecord>,
    #[prost(btree_map = "uint64, string", tag = "2")]
    addresses: BTreeMap<u64, String>,
}

#[derive(Clone, PartialEq, Message)]
struct VotersRecord {
    #[prost(uint64, repeated, tag = "1")]
    voters: Vec<u64>,
}

/// Position in the log.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LogIdRecord {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    leader: u64,
    #[prost(uint64, tag = "3")]
    index: u64,
}

/// What this manager has voted for.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct VoteRecord {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    candidate: u64,
    #[prost(bool, tag = "3")]
    committed: bool,
}

/// Who writes this log.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MemberRecord {
    /// Raft's number for this manager; a wiped one comes back under another.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The node's id.
    #[prost(string, tag = "2")]
    pub node: String,
}

/// The first record of a raft snapshot.
#[derive(Clone, PartialEq, Message)]
pub struct SnapshotRecord {
    /// Sixteen random bytes that the chunks are bound to.
    #[prost(bytes = "vec", tag = "1")]
    pub nonce: Vec<u8>,
    /// The last entry that is in the state.
    #[prost(message, optional, tag = "2")]
    pub last: Option<LogIdRecord>,
    /// Where the membership was decided.
    #[prost(message, optional, tag = "3")]
    pub membership_at: Option<LogIdRecord>,
    #[prost(message, optional, tag = "4")]
    pub membership: Option<MembershipRecord>,
}

/// Decodes a message; bytes that are none are a flaw.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, RecordFlaw> {
    M::decode(bytes).map_err(|error| RecordFlaw::Content(error.to_string()))
}

impl From<&Entry> for EntryRecord {
    fn from(entry: &Entry) -> Self {
        let payload = match &entry.payload {
            Payload::Blank => PayloadRecord::Blank(true),
            Payload::Normal(proposal) => PayloadRecord::Proposal(proposal.0.to_vec()),
            Payload::Membership(membership) => PayloadRecord::Membership(membership.into()),
        };
        let leader = entry.log_id.leader_id;
        Self { term: leader.term, leader: leader.node_id, payload: Some(payload) }
    }
}

impl EntryRecord {
    /// The entry at `index`.
    pub fn into_entry(self, index: u64) -> Result<Entry, RecordFlaw> {
        let Self { term, leader, payload } = self;
        let payload = match payload {
            Some(PayloadRecord::Blank(_)) => Payload::Blank,
            Some(PayloadRecord::Proposal(bytes)) => Payload::Normal(Proposal(bytes.into())),
            Some(PayloadRecord::Membership(membership)) => Payload::Membership(membership.try_into()?),
            // A kind of entry that a newer release has: skipping it would part the managers' states.
            None => return Err(RecordFlaw::Content("an entry of a kind that this release does not know".into())),
        };
        Ok(Entry { log_id: LogId { leader_id: LeaderId::new(term, leader), index }, payload })
    }
}

impl From<&Membership> for MembershipRecord {
    fn from(membership: &Membership) -> Self {
        let voters = |set: &BTreeSet<u64>| VotersRecord { voters: set.iter().copied().collect() };
        Self {
            configs: membership.get_joint_config().iter().map(voters).collect(),
            addresses: membership.nodes().map(|(id, address)| (*id, address.0.clone())).collect(),
        }
    }
}

impl TryFrom<MembershipRecord> for Membership {
    type Error = RecordFlaw;

    fn try_from(record: MembershipRecord) -> Result<Self, RecordFlaw> {
        let configs: Vec<BTreeSet<u64>> =
            record.configs.into_iter().map(|config| config.voters.into_iter().collect()).collect();
        let nodes: BTreeMap<u64, Address> =
            record.addresses.into_iter().map(|(id, address)| (id, Address(address))).collect();
        // openraft's initial membership has no voters, which its own constructor refuses.
        if configs.is_empty() && nodes.is_empty() {
            return Ok(Self::default());
        }
        Self::new(configs, nodes).map_err(|error| RecordFlaw::Content(error.to_string()))
    }
}

impl From<LogId> for LogIdRecord {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
    }
}

impl From<LogIdRecord> for LogId {
    fn from(record: LogIdRecord) -> Self {
        Self { leader_id: LeaderId::new(record.term, record.leader), index: record.index }
    }
}

impl From<&Vote> for VoteRecord {
    fn from(vote: &Vote) -> Self {
        Self { term: vote.leader_id.term, candidate: vote.leader_id.node_id, committed: vote.committed }
    }
}

impl From<VoteRecord> for Vote {
    fn from(record: VoteRecord) -> Self {
        Self { leader_id: LeaderId::new(record.term, record.candidate), committed: record.committed }
    }
}

impl SnapshotRecord {
    /// A header for a snapshot of the state after `last`.
    pub fn new(nonce: [u8; 16], last: Option<LogId>, membership: &StoredMembership) -> Self {
        Self {
            nonce: nonce.to_vec(),
            last: last.map(Into::into),
            membership_at: membership.log_id().map(Into::into),
            membership: Some(membership.membership().into()),
        }
    }

    /// The membership that it holds.
    pub fn stored_membership(&self) -> Result<StoredMembership, RecordFlaw> {
        let membership = self.membership.clone().unwrap_or_default().try_into()?;
        Ok(StoredMembership::new(self.membership_at.map(Into::into), membership))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn entry(index: u64, payload: Payload) -> Entry {
        Entry { log_id: LogId { leader_id: LeaderId::new(3, 9), index }, payload }
    }

    /// The plain bytes inside `golden/log-entry-1.bin`.
    pub fn golden_entry() -> Vec<u8> {
        EntryRecord::from(&entry(7, Payload::Normal(Proposal((*b"hello").into())))).encode_to_vec()
    }

    #[test]
    fn entries_come_back() {
        let nodes = BTreeMap::from([(9, Address("a:1".into())), (10, Address::default())]);
        let membership = Membership::new(vec![BTreeSet::from([9])], nodes).unwrap();
        for payload in [Payload::Blank, Payload::Normal(Proposal((*b"x").into())), Payload::Membership(membership)] {
            let entry = entry(5, payload);
            let bytes = EntryRecord::from(&entry).encode_to_vec();
            let back = decode::<EntryRecord>(&bytes).unwrap().into_entry(5).unwrap();
            assert_eq!(back, entry);
        }
    }

    #[test]
    fn an_unknown_kind_of_entry_is_never_skipped() {
        let unknown = EntryRecord { term: 1, leader: 1, payload: None };
        assert!(unknown.into_entry(1).is_err());
    }

    #[test]
    fn votes_and_positions_come_back() {
        let vote = Vote { leader_id: LeaderId::new(4, 2), committed: true };
        assert_eq!(Vote::from(VoteRecord::from(&vote)), vote);
        let id = LogId { leader_id: LeaderId::new(4, 2), index: 8 };
        assert_eq!(LogId::from(LogIdRecord::from(id)), id);
    }
}
