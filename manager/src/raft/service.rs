//! What other managers ask of this one's member.

use std::sync::Arc;

use api::swarm::RaftMessage;
use api::swarm::raft_server::Raft as RaftApi;
use openraft::type_config::alias::SnapshotOf;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::member::OpenRaft;
use super::record;
use super::snapshot::{SnapshotFile, SnapshotStore};
use super::types::Types;
use super::wire::{
    AppendAnswer, AppendMessage, FORMAT, SnapshotAnswer, SnapshotMessage, TransferMessage, VoteAnswer, VoteMessage,
};

/// Longest state that is taken from another manager.
const STATE_MAX: u64 = 8 << 30;

/// The service of this API.
pub struct PeerApi {
    raft: OpenRaft,
    snapshots: Arc<SnapshotStore>,
}

fn invalid(flaw: impl ToString) -> Status {
    Status::invalid_argument(flaw.to_string())
}

fn ended(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

impl PeerApi {
    /// Serves this member.
    pub fn new(raft: OpenRaft, snapshots: Arc<SnapshotStore>) -> Self {
        Self { raft, snapshots }
    }

    /// What is in a message for this manager. An address may since be another one's.
    fn body(&self, message: RaftMessage) -> Result<Vec<u8>, Status> {
        let RaftMessage { format, target, body } = message;
        if format != FORMAT {
            return Err(Status::failed_precondition(format!(
                "managers speak format {FORMAT} here and {format} there: upgrade the older of the two"
            )));
        }
        if target != *self.raft.node_id() {
            return Err(Status::not_found(format!("here is not manager {target:x}")));
        }
        Ok(body)
    }

    fn open<M: Message + Default>(&self, request: Request<RaftMessage>) -> Result<M, Status> {
        record::decode(&self.body(request.into_inner())?).map_err(invalid)
    }

    fn answer(&self, message: &impl Message) -> Result<Response<RaftMessage>, Status> {
        let target = *self.raft.node_id();
        Ok(Response::new(RaftMessage { format: FORMAT, target, body: message.encode_to_vec() }))
    }
}

#[tonic::async_trait]
impl RaftApi for PeerApi {
    async fn append(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let message: AppendMessage = self.open(request)?;
        let response = self.raft.append_entries(message.try_into().map_err(invalid)?).await.map_err(ended)?;
        self.answer(&AppendAnswer::from(response))
    }

    async fn vote(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let message: VoteMessage = self.open(request)?;
        let response = self.raft.vote(message.try_into().map_err(invalid)?).await.map_err(ended)?;
        self.answer(&VoteAnswer::from(response))
    }

    async fn pre_vote(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let message: VoteMessage = self.open(request)?;
        let response = self.raft.pre_vote(message.try_into().map_err(invalid)?).await.map_err(ended)?;
        self.answer(&VoteAnswer::from(response))
    }

    async fn transfer(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let message: TransferMessage = self.open(request)?;
        let taken = self.raft.handle_transfer_leader(message.try_into().map_err(invalid)?).await.map_err(ended)?;
        taken.map_err(|error| Status::failed_precondition(error.to_string()))?;
        self.answer(&SnapshotAnswer::default())
    }

    async fn snapshot(&self, request: Request<Streaming<RaftMessage>>) -> Result<Response<RaftMessage>, Status> {
        let mut stream = request.into_inner();
        let head = stream.message().await?.ok_or_else(|| invalid("a raft snapshot without a beginning"))?;
        let head: SnapshotMessage = record::decode(&self.body(head)?).map_err(invalid)?;
        let length = head.length;
        if length > STATE_MAX {
            return Err(invalid(format!("a state of {length} bytes")));
        }
        let (vote, meta) = head.open().map_err(invalid)?;
        let mut state = Vec::new();
        while let Some(chunk) = stream.message().await? {
            state.extend(self.body(chunk)?);
            if state.len() as u64 > length {
                return Err(invalid("a raft snapshot is longer than it said"));
            }
        }
        if state.len() as u64 != length {
            return Err(invalid("a raft snapshot ended early"));
        }
        let (snapshots, of) = (self.snapshots.clone(), meta.clone());
        let received = tokio::task::spawn_blocking(move || snapshots.receive(&of, &state)).await;
        let snapshot = received.map_err(ended)?.map_err(|error| Status::resource_exhausted(error.to_string()))?;
        let snapshot = SnapshotOf::<Types, SnapshotFile> { meta, snapshot };
        let response = self.raft.install_full_snapshot(vote, snapshot).await.map_err(ended)?;
        self.answer(&SnapshotAnswer::from(response))
    }
}
