//! The values behind the golden files of format 1: every command, and a state with one object of each kind. No field of theirs has
//! its default, so that every field number is held; what specs hold, the golden files of `api` hold.

use model::{
    AddressPool, AttachmentSpec, Availability, Cluster, ClusterId, ClusterIdentity, ClusterSpec, Config, ConfigId,
    ConfigSpec, ContainerSpec, Endpoint, FailureAction, IpSubnet, ManagerMember, MeshEnd, MeshKey, Meta, Network,
    NetworkId, NetworkMode, NetworkSpec, NextAuthority, Node, NodeDescription, NodeId, NodeRole, NodeSpec, NodeState,
    Placement, PortSpec, PreviousSpec, Protocol, PublishMode, RunIntent, Secret, SecretData, SecretId, SecretSpec,
    Service, ServiceId, ServiceMode, ServiceSpec, Stack, StackMember, Task, TaskId, TaskSpec, TaskState, TaskStatus,
    Timestamp, UpdateConfig, UpdateOrder, UpdateState, UpdateStatus, Vip,
};

use crate::state::{ApplyStack, Command, IdSource, IntentAction, OpenCluster, Recreate, Refound, State};

const NODE: NodeId = NodeId::from_random(1);
const SERVICE: ServiceId = ServiceId::from_random(2);
const TASK: TaskId = TaskId::from_random(3);
const NETWORK: NetworkId = NetworkId::from_random(4);
const SECRET: SecretId = SecretId::from_random(5);
const CONFIG: ConfigId = ConfigId::from_random(6);
const CLUSTER: ClusterId = ClusterId::from_random(7);
const IDS: IdSource = IdSource::new(u128::MAX - 8);

fn meta() -> Meta {
    Meta { version: 9, created_at: Timestamp(10), updated_at: Timestamp(11) }
}

fn subnet(text: &str) -> IpSubnet {
    text.parse().unwrap()
}

fn labels() -> std::collections::BTreeMap<String, String> {
    [("tier".to_owned(), "front".to_owned())].into()
}

fn description() -> NodeDescription {
    NodeDescription {
        hostname: "one".into(),
        architecture: "x86_64".into(),
        os: "linux".into(),
        engine_version: "0.1.0".into(),
        nano_cpus: 4_000_000_000,
        memory: 1 << 33,
        ..NodeDescription::default()
    }
}

fn network_spec() -> NetworkSpec {
    NetworkSpec {
        name: "shop_default".into(),
        labels: labels(),
        stack: Some("shop".into()),
        internal: true,
        attachable: true,
        subnets: vec![subnet("10.4.0.0/24")],
        ..NetworkSpec::default()
    }
}

fn secret_spec() -> SecretSpec {
    let data = SecretData::new(b"hunter2".to_vec());
    SecretSpec { name: "shop_key".into(), labels: labels(), stack: Some("shop".into()), data, template: false }
}

fn config_spec() -> ConfigSpec {
    ConfigSpec {
        name: "shop_conf".into(),
        labels: labels(),
        stack: Some("shop".into()),
        data: b"a=b".to_vec(),
        template: false,
    }
}

fn task_spec() -> TaskSpec {
    let attachment = AttachmentSpec { network: "shop_default".into(), ..AttachmentSpec::default() };
    TaskSpec {
        container: ContainerSpec {
            image: "orca/demo".into(),
            log: model::LogConfig { driver: model::LogDriver::JsonFile, ..model::LogConfig::default() },
            ..ContainerSpec::default()
        },
        network: NetworkMode::Networks(vec![attachment]),
    }
}

fn service_spec() -> ServiceSpec {
    let TaskSpec { container, network } = task_spec();
    ServiceSpec {
        name: "shop-web".into(),
        stack: Some(StackMember { stack: "shop".into(), key: "web".into() }),
        mode: ServiceMode::Replicated { replicas: 2 },
        container,
        network,
        ..ServiceSpec::default()
    }
}

fn port() -> PortSpec {
    let (protocol, mode) = (Protocol::Tcp, PublishMode::Ingress);
    PortSpec {
        host_ip: Some([127, 0, 0, 1].into()),
        published: Some(8080),
        target: 80,
        protocol,
        mode,
        choose_from: None,
    }
}

fn endpoint() -> Endpoint {
    Endpoint { vips: vec![Vip { network: NETWORK, address: [10, 4, 0, 1].into() }], ports: vec![port()] }
}

