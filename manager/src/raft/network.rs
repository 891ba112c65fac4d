//! How managers reach each other. A cluster of one manager has nobody to reach: every call says so.

use std::future::Future;
use std::io;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::type_config::alias::SnapshotOf;

use super::snapshot::SnapshotFile;
use super::types::{Address, Types, Vote};

/// Makes no connections.
pub struct Alone;

/// A manager that can't be reached.
pub struct NoPeer(u64);

impl NoPeer {
    fn unreachable(&self) -> Unreachable<Types> {
        let reason = format!("manager {:x} is unreachable: this cluster has one manager", self.0);
        Unreachable::new(&io::Error::new(io::ErrorKind::HostUnreachable, reason))
    }
}

impl RaftNetworkFactory<Types> for Alone {
    type Network = NoPeer;

    async fn new_client(&mut self, target: u64, _: &Address) -> NoPeer {
        NoPeer(target)
    }
}

impl RaftNetworkV2<Types> for NoPeer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn vote(&mut self, _: VoteRequest<Types>, _: RPCOption) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    // openraft's default grants, for peers that don't know Pre-Vote.
    async fn pre_vote(&mut self, _: VoteRequest<Types>, _: RPCOption) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: SnapshotOf<Types, SnapshotFile>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        Err(StreamingError::Unreachable(self.unreachable()))
    }
}
