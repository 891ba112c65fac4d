//! What managers say to each other: messages of our own, as in the log, so that the wire never follows a library's types. Field
//! numbers are never reused.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use prost::Message;

use super::record::{EntryRecord, LogIdRecord, MembershipRecord, VoteRecord};
use super::types::{LogId, SnapshotMeta, StoredMembership, Types, Vote};
use crate::error::RecordFlaw;

/// Version of the messages.
pub const FORMAT: u32 = 1;

fn log_id(record: Option<LogIdRecord>) -> Option<LogId> {
    record.map(Into::into)
}

fn vote(record: Option<VoteRecord>) -> Result<Vote, RecordFlaw> {
    record.map(Into::into).ok_or_else(|| RecordFlaw::Content("the message has no vote".into()))
}

/// Entries for a follower.
#[derive(Clone, PartialEq, Message)]
pub struct AppendMessage {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
    #[prost(message, optional, tag = "2")]
    previous: Option<LogIdRecord>,
    #[prost(message, repeated, tag = "3")]
    entries: Vec<IndexedEntry>,
    #[prost(message, optional, tag = "4")]
    committed: Option<LogIdRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct IndexedEntry {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(message, optional, tag = "2")]
    entry: Option<EntryRecord>,
}

impl From<AppendEntriesRequest<Types>> for AppendMessage {
    fn from(request: AppendEntriesRequest<Types>) -> Self {
        let AppendEntriesRequest { vote, prev_log_id, entries, leader_commit } = request;
        let entry = |entry: &super::types::Entry| IndexedEntry { index: entry.log_id.index, entry: Some(entry.into()) };
        Self {
            vote: Some((&vote).into()),
            previous: prev_log_id.map(Into::into),
            entries: entries.iter().map(entry).collect(),
            committed: leader_commit.map(Into::into),
        }
    }
}

impl TryFrom<AppendMessage> for AppendEntriesRequest<Types> {
    type Error = RecordFlaw;

    fn try_from(message: AppendMessage) -> Result<Self, RecordFlaw> {
        let AppendMessage { vote: by, previous, entries, committed } = message;
        let entry = |IndexedEntry { index, entry }: IndexedEntry| {
            entry.ok_or_else(|| RecordFlaw::Content("an entry is missing".into()))?.into_entry(index)
        };
        Ok(Self {
            vote: vote(by)?,
            prev_log_id: log_id(previous),
            entries: entries.into_iter().map(entry).collect::<Result<_, _>>()?,
            leader_commit: log_id(committed),
        })
    }
}

/// What a follower says to entries.
#[derive(Clone, PartialEq, Message)]
pub struct AppendAnswer {
    #[prost(oneof = "AppendOutcome", tags = "1, 2, 3, 4")]
    outcome: Option<AppendOutcome>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum AppendOutcome {
    #[prost(bool, tag = "1")]
    Success(bool),
    /// Up to here.
    #[prost(message, tag = "2")]
    Partial(Position),
    #[prost(bool, tag = "3")]
    Conflict(bool),
    #[prost(message, tag = "4")]
    Higher(VoteRecord),
}

#[derive(Clone, PartialEq, Message)]
struct Position {
    #[prost(message, optional, tag = "1")]
    at: Option<LogIdRecord>,
}

impl From<AppendEntriesResponse<Types>> for AppendAnswer {
    fn from(response: AppendEntriesResponse<Types>) -> Self {
        let outcome = match response {
            AppendEntriesResponse::Success => AppendOutcome::Success(true),
            AppendEntriesResponse::PartialSuccess(at) => AppendOutcome::Partial(Position { at: at.map(Into::into) }),
            AppendEntriesResponse::Conflict => AppendOutcome::Conflict(true),
            AppendEntriesResponse::HigherVote(vote) => AppendOutcome::Higher((&vote).into()),
        };
        Self { outcome: Some(outcome) }
    }
}

impl TryFrom<AppendAnswer> for AppendEntriesResponse<Types> {
    type Error = RecordFlaw;

