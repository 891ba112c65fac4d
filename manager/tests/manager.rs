//! A whole manager, talked to as clients and agents do: over a unix socket.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use api::control::control_client::ControlClient;
use api::control::{
    ApplyStackRequest, GetClusterRequest, IntentAction, ListTasksRequest, RemoveStackRequest, SetIntentRequest,
    WatchStackRequest,
};
use api::dispatcher::agent_message::Message as FromAgent;
use api::dispatcher::dispatcher_client::DispatcherClient;
use api::dispatcher::manager_message::Message as ToAgent;
use api::dispatcher::{Acknowledge, AgentMessage, Heartbeat, Hello, ManagerMessage, Statuses, TaskReport};
use manager::raft::Peers;
use manager::{Manager, ManagerConfig};
use model::{
    Assignments, Attachment, AttachmentSpec, ContainerId, ContainerPhase, ContainerSpec, ContainerStatus, Health,
    NetworkMode, NetworkSpec, NodeDescription, NodeId, PortSpec, Protocol, PublishMode, ServiceMode, ServiceSpec,
    Stack, StackMember, Task, TaskState, TaskStatus, Timestamp,
};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::{Channel, Server};
use tonic::{Code, Streaming};

/// A manager behind a socket, in a directory of its own.
struct House {
    dir: tempfile::TempDir,
    manager: Manager,
    channel: Channel,
    stop: Option<oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<()>,
}

impl House {
    async fn build(dir: tempfile::TempDir) -> Self {
        let config = ManagerConfig {
            data_dir: dir.path().join("data"),
            node: node(),
            peers: Peers::none(),
            joins: None,
            unlock: None,
        };
        let manager = Manager::start(config).await.unwrap();
        let socket: PathBuf = dir.path().join("orca.sock");
        // One that an earlier house has left.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let (control, dispatcher) = (manager.control_service(), manager.dispatcher_service());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let router = Server::builder().add_service(control).add_service(dispatcher);
            let stopped = async { drop(stopped.await) };
            router.serve_with_incoming_shutdown(UnixListenerStream::new(listener), stopped).await.unwrap();
        });
        let channel = api::client::connect_unix(&socket).await.unwrap();
        Self { dir, manager, channel, stop: Some(stop), server }
    }

    async fn new() -> Self {
        Self::build(tempfile::tempdir().unwrap()).await
    }

    fn control(&self) -> ControlClient<api::client::Guarded> {
        api::client::control_client(self.channel.clone(), Default::default())
    }

    /// Ends the manager, then the server, whose streams must end by themselves.
    async fn close(mut self) -> tempfile::TempDir {
        self.manager.shutdown().await;
        let _ = self.stop.take().unwrap().send(());
        drop(self.channel);
        tokio::time::timeout(Duration::from_secs(10), self.server).await.expect("streams are still open").unwrap();
        self.dir
    }

    async fn tasks(&self) -> Vec<Task> {
        let reply = self.control().list_tasks(ListTasksRequest::default()).await.unwrap().into_inner();
        reply.tasks.into_iter().map(|task| task.try_into().unwrap()).collect()
    }
}

fn node() -> NodeId {
    NodeId::from_random(11)
}

/// An agent that holds what it is told and says what the test wants.
struct Agent {
    to: mpsc::Sender<AgentMessage>,
    from: Streaming<ManagerMessage>,
    held: Assignments,
    sequence: u64,
}

fn hello(protocol: u32) -> AgentMessage {
    let description =
        NodeDescription { hostname: "host".into(), nano_cpus: 2_000_000_000, memory: 1 << 30, ..Default::default() };
    let hello = Hello { protocol, node: node().to_string(), description: Some(description.into()), carries: false };
    AgentMessage { message: Some(FromAgent::Hello(hello)) }
}

async fn session(
    channel: &Channel,
    first: AgentMessage,
) -> Result<(mpsc::Sender<AgentMessage>, Streaming<ManagerMessage>), tonic::Status> {
    let mut client: DispatcherClient<Channel> = api::client::dispatcher_client(channel.clone());
    let (to, messages) = mpsc::channel(16);
    to.send(first).await.unwrap();
    let from = client.session(ReceiverStream::new(messages)).await?.into_inner();
    Ok((to, from))
}

impl Agent {
    async fn join(channel: &Channel) -> Self {
        let (to, mut from) = session(channel, hello(1)).await.unwrap();
        let welcome = from.message().await.unwrap().unwrap().message.unwrap();
        assert!(matches!(welcome, ToAgent::Welcome(welcome) if welcome.protocol == 1 && welcome.heartbeat_period > 0));
        Self { to, from, held: Assignments::default(), sequence: 0 }
    }

