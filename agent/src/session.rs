//! The stream to the managers: assignments come down, statuses and heartbeats go up.
//!
//! It is made again whenever it breaks; containers do not notice. After each reconnection every status is sent anew, which
//! does no harm: a manager passes over what it knows by its revision.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::dispatcher::agent_message::Message as ToManager;
use api::dispatcher::dispatcher_client::DispatcherClient;
use api::dispatcher::manager_message::Message as FromManager;
use api::dispatcher::{
    Acknowledge, AgentMessage, Call, ClusterView, Heartbeat, Hello, ManagerMessage, Statuses, TaskReport, Welcome,
};
use api::remote::ClientConfig;
use api::tls::Identity;
use model::{Assignments, AssignmentsDiff, MeshEnd, NodeDescription, NodeId, NodeRole, TaskId};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::carrier::Carrier;
use crate::containers::Containers;
use crate::{Error, Result};

/// Version of the messages.
const PROTOCOL: u32 = 1;
/// Messages to the manager that may wait for the network.
const QUEUE: usize = 16;
/// Wait before the first attempt to reconnect; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Statuses that come within this time ride in one message.
const COALESCE: Duration = Duration::from_millis(2);
/// How long a manager may take to welcome.
const WELCOME: Duration = Duration::from_secs(10);

/// How long a connection to a manager on another machine may take.
const CONNECT: Duration = Duration::from_secs(3);

/// Where managers are.
#[derive(Debug, Clone)]
pub struct Managers {
    /// The socket of this machine's, if it has one. It is tried first.
    pub socket: Option<PathBuf>,
    /// Where others listen.
    pub addresses: Vec<SocketAddr>,
    /// How to speak to those.
    pub tls: Option<Arc<ClientConfig>>,
    /// Where other nodes' packets reach this one; `None` while it is alone.
    pub reached: Option<IpAddr>,
    /// Who this node is to other nodes; `None` while it is alone.
    pub identity: Option<Arc<Identity>>,
    /// Where other nodes ask this one for images.
    pub images: Option<SocketAddr>,
    /// SHA-256 of the certificate of the CA that this node's own is of; empty while it is alone.
    pub authority: Vec<u8>,
}

impl Managers {
    /// The one on this machine, and no other.
    pub fn local(socket: PathBuf) -> Self {
        Self {
            socket: Some(socket),
            addresses: Vec::new(),
            tls: None,
            reached: None,
            identity: None,
            images: None,
            authority: Vec::new(),
        }
    }

    fn count(&self) -> usize {
        usize::from(self.socket.is_some()) + if self.tls.is_some() { self.addresses.len() } else { 0 }
    }

    /// The connection to try after so many that failed.
    pub(crate) async fn connect(&self, failures: usize) -> Result<Channel> {
        let number = failures % self.count().max(1);
        if let Some(socket) = self.socket.as_ref().filter(|_| number == 0) {
            return Ok(api::client::connect_unix(socket).await?);
        }
        let address = self.addresses.get(number - usize::from(self.socket.is_some()));
        match (address, &self.tls) {
            (Some(address), Some(tls)) => Ok(api::remote::connect_manager(*address, tls.clone(), CONNECT).await?),
            _ => Err(Error::Session("no address of a manager is known".into())),
        }
    }
}

/// How it stands with the managers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionStatus {
    /// What they say of the cluster, once it is open to others.
    pub view: Option<View>,
    /// Why there is no session.
    pub error: Option<String>,
}

/// What managers say of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Where they listen.
    pub managers: Vec<String>,
    /// What this node is to be.
    pub role: NodeRole,
    /// Whom to trust, PEM; empty if they do not say.
    pub ca: String,
}

/// What a session works with.
pub struct Session {
    /// This node.
    pub node: NodeId,
    /// What it says of itself.
    pub description: NodeDescription,
    /// Where managers are.
    pub managers: watch::Receiver<Managers>,
    /// How it stands with them.
    pub status: watch::Sender<SessionStatus>,
    /// Whose statuses are reported.
    pub containers: Containers,
    /// Where assignments go; `None` until the first full set has come.
    pub assigned: watch::Sender<Option<Arc<Assignments>>>,
    /// What answers the managers' calls.
    pub carrier: Carrier,
    /// This node's end of the mesh, which belongs to what it says of itself.
    pub mesh: watch::Receiver<Option<MeshEnd>>,
}

