//! What a node's network should be, as plain data, and the decisions that follow from it alone. Pure.
//!
//! [`NodePlan`] is the whole; [`validate`](NodePlan::validate) refuses what cannot be carried out, by name;
//! [`diff()`] compares devices, addresses and routes with what the kernel has; [`slots()`] fills balancing tables;
//! [`NodeKey`] makes every name that this node gives to a kernel object.

mod diff;
mod family;
mod hash;
mod key;
mod slots;
mod validate;

#[cfg(test)]
pub(crate) mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use model::{ContainerId, IpSubnet, Link, NetworkId, Protocol};
use serde::{Deserialize, Serialize};

use crate::peers::{Mesh, Zone};

pub use diff::{Action, Observed, diff};
pub use family::Family;
pub(crate) use hash::stable_hash;
pub use key::NodeKey;
pub use slots::{MAX_BACKENDS, SizeClass, slots, slots_after};

/// The IPv4 next hop inside a container: on the host's loopback, where it answers ARP on every veth.
pub const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Everything about one node's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// From which the names of devices and tables derive.
    pub node_key: NodeKey,
    /// Networks that this node serves.
    pub networks: Vec<NetworkPlan>,
    /// Containers of this node on those networks.
    pub attachments: Vec<AttachmentPlan>,
    /// Virtual addresses.
    pub vips: Vec<VipPlan>,
    /// Published ports.
    pub ports: Vec<PortPlan>,
    /// The way to other nodes; `None` for a node that is alone.
    #[serde(default)]
    pub mesh: Option<MeshPlan>,
}

/// The way to other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshPlan {
    /// This node's end, and who is at the others.
    pub mesh: Mesh,
    /// Which addresses of this node's networks are at other nodes.
    pub foreign: BTreeMap<NetworkId, Vec<IpSubnet>>,
    /// Where clients of published ports are led to across nodes.
    #[serde(default)]
    pub crossing: Crossing,
}

/// Published ports across nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// Containers at other nodes that ports of this one lead to, and where they are.
    pub away: BTreeMap<IpAddr, Zone>,
    /// What of this node other nodes may lead their clients to.
    pub here: BTreeSet<(IpAddr, Protocol, u16)>,
}

impl Crossing {
    /// Whether nothing crosses.
    pub fn is_empty(&self) -> bool {
        self.away.is_empty() && self.here.is_empty()
    }

    /// Whether something of a family does.
    pub fn has(&self, family: Family) -> bool {
        self.away.keys().chain(self.here.iter().map(|(address, ..)| address)).any(|a| Family::of(*a) == family)
    }
}

/// One network as this node serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Which network.
    pub id: NetworkId,
    /// Its name, for messages.
    pub name: String,
    /// Its subnets, one a family at most.
    pub subnets: Vec<SubnetPlan>,
    /// No way out.
    pub internal: bool,
    /// Largest packet in bytes; `None`: 1500.
    pub mtu: Option<u32>,
    /// How its containers are linked.
    pub link: Link,
    /// Its containers do not reach each other, but at virtual addresses and published ports.
    pub apart: bool,
    /// What leaves for the outside keeps its source address.
    pub own_source: bool,
}

/// A network's addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetPlan {
    /// The subnet.
    pub subnet: IpSubnet,
    /// The node's own address in it: from it the host speaks to its containers, and containers find the host there.
    pub gateway: IpAddr,
}

/// One container on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentPlan {
    /// Which container.
    pub container: ContainerId,
    /// Where its network namespace is bound.
    pub netns: PathBuf,
    /// Which network.
    pub network: NetworkId,
    /// Name of the device inside the container: `eth0` and so on.
    pub interface: String,
    /// Its addresses, one a family at most.
    pub addresses: Vec<IpAddr>,
    /// Link address of its device; `None`: the kernel's choice.
    pub mac: Option<[u8; 6]>,
    /// Further addresses of its device, for its link alone.
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
    /// Kernel parameters of its device, as [`model::AttachmentSpec`] has them.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Families whose way out leads here; without effect on an internal network.
    pub ways_out: Vec<Family>,
}