fn status() -> TaskStatus {
    TaskStatus {
        state: TaskState::Preparing,
        revision: 12,
        at: Timestamp(13),
        message: "unpacking".into(),
        error: Some("slow disk".into()),
        container: None,
    }
}

fn task() -> Task {
    Task {
        id: TASK,
        meta: meta(),
        service: SERVICE,
        slot: 1,
        name: "shop-web-1".into(),
        spec: task_spec(),
        spec_version: 14,
        node: Some(NODE),
        desired: TaskState::Running,
        intent: RunIntent { stopped: true, restarts: 15 },
        continues: Some(TaskId::from_random(16)),
        volumes_since: None,
        tries: 17,
        bound: None,
        status: status(),
    }
}

fn apply_stack() -> ApplyStack {
    ApplyStack {
        stack: Stack {
            name: "shop".into(),
            services: vec![service_spec()],
            networks: vec![network_spec()],
            external_networks: vec!["backbone".into()],
            secrets: vec![secret_spec()],
            configs: vec![config_spec()],
        },
        recreate: Recreate::Never,
        remove_orphans: true,
        start_stopped: true,
        no_start: false,
        force: Vec::new(),
        renew_volumes: false,
        keep_replicas: vec!["web".into()],
        ids: IDS,
    }
}

/// Every command of the first golden file, in the order of their numbers in the protocol.
pub fn commands() -> Vec<Command> {
    let seen = 20;
    vec![
        Command::Bootstrap { cluster: CLUSTER, bridge: NETWORK },
        Command::RegisterNode { node: NODE, description: description() },
        Command::SetNodeState { node: NODE, state: NodeState::Down },
        Command::ApplyStack(Box::new(apply_stack())),
        Command::RemoveStack { stack: "shop".into(), services: vec!["web".into()] },
        Command::SetIntent { tasks: vec![TASK], action: IntentAction::Restart, ids: IDS },
        Command::ReportStatuses { node: NODE, reports: vec![(TASK, status())] },
        Command::CreateTask { task: Box::new(task()), seen },
        Command::SetDesired { task: TASK, desired: TaskState::Remove, seen },
        Command::AssignTask { task: TASK, node: NODE, seen },
        Command::OrphanTask { task: TASK, seen },
        Command::DeleteTask { task: TASK, seen },
        Command::SetSubnets { network: NETWORK, subnets: vec![subnet("10.4.0.0/24")], seen },
        Command::SetLease { network: NETWORK, node: NODE, blocks: vec![subnet("10.4.0.64/26")], seen },
        Command::SetEndpoint { service: SERVICE, endpoint: endpoint(), seen },
        Command::RemoveService { service: SERVICE, seen },
        Command::RemoveNetwork { network: NETWORK, seen },
        Command::RemoveSecret { secret: SECRET, seen },
        Command::RemoveConfig { config: CONFIG, seen },
    ]
}

/// A state with one object of each kind.
pub fn state() -> State {
    let pool = AddressPool { base: subnet("10.128.0.0/9"), prefix: 20 };
    let mut state = State { version: 21, cluster: Some(Cluster::new(CLUSTER, meta(), vec![pool])), ..State::default() };
    let node = Node::new(NODE, meta(), description(), NodeState::Ready);
    state.nodes.insert(NODE, node);
    let (id, meta) = (SERVICE, meta());
    state.put_service(Service {
        previous: None,
        update: None,
        id,
        meta,
        spec: service_spec(),
        spec_version: 14,
        volumes_since: 0,
        removing: true,
        held: false,
        endpoint: endpoint(),
    });
    state.put_task(task());
    let leases = [(NODE, vec![subnet("10.4.0.64/26")])].into();
    let (id, subnets) = (NETWORK, vec![subnet("10.4.0.0/24")]);
    state.put_network(Network { id, meta, spec: network_spec(), subnets, leases });
    state.put_secret(Secret { id: SECRET, meta, spec: secret_spec(), superseded: false });
    state.put_config(Config { id: CONFIG, meta, spec: config_spec(), superseded: false });
    state
}

fn identity() -> ClusterIdentity {
    let data = |text: &str| SecretData::new(text.as_bytes().to_vec());
    ClusterIdentity {
        ca: "ca".into(),
        ca_key: data("key"),
        worker_secret: data("w"),
        manager_secret: data("m"),
        unlock_key: SecretData::default(),
        next: None,
    }
}

