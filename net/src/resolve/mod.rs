//! What a name means to the container that asks. Pure.
//!
//! A [`Zone`] holds the names of one network; an [`Asker`] is a container and the networks it is on. [`lookup`] decides
//! what a question is answered with, or that it is somebody else's to answer.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use model::{ContainerId, IpSubnet, NetworkId};
use serde::{Deserialize, Serialize};

/// Where containers find their name server; the same as Docker's, which configurations of nginx and others name.
pub const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 11), 53);

/// Seconds for which an answer may be kept. Containers come and go within seconds, and asking again costs
/// microseconds; one second still spares a busy loop its questions.
pub const TTL: u32 = 1;

/// All names of a node, and who may ask for which.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// By network.
    pub zones: BTreeMap<NetworkId, Zone>,
    /// By container.
    pub askers: BTreeMap<ContainerId, Asker>,
}

/// The names of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The network's name; `NAME.NETWORK` means the same as `NAME`.
    pub network: String,
    /// Addresses whose reverse names are this zone's to know.
    pub subnet: IpSubnet,
    /// The IPv6 one, where the other is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet6: Option<IpSubnet>,
    /// Names in lower case. What a name means is the caller's choice: a virtual address, or all tasks'.
    names: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    /// The name of an address.
    reverse: BTreeMap<Ipv4Addr, String>,
    /// The same for IPv6. A netd that knows of none reads the rest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    names6: BTreeMap<String, BTreeSet<Ipv6Addr>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    reverse6: BTreeMap<Ipv6Addr, String>,
}

/// A container that may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Where its network namespace is bound.
    pub netns: PathBuf,
    /// The networks whose names it knows, the most important first.
    pub networks: Vec<NetworkId>,
    /// Whether other names are forwarded; false on internal networks alone.
    pub forward: bool,
    /// Where to; empty: to the host's own servers.
    pub servers: Vec<SocketAddr>,
    /// Names of its own for others, in lower case, each with what it means.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
}

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name of an address.
    Ptr,
    /// Whatever there is.
    Any,
    /// Another type of record.
    Other,
}

/// What to say to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// These addresses, in this order; with none the name exists but has no such record.
    Addresses(Vec<IpAddr>),
    /// This name.
    Name(String),
    /// Ask somebody else.
    Forward,
    /// There is no such name.
    NxDomain,
    /// The asker is unknown.
    Refused,
}

impl Zone {
    /// A zone without names.
    pub fn new(network: impl Into<String>, subnet: IpSubnet, subnet6: Option<IpSubnet>) -> Self {
        Self {
            network: network.into(),
            subnet,
            subnet6,
            names: BTreeMap::new(),
            reverse: BTreeMap::new(),
            names6: BTreeMap::new(),
            reverse6: BTreeMap::new(),
        }
    }

    /// Adds an address to a name: a service, an alias, a container, its short id. Names that several containers bear
    /// mean all of them.
    pub fn add(&mut self, name: &str, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.names.entry(canonical(name)).or_default().insert(address),
            IpAddr::V6(address) => self.names6.entry(canonical(name)).or_default().insert(address),
        };
    }

    /// Adds a task of a service under `tasks.SERVICE`, which names each task even where the service has a virtual
    /// address.
    pub fn add_task(&mut self, service: &str, address: IpAddr) {
        self.add(&format!("tasks.{service}"), address);
    }

    /// Says which name an address has, for reverse questions.
    pub fn set_reverse(&mut self, address: IpAddr, name: &str) {
        match address {
            IpAddr::V4(address) => self.reverse.insert(address, canonical(name)),
            IpAddr::V6(address) => self.reverse6.insert(address, canonical(name)),
        };
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.subnet.contains(address) || self.subnet6.is_some_and(|subnet| subnet.contains(address))
    }

    fn name_of(&self, address: IpAddr) -> Option<&String> {
        match address {
            IpAddr::V4(address) => self.reverse.get(&address),
            IpAddr::V6(address) => self.reverse6.get(&address),
        }
    }

    /// All addresses of a name.
    fn find(&self, name: &str) -> Option<Vec<IpAddr>> {
        let of = |name: &str| {
            let (four, six) = (self.names.get(name), self.names6.get(name));
            let four = four.into_iter().flatten().copied().map(IpAddr::V4);
            let all: Vec<_> = four.chain(six.into_iter().flatten().copied().map(IpAddr::V6)).collect();
            (!all.is_empty()).then_some(all)
        };
        let qualified = || of(name.strip_suffix(&canonical(&self.network))?.strip_suffix('.')?);
        of(name).or_else(qualified)
    }
}

