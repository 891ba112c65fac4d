//! Networks, attachments and published ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{IpSubnet, MacAddress, NetworkId, Timestamp};

/// A network as the user asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    /// Unique in the cluster: `PROJECT_KEY`, or what `name:` says.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The stack it belongs to.
    pub stack: Option<String>,
    /// No way out.
    pub internal: bool,
    /// Standalone containers may join.
    pub attachable: bool,
    /// Subnets asked for, one a family; those that are missing are allocated.
    pub subnets: Vec<IpSubnet>,
    /// What carries it: `bridge`, which may be left out, and `overlay` are routed; `macvlan` and `ipvlan` lie on a device of the node.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// How its addresses are given out.
    pub ipam: Ipam,
}

/// How a network's addresses are given out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ipam {
    /// Without IPv4.
    pub no_ipv4: bool,
    /// With IPv6.
    pub ipv6: bool,
    /// Parts of the subnets that addresses are given out from, one a subnet.
    pub ranges: Vec<IpSubnet>,
    /// The node's address in each subnet; where none is given, one is chosen.
    pub gateways: Vec<IpAddr>,
    /// Addresses that belong to something else, by its name.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

impl Ipam {
    /// Addresses that no container and no service is given.
    pub fn reserved(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.gateways.iter().chain(self.auxiliary.values()).copied()
    }

    /// The part of a subnet that addresses are given out from.
    pub fn range_of(&self, subnet: IpSubnet) -> IpSubnet {
        self.ranges.iter().copied().find(|range| subnet.contains(range.network())).unwrap_or(subnet)
    }
}

impl NetworkSpec {
    /// Whether its containers are on one link: there are no virtual addresses, since nothing of Orca's is in between.
    pub fn is_link(&self) -> bool {
        crate::LinkOptions::parse(&self.driver, &self.options).is_ok_and(|options| options.link != crate::Link::Routed)
    }

    /// Whether its containers' packets do not come by the host, so that no port of theirs can be published.
    pub fn is_elsewhere(&self) -> bool {
        crate::LinkOptions::parse(&self.driver, &self.options).is_ok_and(|options| options.link.parent().is_some())
    }

    /// Whether a subnet of each family that it is to have is among these.
    pub fn is_complete(&self, subnets: &[IpSubnet]) -> bool {
        let has = |v4: bool| subnets.iter().any(|subnet| subnet.is_ipv4() == v4);
        (self.ipam.no_ipv4 || has(true)) && (!self.ipam.ipv6 || has(false))
    }
}

/// How a container is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Only a loopback device.
    None,
    /// The host's network namespace.
    Host,
    /// These networks; the one with the default route first.
    Networks(Vec<AttachmentSpec>),
    /// The network namespace of another container of the node, by its name or id.
    Container(String),
    /// That of a container of the same project's service, by its key.
    Service(String),
}

impl Default for NetworkMode {
    fn default() -> Self {
        Self::Networks(Vec::new())
    }
}

impl NetworkMode {
    /// Whether the namespace is another container's.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Container(_) | Self::Service(_))
    }

    /// The attachments asked for; none for `none` and `host`.
    pub fn attachments(&self) -> &[AttachmentSpec] {
        match self {
            Self::Networks(attachments) => attachments,
            Self::None | Self::Host | Self::Container(_) | Self::Service(_) => &[],
        }
    }
}

/// One network of a container, as asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttachmentSpec {
    /// Name of the network in the store.
    pub network: String,
    /// Further names that DNS answers on this network.
    pub aliases: Vec<String>,
    /// Names that this container alone has for others on its networks: what it calls them, and what they are called.
    pub links: BTreeMap<String, String>,
    /// A fixed IPv4 address.
    pub ipv4_address: Option<IpAddr>,
    /// A fixed IPv6 address.
    pub ipv6_address: Option<IpAddr>,
    /// The link address of its device; `None`: one that follows from its IPv4 address.
    pub mac_address: Option<MacAddress>,
    /// Name of the device in the container; `None`: the first free one of `eth0`, `eth1` and so on.
    pub interface_name: Option<String>,
    /// Kernel parameters of the device, with `IFNAME` for its name: `net.ipv4.conf.IFNAME.log_martians`.
    pub sysctls: BTreeMap<String, String>,
    /// Further addresses of the device, for its link alone.
    pub link_local: Vec<IpAddr>,
    /// The network is the node's own ([`LocalNetwork`]), where the container will be; managers do not know it.
    pub local: bool,
}

/// A network of one node alone, which its agent keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalNetwork {
    /// Its id.
    pub id: NetworkId,
    /// Unique on the node.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What carries it: `macvlan`, `ipvlan`, or empty for `bridge`.
    pub driver: String,
    /// Options of the driver, as given.
    pub options: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// As given; standalone containers may always join.
    pub attachable: bool,
    /// Its subnets, one a family.
    pub pools: Vec<AddressRange>,
}

/// A subnet and how its addresses are given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRange {
    /// The subnet.
    pub subnet: IpSubnet,
    /// Where containers without a fixed address get theirs from; `None`: the whole subnet.
    pub range: Option<IpSubnet>,
    /// The node's own address there.
    pub gateway: IpAddr,
    /// Addresses that belong to something else, by its name.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// One network of a container, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Which network.
    pub network: NetworkId,
    /// Its addresses there, one a family at most.
    pub addresses: Vec<IpAddr>,
}

/// How many ports of one container or service may be published: each costs memory, a descriptor or two, and elements of the packet
/// filter.
pub const MAX_PORTS: usize = 16_384;

/// More ports than may be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} ports are too many: at most {MAX_PORTS} can be published; publish fewer, or use the host's network")]
pub struct TooManyPorts(pub usize);

/// Whether so many ports may be published.
///
/// # Errors
/// If not.
pub const fn check_port_count(count: usize) -> Result<(), TooManyPorts> {
    if count > MAX_PORTS { Err(TooManyPorts(count)) } else { Ok(()) }
}

/// A port that a service shows to the outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortSpec {
    /// Only on this address of the node; `None`: on all.
    pub host_ip: Option<IpAddr>,
    /// Port on the node; `None`: Orca chooses a free one.
    pub published: Option<u16>,
    /// Port in the container.
    pub target: u16,
    /// tcp, udp or sctp.
    pub protocol: Protocol,
    /// On every node, or only where a task runs.
    pub mode: PublishMode,
    /// Where Orca chooses from while `published` is not given; `None`: its own range.
    pub choose_from: Option<PortRange>,
}

/// Ports from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

/// Where a published port answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    /// On every node, balanced over all tasks.
    #[default]
    Ingress,
    /// On the node of each task.
    Host,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}
