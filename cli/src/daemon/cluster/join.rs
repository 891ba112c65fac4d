//! Certificates of this node: the first one by a join token, and the next ones by the one before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::identity::NodeKey;
use api::remote::ClientConfig;
use api::swarm::membership_client::MembershipClient;
use api::swarm::{EnlistRequest, IssueReply, IssueRequest};
use model::{Availability, JoinToken, NodeId, NodeRole, Timestamp};
use tonic::Status;
use tonic::transport::Channel;

use super::file::Document;
use super::{Cluster, Running};

/// How long a manager may take to answer a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one call may take: as long as an election, and some.
const CALL: Duration = Duration::from_secs(15);

/// Calls a manager at the first of these addresses that answers.
async fn with_manager<R, F: Future<Output = Result<tonic::Response<R>, Status>>>(
    addresses: &[SocketAddr],
    tls: &Arc<ClientConfig>,
    call: impl Fn(MembershipClient<Channel>) -> F,
) -> Result<R, Status> {
    let mut last = Status::unavailable("no address of a manager is known");
    for address in addresses {
        let channel = match api::remote::connect_manager(*address, tls.clone(), CONNECT).await {
            Ok(channel) => channel,
            Err(error) => {
                last = Status::unavailable(error.to_string());
                continue;
            }
        };
        match tokio::time::timeout(CALL, call(MembershipClient::new(channel))).await {
            Ok(Ok(reply)) => return Ok(reply.into_inner()),
            Ok(Err(status)) if status.code() == tonic::Code::Unavailable => last = status,
            Ok(Err(status)) => return Err(status),
            Err(_) => last = Status::unavailable(format!("the manager at {address} did not answer within 15 s")),
        }
    }
    Err(last)
}

fn filled(mut document: Document, reply: IssueReply) -> Result<Document, Status> {
    let role = api::types::NodeRole::try_from(reply.role);
    document.role = role.map(NodeRole::from).map_err(|_| Status::internal("the managers gave an unknown role"))?;
    document.cluster = reply.cluster.parse().map_err(|_| Status::internal("the managers gave no id of a cluster"))?;
    (document.ca, document.certificate, document.authority) = (reply.ca, reply.certificate, reply.authority);
    (document.issued_at, document.expires_at) = (Timestamp(reply.issued_at), Timestamp(reply.expires_at));
    if !reply.managers.is_empty() {
        document.managers = reply.managers;
    }
    Ok(document)
}

/// Becomes a node of the cluster that the token is of: the place, to be kept.
pub async fn by_token(
    node: NodeId,
    token: &JoinToken,
    managers: &[SocketAddr],
    key: &NodeKey,
    (document, availability): (Document, Availability),
) -> Result<Document, Status> {
    let tls = api::tls::stranger(token.digest).map_err(|error| Status::internal(error.to_string()))?;
    let request = IssueRequest {
        secret: token.secret.reveal().to_vec(),
        node: node.to_string(),
        public_key: key.public.clone(),
        address: document.address.ip().to_string(),
        availability: api::types::Availability::from(availability).into(),
    };
    let call = |mut client: MembershipClient<Channel>| {
        let request = request.clone();
        async move { client.issue(request).await }
    };
    let reply = with_manager(managers, &Arc::new(tls), call).await?;
    let mut document = document;
    document.managers = managers.iter().map(ToString::to_string).collect();
    filled(document, reply)
}

impl Cluster {
    fn client(&self) -> Result<Arc<ClientConfig>, Status> {
        let tls = self.tls.borrow().clone();
        tls.ok_or_else(|| Status::failed_precondition("this node is not part of a cluster"))
    }

    /// The next certificate, with what the managers want the node to be by now.
    pub(super) async fn renew(&self, document: &Document) -> Result<Document, Status> {
        let key = self.files.key().map_err(|error| Status::internal(error.to_string()))?;
        let request = IssueRequest {
            secret: Vec::new(),
            node: self.node.to_string(),
            public_key: key.public,
            address: document.address.ip().to_string(),
            availability: 0,
        };
        let call = |mut client: MembershipClient<Channel>| {
            let request = request.clone();
            async move { client.issue(request).await }
        };
        let reply = with_manager(&document.addresses(), &self.client()?, call).await?;
        filled(document.clone(), reply)
    }

    /// Says to the managers that this node leaves.
    pub(super) async fn depart(&self, document: &Document) -> Result<(), Status> {
        let call =
            |mut client: MembershipClient<Channel>| async move { client.depart(api::swarm::DepartRequest {}).await };
        with_manager(&document.addresses(), &self.client()?, call).await.map(|_| ())
    }

    /// Whether this node's manager is one of the group; asks for it if not.
    pub(super) async fn enlist(&self, running: &Running, document: &Document) -> Result<bool, Status> {
        let Some(manager) = &running.manager else { return Ok(true) };
        let raft = manager.store().raft();
        if raft.members().iter().any(|member| member.raft == raft.id()) {
            return Ok(true);
        }
        let request = EnlistRequest { raft: raft.id(), address: document.address.to_string() };
        let call = |mut client: MembershipClient<Channel>| {
            let request = request.clone();
            async move { client.enlist(request).await }
        };
        let own = document.address;
        let others: Vec<SocketAddr> = document.addresses().into_iter().filter(|address| *address != own).collect();
        with_manager(&others, &self.client()?, call).await.map(|_| false)
    }
}