impl Session {
    /// Runs until the agent ends.
    pub async fn run(self) {
        let mut backoff = BACKOFF_MIN;
        let mut failures = 0;
        let mut changes = self.managers.clone();
        loop {
            let managers = changes.borrow_and_update().clone();
            let ended = tokio::select! {
                ended = self.connect_and_serve(&managers, failures, &mut backoff) => ended,
                () = other_managers(&mut changes, &managers) => {
                    (backoff, failures) = (BACKOFF_MIN, 0);
                    continue;
                }
            };
            let reason = match ended {
                Ok(()) => "the manager ended the session".to_owned(),
                Err(error) => error.to_string(),
            };
            tracing::debug!(reason, "no session with a manager; trying again");
            self.status.send_modify(|status| status.error = Some(reason));
            failures += 1;
            // All of them are tried before it waits for longer.
            if failures.is_multiple_of(managers.count().max(1)) {
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            tokio::time::sleep(backoff).await;
        }
    }

    async fn connect_and_serve(&self, managers: &Managers, failures: usize, backoff: &mut Duration) -> Result<()> {
        let channel = managers.connect(failures).await?;
        let mut client = DispatcherClient::new(channel)
            .max_decoding_message_size(api::client::MESSAGE_MAX)
            .max_encoding_message_size(api::client::MESSAGE_MAX);
        let (outgoing, messages) = mpsc::channel(QUEUE);
        let mut mesh = self.mesh.clone();
        let told = self.described(*mesh.borrow_and_update());
        let description = Some(told.clone().into());
        let hello = Hello { protocol: PROTOCOL, node: self.node.to_string(), description, carries: true };
        send(&outgoing, ToManager::Hello(hello)).await?;
        let incoming = client.session(ReceiverStream::new(messages)).await.map_err(broken)?;
        let mut incoming = incoming.into_inner();
        let period = welcome(&mut incoming).await?;
        *backoff = BACKOFF_MIN;
        self.status.send_modify(|status| status.error = None);
        tracing::info!(node = %self.node, "session with the manager opened");
        let call = |call: Call| self.carrier.open(managers.clone(), failures, call);
        tokio::select! {
            done = self.receive(&mut incoming, &outgoing, &call) => done,
            done = self.report(&outgoing) => done,
            done = self.describe(&outgoing, &mut mesh, told) => done,
            done = beat(&outgoing, period) => done,
        }
    }

    fn described(&self, mesh: Option<MeshEnd>) -> NodeDescription {
        let (images, authority) = {
            let managers = self.managers.borrow();
            (managers.images, managers.authority.clone())
        };
        let mesh = mesh.map(|end| MeshEnd { images, ..end });
        NodeDescription { mesh, authority, ..self.description.clone() }
    }

    /// Says what has changed of the node itself.
    async fn describe(
        &self,
        outgoing: &mpsc::Sender<AgentMessage>,
        mesh: &mut watch::Receiver<Option<MeshEnd>>,
        mut told: NodeDescription,
    ) -> Result<()> {
        let mut managers = self.managers.clone();
        loop {
            let changed = tokio::select! {
                changed = mesh.changed() => changed,
                changed = managers.changed() => changed,
            };
            changed.map_err(|_| Error::Session("the agent is shutting down".into()))?;
            managers.mark_unchanged();
            let description = self.described(*mesh.borrow_and_update());
            if std::mem::replace(&mut told, description.clone()) != description {
                send(outgoing, ToManager::Description(description.into())).await?;
            }
        }
    }

    async fn receive(
        &self,
        incoming: &mut tonic::Streaming<ManagerMessage>,
        outgoing: &mpsc::Sender<AgentMessage>,
        call: &impl Fn(Call),
    ) -> Result<()> {
        // Differences are against what this session has sent; before its full set nothing can be applied.
        let mut known: Option<Assignments> = None;
        while let Some(ManagerMessage { message }) = incoming.message().await.map_err(broken)? {
            let message = match message {
                Some(FromManager::Assignments(message)) => message,
                Some(FromManager::Call(called)) => {
                    call(called);
                    continue;
                }
                _ => return Err(Error::Session("the manager sent a message that this agent does not know".into())),
            };
            if let Some(view) = message.cluster.map(view).transpose()? {
                self.status.send_modify(|status| status.view = Some(view));
            }
            let diff = message.diff.unwrap_or_default();
            let diff = AssignmentsDiff::try_from(diff)?;
            let mut next = match (message.full, known.take()) {
                (true, _) => Assignments::default(),
                (false, Some(known)) => known,
                (false, None) => return Err(Error::Session("the manager sent a difference before everything".into())),
            };
            next.apply(diff);
            known = Some(next.clone());
            self.assigned.send_replace(Some(Arc::new(next)));
            send(outgoing, ToManager::Acknowledge(Acknowledge { sequence: message.sequence })).await?;
        }
        Ok(())
    }

    /// Sends every status once, then those that change.
    async fn report(&self, outgoing: &mpsc::Sender<AgentMessage>) -> Result<()> {
        let mut changes = self.containers.changes();
        let mut sent: BTreeMap<TaskId, u64> = BTreeMap::new();
        loop {
            changes.borrow_and_update();
            let current = self.containers.reports();
            sent.retain(|task, _| current.contains_key(task));
            let mut reports = Vec::new();
            for (task, status) in current {
                if sent.get(&task).is_none_or(|revision| *revision < status.revision) {
                    sent.insert(task, status.revision);
                    reports.push(TaskReport { task: task.to_string(), status: Some(status.into()) });
                }
            }
            if !reports.is_empty() {
                send(outgoing, ToManager::Statuses(Statuses { reports })).await?;
            }
            changes.changed().await.map_err(|_| Error::Session("the agent is shutting down".into()))?;
            tokio::time::sleep(COALESCE).await;
        }
    }
}

/// Resolves when managers are elsewhere. A longer list of them is for the next session.
async fn other_managers(changes: &mut watch::Receiver<Managers>, before: &Managers) {
    let differs = |now: &Managers| now.socket != before.socket;
    if changes.wait_for(differs).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn view(ClusterView { managers, role, ca }: ClusterView) -> Result<View> {
    let role = api::types::NodeRole::try_from(role).map_err(|_| Error::Session(format!("there is no role {role}")))?;
    Ok(View { managers, role: role.into(), ca })
}

async fn welcome(incoming: &mut tonic::Streaming<ManagerMessage>) -> Result<Duration> {
    let message = tokio::time::timeout(WELCOME, incoming.message()).await;
    let message = message.map_err(|_| Error::Session("the manager did not answer within 10 s".into()))?;
    match message.map_err(broken)? {
        Some(ManagerMessage {
            message: Some(FromManager::Welcome(Welcome { protocol: PROTOCOL, heartbeat_period, .. })),
        }) => Ok(Duration::from_nanos(heartbeat_period).max(Duration::from_millis(10))),
        Some(ManagerMessage { message: Some(FromManager::Welcome(Welcome { protocol, .. })) }) => Err(Error::Session(
            format!("the manager speaks protocol {protocol} and this agent {PROTOCOL}: upgrade the older of the two"),
        )),
        _ => Err(Error::Session("the manager did not begin with a welcome".into())),
    }
}

async fn beat(outgoing: &mpsc::Sender<AgentMessage>, period: Duration) -> Result<()> {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        send(outgoing, ToManager::Heartbeat(Heartbeat {})).await?;
    }
}

async fn send(outgoing: &mpsc::Sender<AgentMessage>, message: ToManager) -> Result<()> {
    let sent = outgoing.send(AgentMessage { message: Some(message) }).await;
    sent.map_err(|_| Error::Session("the stream has ended".into()))
}

fn broken(status: tonic::Status) -> Error {
    Error::Session(status.message().to_owned())
}
