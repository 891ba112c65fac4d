//! The rtnetlink messages that Orca uses (`linux/if_link.h`, `linux/if_addr.h`, `linux/rtnetlink.h`).

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use model::{IpSubnet, IpvlanFlag, IpvlanMode, MacvlanMode};

use super::message::{
    Attributes, Batch, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, attribute, read_u32,
};
use super::socket::Netlink;
use crate::Error;
use crate::plan::Family;

pub(super) const NEWLINK: u16 = 16;
pub(super) const DELLINK: u16 = 17;
pub(super) const GETLINK: u16 = 18;
const NEWLINKPROP: u16 = 108;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
pub(super) const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;
const DELROUTE: u16 = 25;
pub(super) const GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFF_UP: u32 = 1;

/// Bytes of `struct ifinfomsg`, `struct ifaddrmsg` and `struct rtmsg`.
pub(super) const LINK_HEADER_LEN: usize = 16;
pub(super) const ADDRESS_HEADER_LEN: usize = 8;
pub(super) const ROUTE_HEADER_LEN: usize = 12;

/// Every namespace's loopback device has this index.
pub(super) const LOOPBACK: u32 = 1;
pub(super) const SCOPE_LINK: u8 = 253;
/// Marks routes as Orca's, as `proto` of ip-route(8); the kernel leaves numbers from 5 on to routing programs.
pub(super) const ROUTE_PROTOCOL: u8 = 111;
const INET: u8 = libc::AF_INET as u8;
const INET6: u8 = libc::AF_INET6 as u8;
const TABLE_MAIN: u8 = 254;

/// The number of an address family.
pub(super) const fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => INET,
        Family::V6 => INET6,
    }
}

/// An address as the kernel takes it.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// `struct ifinfomsg`.
pub(super) fn link_header(index: u32, flags: u32, change: u32) -> [u8; LINK_HEADER_LEN] {
    let mut header = [0; LINK_HEADER_LEN];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

/// The far side of a veth pair.
pub(super) struct Peer<'a> {
    pub(super) name: &'a str,
    pub(super) netns: BorrowedFd<'a>,
    pub(super) mac: Option<[u8; 6]>,
}

/// Creates a veth pair, its peer in another namespace.
pub(super) fn create_veth(batch: &mut Batch, name: &str, peer: &Peer<'_>, mtu: Option<u32>) {
    let Peer { name: peer, netns, mac } = peer;
    let label = format!("create device {name} with peer {peer}");
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let set_mtu = |a: &mut Attributes| mtu.into_iter().for_each(|mtu| a.number(IFLA_MTU, mtu));
    batch.message(label, NEWLINK, flags, &link_header(0, 0, 0), |a| {
        a.text(IFLA_IFNAME, name);
        set_mtu(a);
        a.nest(IFLA_LINKINFO, |a| {
            a.bytes(1, b"veth"); // IFLA_INFO_KIND
            a.nest(2, |a| {
                // IFLA_INFO_DATA, VETH_INFO_PEER
                a.nest(1, |a| {
                    a.raw(&link_header(0, 0, 0));
                    a.text(IFLA_IFNAME, peer);
                    if let Some(mac) = mac {
                        a.bytes(IFLA_ADDRESS, mac);
                    }
                    a.number(IFLA_NET_NS_FD, netns.as_raw_fd() as u32);
                    set_mtu(a);
                });
            });
        });
    });
}

/// Creates a bridge device.
pub(super) fn create_bridge(batch: &mut Batch, name: &str, mtu: Option<u32>) {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    batch.message(format!("create bridge {name}"), NEWLINK, flags, &link_header(0, 0, 0), |a| {
        a.text(IFLA_IFNAME, name);
        mtu.into_iter().for_each(|mtu| a.number(IFLA_MTU, mtu));
        a.nest(IFLA_LINKINFO, |a| a.bytes(1, b"bridge"));
    });
}

/// Creates the device of a VLAN.
pub(super) fn create_vlan(batch: &mut Batch, name: &str, parent: u32, id: u16) {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    batch.message(format!("create device {name} of VLAN {id}"), NEWLINK, flags, &link_header(0, 0, 0), |a| {
        a.text(IFLA_IFNAME, name);
        a.number(IFLA_LINK, parent);
        a.nest(IFLA_LINKINFO, |a| {
            a.bytes(1, b"vlan");
            a.nest(2, |a| a.bytes(1, &id.to_ne_bytes())); // IFLA_VLAN_ID
        });
    });
}

