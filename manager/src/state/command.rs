//! What may happen to the state: the entries of the replicated log.

use model::{
    AddressPool, Availability, ClusterId, ClusterIdentity, ClusterSpec, ConfigId, ConfigSpec, Endpoint, IpSubnet,
    ManagerMember, NetworkId, NextAuthority, NodeDescription, NodeId, NodeRole, NodeSpec, NodeState, SecretData,
    SecretId, SecretSpec, ServiceId, ServiceSpec, Stack, Task, TaskId, TaskState, TaskStatus, Timestamp, UpdateStatus,
};

use super::IdSource;

/// One entry: its commands are applied together, or none of them is.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When it was proposed.
    pub now: Timestamp,
    /// In order.
    pub commands: Vec<Command>,
}

/// One change. Where a decision was made on an object, `seen` is the object's version then; another version is stale.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nodes register seldom, and commands are moved little")]
pub enum Command {
    /// Makes the cluster, with the network `bridge` for standalone containers.
    Bootstrap {
        /// The cluster's id.
        cluster: ClusterId,
        /// The id of `bridge`.
        bridge: NetworkId,
    },
    /// A node's session has begun.
    RegisterNode {
        /// Which.
        node: NodeId,
        /// What it says of itself.
        description: NodeDescription,
    },
    /// A node is heard of, or no longer.
    SetNodeState {
        /// Which.
        node: NodeId,
        /// Since now.
        state: NodeState,
    },
    /// Makes a stack what its user declares.
    ApplyStack(Box<ApplyStack>),
    /// Marks services of a stack for removal.
    RemoveStack {
        /// Its name.
        stack: String,
        /// Keys; empty: all.
        services: Vec<String>,
    },
    /// Stops, starts or restarts tasks.
    SetIntent {
        /// Which.
        tasks: Vec<TaskId>,
        /// What.
        action: IntentAction,
        /// For tasks that continue ended ones.
        ids: IdSource,
    },
    /// An agent reports.
    ReportStatuses {
        /// Which agent.
        node: NodeId,
        /// Task by task.
        reports: Vec<(TaskId, TaskStatus)>,
    },
    /// An orchestrator makes a task.
    CreateTask {
        /// The task.
        task: Box<Task>,
        /// The service's version.
        seen: u64,
    },
    /// What is wanted of a task from now on; only forward.
    SetDesired {
        /// Which.
        task: TaskId,
        /// READY, RUNNING, SHUTDOWN or REMOVE.
        desired: TaskState,
        /// The task's version.
        seen: u64,
    },
    /// The scheduler has found a node.
    AssignTask {
        /// Which.
        task: TaskId,
        /// Where.
        node: NodeId,
        /// The task's version.
        seen: u64,
    },
    /// A node has been gone for too long.
    OrphanTask {
        /// Which.
        task: TaskId,
        /// The task's version.
        seen: u64,
    },
    /// The task is history.
    DeleteTask {
        /// Which.
        task: TaskId,
        /// The task's version.
        seen: u64,
    },
    /// The allocator has found subnets.
    SetSubnets {
        /// Of which network.
        network: NetworkId,
        /// The network's subnets.
        subnets: Vec<IpSubnet>,
        /// The network's version.
        seen: u64,
    },
    /// The allocator leases parts of a network to a node.
    SetLease {
        /// Of which network.
        network: NetworkId,
        /// To which node.
        node: NodeId,
        /// All of its parts.
        blocks: Vec<IpSubnet>,
        /// The network's version.
        seen: u64,
    },
    /// The allocator has found addresses and ports.
    SetEndpoint {
        /// Of which service.
        service: ServiceId,
        /// Them.
        endpoint: Endpoint,
        /// The service's version.
        seen: u64,
    },
    /// A service whose tasks are gone.
    RemoveService {
        /// Which.
        service: ServiceId,
        /// The service's version.
        seen: u64,
    },
    /// A stack's network that nothing uses.
    RemoveNetwork {
        /// Which.
        network: NetworkId,
        /// The network's version.
        seen: u64,
    },
    /// A secret that nothing uses.
    RemoveSecret {
        /// Which.
        secret: SecretId,
        /// The secret's version.
        seen: u64,
    },
    /// A config that nothing uses.
    RemoveConfig {
        /// Which.
        config: ConfigId,
        /// The config's version.
        seen: u64,
    },
    /// Opens the cluster of a lone node to others.
    OpenCluster(Box<OpenCluster>),
    /// The user wants something else of the cluster.
    UpdateCluster {
        /// What.
        spec: ClusterSpec,
    },
    /// The join token of a role so far lets nobody in any more.
    RotateToken {
        /// Which role.
        role: NodeRole,
        /// The next secret.
        secret: SecretData,
    },
    /// Somebody who may has joined, or comes back with another certificate.
    AdmitNode {
        /// Who.
        node: NodeId,
        /// The key that the node is known by.
        key: Vec<u8>,
        /// As what. A node that is there already stays what it is.
        role: NodeRole,
        /// Where it is reached.
        address: String,
        /// Whether it takes tasks. A node that is there already stays as it is.
        availability: Availability,
    },
    /// The user wants something else of a node.
    UpdateNode {
        /// Which.
        node: NodeId,
        /// What.
        spec: NodeSpec,
        /// The node's version.
        seen: u64,
    },
    /// The node is no longer one of the cluster.
    RemoveNode {
        /// Which.
        node: NodeId,
        /// Though it is up.
        force: bool,
    },
    /// A manager is one of the Raft group from now on, or no longer.
    SetManager {
        /// Which node.
        node: NodeId,
        /// As the others know it.
        manager: Option<ManagerMember>,
    },
    /// A user gives a secret that is of no stack.
    CreateSecret {
        /// What.
        spec: Box<SecretSpec>,
        /// For its id.
        ids: IdSource,
    },
    /// A user gives a config that is of no stack.
    CreateConfig {
        /// What.
        spec: Box<ConfigSpec>,
        /// For its id.
        ids: IdSource,
    },
    /// The user wants the secret no more.
    WithdrawSecret {
        /// Which.
        secret: SecretId,
        /// The secret's version.
        seen: u64,
    },
    /// The user wants the config no more.
    WithdrawConfig {
        /// Which.
        config: ConfigId,
        /// The config's version.
        seen: u64,
    },
    /// A user declares a service that is of no stack.
    CreateService {
        /// What.
        spec: Box<ServiceSpec>,
        /// For its id.
        ids: IdSource,
    },
    /// The user wants something else of a service.
    UpdateService {
        /// Which.
        service: ServiceId,
        /// What.
        spec: Box<ServiceSpec>,
        /// The service's version.
        seen: u64,
    },
    /// A service becomes what it was before its last change.
    RollbackService {
        /// Which.
        service: ServiceId,
        /// Its update has failed, for this reason; `None`: a user wants it.
        failed: Option<String>,
        /// The service's version.
        seen: u64,
    },
    /// The user wants the service no more.
    WithdrawService {
        /// Which.
        service: ServiceId,
        /// The service's version.
        seen: u64,
    },
    /// A rolling update has come further.
    SetUpdate {
        /// Of which service.
        service: ServiceId,
        /// How far.
        status: UpdateStatus,
        /// The service's version.
        seen: u64,
    },
    /// A node has said that it leaves.
    NodeLeft {
        /// Which.
        node: NodeId,
    },
    /// One manager goes on alone with the state that it has; the other managers are no nodes of the cluster any more.
    Refound(Box<Refound>),
    /// Managers are locked with another key from now on, or with none.
    SetUnlockKey {
        /// The key; empty: none.
        key: SecretData,
    },
    /// Nodes get certificates of another CA from now on.
    RotateAuthority(NextAuthority),
    /// Every node has one: the CA before is trusted no more.
    FinishRotation,
}

