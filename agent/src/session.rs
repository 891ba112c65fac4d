//! The stream to the managers: assignments come down, statuses and heartbeats go up.
//!
//! It is made again whenever it breaks; containers do not notice. After each reconnection every status is sent anew, which
//! does no harm: a manager passes over what it knows by its revision.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::dispatcher::agent_message::Message as ToManager;
use api::dispatcher::dispatcher_client::DispatcherClient;
use api::dispatcher::manager_message::Message as FromManager;
use api::dispatcher::{Acknowledge, AgentMessage, Heartbeat, Hello, ManagerMessage, Statuses, TaskReport, Welcome};
use model::{Assignments, AssignmentsDiff, NodeDescription, NodeId, TaskId};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

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

/// What a session works with.
pub struct Session {
    /// This node.
    pub node: NodeId,
    /// What it says of itself.
    pub description: NodeDescription,
    /// Where the manager listens.
    pub socket: PathBuf,
    /// Whose statuses are reported.
    pub containers: Containers,
    /// Where assignments go; `None` until the first full set has come.
    pub assigned: watch::Sender<Option<Arc<Assignments>>>,
}

impl Session {
    /// Runs until the agent ends.
    pub async fn run(self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            match self.connect_and_serve(&mut backoff).await {
                Ok(()) => tracing::info!("the manager ended the session"),
                Err(error) => tracing::debug!(%error, "no session with a manager; trying again"),
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn connect_and_serve(&self, backoff: &mut Duration) -> Result<()> {
        let channel = api::client::connect_unix(&self.socket).await?;
        let mut client = DispatcherClient::new(channel)
            .max_decoding_message_size(api::client::MESSAGE_MAX)
            .max_encoding_message_size(api::client::MESSAGE_MAX);
        let (outgoing, messages) = mpsc::channel(QUEUE);
        let hello = Hello {
            protocol: PROTOCOL,
            node: self.node.to_string(),
            description: Some(self.description.clone().into()),
        };
        send(&outgoing, ToManager::Hello(hello)).await?;
        let incoming = client.session(ReceiverStream::new(messages)).await.map_err(broken)?;
        let mut incoming = incoming.into_inner();
        let period = welcome(&mut incoming).await?;
        *backoff = BACKOFF_MIN;
        tracing::info!(node = %self.node, "session with the manager opened");
        tokio::select! {
            done = self.receive(&mut incoming, &outgoing) => done,
            done = self.report(&outgoing) => done,
            done = beat(&outgoing, period) => done,
        }
    }

    async fn receive(
        &self,
        incoming: &mut tonic::Streaming<ManagerMessage>,
        outgoing: &mpsc::Sender<AgentMessage>,
    ) -> Result<()> {
        // Differences are against what this session has sent; before its full set nothing can be applied.
        let mut known: Option<Assignments> = None;
        while let Some(ManagerMessage { message }) = incoming.message().await.map_err(broken)? {
            let Some(FromManager::Assignments(message)) = message else {
                return Err(Error::Session("the manager sent a message that this agent does not know".into()));
            };
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