/// Creates a macvlan device on a parent, in another namespace.
pub(super) fn create_macvlan(batch: &mut Batch, peer: &Peer<'_>, parent: u32, mode: MacvlanMode) {
    let Peer { name, netns, mac } = peer;
    // MACVLAN_MODE_PRIVATE and so on.
    let mode = match mode {
        MacvlanMode::Private => 1,
        MacvlanMode::Vepa => 2,
        MacvlanMode::Bridge => 4,
        MacvlanMode::Passthru => 8,
    };
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    batch.message(format!("create macvlan device {name}"), NEWLINK, flags, &link_header(0, 0, 0), |a| {
        a.text(IFLA_IFNAME, name);
        a.number(IFLA_LINK, parent);
        a.number(IFLA_NET_NS_FD, netns.as_raw_fd() as u32);
        // A passthru device has the parent's.
        if let Some(mac) = mac.filter(|_| mode != 8) {
            a.bytes(IFLA_ADDRESS, &mac);
        }
        a.nest(IFLA_LINKINFO, |a| {
            a.bytes(1, b"macvlan");
            a.nest(2, |a| a.number(1, mode)); // IFLA_MACVLAN_MODE
        });
    });
}

/// Creates an ipvlan device on a parent, in another namespace. Its link address is the parent's.
pub(super) fn create_ipvlan(batch: &mut Batch, peer: &Peer<'_>, parent: u32, mode: IpvlanMode, flag: IpvlanFlag) {
    let netns = peer.netns.as_raw_fd() as u32;
    ipvlan(batch, peer.name, parent, mode, flag, |a| a.number(IFLA_NET_NS_FD, netns));
}

/// The same in this namespace.
pub(super) fn create_ipvlan_here(batch: &mut Batch, name: &str, parent: u32, mode: IpvlanMode, flag: IpvlanFlag) {
    ipvlan(batch, name, parent, mode, flag, |_| {});
}

fn ipvlan(
    batch: &mut Batch,
    name: &str,
    parent: u32,
    mode: IpvlanMode,
    flag: IpvlanFlag,
    more: impl Fn(&mut Attributes),
) {
    // IPVLAN_MODE_L2 and so on.
    let mode: u16 = match mode {
        IpvlanMode::L2 => 0,
        IpvlanMode::L3 => 1,
        IpvlanMode::L3s => 2,
    };
    // IPVLAN_F_PRIVATE, IPVLAN_F_VEPA.
    let flag: u16 = match flag {
        IpvlanFlag::Bridge => 0,
        IpvlanFlag::Private => 1,
        IpvlanFlag::Vepa => 2,
    };
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    batch.message(format!("create ipvlan device {name}"), NEWLINK, flags, &link_header(0, 0, 0), |a| {
        a.text(IFLA_IFNAME, name);
        a.number(IFLA_LINK, parent);
        more(a);
        a.nest(IFLA_LINKINFO, |a| {
            a.bytes(1, b"ipvlan");
            a.nest(2, |a| {
                a.bytes(1, &mode.to_ne_bytes()); // IFLA_IPVLAN_MODE
                a.bytes(2, &flag.to_ne_bytes()); // IFLA_IPVLAN_FLAGS
            });
        });
    });
}

/// Gives a device a further name.
pub(super) fn name_also(batch: &mut Batch, index: u32, name: &str) {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND;
    batch.message(format!("name a device {name}"), NEWLINKPROP, flags, &link_header(index, 0, 0), |a| {
        a.nest(52, |a| a.text(53, name)); // IFLA_PROP_LIST, IFLA_ALT_IFNAME
    });
}

/// Marks a device.
pub(super) fn set_alias(batch: &mut Batch, index: u32, alias: &str) {
    batch.message("mark a device", NEWLINK, NLM_F_ACK, &link_header(index, 0, 0), |a| a.text(IFLA_IFALIAS, alias));
}

