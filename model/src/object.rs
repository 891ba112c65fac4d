//! Objects of the replicated state: a spec and what Orca has added to it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    ClusterId, ClusterIdentity, ClusterSpec, ConfigId, ConfigSpec, IpSubnet, MESH_PORT, ManagerMember, MeshEnd,
    NetworkId, NetworkSpec, NodeId, NodeSpec, PortSpec, SecretId, SecretSpec, ServiceId, ServiceMode, ServiceSpec,
    Timestamp, UpdateStatus,
};

/// What every object of the store has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The state's version at the last change of this object.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The cluster itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Version and times.
    pub meta: Meta,
    /// Where subnets are taken from.
    pub address_pools: Vec<AddressPool>,
    /// What the user wants of it.
    #[serde(default)]
    pub spec: ClusterSpec,
    /// Whom its nodes trust; `None` while it is one node that is not open to others.
    #[serde(default)]
    pub identity: Option<ClusterIdentity>,
    /// Nodes that were removed, until their certificates have expired for certain.
    #[serde(default)]
    pub removed: BTreeMap<NodeId, Timestamp>,
    /// Where its nodes listen for each other's packets, UDP.
    #[serde(default = "mesh_port")]
    pub data_path_port: u16,
}

const fn mesh_port() -> u16 {
    MESH_PORT
}

/// A range that subnets of one size are cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPool {
    /// The range.
    pub base: IpSubnet,
    /// Prefix length of each subnet.
    pub prefix: u8,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// Version and times.
    pub meta: Meta,
    /// What the user declares.
    pub spec: ServiceSpec,
    /// Goes up when a change of the spec asks for new containers, and with `--force-recreate`.
    pub spec_version: u64,
    /// The first `spec_version` whose anonymous volumes later containers take over (`up --renew-anon-volumes`).
    pub volumes_since: u64,
    /// To be removed once its tasks are, dependents first.
    pub removing: bool,
    /// Its new tasks are made ready and wait for a user to start them.
    #[serde(default)]
    pub held: bool,
    /// Addresses and ports given to it.
    pub endpoint: Endpoint,
    /// What it was before its tasks were last asked to be others.
    #[serde(default)]
    pub previous: Option<Box<PreviousSpec>>,
    /// How its last rolling update goes, or went.
    #[serde(default)]
    pub update: Option<UpdateStatus>,
}

/// What a service was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSpec {
    /// What the user had declared.
    pub spec: ServiceSpec,
    /// Its `spec_version`: tasks of it that are still there need not be made anew.
    pub spec_version: u64,
}

impl Service {
    /// A service that has just been declared.
    pub fn new(id: ServiceId, meta: Meta, spec: ServiceSpec, held: bool) -> Self {
        let (endpoint, previous, update) = (Endpoint::default(), None, None);
        Self { id, meta, spec, spec_version: 1, volumes_since: 0, removing: false, held, endpoint, previous, update }
    }

    /// What it was before, if it can go back.
    pub fn previous_spec(&self) -> Option<&ServiceSpec> {
        self.previous.as_ref().map(|previous| &previous.spec)
    }

    /// The newest `spec_version` that any task of it may be of.
    pub fn newest_version(&self) -> u64 {
        self.spec_version.max(self.previous.as_ref().map_or(0, |previous| previous.spec_version))
    }

    /// Whether it is to have any container.
    pub fn wants_containers(&self) -> bool {
        self.spec.mode != ServiceMode::Replicated { replicas: 0 } && !self.removing
    }
}

/// Addresses and ports that the allocator has given to a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// One virtual address a network and family.
    pub vips: Vec<Vip>,
    /// The spec's ports, each with its published port.
    pub ports: Vec<PortSpec>,
}

/// A service's address on a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vip {
    /// On which network.
    pub network: NetworkId,
    /// Inside that network's subnet.
    pub address: IpAddr,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Version and times.
    pub meta: Meta,
    /// What the user asks for.
    pub spec: NetworkSpec,
    /// Disjoint from every other network's.
    pub subnets: Vec<IpSubnet>,
    /// Parts of the subnets whose addresses a node may give to its containers.
    pub leases: BTreeMap<NodeId, Vec<IpSubnet>>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Version and times.
    pub meta: Meta,
    /// What it says of itself.
    pub description: NodeDescription,
    /// Whether its agent is heard of.
    pub state: NodeState,
    /// What the user wants of it.
    #[serde(default)]
    pub spec: NodeSpec,
    /// Its public key, which is who it is; empty for one that has not joined, or has left.
    #[serde(default)]
    pub key: Vec<u8>,
    /// As the other managers know it, if it is one.
    #[serde(default)]
    pub manager: Option<ManagerMember>,
    /// The address that it is reached at.
    #[serde(default)]
    pub address: String,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDescription {
    /// Host name.
    pub hostname: String,
    /// `x86_64` or `aarch64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// Version of Orca.
    pub engine_version: String,
    /// Billionths of a CPU.
    pub nano_cpus: u64,
    /// Bytes.
    pub memory: u64,
    /// Its end of the mesh, while it has one.
    pub mesh: Option<MeshEnd>,
    /// Labels that its daemon was given (`engine.labels`).
    pub labels: BTreeMap<String, String>,
    /// So many of each kind of things that it is said to have.
    pub generic: BTreeMap<String, u64>,
    /// SHA-256 of the certificate of the CA that its own is of; empty for one that has none.
    pub authority: Vec<u8>,
}

/// Whether a node's agent is heard of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Not yet, or not since this leader began.
    #[default]
    Unknown,
    /// Its session is up.
    Ready,
    /// It has missed its deadline.
    Down,
}

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its id.
    pub id: SecretId,
    /// Version and times.
    pub meta: Meta,
    /// What the user gives.
    pub spec: SecretSpec,
    /// Another one has its name now; it is kept for those that were made with it.
    #[serde(default)]
    pub superseded: bool,
}

/// A config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Its id.
    pub id: ConfigId,
    /// Version and times.
    pub meta: Meta,
    /// What the user gives.
    pub spec: ConfigSpec,
    /// Another one has its name now; it is kept for those that were made with it.
    #[serde(default)]
    pub superseded: bool,
}

impl Node {
    /// A node that has said so much of itself, and nothing else.
    pub fn new(id: NodeId, meta: Meta, description: NodeDescription, state: NodeState) -> Self {
        let (spec, key, manager, address) = (NodeSpec::default(), Vec::new(), None, String::new());
        Self { id, meta, description, state, spec, key, manager, address }
    }
}

impl Cluster {
    /// A cluster that is not open to others.
    pub fn new(id: ClusterId, meta: Meta, address_pools: Vec<AddressPool>) -> Self {
        let (spec, removed) = (ClusterSpec::default(), BTreeMap::new());
        Self { id, meta, address_pools, spec, identity: None, removed, data_path_port: MESH_PORT }
    }
}
