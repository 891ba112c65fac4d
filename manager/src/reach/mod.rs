//! Nodes, reached from the manager that leads: each opens a connection when its session calls for one, since none can be connected to.

mod body;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::carried::{self, PIECES, TICKET, WINDOW};
use api::dispatcher::manager_message::Message as ToAgent;
use api::dispatcher::{Call, ManagerMessage, Piece};
use http::{HeaderName, HeaderValue, Request, Response};
use model::{NodeId, NodeState};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::DuplexStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tower_service::Service;

use crate::store::Store;

/// The header that names the node.
pub const NODE: HeaderName = HeaderName::from_static(carried::NODE);

/// Calls to nodes at once; each has some MiB at most.
const AT_ONCE: usize = 256;
/// Of these, to one node.
const TO_ONE: usize = 64;
/// How long a node may take to open a connection.
const PATIENCE: Duration = Duration::from_secs(5);

type Ticket = [u8; TICKET];
type Session = mpsc::Sender<Result<ManagerMessage, Status>>;

/// What an agent reads of a connection that it has opened.
pub type Pieces = ReceiverStream<Result<Piece, Status>>;

/// The nodes that have a session with this manager.
pub struct Reach {
    store: Arc<Store>,
    number: AtomicU64,
    /// `None`: the node's release knows no calls.
    sessions: watch::Sender<BTreeMap<NodeId, (u64, Option<Session>)>>,
    waiting: Mutex<BTreeMap<Ticket, Waiting>>,
    turns: Arc<Semaphore>,
    turns_of: Mutex<BTreeMap<NodeId, Arc<Semaphore>>>,
}

/// Who waits for a node's connection.
struct Waiting {
    node: NodeId,
    answer: oneshot::Sender<DuplexStream>,
}

/// A node can be called as long as this lives.
pub struct Presence {
    reach: Arc<Reach>,
    node: NodeId,
    number: u64,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.reach.sessions.send_if_modified(|sessions| {
            let own = sessions.get(&self.node).is_some_and(|(number, _)| *number == self.number);
            own && sessions.remove(&self.node).is_some()
        });
    }
}

/// A ticket that is good as long as somebody waits.
struct Waits<'a> {
    reach: &'a Reach,
    ticket: Ticket,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.reach.waiting().remove(&self.ticket);
    }
}

impl Reach {
    /// Nobody can be called yet.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            number: AtomicU64::default(),
            sessions: watch::Sender::new(BTreeMap::new()),
            waiting: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            turns_of: Mutex::default(),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<Ticket, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node's session has begun; it takes the place of an older one.
    pub fn present(self: &Arc<Self>, node: NodeId, session: Option<Session>) -> Presence {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        self.sessions.send_modify(|sessions| drop(sessions.insert(node, (number, session))));
        Presence { reach: self.clone(), node, number }
    }

    /// Has a node answer a request.
    ///
    /// # Errors
    /// Why it cannot; at once, if the node is known to be down.
    pub async fn call(&self, node: NodeId, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let name = self.name_of(node)?;
        request.headers_mut().remove(NODE);
        let turn = self.turn(node, &name)?;
        let broken = |reason: String| Status::aborted(format!("the connection to node {name} broke off: {reason}"));
        let mut channel = self.open(node, &name).await?;
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.map_err(|error| broken(error.to_string()))?;
        let answer = channel.call(request).await.map_err(|error| broken(error.to_string()))?;
        let told = HeaderValue::from_str(&name).ok();
        let mut answer = answer.map(|inner| body::guarded(inner, format!("node {name}"), Some((channel, turn))));
        if let Some(told) = told {
            answer.headers_mut().insert(NODE, told);
        }
        Ok(answer)
    }

    fn name_of(&self, node: NodeId) -> Result<String, Status> {
        let state = self.store.snapshot();
        let known = state.nodes.get(&node);
        let known = known.ok_or_else(|| Status::failed_precondition(format!("there is no node {node} any more")))?;
        let name = match known.description.hostname.as_str() {
            "" => node.to_string(),
            name => name.to_owned(),
        };
        match known.state {
            NodeState::Down => Err(down(&name)),
            _ => Ok(name),
        }
    }

