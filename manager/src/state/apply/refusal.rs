//! Why an entry is refused.

use std::net::IpAddr;

/// A change that the state does not take; in words for whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The decision was made on an older version of the object.
    #[error("{kind} {id} has changed meanwhile (version {seen} was seen, {now} is current)")]
    Stale {
        /// Kind of object.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The version decided on.
        seen: u64,
        /// The version there is.
        now: u64,
    },
    /// No such object.
    #[error("no such {kind}: {name}")]
    NotFound {
        /// Kind of object.
        kind: &'static str,
        /// Name or id.
        name: String,
    },
    /// The cluster exists, or an object of that id does.
    #[error("{kind} {name} exists already")]
    Exists {
        /// Kind of object.
        kind: &'static str,
        /// Name or id.
        name: String,
    },
    /// What a secret or config holds is too large.
    #[error("{kind} {name} has {size} bytes, and at most {limit} are allowed")]
    Size {
        /// secret or config.
        kind: &'static str,
        /// The name.
        name: String,
        /// Its bytes.
        size: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A secret or config that holds nothing.
    #[error("{kind} {name} holds nothing: its data must be larger than 0 bytes")]
    Empty {
        /// secret or config.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// Something is to go that services have.
    #[error("{kind} '{name}' is in use by the following service: {users}")]
    InUse {
        /// secret or config.
        kind: &'static str,
        /// The name.
        name: String,
        /// Names of the services.
        users: String,
    },
    /// A name that is not allowed.
    #[error(transparent)]
    Name(#[from] model::NameError),
    /// The name belongs to another stack.
    #[error("{kind} {name} belongs to {owner}; choose another name")]
    Owned {
        /// Kind of object.
        kind: &'static str,
        /// The name.
        name: String,
        /// Whose it is.
        owner: String,
    },
    /// A published port that another service has.
    #[error("service {service}: port {port}/{protocol} is already published by service {holder}")]
    PortInUse {
        /// Who asks.
        service: String,
        /// Which port.
        port: u16,
        /// tcp or udp.
        protocol: model::Protocol,
        /// Who has it.
        holder: String,
    },
    /// A subnet that shares addresses with another network's.
    #[error("network {network}: subnet {subnet} overlaps with {other_subnet} of network {other}")]
    SubnetOverlap {
        /// Who asks.
        network: String,
        /// What for.
        subnet: model::IpSubnet,
        /// Who has it.
        other: String,
        /// What it has.
        other_subnet: model::IpSubnet,
    },
    /// A fixed address outside its network.
    #[error(
        "service {service}: address {address} is in no subnet of network {network}; give the network a subnet that holds it"
    )]
    AddressOutside {
        /// Who asks.
        service: String,
        /// What for.
        address: IpAddr,
        /// On which network.
        network: String,
    },
    /// A fixed address that another service has.
    #[error("service {service}: address {address} already belongs to service {holder}")]
    AddressInUse {
        /// Who asks.
        service: String,
        /// What for.
        address: IpAddr,
        /// Who has it.
        holder: String,
    },
    /// A subnet without room for the node, a service's address and a container.
    #[error("network {network}: subnet {subnet} is too small; give it a prefix of /29 or shorter, or /120 in IPv6")]
    SubnetTooSmall {
        /// Who asks.
        network: String,
        /// What for.
        subnet: model::IpSubnet,
    },
    /// An object of a stack's declaration that is not of this stack.
    #[error("{kind} {name} is declared in stack {stack}, but is not of it")]
    NotOfStack {
        /// Kind of object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The stack.
        stack: String,
    },
    /// Two objects of a declaration have one name or key.
    #[error("{kind} {name} is declared twice")]
    Twice {
        /// Kind of object.
        kind: &'static str,
        /// The name or key.
        name: String,
    },
    /// Services that wait for each other.
    #[error("service {service} depends on itself by way of {through}; none of them could ever start")]
    DependencyCycle {
        /// One of them.
        service: String,
        /// On what it depends.
        through: String,
    },
    /// Addresses that cannot be leased or be a service's.
    #[error("network {network}: {range} cannot be given to {asker}, as {why}")]
    NotFree {
        /// Which network.
        network: String,
        /// Which addresses.
        range: model::IpSubnet,
        /// The node or service.
        asker: String,
        /// What is in the way.
        why: &'static str,
    },
    /// Ports of a service whose containers' packets do not come by the host.
    #[error(
        "service {service}: its ports cannot be published: on network {network} its containers have addresses of the network that \
         the parent device is in, and are reached there"
    )]
    PortsElsewhere {
        /// Which.
        service: String,
        /// The first of its networks.
        network: String,
    },
    /// More published ports than a service may have.
    #[error("service {service}: {error}")]
    TooManyPorts {
        /// Which.
        service: String,
        /// How many.
        error: model::TooManyPorts,
    },
    /// A state that nobody can want of a task.
    #[error("task {task} cannot be wanted to be {state}")]
    Desired {
        /// Which task.
        task: model::TaskId,
        /// Which state.
        state: model::TaskState,
    },
    /// A lone node.
    #[error("this node is not part of a cluster: run `orca swarm init` or `orca swarm join` first")]
    NotOpen,
    /// Another machine has this node's id.
    #[error(
        "node {node} is known by another key: was its data directory copied or restored? `orca node rm --force {node}` on a \
        manager lets it join anew"
    )]
    OtherKey {
        /// Which.
        node: model::NodeId,
    },
    /// Somebody must keep the state.
    #[error("node {node} is the last manager of the cluster; promote another one first")]
    LastManager {
        /// Which.
        node: model::NodeId,
    },
    /// Managers are not removed.
    #[error("node {node} is a manager; demote it first, with `orca node demote {node}`")]
    IsManager {
        /// Which.
        node: model::NodeId,
    },
    /// It would go on.
    #[error("node {node} is not down: end it with `orca swarm leave` there, or use --force")]
    NodeIsUp {
        /// Which.
        node: model::NodeId,
    },
    /// What of a service cannot be another.
    #[error("service {service}: its {what} cannot change; remove it, and create another one")]
    Fixed {
        /// Which.
        service: String,
        /// What.
        what: &'static str,
    },
    /// It has never been anything else.
    #[error("service {service} does not have a previous spec to go back to")]
    NoPrevious {
        /// Which.
        service: String,
    },
    /// What cannot be on several nodes is to be on all.
    #[error("service {service} cannot have a container on every node, as it has {why}")]
    Global {
        /// Which.
        service: String,
        /// `a container_name`, `a fixed address`.
        why: &'static str,
    },
    /// A job that would never be done.
    #[error("service {service} is a job, and so restarts its containers on failure or not at all")]
    JobRestarts {
        /// Which.
        service: String,
    },
    /// A service that cannot have several containers is to have them.
    #[error("service {service} cannot have {replicas} containers, as it has {why}")]
    Replicas {
        /// Which.
        service: String,
        /// How many.
        replicas: u32,
        /// `a container_name`, `a fixed address`.
        why: &'static str,
    },
}
