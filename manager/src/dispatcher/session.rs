//! The life of one session: hello, welcome, everything, then differences; statuses and heartbeats the other way.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::dispatcher::agent_message::Message as FromAgent;
use api::dispatcher::manager_message::Message as ToAgent;
use api::dispatcher::{
    AgentMessage, Assignments as WireAssignments, ClusterView, Hello, ManagerMessage, TaskReport, Welcome,
};
use futures::Stream;
use model::{Assignments, NodeDescription, NodeId, NodeRole, TaskId, TaskStatus};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::sessions::Claim;
use super::{PROTOCOL, Shared};
use crate::access::Caller;
use crate::assignment::assignments;
use crate::control::to_status;
use crate::liveness;
use crate::membership::addresses;
use crate::raft::Leadership;
use crate::state::{Command, State};

/// What an agent reads.
pub type ManagerStream = Pin<Box<dyn Stream<Item = Result<ManagerMessage, Status>> + Send>>;

/// How long an agent may take to say hello.
pub(super) const HELLO: Duration = Duration::from_secs(10);
/// Messages that an agent has not read yet. While they stand, further changes become one difference.
const QUEUE: usize = 2;
/// Least time between two differences.
const COALESCE: Duration = Duration::from_millis(5);

/// Takes the hello and starts the session.
pub async fn open(
    shared: Arc<Shared>,
    caller: Caller,
    mut incoming: Streaming<AgentMessage>,
) -> Result<ManagerStream, Status> {
    let leadership = shared.store.leadership().borrow().clone();
    let Leadership::Leads { term } = leadership else {
        return Err(Status::unavailable("this manager is not the leader: try another one"));
    };
    let hello = tokio::time::timeout(HELLO, incoming.message()).await;
    let hello = hello.map_err(|_| Status::deadline_exceeded("the agent has not said hello within 10 s"))??;
    let (node, description, carries) = parse_hello(hello)?;
    if !matches!(caller, Caller::Local) && !matches!(caller, Caller::Node { node: own, .. } if own == node) {
        return Err(Status::permission_denied(format!("the certificate is not of node {node}")));
    }
    let registered = shared.store.propose(vec![Command::RegisterNode { node, description }]).await;
    registered.map_err(|error| to_status(&error))?;
    shared.nodes.heard(node);
    tracing::info!(%node, "session opened");
    let (outgoing, messages) = mpsc::channel(QUEUE);
    tokio::spawn(run(shared, (node, carries), term, incoming, outgoing));
    Ok(Box::pin(ReceiverStream::new(messages)))
}

fn parse_hello(message: Option<AgentMessage>) -> Result<(NodeId, NodeDescription, bool), Status> {
    let Some(AgentMessage { message: Some(FromAgent::Hello(hello)) }) = message else {
        return Err(Status::invalid_argument("a session begins with hello"));
    };
    let Hello { protocol, node, description, carries } = hello;
    if protocol != PROTOCOL {
        return Err(Status::failed_precondition(format!(
            "the agent speaks protocol {protocol} and this manager {PROTOCOL}: upgrade the older of the two"
        )));
    }
    let node = node.parse().map_err(|error: model::ParseIdError| Status::invalid_argument(error.to_string()))?;
    let description = description.ok_or_else(|| Status::invalid_argument("hello has no description of the node"))?;
    Ok((node, NodeDescription::try_from(description)?, carries))
}

/// Runs until either side ends, a newer session takes the node's place, or the term ends; says why if the agent can still hear it.
async fn run(
    shared: Arc<Shared>,
    (node, carries): (NodeId, bool),
    term: u64,
    incoming: Streaming<AgentMessage>,
    outgoing: mpsc::Sender<Result<ManagerMessage, Status>>,
) {
    let mut claim = shared.sessions.claim(node);
    let end = tokio::select! {
        biased;
        _ = &mut claim.superseded => Some(Status::aborted("a newer session of this node has taken over")),
        () = term_ends(&shared, term) => Some(Status::unavailable("this manager no longer leads: try another one")),
        end = receive(&shared, node, incoming) => end.err(),
        end = send(&shared, (node, carries), &outgoing) => end,
    };
    release(&shared, &claim);
    tracing::info!(%node, reason = end.as_ref().map_or("the agent has left", Status::message), "session ended");
    if let Some(status) = end {
        // Not waited for: an agent that reads nothing would keep the session's memory.
        let _ = outgoing.try_send(Err(status));
    }
}

fn release(shared: &Shared, claim: &Claim) {
    shared.sessions.release(claim);
}

async fn term_ends(shared: &Shared, term: u64) {
    // An error means that Raft is gone, which ends the term too.
    let _ = shared.store.leadership().wait_for(|now| *now != Leadership::Leads { term }).await;
}