/// Makes a device a port of a bridge. What the host sends back to where it came from, as to a container that asks for a
/// published port of its own, passes too (IFLA_BRPORT_MODE, "hairpin").
pub(super) fn set_master(batch: &mut Batch, index: u32, bridge: u32) {
    batch.message("add a port to a bridge", NEWLINK, NLM_F_ACK, &link_header(index, 0, 0), |a| {
        a.number(IFLA_MASTER, bridge);
    });
    batch.message("configure a port of a bridge", NEWLINK, NLM_F_ACK, &link_header(index, 0, 0), |a| {
        a.nest(IFLA_LINKINFO, |a| {
            a.bytes(4, b"bridge"); // IFLA_INFO_SLAVE_KIND
            a.nest(5, |a| a.bytes(4, &[1])); // IFLA_INFO_SLAVE_DATA
        });
    });
}

/// Sets the length of a device's largest packet.
pub(super) fn set_mtu(batch: &mut Batch, index: u32, mtu: u32) {
    let label = format!("set a device's MTU to {mtu}");
    batch.message(label, NEWLINK, NLM_F_ACK, &link_header(index, 0, 0), |a| a.number(IFLA_MTU, mtu));
}

/// Sets a device's link address.
pub(super) fn set_link_address(batch: &mut Batch, index: u32, address: [u8; 6]) {
    let label = "set a device's link address";
    batch.message(label, NEWLINK, NLM_F_ACK, &link_header(index, 0, 0), |a| a.bytes(IFLA_ADDRESS, &address));
}

/// Says which link address a neighbour has, for good: it is never asked.
pub(super) fn add_neighbour(batch: &mut Batch, index: u32, address: IpAddr, link: [u8; 6]) {
    const NEWNEIGH: u16 = 28;
    const NUD_PERMANENT: u16 = 0x80;
    let mut header = [0; 12];
    header[0] = family_number(Family::of(address));
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    batch.message(format!("add neighbour {address}"), NEWNEIGH, flags, &header, |a| {
        a.bytes(1, &octets(address)); // NDA_DST
        a.bytes(2, &link); // NDA_LLADDR
    });
}

/// A rule that has packets of a mark routed by the table of the same number.
#[derive(Debug, Clone, Copy)]
pub(super) struct MarkRule {
    pub(super) family: Family,
    pub(super) mark: u32,
    pub(super) priority: u32,
}

pub(super) const FRA_PRIORITY: u16 = 6;
pub(super) const FRA_FWMARK: u16 = 10;
/// Bytes of `struct fib_rule_hdr`.
pub(super) const RULE_HEADER_LEN: usize = 12;
pub(super) const GETRULE: u16 = 34;

/// Adds such a rule.
pub(super) fn add_rule(batch: &mut Batch, rule: MarkRule) {
    rule_message(batch, "add", 32, NLM_F_CREATE | NLM_F_EXCL, rule);
}

/// Removes such a rule.
pub(super) fn remove_rule(batch: &mut Batch, rule: MarkRule) {
    rule_message(batch, "remove", 33, 0, rule);
}

fn rule_message(batch: &mut Batch, verb: &str, kind: u16, flags: u16, rule: MarkRule) {
    let MarkRule { family, mark, priority } = rule;
    let mut header = [0; RULE_HEADER_LEN];
    (header[0], header[7]) = (family_number(family), 1); // FR_ACT_TO_TBL
    batch.message(format!("{verb} the rule for mark {mark:#x}"), kind, flags | NLM_F_ACK, &header, |a| {
        a.number(FRA_PRIORITY, priority);
        a.number(FRA_FWMARK, mark);
        a.number(15, mark); // FRA_TABLE
        a.number(16, u32::MAX); // FRA_FWMASK
        a.bytes(21, &[ROUTE_PROTOCOL]); // FRA_PROTOCOL
    });
}

/// Brings a device up.
pub(super) fn set_up(batch: &mut Batch, index: u32) {
    batch.message("bring a device up", NEWLINK, NLM_F_ACK, &link_header(index, IFF_UP, IFF_UP), |_| {});
}

/// Sets IPv4 parameters of a device, by their numbers in `linux/ip.h`.
pub(super) fn configure(batch: &mut Batch, index: u32, parameters: &[(u16, u32)]) {
    batch.message("configure a device", NEWLINK, NLM_F_ACK, &link_header(index, 0, 0), |a| {
        a.nest(IFLA_AF_SPEC, |a| {
            a.nest(u16::from(INET), |a| {
                // IFLA_INET_CONF
                a.nest(1, |a| parameters.iter().for_each(|&(parameter, value)| a.number(parameter, value)));
            });
        });
    });
}

