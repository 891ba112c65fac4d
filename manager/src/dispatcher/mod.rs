//! The dispatcher: one session per agent. Assignments go down as differences, statuses come up in batches, heartbeats keep the
//! node alive; a lost stream is not a dead node, a missed deadline is.
//!
//! - `session`: the life of one stream · `sessions`: one live session per node · `reports`: statuses of all agents into one entry

mod reports;
mod session;
mod sessions;

use std::sync::Arc;

use api::dispatcher::dispatcher_server::Dispatcher;
use api::dispatcher::{AgentMessage, Piece};
use tonic::{Request, Response, Status, Streaming};

use crate::access::Caller;
use crate::leader::NodeWatch;
use crate::reach::{Pieces, Reach};
use crate::store::Store;
use reports::Reports;
use session::ManagerStream;
use sessions::Sessions;

/// Version of the protocol between agents and managers.
pub const PROTOCOL: u32 = 1;

/// The service of this API.
pub struct DispatcherApi {
    shared: Arc<Shared>,
}

/// What all sessions share.
struct Shared {
    store: Arc<Store>,
    nodes: Arc<NodeWatch>,
    sessions: Sessions,
    reports: Reports,
    reach: Arc<Reach>,
}

impl DispatcherApi {
    /// Serves this store, telling `nodes` who is heard of and `reach` who can be called.
    pub(crate) fn new(store: Arc<Store>, nodes: Arc<NodeWatch>, reach: Arc<Reach>) -> Self {
        let reports = Reports::start(store.clone());
        Self { shared: Arc::new(Shared { store, nodes, sessions: Sessions::default(), reports, reach }) }
    }
}

#[tonic::async_trait]
impl Dispatcher for DispatcherApi {
    type SessionStream = ManagerStream;
    type CarryStream = Pieces;

    async fn session(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<ManagerStream>, Status> {
        let caller = request.extensions().get().copied().unwrap_or(Caller::Local);
        session::open(self.shared.clone(), caller, request.into_inner()).await.map(Response::new)
    }

    async fn carry(&self, request: Request<Streaming<Piece>>) -> Result<Response<Pieces>, Status> {
        let from = match request.extensions().get() {
            Some(Caller::Node { node, .. }) => Some(*node),
            _ => None,
        };
        let mut incoming = request.into_inner();
        let ticket = tokio::time::timeout(session::HELLO, incoming.message()).await;
        let ticket = ticket.map_err(|_| Status::deadline_exceeded("the agent has shown no ticket within 10 s"))??;
        let ticket = ticket.ok_or_else(|| Status::invalid_argument("a carried connection begins with a ticket"))?;
        self.shared.reach.admit(from, &ticket.data, incoming).map(Response::new)
    }
}
