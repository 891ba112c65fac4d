//! The cluster and its nodes.

use std::time::Duration;

use api::control::{
    GetClusterReply, JoinTokenReply, JoinTokenRequest, RemoveNodeReply, RemoveNodeRequest, RotateAuthorityReply,
    UpdateClusterReply, UpdateClusterRequest, UpdateNodeReply, UpdateNodeRequest,
};
use model::{Cluster, ClusterIdentity, ClusterSpec, JoinToken, NextAuthority, NodeRole, NodeSpec, SecretData};
use tonic::Status;

use super::{ControlApi, parse, to_status};
use crate::ca;
use crate::error::Error;
use crate::state::Command;

/// Shortest deadline of a node: what is shorter is missed by busy machines.
const HEARTBEAT_MIN: Duration = Duration::from_millis(500);

/// The cluster and its nodes, without what is secret.
pub fn cluster(api: &ControlApi) -> GetClusterReply {
    let state = api.store.snapshot();
    let hidden = || SecretData::new(Vec::new());
    let public = |identity: ClusterIdentity| ClusterIdentity {
        ca: identity.ca,
        ca_key: hidden(),
        worker_secret: hidden(),
        manager_secret: hidden(),
        unlock_key: hidden(),
        next: identity.next.map(|next| NextAuthority { ca_key: hidden(), ..next }),
    };
    let cluster = state.cluster.clone();
    let cluster = cluster.map(|cluster| Cluster { identity: cluster.identity.clone().map(public), ..cluster });
    let leader = api.store.leads().then(|| api.store.node().to_string());
    GetClusterReply {
        cluster: cluster.map(Into::into),
        nodes: state.nodes.values().cloned().map(Into::into).collect(),
        version: state.version,
        leader: leader.unwrap_or_default(),
        unreachable: api.store.unreachable().into_iter().map(|node| node.to_string()).collect(),
    }
}

fn role(number: i32) -> Result<NodeRole, Status> {
    let role = api::types::NodeRole::try_from(number);
    role.map(NodeRole::from).map_err(|_| Status::invalid_argument(format!("there is no role {number}")))
}

pub async fn join_token(api: &ControlApi, request: JoinTokenRequest) -> Result<JoinTokenReply, Status> {
    let role = role(request.role)?;
    if request.rotate {
        let secret = ca::new_secret().map_err(|error| to_status(&error))?;
        api.change(Command::RotateToken { role, secret }).await?;
    }
    let cluster = api.store.snapshot().cluster;
    let identity = cluster.and_then(|cluster| cluster.identity.clone());
    let identity = identity.ok_or_else(|| to_status(&Error::Refused(crate::state::Refusal::NotOpen)))?;
    Ok(JoinTokenReply { token: token(&identity, role).map_err(|error| to_status(&error))?.to_string() })
}

/// The join token of a role.
///
/// # Errors
/// [`Error::Authority`] for a CA that is none.
pub fn token(identity: &ClusterIdentity, role: NodeRole) -> Result<JoinToken, Error> {
    let digest = api::identity::digest_of_pem(&identity.ca);
    let digest = digest.map_err(|error| Error::Authority { reason: error.to_string() })?;
    Ok(JoinToken { digest, secret: identity.secret(role).clone() })
}

/// Refuses what cannot be wanted of a cluster.
///
/// # Errors
/// What is wrong with it.
pub fn check(spec: &ClusterSpec) -> Result<(), Status> {
    if spec.heartbeat < HEARTBEAT_MIN {
        return Err(Status::invalid_argument("the dispatcher's heartbeat cannot be shorter than 500 ms"));
    }
    if spec.certificate_expiry < ca::EXPIRY_MIN {
        return Err(Status::invalid_argument("certificates cannot expire earlier than after one hour"));
    }
    Ok(())
}

pub async fn update_cluster(api: &ControlApi, request: UpdateClusterRequest) -> Result<UpdateClusterReply, Status> {
    let spec = request.spec.ok_or_else(|| Status::invalid_argument("the request has no settings"))?;
    let spec = ClusterSpec::try_from(spec)?;
    check(&spec)?;
    api.change(Command::UpdateCluster { spec }).await?;
    Ok(UpdateClusterReply {})
}

/// Begins a rotation of the CA, or lets the present one go on.
pub async fn rotate_authority(api: &ControlApi) -> Result<RotateAuthorityReply, Status> {
    let cluster = api.store.snapshot().cluster;
    let cluster = cluster.and_then(|cluster| Some((cluster.id, cluster.identity.clone()?)));
    let (id, identity) = cluster.ok_or_else(|| to_status(&Error::Refused(crate::state::Refusal::NotOpen)))?;
    if identity.next.is_none() {
        let next = ca::next_authority(&identity, id, crate::store::now()).map_err(|error| to_status(&error))?;
        api.change(Command::RotateAuthority(next)).await?;
    }
    Ok(RotateAuthorityReply {})
}

pub async fn update_node(api: &ControlApi, request: UpdateNodeRequest) -> Result<UpdateNodeReply, Status> {
    let UpdateNodeRequest { node, spec, seen } = request;
    let spec = spec.ok_or_else(|| Status::invalid_argument("the request says nothing of the node"))?;
    let spec = NodeSpec::try_from(spec)?;
    api.change(Command::UpdateNode { node: parse(&node)?, spec, seen }).await?;
    Ok(UpdateNodeReply {})
}

pub async fn remove_node(api: &ControlApi, request: RemoveNodeRequest) -> Result<RemoveNodeReply, Status> {
    let RemoveNodeRequest { node, force } = request;
    api.change(Command::RemoveNode { node: parse(&node)?, force }).await?;
    Ok(RemoveNodeReply {})
}