    async fn say(&self, message: FromAgent) {
        self.to.send(AgentMessage { message: Some(message) }).await.unwrap();
    }

    async fn receive(&mut self) {
        let message = tokio::time::timeout(Duration::from_secs(10), self.from.message()).await.expect("no assignments");
        let Some(ToAgent::Assignments(assignments)) = message.unwrap().unwrap().message else {
            panic!("a second welcome")
        };
        assert_eq!(assignments.sequence, self.sequence + 1);
        assert_eq!(assignments.full, self.sequence == 0);
        self.sequence = assignments.sequence;
        self.held.apply(assignments.diff.unwrap().try_into().unwrap());
        self.say(FromAgent::Acknowledge(Acknowledge { sequence: self.sequence })).await;
    }

    async fn until(&mut self, done: impl Fn(&Assignments) -> bool) {
        while self.sequence == 0 || !done(&self.held) {
            self.receive().await;
        }
    }

    async fn report(&self, task: &Task, state: TaskState, revision: u64) {
        let networks = self.held.networks.values();
        let attachment = networks
            .map(|network| Attachment { network: network.id, addresses: vec![network.blocks[0].nth(5).unwrap()] });
        let container = ContainerStatus {
            id: ContainerId::from_random([3; 32]),
            phase: if state == TaskState::Running { ContainerPhase::Running } else { ContainerPhase::Exited },
            pid: Some(1),
            exit_code: None,
            oom_killed: false,
            health: Health::None,
            restart_count: 0,
            restarts_done: 0,
            started_at: Timestamp(1),
            finished_at: Timestamp::NEVER,
            attachments: attachment.collect(),
        };
        let status =
            TaskStatus { state, revision, at: Timestamp(1), container: Some(container), ..TaskStatus::default() };
        let report = TaskReport { task: task.id.to_string(), status: Some(status.into()) };
        self.say(FromAgent::Statuses(Statuses { reports: vec![report] })).await;
    }
}

fn stack(replicas: u32) -> Stack {
    let web = ServiceSpec {
        name: "shop-web".into(),
        stack: Some(StackMember { stack: "shop".into(), key: "web".into() }),
        mode: ServiceMode::Replicated { replicas },
        container: ContainerSpec { image: "orca/demo".into(), ..ContainerSpec::default() },
        network: NetworkMode::Networks(vec![AttachmentSpec {
            network: "shop_default".into(),
            ..AttachmentSpec::default()
        }]),
        ports: vec![PortSpec {
            host_ip: None,
            published: Some(8080),
            target: 80,
            protocol: Protocol::Tcp,
            mode: PublishMode::Ingress,
            choose_from: None,
        }],
        ..ServiceSpec::default()
    };
    let network = NetworkSpec { name: "shop_default".into(), stack: Some("shop".into()), ..NetworkSpec::default() };
    Stack { name: "shop".into(), services: vec![web], networks: vec![network], ..Stack::default() }
}