async fn receive(shared: &Shared, node: NodeId, mut incoming: Streaming<AgentMessage>) -> Result<(), Status> {
    while let Some(AgentMessage { message }) = incoming.message().await? {
        shared.nodes.heard(node);
        match message {
            Some(FromAgent::Statuses(statuses)) => {
                let reports = statuses.reports.into_iter().map(parse_report).collect::<Result<Vec<_>, _>>()?;
                shared.reports.send(node, reports).await.map_err(|error| to_status(&error))?;
            }
            Some(FromAgent::Heartbeat(_)) => {}
            // Tells how far the agent is; HTTP/2 already holds back what it has not read.
            Some(FromAgent::Acknowledge(acknowledge)) => {
                tracing::trace!(%node, sequence = acknowledge.sequence, "assignments acknowledged");
            }
            Some(FromAgent::Description(description)) => {
                let description = NodeDescription::try_from(description)?;
                let told = shared.store.propose(vec![Command::RegisterNode { node, description }]).await;
                told.map_err(|error| to_status(&error))?;
            }
            Some(FromAgent::Hello(_)) => return Err(Status::invalid_argument("a session has only one hello")),
            None => return Err(Status::invalid_argument("the agent sent a message that this manager does not know")),
        }
    }
    Ok(())
}

fn parse_report(report: TaskReport) -> Result<(TaskId, TaskStatus), Status> {
    let TaskReport { task, status } = report;
    let task = task.parse().map_err(|error: model::ParseIdError| Status::invalid_argument(error.to_string()))?;
    let status = status.ok_or_else(|| Status::invalid_argument(format!("the report of task {task} has no status")))?;
    Ok((task, TaskStatus::try_from(status)?))
}

/// Sends everything, then what has changed since the message before; `None` when the agent no longer reads.
async fn send(
    shared: &Shared,
    (node, carries): (NodeId, bool),
    outgoing: &mpsc::Sender<Result<ManagerMessage, Status>>,
) -> Option<Status> {
    let mut changes = shared.store.watch();
    let patience = patience_in(&shared.store.snapshot());
    let welcome = Welcome {
        protocol: PROTOCOL,
        cluster: shared.store.cluster().to_string(),
        heartbeat_period: u64::try_from(liveness::period(patience).as_nanos()).unwrap_or(u64::MAX),
    };
    let message = |message| Ok(ManagerMessage { message: Some(message) });
    outgoing.send(message(ToAgent::Welcome(welcome))).await.ok()?;
    let _presence = shared.reach.present(node, carries.then(|| outgoing.clone()));
    let mut sent = Assignments::default();
    let mut viewed = None;
    let mut sequence = 0;
    loop {
        // The place in the queue first: the difference is then of the newest state.
        let place = outgoing.reserve().await.ok()?;
        changes.mark_unchanged();
        let state = shared.store.snapshot();
        if let Some(end) = ends(&state, node, patience) {
            return Some(end);
        }
        let view = view(&state, node);
        let seen = view != viewed;
        let next = assignments(&state, node);
        let diff = sent.diff(&next);
        if sequence == 0 || seen || !diff.is_empty() {
            sequence += 1;
            let full = sequence == 1;
            place.send(message(ToAgent::Assignments(WireAssignments {
                sequence,
                version: state.version,
                full,
                diff: Some(diff.into()),
                cluster: view.clone().filter(|_| seen),
            })));
            sent = next;
            viewed = view;
        }
        if changes.changed().await.is_err() {
            return Some(Status::unavailable("this manager has stopped"));
        }
        tokio::time::sleep(COALESCE).await;
    }
}

fn patience_in(state: &State) -> Duration {
    state.cluster.as_ref().map_or_else(|| model::ClusterSpec::default().heartbeat, |cluster| cluster.spec.heartbeat)
}

/// Why a session cannot go on as it began.
fn ends(state: &State, node: NodeId, patience: Duration) -> Option<Status> {
    let is_open = state.cluster.as_ref().is_some_and(|cluster| cluster.identity.is_some());
    if is_open && state.nodes.get(&node).is_none_or(|node| node.key.is_empty()) {
        return Some(Status::permission_denied("this node was removed from the cluster, or has left it"));
    }
    (patience_in(state) != patience).then(|| Status::unavailable("the time between heartbeats has changed"))
}

/// What a node has to know of its cluster; nothing while that is not open to others.
fn view(state: &State, node: NodeId) -> Option<ClusterView> {
    let identity = state.cluster.as_ref()?.identity.as_ref()?;
    // One that is demoted stays a manager until the others do without it.
    let node = state.nodes.get(&node)?;
    let role = if node.manager.is_some() { NodeRole::Manager } else { node.spec.role };
    Some(ClusterView {
        managers: addresses(state),
        role: api::types::NodeRole::from(role).into(),
        ca: identity.trusted(),
    })
}