/// Lets a device have only the link-local address that it is given.
pub(super) fn no_address_of_its_own(batch: &mut Batch, index: u32) {
    batch.message("configure a device", NEWLINK, NLM_F_ACK, &link_header(index, 0, 0), |a| {
        a.nest(IFLA_AF_SPEC, |a| a.nest(u16::from(INET6), |a| a.bytes(8, &[1]))); // IN6_ADDR_GEN_MODE_NONE
    });
}

/// Deletes a device by name.
pub(super) fn remove(batch: &mut Batch, name: &str) {
    let label = format!("delete device {name}");
    batch.message(label, DELLINK, NLM_F_ACK, &link_header(0, 0, 0), |a| a.text(IFLA_IFNAME, name));
}

/// A device as the kernel tells it.
pub(super) struct Link {
    pub(super) index: u32,
    /// For a veth the peer's index, in its own namespace.
    pub(super) peer: Option<u32>,
}

/// Looks a device up; `None` when there is none.
pub(super) fn find(socket: &Netlink, name: &str) -> Result<Option<Link>, Error> {
    let mut found = None;
    let header = link_header(0, 0, 0);
    let answer = socket.query(
        "devices",
        GETLINK,
        0,
        &header,
        |a| a.text(IFLA_IFNAME, name),
        |payload| {
            let attributes = payload.get(LINK_HEADER_LEN..).unwrap_or_default();
            let peer = attribute(attributes, IFLA_LINK).and_then(|value| read_u32(value, 0));
            found = read_u32(payload, 4).map(|index| Link { index, peer });
        },
    );
    match answer {
        Err(Error::Refused { source, .. }) if source.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        other => other.map(|()| found),
    }
}

/// An address to add to a device.
pub(super) struct Address<'a> {
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    pub(super) scope: u8,
    pub(super) mark: Option<Mark<'a>>,
    pub(super) no_prefix_route: bool,
}

/// What tells an address of Orca's: IPv4 has labels, IPv6 the metric of the address's route.
pub(super) struct Mark<'a> {
    pub(super) label: &'a str,
    pub(super) metric: u32,
}

/// Adds an address.
pub(super) fn add_address(batch: &mut Batch, address: &Address<'_>) {
    const IFA_F_NODAD: u32 = 2;
    const IFA_F_NOPREFIXROUTE: u32 = 0x200;
    let family = Family::of(address.address);
    let label = format!("add address {}/{}", address.address, address.prefix);
    let header = address_header(family, address.index, address.prefix, address.scope);
    // Orca gives each address once: there is nobody to ask for duplicates, and no time to wait for them.
    let own = if family == Family::V6 { IFA_F_NODAD } else { 0 };
    let flags = own | if address.no_prefix_route { IFA_F_NOPREFIXROUTE } else { 0 };
    batch.message(label, NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &header, |a| {
        a.bytes(1, &octets(address.address)); // IFA_ADDRESS
        a.bytes(2, &octets(address.address)); // IFA_LOCAL
        match (&address.mark, family) {
            (Some(mark), Family::V4) => a.text(3, mark.label),    // IFA_LABEL
            (Some(mark), Family::V6) => a.number(9, mark.metric), // IFA_RT_PRIORITY
            (None, _) => {}
        }
        if flags != 0 {
            a.number(8, flags); // IFA_FLAGS
        }
    });
}

/// Removes an address with the longest prefix.
pub(super) fn remove_address(batch: &mut Batch, index: u32, address: IpAddr) {
    let family = Family::of(address);
    let header = address_header(family, index, family.width(), 0);
    batch.message(format!("remove address {address}"), DELADDR, NLM_F_ACK, &header, |a| {
        a.bytes(2, &octets(address));
    });
}

/// `struct ifaddrmsg`.
fn address_header(family: Family, index: u32, prefix: u8, scope: u8) -> [u8; ADDRESS_HEADER_LEN] {
    let index = index.to_ne_bytes();
    [family_number(family), prefix, 0, scope, index[0], index[1], index[2], index[3]]
}

/// A route.
pub(super) struct Route {
    pub(super) destination: IpSubnet,
    pub(super) device: u32,
    /// The next hop, taken to be on the device's link whatever other routes say.
    pub(super) via: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
    /// Lower is preferred.
    pub(super) metric: u32,
    /// `None`: the main one.
    pub(super) table: Option<u32>,
}

impl Route {
    /// A destination on the device's own link.
    pub(super) const fn to(destination: IpSubnet, device: u32) -> Self {
        Self { destination, device, via: None, source: None, metric: 0, table: None }
    }
}

