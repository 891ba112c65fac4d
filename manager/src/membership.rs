//! The membership API: what nodes ask of the managers to become, stay and cease to be nodes of the cluster.

use std::sync::Arc;
use std::time::Duration;

use api::swarm::membership_server::Membership;
use api::swarm::{DepartReply, DepartRequest, EnlistReply, EnlistRequest, IssueReply, IssueRequest};
use model::{Availability, Cluster, ClusterIdentity, ManagerMember, Node, NodeId, NodeRole, NodeSpec};
use ring::digest::{SHA256, digest};
use tonic::{Request, Response, Status};

use crate::access::Caller;
use crate::ca;
use crate::control::to_status;
use crate::state::{Command, State};
use crate::store::{Store, now};

/// How long the others may take to do without a manager.
const RESIGN: Duration = Duration::from_secs(10);

/// The service of this API.
pub struct MembershipApi {
    store: Arc<Store>,
}

/// Where the managers of a cluster listen.
pub fn addresses(state: &State) -> Vec<String> {
    let managers = state.nodes.values().filter(|node| node.spec.role == NodeRole::Manager);
    managers.filter_map(|node| node.manager.as_ref()).map(|manager| manager.address.clone()).collect()
}

fn caller<T>(request: &Request<T>) -> Caller {
    request.extensions().get().copied().unwrap_or(Caller::Stranger)
}

impl MembershipApi {
    /// Serves this store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    async fn change(&self, command: Command) -> Result<State, Status> {
        self.store.propose(vec![command]).await.map(|applied| applied.after).map_err(|error| to_status(&error))
    }

    fn open(&self) -> Result<(Cluster, ClusterIdentity), Status> {
        let cluster = self.store.snapshot().cluster.and_then(|cluster| {
            let identity = cluster.identity.clone()?;
            Some((cluster, identity))
        });
        cluster.ok_or_else(|| {
            Status::failed_precondition("this node is not part of a cluster: run `orca swarm init` there")
        })
    }

    /// A manager that leaves takes no vote with it: it waits until the others do without.
    async fn resign(&self, node: NodeId) -> Result<(), Status> {
        let Some(known) = self.store.snapshot().nodes.get(&node).cloned() else { return Ok(()) };
        if known.spec.role == NodeRole::Manager {
            let spec = NodeSpec { role: NodeRole::Worker, ..known.spec };
            self.change(Command::UpdateNode { node, spec, seen: known.meta.version }).await?;
        }
        let mut changes = self.store.watch();
        let is_out = |state: &State| state.nodes.get(&node).is_none_or(|node| node.manager.is_none());
        let out = async { while !is_out(&self.store.snapshot()) && changes.changed().await.is_ok() {} };
        let late = |_| Status::unavailable("the other managers cannot do without this one yet");
        tokio::time::timeout(RESIGN, out).await.map_err(late)
    }

    /// Lets in who has the secret of a role, and lets nodes that are in renew.
    async fn admit(&self, caller: Caller, request: &IssueRequest, key: Vec<u8>) -> Result<Node, Status> {
        let (_, identity) = self.open()?;
        let node: NodeId =
            request.node.parse().map_err(|error: model::ParseIdError| Status::invalid_argument(error.to_string()))?;
        let role = match caller {
            Caller::Node { node: own, .. } if own == node => {
                let known = self.store.snapshot().nodes.get(&node).cloned();
                let known = known.ok_or_else(|| Status::permission_denied("the node was removed from the cluster"))?;
                if known.key != key {
                    return Err(Status::permission_denied("a node keeps its key when it renews its certificate"));
                }
                return Ok(known);
            }
            Caller::Node { .. } => return Err(Status::permission_denied("a node gets certificates for itself only")),
            Caller::Local | Caller::Stranger => role_of(&identity, &request.secret)?,
        };
        let availability = api::types::Availability::try_from(request.availability).map(Availability::from);
        let availability = availability.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let address = request.address.clone();
        let state = self.change(Command::AdmitNode { node, key, role, address, availability }).await?;
        tracing::info!(%node, %role, "a node has joined the cluster");
        state.nodes.get(&node).cloned().ok_or_else(|| Status::aborted("the node was removed meanwhile"))
    }
}

fn role_of(identity: &ClusterIdentity, secret: &[u8]) -> Result<NodeRole, Status> {
    // Of digests, so that the time it takes says nothing of the secret.
    let hash = |secret: &[u8]| digest(&SHA256, secret).as_ref().to_vec();
    let is = |role| hash(identity.secret(role).reveal()) == hash(secret);
    match (is(NodeRole::Manager), is(NodeRole::Worker)) {
        (true, _) => Ok(NodeRole::Manager),
        (_, true) => Ok(NodeRole::Worker),
        _ => Err(Status::permission_denied(
            "the join token is not valid (any more): was it rotated? `orca swarm join-token worker` on a manager prints the present one",
        )),
    }
}

#[tonic::async_trait]
impl Membership for MembershipApi {
    async fn issue(&self, request: Request<IssueRequest>) -> Result<Response<IssueReply>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let key = ca::key_of(&request.public_key).map_err(|error| to_status(&error))?;
        let Node { id: node, spec, .. } = self.admit(caller, &request, key).await?;
        let (cluster, identity) = self.open()?;
        let (role, issued_at) = (spec.role, now());
        let (cluster, validity) = (cluster.id, cluster.spec.certificate_expiry);
        let wanted = ca::Request { node, role, cluster, public_key: &request.public_key, validity };
        let issued = ca::issue(&identity, wanted, issued_at).map_err(|error| to_status(&error))?;
        Ok(Response::new(IssueReply {
            cluster: cluster.to_string(),
            certificate: issued.chain,
            ca: identity.trusted(),
            authority: ca::authority(&identity).map_err(|error| to_status(&error))?,
            role: api::types::NodeRole::from(role).into(),
            issued_at: issued_at.0,
            expires_at: issued.expires_at.0,
            managers: addresses(&self.store.snapshot()),
        }))
    }

    async fn enlist(&self, request: Request<EnlistRequest>) -> Result<Response<EnlistReply>, Status> {
        let Caller::Node { node, role: NodeRole::Manager } = caller(&request) else {
            return Err(Status::permission_denied("only a manager enlists, for itself"));
        };
        let EnlistRequest { raft, address } = request.into_inner();
        if address.parse::<std::net::SocketAddr>().is_err() {
            return Err(Status::invalid_argument(format!("{address:?} is no address and port to listen on")));
        }
        self.change(Command::SetManager { node, manager: Some(ManagerMember { raft, address }) }).await?;
        Ok(Response::new(EnlistReply {}))
    }

    async fn depart(&self, request: Request<DepartRequest>) -> Result<Response<DepartReply>, Status> {
        let Caller::Node { node, .. } = caller(&request) else {
            return Err(Status::permission_denied("only a node leaves, for itself"));
        };
        self.resign(node).await?;
        self.change(Command::NodeLeft { node }).await?;
        tracing::info!(%node, "a node has left the cluster");
        Ok(Response::new(DepartReply {}))
    }
}
