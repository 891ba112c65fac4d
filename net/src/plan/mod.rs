//! What a node's network should be, as plain data, and the decisions that follow from it alone. Pure.
//!
//! [`NodePlan`] is the whole; [`validate`](NodePlan::validate) refuses what cannot be carried out, by name;
//! [`diff()`] compares devices, addresses and routes with what the kernel has; [`slots()`] fills balancing tables;
//! [`NodeKey`] makes every name that this node gives to a kernel object.

mod diff;
mod hash;
mod key;
mod slots;
mod validate;

#[cfg(test)]
pub(crate) mod sample;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::path::PathBuf;

use model::{ContainerId, IpSubnet, NetworkId, Protocol};
use serde::{Deserialize, Serialize};

pub use diff::{Action, Observed, diff};
pub use key::NodeKey;
pub use slots::{MAX_BACKENDS, SizeClass, slots, slots_after};

/// The next hop of every route inside a container: one link-local address on the host's loopback answers ARP on every
/// veth, so that no network needs an address of its own for that.
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
}

/// One network as this node serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Which network.
    pub id: NetworkId,
    /// Its name, for messages.
    pub name: String,
    /// Its IPv4 subnet.
    pub subnet: IpSubnet,
    /// The node's own address in it: from it the host speaks to its containers, and containers find the host there.
    pub gateway: Ipv4Addr,
    /// Its IPv6 subnet; refused for the time being by [`NodePlan::validate`].
    pub subnet6: Option<IpSubnet>,
    /// No way out.
    pub internal: bool,
    /// Largest packet in bytes; `None`: 1500.
    pub mtu: Option<u32>,
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
    /// Its address.
    pub address: Ipv4Addr,
    /// Its IPv6 address; refused for the time being by [`NodePlan::validate`].
    pub address6: Option<Ipv6Addr>,
    /// Link address of its device; `None`: the kernel's choice.
    pub mac: Option<[u8; 6]>,
    /// Whether the way out leads here; without effect on an internal network.
    pub default_route: bool,
}

/// A virtual address: every port of it leads to one of the backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipPlan {
    /// On which network.
    pub network: NetworkId,
    /// The address, inside the network's subnet.
    pub address: Ipv4Addr,
    /// Where its connections go; with none they are refused.
    pub backends: Vec<Ipv4Addr>,
}

/// A port of the node that leads to containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPlan {
    /// tcp or udp.
    pub protocol: Protocol,
    /// Port on the node, never 0.
    pub published: u16,
    /// Only on this address of the node; `None`: on all.
    pub host_ip: Option<IpAddr>,
    /// Where its connections go; with none they are refused.
    pub backends: Vec<SocketAddrV4>,
}

impl NodePlan {
    /// A node without networks.
    pub const fn empty(node_key: NodeKey) -> Self {
        Self { node_key, networks: Vec::new(), attachments: Vec::new(), vips: Vec::new(), ports: Vec::new() }
    }

    /// The network of that id.
    pub fn network(&self, id: NetworkId) -> Option<&NetworkPlan> {
        self.networks.iter().find(|network| network.id == id)
    }

    /// Name of the host's side of an attachment's veth pair.
    pub fn device(&self, attachment: &AttachmentPlan) -> String {
        self.node_key.device(attachment.container, attachment.network)
    }
}

impl PortPlan {
    /// The IPv4 address it is bound to, if it is bound to one.
    pub(crate) fn host_ipv4(&self) -> Option<Ipv4Addr> {
        match self.host_ip? {
            IpAddr::V4(address) if !address.is_unspecified() => Some(address),
            _ => None,
        }
    }
}