/// How a lone node's cluster is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenCluster {
    /// Whom nodes trust.
    pub identity: ClusterIdentity,
    /// What the user wants of the cluster.
    pub spec: ClusterSpec,
    /// Where subnets come from; empty: from where they came.
    pub address_pools: Vec<AddressPool>,
    /// The node that opens it, its first manager.
    pub node: NodeId,
    /// The key that it is known by.
    pub key: Vec<u8>,
    /// As other managers know it.
    pub manager: ManagerMember,
    /// Where it is reached.
    pub address: String,
    /// Whether it takes tasks.
    pub availability: Availability,
    /// Where nodes listen for each other's packets, UDP.
    pub data_path_port: u16,
}

/// With whom a cluster goes on that has lost its managers.
#[derive(Debug, Clone, PartialEq)]
pub struct Refound {
    /// The node that goes on, as its only manager.
    pub node: NodeId,
    /// The key that it is known by.
    pub key: Vec<u8>,
    /// As other managers will know it.
    pub manager: ManagerMember,
    /// Where it is reached.
    pub address: String,
}

/// A stack as its user declares it, and how to go about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplyStack {
    /// What is declared.
    pub stack: Stack,
    /// Which containers are made anew.
    pub recreate: Recreate,
    /// Remove services of the stack that are not declared.
    pub remove_orphans: bool,
    /// Run stopped and ended tasks again.
    pub start_stopped: bool,
    /// New tasks are made ready and wait for a user to start them.
    pub no_start: bool,
    /// Keys of services whose containers are made anew though nothing has changed.
    pub force: Vec<String>,
    /// Containers that are made anew begin with new anonymous volumes.
    pub renew_volumes: bool,
    /// Keys of services whose present number of replicas stays.
    pub keep_replicas: Vec<String>,
    /// For new objects.
    pub ids: IdSource,
}

/// Which containers are made anew when a stack is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recreate {
    /// Those that would differ.
    #[default]
    Changed,
    /// All.
    Force,
    /// None.
    Never,
}

/// What a user wants of a task's container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentAction {
    /// End it; it stays.
    Stop,
    /// Run it again.
    Start,
    /// End it and run it again.
    Restart,
}