    fn turn(&self, node: NodeId, name: &str) -> Result<[OwnedSemaphorePermit; 2], Status> {
        let full = |_| {
            Status::resource_exhausted(format!(
                "too much goes on with node {name} or with all nodes ({TO_ONE} and {AT_ONCE} calls at once): try again later"
            ))
        };
        let own = {
            let mut turns = self.turns_of.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turns| Arc::strong_count(turns) > 1 || turns.available_permits() < TO_ONE);
            turns.entry(node).or_insert_with(|| Arc::new(Semaphore::new(TO_ONE))).clone()
        };
        let own = own.try_acquire_owned().map_err(full)?;
        Ok([own, self.turns.clone().try_acquire_owned().map_err(full)?])
    }

    async fn open(&self, node: NodeId, name: &str) -> Result<Channel, Status> {
        let mut ticket = Ticket::default();
        SystemRandom::new().fill(&mut ticket).map_err(|_| Status::internal("the system has no random numbers"))?;
        let (answer, answered) = oneshot::channel();
        self.waiting().insert(ticket, Waiting { node, answer });
        let _waits = Waits { reach: self, ticket };
        let silent = || Status::failed_precondition(format!("node {name} does not answer"));
        let opened = async {
            let session = self.session(node, name).await?;
            let call = ManagerMessage { message: Some(ToAgent::Call(Call { ticket: ticket.to_vec() })) };
            session.send(Ok(call)).await.map_err(|_| silent())?;
            drop(session);
            let stream = answered.await.map_err(|_| silent())?;
            api::client::connect_over(stream, WINDOW).await.map_err(|error| Status::aborted(error.to_string()))
        };
        tokio::select! {
            opened = opened => opened,
            () = self.gone(node) => Err(down(name)),
            () = tokio::time::sleep(PATIENCE) => Err(silent()),
        }
    }

    /// The session of a node; that of one that is between two is waited for.
    async fn session(&self, node: NodeId, name: &str) -> Result<Session, Status> {
        let mut sessions = self.sessions.subscribe();
        let found = sessions.wait_for(|sessions| sessions.contains_key(&node)).await;
        let session = found.ok().and_then(|sessions| sessions.get(&node).and_then(|(_, session)| session.clone()));
        let old = "is of an older release, which is not reached through managers: upgrade it";
        session.ok_or_else(|| Status::failed_precondition(format!("node {name} {old}")))
    }

    /// Resolves when a node is down, or no longer one.
    fn gone(&self, node: NodeId) -> impl Future<Output = ()> + Send + 'static {
        let store = self.store.clone();
        async move {
            let mut changes = store.watch();
            loop {
                let state = store.snapshot();
                let is_there = state.nodes.get(&node).is_some_and(|node| node.state != NodeState::Down);
                if !is_there || changes.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// A node has opened the connection that it was called for.
    ///
    /// # Errors
    /// Nobody waits for it any more, or another node was called.
    pub fn admit(&self, from: Option<NodeId>, ticket: &[u8], incoming: Streaming<Piece>) -> Result<Pieces, Status> {
        let waiting = Ticket::try_from(ticket).ok().and_then(|ticket| self.waiting().remove(&ticket));
        let Waiting { node, answer } =
            waiting.ok_or_else(|| Status::not_found("nobody waits for this connection (any more)"))?;
        if from.is_some_and(|from| from != node) {
            return Err(Status::permission_denied("the ticket is another node's"));
        }
        let (outgoing, pieces) = mpsc::channel(PIECES);
        let (stream, moved) = carried::carry(incoming, outgoing, Ok);
        let gone = self.gone(node);
        tokio::spawn(async move {
            tokio::select! {
                () = moved => {}
                () = gone => {}
            }
        });
        // Who has waited may have gone this moment; the connection then ends with the stream.
        let _ = answer.send(stream);
        Ok(ReceiverStream::new(pieces))
    }
}

fn down(name: &str) -> Status {
    Status::failed_precondition(format!("node {name} is down: what runs there cannot be reached until it is back"))
}

/// An answer that comes from another manager, and says so when it breaks off.
pub fn from_manager(answer: Response<Body>, leader: &str, channel: Channel) -> Response<Body> {
    answer.map(|inner| body::guarded(inner, format!("the manager that leads ({leader})"), Some(channel)))
}