    fn try_from(answer: AppendAnswer) -> Result<Self, RecordFlaw> {
        Ok(match answer.outcome {
            Some(AppendOutcome::Success(_)) => Self::Success,
            Some(AppendOutcome::Partial(Position { at })) => Self::PartialSuccess(log_id(at)),
            Some(AppendOutcome::Conflict(_)) => Self::Conflict,
            Some(AppendOutcome::Higher(vote)) => Self::HigherVote(vote.into()),
            None => return Err(RecordFlaw::Content("an answer of a kind that this release does not know".into())),
        })
    }
}

/// A candidate asks.
#[derive(Clone, PartialEq, Message)]
pub struct VoteMessage {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdRecord>,
    #[prost(bool, tag = "3")]
    transfer: bool,
}

impl From<VoteRequest<Types>> for VoteMessage {
    fn from(VoteRequest { vote, last_log_id, leadership_transfer }: VoteRequest<Types>) -> Self {
        Self { vote: Some((&vote).into()), last: last_log_id.map(Into::into), transfer: leadership_transfer }
    }
}

impl TryFrom<VoteMessage> for VoteRequest<Types> {
    type Error = RecordFlaw;

    fn try_from(VoteMessage { vote: by, last, transfer }: VoteMessage) -> Result<Self, RecordFlaw> {
        Ok(Self { vote: vote(by)?, last_log_id: log_id(last), leadership_transfer: transfer })
    }
}

/// A voter answers.
#[derive(Clone, PartialEq, Message)]
pub struct VoteAnswer {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
    #[prost(bool, tag = "2")]
    granted: bool,
    #[prost(message, optional, tag = "3")]
    last: Option<LogIdRecord>,
}

impl From<VoteResponse<Types>> for VoteAnswer {
    fn from(VoteResponse { vote, vote_granted, last_log_id }: VoteResponse<Types>) -> Self {
        Self { vote: Some((&vote).into()), granted: vote_granted, last: last_log_id.map(Into::into) }
    }
}

impl TryFrom<VoteAnswer> for VoteResponse<Types> {
    type Error = RecordFlaw;

    fn try_from(VoteAnswer { vote: by, granted, last }: VoteAnswer) -> Result<Self, RecordFlaw> {
        Ok(Self { vote: vote(by)?, vote_granted: granted, last_log_id: log_id(last) })
    }
}

/// What a raft snapshot is of; its chunks follow.
#[derive(Clone, PartialEq, Message)]
pub struct SnapshotMessage {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdRecord>,
    #[prost(message, optional, tag = "3")]
    membership_at: Option<LogIdRecord>,
    #[prost(message, optional, tag = "4")]
    membership: Option<MembershipRecord>,
    /// Length of the state in bytes.
    #[prost(uint64, tag = "5")]
    pub length: u64,
}

impl SnapshotMessage {
    /// Of a snapshot.
    pub fn new(vote: &Vote, meta: &SnapshotMeta, length: u64) -> Self {
        Self {
            vote: Some(vote.into()),
            last: meta.last_log_id.map(Into::into),
            membership_at: meta.last_membership.log_id().map(Into::into),
            membership: Some(meta.last_membership.membership().into()),
            length,
        }
    }

    /// Who sends it, and what it is of.
    pub fn open(self) -> Result<(Vote, SnapshotMeta), RecordFlaw> {
        let membership = self.membership.unwrap_or_default().try_into()?;
        let last_membership = StoredMembership::new(log_id(self.membership_at), membership);
        Ok((vote(self.vote)?, SnapshotMeta { last_log_id: log_id(self.last), last_membership }))
    }
}

/// What a follower says to a raft snapshot.
#[derive(Clone, PartialEq, Message)]
pub struct SnapshotAnswer {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
}

impl From<SnapshotResponse<Types>> for SnapshotAnswer {
    fn from(SnapshotResponse { vote }: SnapshotResponse<Types>) -> Self {
        Self { vote: Some((&vote).into()) }
    }
}

impl TryFrom<SnapshotAnswer> for SnapshotResponse<Types> {
    type Error = RecordFlaw;

    fn try_from(answer: SnapshotAnswer) -> Result<Self, RecordFlaw> {
        Ok(Self { vote: vote(answer.vote)? })
    }
}

/// A leader hands over.
#[derive(Clone, PartialEq, Message)]
pub struct TransferMessage {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteRecord>,
    #[prost(uint64, tag = "2")]
    to: u64,
    #[prost(message, optional, tag = "3")]
    last: Option<LogIdRecord>,
}

impl From<TransferLeaderRequest<Types>> for TransferMessage {
    fn from(request: TransferLeaderRequest<Types>) -> Self {
        let last = request.last_log_id().copied().map(Into::into);
        Self { vote: Some(request.from_leader().into()), to: *request.to_node_id(), last }
    }
}

impl TryFrom<TransferMessage> for TransferLeaderRequest<Types> {
    type Error = RecordFlaw;

    fn try_from(TransferMessage { vote: by, to, last }: TransferMessage) -> Result<Self, RecordFlaw> {
        Ok(Self::new(vote(by)?, to, log_id(last)))
    }
}