fn apply(replicas: u32) -> ApplyStackRequest {
    ApplyStackRequest { stack: Some(stack(replicas).into()), ..ApplyStackRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_becomes_tasks_that_an_agent_runs_and_ends() {
    let house = House::new().await;
    let mut control = house.control();
    let reply = control.apply_stack(apply(2)).await.unwrap().into_inner();
    assert_eq!((reply.created, reply.updated.len()), (vec!["web".to_owned()], 0));
    let reply = control.apply_stack(apply(2)).await.unwrap().into_inner();
    assert_eq!(reply.unchanged, ["web"]);

    let mut agent = Agent::join(&house.channel).await;
    agent
        .until(|held| held.tasks.len() == 2 && held.endpoints.values().any(|endpoint| !endpoint.networks.is_empty()))
        .await;
    let tasks: Vec<Task> = agent.held.tasks.values().cloned().collect();
    assert!(tasks.iter().all(|task| task.node == Some(node()) && task.desired == TaskState::Running));
    for task in &tasks {
        agent.report(task, TaskState::Running, 1).await;
    }
    agent
        .until(|held| {
            held.endpoints
                .values()
                .any(|endpoint| endpoint.backends.iter().filter(|backend| backend.serves).count() == 2)
        })
        .await;
    let endpoint = agent.held.endpoints.values().find(|endpoint| endpoint.name == "shop-web").unwrap();
    assert_eq!(endpoint.networks[0].vips.len(), 1);
    assert_eq!(endpoint.ports[0].published, Some(8080));
    assert!(house.tasks().await.iter().all(|task| task.status.state == TaskState::Running));

    let reply = control
        .remove_stack(RemoveStackRequest { stack: "shop".into(), services: Vec::new() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.removed, ["web"]);
    agent.until(|held| held.tasks.values().all(|task| task.desired > TaskState::Running)).await;
    for task in &tasks {
        agent.report(task, TaskState::Shutdown, 2).await;
    }
    agent.until(|held| held.tasks.is_empty() && held.endpoints.is_empty()).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_stack_says_why_it_waits_and_when_it_runs() {
    let house = House::new().await;
    let mut control = house.control();
    let watch = WatchStackRequest { stack: "shop".into(), services: Vec::new() };
    let mut states = control.watch_stack(watch).await.unwrap().into_inner();
    assert!(states.message().await.unwrap().unwrap().services.is_empty());
    control.apply_stack(apply(1)).await.unwrap();
    let waiting = loop {
        let state = states.message().await.unwrap().unwrap();
        if let Some(reason) = state.waiting.into_values().next() {
            break reason;
        }
    };
    assert!(waiting.contains("no node"), "{waiting}");
    let mut agent = Agent::join(&house.channel).await;
    agent.until(|held| held.tasks.len() == 1).await;
    let task = agent.held.tasks.values().next().unwrap().clone();
    agent.report(&task, TaskState::Running, 1).await;
    loop {
        let state = states.message().await.unwrap().unwrap();
        if state
            .tasks
            .iter()
            .any(|task| task.status.as_ref().is_some_and(|status| status.state == TaskState::Running as u32))
        {
            assert!(state.waiting.is_empty());
            break;
        }
    }
    let stop = SetIntentRequest { tasks: vec![task.id.to_string()], action: IntentAction::Stop.into() };
    control.set_intent(stop).await.unwrap();
    agent.until(|held| held.tasks[&task.id].intent.stopped).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_manager_tells_agents_the_same() {
    let house = House::new().await;
    house.control().apply_stack(apply(3)).await.unwrap();
    let mut agent = Agent::join(&house.channel).await;
    agent.until(|held| held.tasks.len() == 3).await;
    let before: BTreeMap<_, _> = agent.held.tasks.clone();
    let dir = house.close().await;
    let house = House::build(dir).await;
    let mut agent = Agent::join(&house.channel).await;
    agent.until(|held| held.tasks.len() == 3).await;
    assert_eq!(agent.held.tasks, before);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_session_ends_the_older() {
    let house = House::new().await;
    let mut older = Agent::join(&house.channel).await;
    older.receive().await;
    let mut newer = Agent::join(&house.channel).await;
    newer.receive().await;
    let end = loop {
        match older.from.message().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_err_and(|status| status.code() == Code::Aborted && status.message().contains("newer session")));
    newer.say(FromAgent::Heartbeat(Heartbeat {})).await;
    house.control().apply_stack(apply(1)).await.unwrap();
    newer.until(|held| held.tasks.len() == 1).await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_one_clear_error() {
    let house = House::new().await;
    let error = session(&house.channel, hello(2)).await.err().unwrap();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("upgrade"), "{error}");
    let heartbeat = AgentMessage { message: Some(FromAgent::Heartbeat(Heartbeat {})) };
    assert_eq!(session(&house.channel, heartbeat).await.err().unwrap().code(), Code::InvalidArgument);

    let mut control = house.control();
    let code =
        |result: Result<tonic::Response<api::control::ApplyStackReply>, tonic::Status>| result.err().unwrap().code();
    assert_eq!(code(control.apply_stack(ApplyStackRequest::default()).await), Code::InvalidArgument);
    let bad_name = Stack { name: "Not A Name".into(), ..Stack::default() };
    let request = ApplyStackRequest { stack: Some(bad_name.into()), ..ApplyStackRequest::default() };
    assert_eq!(code(control.apply_stack(request).await), Code::InvalidArgument);
    let request = ApplyStackRequest { recreate: 9, ..apply(1) };
    assert_eq!(code(control.apply_stack(request).await), Code::InvalidArgument);
    let intent = SetIntentRequest { tasks: vec!["nonsense".into()], action: 0 };
    assert_eq!(control.set_intent(intent).await.err().unwrap().code(), Code::InvalidArgument);
    let cluster = control.get_cluster(GetClusterRequest {}).await.unwrap().into_inner();
    assert!(cluster.cluster.is_some());
    house.close().await;
}
