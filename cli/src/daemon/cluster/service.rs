//! `orca.swarm.v1.Swarm`: what commands ask of this node's part in a cluster.

use std::sync::Arc;

use api::swarm::swarm_server::{Swarm, SwarmServer};
use api::swarm::{
    GetSwarmReply, GetSwarmRequest, InitReply, InitRequest, JoinReply, JoinRequest, LeaveReply, LeaveRequest,
    RestoreReply, RestoreRequest, UnlockReply, UnlockRequest,
};
use tonic::{Request, Response, Status};

use super::Cluster;

/// The service of this API.
pub struct SwarmApi {
    cluster: Arc<Cluster>,
}

impl SwarmApi {
    /// As what tonic routes to.
    pub fn server(cluster: Arc<Cluster>) -> SwarmServer<Self> {
        SwarmServer::new(Self { cluster })
    }

    /// Carries a change out to its end, even if the client goes away.
    async fn change<R: Send + 'static, F>(&self, work: impl FnOnce(Arc<Cluster>) -> F) -> Result<Response<R>, Status>
    where
        F: Future<Output = Result<R, Status>> + Send + 'static,
    {
        let work = tokio::spawn(work(self.cluster.clone()));
        work.await.map_err(|_| Status::internal("the change broke off; look with `orca info`"))?.map(Response::new)
    }
}

#[tonic::async_trait]
impl Swarm for SwarmApi {
    async fn get_swarm(&self, _: Request<GetSwarmRequest>) -> Result<Response<GetSwarmReply>, Status> {
        let node = self.cluster.node.to_string();
        let Some(place) = self.cluster.place() else {
            return Ok(Response::new(GetSwarmReply { node, ..GetSwarmReply::default() }));
        };
        let error = self.cluster.status.borrow().error.clone();
        Ok(Response::new(GetSwarmReply {
            node,
            cluster: place.cluster.to_string(),
            role: api::types::NodeRole::from(place.role).into(),
            address: place.address.ip().to_string(),
            managers: place.managers.clone(),
            error: error.unwrap_or_default(),
            locked: *self.cluster.locked.borrow(),
        }))
    }

    async fn init(&self, request: Request<InitRequest>) -> Result<Response<InitReply>, Status> {
        let request = request.into_inner();
        self.change(|cluster| async move { cluster.init(request).await }).await
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let request = request.into_inner();
        self.change(|cluster| async move { cluster.join(request).await }).await
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockReply>, Status> {
        let key = request.into_inner().key;
        self.change(|cluster| async move { cluster.unlock(&key).await.map(|()| UnlockReply {}) }).await
    }

    async fn restore(
        &self,
        request: Request<tonic::Streaming<RestoreRequest>>,
    ) -> Result<Response<RestoreReply>, Status> {
        let (header, backup) = super::recover::receive(request.into_inner()).await?;
        self.change(|cluster| async move { cluster.restore(header, backup).await }).await
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveReply>, Status> {
        let request = request.into_inner();
        self.change(|cluster| async move { cluster.leave(request).await.map(|()| LeaveReply {}) }).await
    }
}