/// Adds a route or replaces the one with the same destination and metric.
pub(super) fn add_route(batch: &mut Batch, route: &Route) {
    let label = format!("add the route to {}", route.destination);
    route_message(batch, label, NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
}

/// Removes a route.
pub(super) fn remove_route(batch: &mut Batch, route: &Route) {
    route_message(batch, format!("remove the route to {}", route.destination), DELROUTE, 0, route);
}

fn route_message(batch: &mut Batch, label: String, kind: u16, flags: u16, route: &Route) {
    const RTNH_F_ONLINK: u32 = 4;
    const RTN_UNICAST: u8 = 1;
    const RTN_LOCAL: u8 = 2;
    const RTN_UNREACHABLE: u8 = 7;
    let family = Family::of(route.destination.network());
    let scope = if route.via.is_some() { 0 } else { SCOPE_LINK };
    // An IPv6 next hop is link-local and so on the link by nature.
    let onlink = if route.via.is_some() && family == Family::V4 { RTNH_F_ONLINK } else { 0 };
    // IPv6 packets are never routed to the loopback device, unless to what is the host's own.
    let way = match (family == Family::V6 && route.device == LOOPBACK, route.destination.prefix() == family.width()) {
        (false, _) => RTN_UNICAST,
        (true, true) => RTN_LOCAL,
        (true, false) => RTN_UNREACHABLE,
    };
    let mut header = [0; ROUTE_HEADER_LEN];
    header[..8].copy_from_slice(&[
        family_number(family),
        route.destination.prefix(),
        0,
        0,
        if route.table.is_some() { 0 } else { TABLE_MAIN },
        ROUTE_PROTOCOL,
        scope,
        way,
    ]);
    header[8..].copy_from_slice(&onlink.to_ne_bytes());
    batch.message(label, kind, flags | NLM_F_ACK, &header, |a| {
        a.bytes(1, &octets(route.destination.network())); // RTA_DST
        a.number(4, route.device); // RTA_OIF
        if let Some(via) = route.via {
            a.bytes(5, &octets(via)); // RTA_GATEWAY
        }
        if route.metric != 0 {
            a.number(6, route.metric); // RTA_PRIORITY
        }
        if let Some(source) = route.source {
            a.bytes(7, &octets(source)); // RTA_PREFSRC
        }
        if let Some(table) = route.table {
            a.number(15, table); // RTA_TABLE
        }
    });
}

/// The one address as a subnet.
pub(super) fn host_subnet(address: IpAddr) -> Result<IpSubnet, Error> {
    IpSubnet::new(address, Family::of(address).width()).ok_or(Error::Malformed { what: "an address" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ip(8) sends for `ip link add try link #7 type ipvlan mode l3s vepa`: lengths and numbers of `linux/if_link.h`.
    #[test]
    fn an_ipvlan_device_is_asked_for_in_the_kernels_words() {
        let mut batch = Batch::default();
        create_ipvlan_here(&mut batch, "try", 7, IpvlanMode::L3s, IpvlanFlag::Vepa);
        let message = batch.as_bytes();
        let mut expected = Vec::new();
        let mut attribute = |length: u16, kind: u16, content: &[u8]| {
            expected.extend(length.to_ne_bytes());
            expected.extend(kind.to_ne_bytes());
            expected.extend(content);
        };
        const NESTED: u16 = 0x8000;
        attribute(8, 3, b"try\0");
        attribute(8, 5, &7_u32.to_ne_bytes());
        attribute(36, 18, &[]);
        attribute(10, 1, b"ipvlan\0\0");
        attribute(20, 2, &[]);
        attribute(6, 1, &[2, 0, 0, 0]);
        attribute(6, 2, &[2, 0, 0, 0]);
        let content: Vec<u8> = message.get(16 + LINK_HEADER_LEN..).unwrap().to_vec();
        // Whether a nest is marked as one is the writer's choice.
        let mut unmarked = content.clone();
        for at in [16, 32] {
            let kind = u16::from_ne_bytes([content[at + 2], content[at + 3]]) & !NESTED;
            unmarked[at + 2..at + 4].copy_from_slice(&kind.to_ne_bytes());
        }
        assert_eq!(unmarked, expected);
        assert_eq!(message.get(4..6), Some(&NEWLINK.to_ne_bytes()[..]));
    }
}