/// A virtual address: every port of it leads to one of the backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipPlan {
    /// On which network.
    pub network: NetworkId,
    /// The address, inside the network's subnet of its family.
    pub address: IpAddr,
    /// Where its connections go, all of its family; with none they are refused.
    pub backends: Vec<IpAddr>,
}

/// A port of the node that leads to containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPlan {
    /// tcp or udp.
    pub protocol: Protocol,
    /// Port on the node, never 0.
    pub published: u16,
    /// Only on this address of the node, or on all of its family if it is unspecified; `None`: on all.
    pub host_ip: Option<IpAddr>,
    /// Where its connections go, those of a family to backends of that family; with none they are refused.
    pub backends: Vec<SocketAddr>,
    /// Backends see the node instead of the client.
    #[serde(default)]
    pub snat: bool,
}

impl NodePlan {
    /// A node without networks.
    pub const fn empty(node_key: NodeKey) -> Self {
        Self {
            node_key,
            networks: Vec::new(),
            attachments: Vec::new(),
            vips: Vec::new(),
            ports: Vec::new(),
            mesh: None,
        }
    }

    /// The network of that id.
    pub fn network(&self, id: NetworkId) -> Option<&NetworkPlan> {
        self.networks.iter().find(|network| network.id == id)
    }

    /// What of a network's addresses of a family is at other nodes.
    pub fn foreign(&self, network: NetworkId, family: Family) -> impl Iterator<Item = IpSubnet> {
        let foreign = self.mesh.iter().filter_map(move |mesh| mesh.foreign.get(&network)).flatten();
        foreign.copied().filter(move |prefix| family.has(prefix))
    }

    /// What of published ports crosses to other nodes, and comes from there; `None` if nothing does.
    pub(crate) fn crossing(&self) -> Option<(&Mesh, &Crossing)> {
        let mesh = self.mesh.as_ref().filter(|mesh| !mesh.crossing.is_empty())?;
        Some((&mesh.mesh, &mesh.crossing))
    }

    /// Name of the host's side of an attachment's veth pair.
    pub fn device(&self, attachment: &AttachmentPlan) -> String {
        self.node_key.device(attachment.container, attachment.network)
    }

    /// The device that an attachment's packets come to the host by; `None` where they do not.
    pub(crate) fn way_in(&self, attachment: &AttachmentPlan) -> Option<String> {
        match self.network(attachment.network)?.link {
            Link::Routed => Some(self.device(attachment)),
            Link::Bridge { .. } => Some(self.node_key.bridge(attachment.network)),
            Link::Macvlan { .. } | Link::Ipvlan { .. } => None,
        }
    }
}

impl NetworkPlan {
    /// Whether its packets come to the host at all.
    pub fn meets_host(&self) -> bool {
        self.link.parent().is_none()
    }

    /// Its addresses of a family.
    pub fn side(&self, family: Family) -> Option<&SubnetPlan> {
        self.subnets.iter().find(|side| family.has(&side.subnet))
    }
}

impl AttachmentPlan {
    /// Its address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }
}

impl PortPlan {
    /// Whether it answers on addresses of a family.
    pub(crate) fn is_on(&self, family: Family) -> bool {
        self.host_ip.is_none_or(|address| Family::of(address) == family)
    }

    /// The one address that it is bound to, if it is bound to one.
    pub(crate) fn host_address(&self) -> Option<IpAddr> {
        self.host_ip.filter(|address| !address.is_unspecified())
    }

    /// The backends that connections of a family go to.
    pub(crate) fn backends_of(&self, family: Family) -> Vec<SocketAddr> {
        self.backends.iter().copied().filter(|backend| Family::of(backend.ip()) == family).collect()
    }
}
