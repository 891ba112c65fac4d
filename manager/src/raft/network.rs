//! How managers reach each other: mutual TLS, one connection a peer, made anew by itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use api::client::MESSAGE_MAX;
use api::remote::ClientConfig;
use api::swarm::RaftMessage;
use api::swarm::raft_client::RaftClient;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use prost::Message;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::record;
use super::snapshot::{CHUNK, SnapshotFile};
use super::types::{Address, Payload, Types, Vote};
use super::wire::{
    AppendAnswer, AppendMessage, FORMAT, SnapshotAnswer, SnapshotMessage, TransferMessage, VoteAnswer, VoteMessage,
};

/// How this manager speaks to the others; `None` while it is alone.
#[derive(Debug, Clone)]
pub struct Peers {
    tls: watch::Receiver<Option<Arc<ClientConfig>>>,
}

impl Peers {
    /// With this configuration, or the newer one by then.
    pub fn new(tls: watch::Receiver<Option<Arc<ClientConfig>>>) -> Self {
        Self { tls }
    }

    /// For a manager that is alone.
    pub fn none() -> Self {
        Self { tls: watch::channel(None).1 }
    }

    /// The configuration.
    pub fn tls(&self) -> watch::Receiver<Option<Arc<ClientConfig>>> {
        self.tls.clone()
    }
}

/// A set of entries that is sent at once has about so many bytes at most.
const BATCH: usize = 16 << 20;

/// Connects.
pub struct Network {
    /// This manager's number.
    pub id: u64,
    /// How it speaks.
    pub peers: Peers,
}

/// One other manager.
pub struct Peer {
    id: u64,
    target: u64,
    client: Option<RaftClient<Channel>>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, address: &Address) -> Peer {
        let client = address.0.parse().ok().map(|address| {
            let channel = api::remote::lazy_manager(address, self.peers.tls());
            RaftClient::new(channel).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX)
        });
        Peer { id: self.id, target, client }
    }
}

type Called = Result<Response<RaftMessage>, Status>;

impl Peer {
    fn message(&self, body: &impl Message) -> RaftMessage {
        RaftMessage { format: FORMAT, target: self.target, body: body.encode_to_vec() }
    }

    async fn call<A: Message + Default, F: Future<Output = Called>>(
        &mut self,
        action: RPCTypes,
        patience: Duration,
        call: impl FnOnce(RaftClient<Channel>) -> F,
    ) -> Result<A, RPCError<Types>> {
        let client = self.client.clone();
        let client = client.ok_or_else(|| Unreachable::from_string("its address is not known"))?;
        let answer = match tokio::time::timeout(patience, call(client)).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) if status.code() == Code::Unavailable => {
                return Err(Unreachable::from_string(status.message()).into());
            }
            Ok(Err(status)) => {
                tracing::warn!(
                    manager = format!("{:x}", self.target),
                    reason = status.message(),
                    "another manager refuses"
                );
                return Err(Unreachable::from_string(status.message()).into());
            }
            Err(_) => return Err(Timeout { action, id: self.id, target: self.target, timeout: patience }.into()),
        };
        record::decode(&answer.body).map_err(broken)
    }
}

fn broken(flaw: impl ToString) -> RPCError<Types> {
    NetworkError::from_string(flaw).into()
}

/// The first entries that together are not too long; whether they are all.
fn shorten(request: &mut AppendEntriesRequest<Types>) -> bool {
    let mut bytes = 0;
    let fits = |entry: &super::types::Entry| {
        bytes += if let Payload::Normal(proposal) = &entry.payload { proposal.0.len() } else { 0 };
        bytes <= BATCH
    };
    let count = request.entries.iter().map(fits).take_while(|fits| *fits).count().max(1);
    let all = request.entries.len() <= count;
    request.entries.truncate(count);
    all
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        mut request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let all = shorten(&mut request);
        let last = request.entries.last().map(|entry| entry.log_id);
        let message = self.message(&AppendMessage::from(request));
        let call = |mut client: RaftClient<Channel>| async move { client.append(message).await };
        let answer: AppendAnswer = self.call(RPCTypes::AppendEntries, option.soft_ttl(), call).await?;
        match answer.try_into().map_err(broken)? {
            AppendEntriesResponse::Success if !all => Ok(AppendEntriesResponse::PartialSuccess(last)),
            response => Ok(response),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let message = self.message(&VoteMessage::from(request));
        let call = |mut client: RaftClient<Channel>| async move { client.vote(message).await };
        let answer: VoteAnswer = self.call(RPCTypes::Vote, option.soft_ttl(), call).await?;
        answer.try_into().map_err(broken)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let message = self.message(&VoteMessage::from(request));
        let call = |mut client: RaftClient<Channel>| async move { client.pre_vote(message).await };
        let answer: VoteAnswer = self.call(RPCTypes::Vote, option.soft_ttl(), call).await?;
        answer.try_into().map_err(broken)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let unreachable = |reason: String| StreamingError::Unreachable(Unreachable::from_string(reason));
        let file = snapshot.snapshot;
        let state = tokio::task::spawn_blocking(move || file.read()).await;
        let state = state.map_err(|error| unreachable(error.to_string()))?.map_err(|e| unreachable(e.to_string()))?;
        let head = self.message(&SnapshotMessage::new(&vote, &snapshot.meta, state.len() as u64));
        let target = self.target;
        let chunk = move |body: Vec<u8>| RaftMessage { format: FORMAT, target, body };
        let count = state.len().div_ceil(CHUNK);
        let chunks =
            (0..count).map(move |index| chunk(state[index * CHUNK..state.len().min((index + 1) * CHUNK)].to_vec()));
        let stream = futures::stream::iter(std::iter::once(head).chain(chunks));
        let call = |mut client: RaftClient<Channel>| async move { client.snapshot(stream).await };
        let sent = self.call::<SnapshotAnswer, _>(RPCTypes::InstallSnapshot, option.hard_ttl(), call);
        tokio::select! {
            answer = sent => match answer {
                Ok(answer) => answer.try_into().map_err(|flaw: crate::error::RecordFlaw| unreachable(flaw.to_string())),
                Err(error) => Err(unreachable(error.to_string())),
            },
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<Result<(), TransferLeaderError<Types>>, RPCError<Types>> {
        let message = self.message(&TransferMessage::from(request));
        let call = |mut client: RaftClient<Channel>| async move { client.transfer(message).await };
        self.call::<SnapshotAnswer, _>(RPCTypes::TransferLeader, option.soft_ttl(), call).await.map(|_| Ok(()))
    }
}