fn cluster_spec() -> ClusterSpec {
    let seconds = std::time::Duration::from_secs;
    ClusterSpec { task_history: 3, heartbeat: seconds(7), certificate_expiry: seconds(7200) }
}

fn node_spec() -> NodeSpec {
    NodeSpec { role: NodeRole::Manager, availability: Availability::Drain, labels: labels() }
}

fn member() -> ManagerMember {
    ManagerMember { raft: 99, address: "10.0.0.1:2377".into() }
}

/// The commands that came with clusters of several nodes.
pub fn cluster_commands() -> Vec<Command> {
    let pool = AddressPool { base: subnet("10.128.0.0/9"), prefix: 20 };
    let open = OpenCluster {
        identity: identity(),
        spec: cluster_spec(),
        address_pools: vec![pool],
        node: NODE,
        key: vec![4, 5, 6],
        manager: member(),
        address: "10.0.0.1".into(),
        availability: Availability::Pause,
        data_path_port: model::MESH_PORT,
    };
    let (role, availability) = (NodeRole::Manager, Availability::Drain);
    vec![
        Command::OpenCluster(Box::new(open)),
        Command::UpdateCluster { spec: cluster_spec() },
        Command::RotateToken { role, secret: SecretData::new(vec![1, 2]) },
        Command::AdmitNode { node: NODE, key: vec![4, 5], role, address: "10.0.0.2".into(), availability },
        Command::UpdateNode { node: NODE, spec: node_spec(), seen: 20 },
        Command::RemoveNode { node: NODE, force: true },
        Command::SetManager { node: NODE, manager: Some(member()) },
        Command::NodeLeft { node: NODE },
    ]
}

/// The commands that came with the recovery of lost clusters.
pub fn recovery_commands() -> Vec<Command> {
    let refound = Refound { node: NODE, key: vec![4, 5, 6], manager: member(), address: "10.0.0.1".into() };
    vec![Command::Refound(Box::new(refound))]
}

/// The commands that came with the rotation of the CA.
pub fn rotation_commands() -> Vec<Command> {
    let next = NextAuthority { ca: "ca".into(), ca_key: SecretData::new(b"key".to_vec()), cross: "crossed".into() };
    let description = NodeDescription { authority: vec![7; 32], ..description() };
    vec![Command::RotateAuthority(next), Command::RegisterNode { node: NODE, description }, Command::FinishRotation]
}

/// The commands that came with locked managers.
pub fn lock_commands() -> Vec<Command> {
    vec![
        Command::SetUnlockKey { key: SecretData::new(vec![7; 32]) },
        Command::SetUnlockKey { key: SecretData::default() },
    ]
}

/// A state of a cluster of several nodes: what the first golden file lacks.
pub fn cluster_state() -> State {
    let mut state = State { version: 22, ..State::default() };
    let cluster = Cluster::new(CLUSTER, meta(), Vec::new());
    state.cluster = Some(Cluster {
        spec: cluster_spec(),
        identity: Some(identity()),
        removed: [(NodeId::from_random(8), Timestamp(5))].into(),
        ..cluster
    });
    let node = Node::new(NODE, meta(), description(), NodeState::Down);
    let (key, address) = (vec![4, 5, 6], "10.0.0.1".to_owned());
    state.nodes.insert(NODE, Node { spec: node_spec(), key, manager: Some(member()), address, ..node });
    state
}

/// What came with the mesh between nodes: a node's end of it, and a port of the user's choice.
pub fn mesh_commands() -> Vec<Command> {
    let end = MeshEnd { key: MeshKey::new([9; 32]), address: "192.0.2.9".parse().unwrap(), port: 7_000, images: None };
    let description = NodeDescription { mesh: Some(end), ..description() };
    let mut commands = cluster_commands();
    commands.truncate(1);
    if let Some(Command::OpenCluster(open)) = commands.first_mut() {
        open.data_path_port = 7_000;
    }
    commands.push(Command::RegisterNode { node: NODE, description });
    commands
}

/// A state with both.
pub fn mesh_state() -> State {
    let mut state = cluster_state();
    state.cluster = state.cluster.map(|cluster| Cluster { data_path_port: 7_000, ..cluster });
    let end =
        MeshEnd { key: MeshKey::new([9; 32]), address: "2001:db8::9".parse().unwrap(), port: 7_000, images: None };
    if let Some(node) = state.nodes.get_mut(&NODE) {
        node.description.mesh = Some(end);
    }
    state
}