/// Lower case, without the root's dot (RFC 4343).
fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Answers a question. `rotation` says with which of several addresses to begin, so that clients that take the first
/// spread.
///
/// A name known on several of the asker's networks means its addresses on the first of them where it has any of the kind. A single label that is not
/// known is forwarded as Docker does, since the host's servers may know it; `tasks.` names never leave.
pub fn lookup(tables: &Tables, asker: ContainerId, name: &str, kind: Kind, rotation: usize) -> Outcome {
    let Some(asker) = tables.askers.get(&asker) else { return Outcome::Refused };
    let name = canonical(name);
    let name = asker.links.get(&name).map_or(name, |linked| canonical(linked));
    let zones = || asker.networks.iter().filter_map(|id| tables.zones.get(id));
    if let Some(address) = reverse_address(&name) {
        let mut own = zones().filter(|zone| zone.holds(address)).peekable();
        if own.peek().is_some() {
            return match (own.find_map(|zone| zone.name_of(address)), kind) {
                (Some(name), Kind::Ptr | Kind::Any) => Outcome::Name(name.clone()),
                (Some(_), _) => Outcome::Addresses(Vec::new()),
                (None, _) => Outcome::NxDomain,
            };
        }
    } else {
        let known: Vec<_> = zones().filter_map(|zone| zone.find(&name)).collect();
        let wanted = |address: &&IpAddr| match kind {
            Kind::A => address.is_ipv4(),
            Kind::Aaaa => address.is_ipv6(),
            Kind::Any => true,
            Kind::Ptr | Kind::Other => false,
        };
        let of_kind = known.iter().map(|all| all.iter().filter(wanted).copied().collect::<Vec<_>>());
        let first = of_kind.into_iter().find(|addresses| !addresses.is_empty());
        if !known.is_empty() {
            return Outcome::Addresses(rotated(first.unwrap_or_default(), rotation));
        }
    }
    if asker.forward && !name.starts_with("tasks.") { Outcome::Forward } else { Outcome::NxDomain }
}

fn rotated(mut list: Vec<IpAddr>, rotation: usize) -> Vec<IpAddr> {
    if !list.is_empty() {
        let start = rotation % list.len();
        list.rotate_left(start);
    }
    list
}

/// The address of a name such as `5.0.1.10.in-addr.arpa` (RFC 1035, section 3.5), or of one below `ip6.arpa` with a label a
/// hexadecimal digit (RFC 3596, section 2.5).
fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".ip6.arpa") {
        let mut labels = digits.rsplit('.');
        let mut bits = 0u128;
        for _ in 0..32 {
            let label = labels.next().filter(|label| label.len() == 1)?;
            bits = bits << 4 | u128::from(label.chars().next()?.to_digit(16)?);
        }
        return labels.next().is_none().then(|| Ipv6Addr::from(bits).into());
    }
    let mut octets = [0u8; 4];
    let mut labels = name.strip_suffix(".in-addr.arpa")?.split('.');
    for octet in octets.iter_mut().rev() {
        *octet = labels.next()?.parse().ok()?;
    }
    labels.next().is_none().then(|| Ipv4Addr::from(octets).into())
}