/// A service of which no field that came with services by themselves has its default.
fn rolling_spec() -> ServiceSpec {
    let nanos = std::time::Duration::from_nanos;
    let update = UpdateConfig {
        parallelism: 2,
        delay: nanos(3),
        failure_action: FailureAction::Rollback,
        monitor: nanos(4),
        max_failure_ratio: 5,
        order: UpdateOrder::StartFirst,
    };
    let rollback = UpdateConfig { failure_action: FailureAction::Continue, ..update };
    let mut spec = service_spec();
    spec.stack = None;
    spec.name = "lone".into();
    spec.mode = ServiceMode::ReplicatedJob { max_concurrent: 2, total_completions: 3 };
    spec.placement = Placement {
        node: None,
        constraints: vec!["node.labels.disk!=tape".parse().unwrap()],
        preferences: vec!["engine.labels.rack".parse().unwrap()],
        max_replicas: 4,
    };
    spec.container.resources.reservations.generic = [("gpu".to_owned(), 1)].into();
    ServiceSpec { update: Some(update), rollback: Some(rollback), force_update: 6, ..spec }
}

fn update_status() -> UpdateStatus {
    UpdateStatus {
        state: UpdateState::RollbackPaused,
        started_at: Timestamp(27),
        completed_at: Timestamp(28),
        message: "too much has failed".into(),
    }
}

/// The commands that came with services by themselves.
pub fn service_commands() -> Vec<Command> {
    let (spec, seen) = (rolling_spec(), 20);
    let global = ServiceSpec { mode: ServiceMode::Global, ..spec.clone() };
    let failed = Some("it ended with code 1".to_owned());
    vec![
        Command::CreateService { spec: Box::new(spec), ids: IDS },
        Command::UpdateService { service: SERVICE, spec: Box::new(global), seen },
        Command::RollbackService { service: SERVICE, failed, seen },
        Command::RollbackService { service: SERVICE, failed: None, seen },
        Command::WithdrawService { service: SERVICE, seen },
        Command::SetUpdate { service: SERVICE, status: update_status(), seen },
    ]
}

/// Commands on secrets and configs by themselves.
pub fn contents_commands() -> Vec<Command> {
    let seen = 27;
    let secret = SecretSpec { stack: None, template: true, ..secret_spec() };
    let config = ConfigSpec { stack: None, template: true, ..config_spec() };
    vec![
        Command::CreateSecret { spec: Box::new(secret), ids: IDS },
        Command::CreateConfig { spec: Box::new(config), ids: IDS },
        Command::WithdrawSecret { secret: SECRET, seen },
        Command::WithdrawConfig { config: CONFIG, seen },
    ]
}

/// A state with what came with them: objects whose names others have now, and templates.
pub fn contents_state() -> State {
    let mut state = state();
    let secret = state.secrets.get(&SECRET).cloned().unwrap();
    let spec = SecretSpec { template: true, ..secret.spec.clone() };
    state.put_secret(Secret { superseded: true, ..secret.clone() });
    state.put_secret(Secret { id: SecretId::from_random(28), spec, ..secret });
    let config = state.configs.get(&CONFIG).cloned().unwrap();
    let spec = ConfigSpec { template: true, ..config.spec.clone() };
    state.put_config(Config { superseded: true, ..config.clone() });
    state.put_config(Config { id: ConfigId::from_random(29), spec, ..config });
    state
}

/// A state with what came with them: where an update is, the spec before, tasks bound to a node, what a node is said to have.
pub fn service_state() -> State {
    let mut state = state();
    let spec = ServiceSpec { mode: ServiceMode::GlobalJob, ..rolling_spec() };
    let previous = PreviousSpec { spec: rolling_spec(), spec_version: 13 };
    let service = state.services.get(&SERVICE).cloned().unwrap();
    let (previous, update) = (Some(Box::new(previous)), Some(update_status()));
    state.put_service(Service { spec, previous, update, ..service });
    state.put_task(Task { bound: Some(NODE), ..task() });
    if let Some(node) = state.nodes.get_mut(&NODE) {
        node.description.labels = labels();
        node.description.generic = [("gpu".to_owned(), 2)].into();
    }
    state
}
