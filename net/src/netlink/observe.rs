//! What the kernel has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::IpSubnet;

use super::link::{
    ADDRESS_HEADER_LEN, FRA_FWMARK, FRA_PRIORITY, GETADDR, GETLINK, GETROUTE, GETRULE, IFLA_IFALIAS, IFLA_IFNAME,
    LINK_HEADER_LEN, LOOPBACK, ROUTE_HEADER_LEN, ROUTE_PROTOCOL, RULE_HEADER_LEN, family_number, link_header,
};
use super::message::{NLM_F_DUMP, attribute, read_text, read_u32};
use super::socket::Netlink;
use crate::Error;
use crate::peers::Zone;
use crate::plan::{Family, NodeKey, Observed};

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_RT_PRIORITY: u16 = 9;

/// Reads the devices, addresses and routes that carry this node's key.
pub fn observe(key: &NodeKey) -> Result<Observed, Error> {
    let socket = Netlink::route()?;
    let mut observed = Observed::default();
    let (prefix, alias) = (key.device_prefix(), key.alias());
    devices(&socket, |name, found| {
        if name.starts_with(&prefix) {
            observed.devices.insert(name);
        } else if found == Some(alias.as_str()) {
            observed.vlans.insert(name);
        }
    })?;
    let (label, metric) = (key.address_label(), key.address_metric());
    let is_ours = |found: &Found| match Family::of(found.address) {
        Family::V4 => found.label == label,
        Family::V6 => found.metric == Some(metric),
    };
    addresses(&socket, |found| {
        if found.index == LOOPBACK && is_ours(&found) {
            observed.loopback.insert(found.address);
        }
    })?;
    // Routes bear no mark; theirs is that their source address is one of ours.
    let mesh = super::link::find(&socket, &key.mesh())?.map(|device| device.index);
    let mut found = Vec::new();
    routes(&socket, |payload| found.extend(own_route(payload)))?;
    let ours = |device| {
        let of_device = found.iter().filter(move |(_, _, at)| Some(*at) == device);
        of_device.filter(|(_, source, _)| observed.loopback.contains(source)).map(|(to, source, _)| (*to, *source))
    };
    observed.ways = ways(&socket, key)?;
    (observed.subnets, observed.foreign) = (ours(Some(LOOPBACK)).collect(), ours(mesh).collect());
    Ok(observed)
}

/// The marks by which this node's rules choose routes.
fn ways(socket: &Netlink, key: &NodeKey) -> Result<BTreeSet<Zone>, Error> {
    let mut found = BTreeSet::new();
    for family in Family::ALL {
        let header = header::<RULE_HEADER_LEN>(family);
        let listed = socket.query(
            "rules",
            GETRULE,
            NLM_F_DUMP,
            &header,
            |_| {},
            |payload| {
                let attributes = payload.get(RULE_HEADER_LEN..).unwrap_or_default();
                let number = |kind| attribute(attributes, kind).and_then(|value| read_u32(value, 0));
                let is_ours = number(FRA_PRIORITY) == Some(key.rule_priority());
                found.extend(number(FRA_FWMARK).filter(|_| is_ours).and_then(Zone::of_mark));
            },
        );
        match listed {
            // A kernel without IPv6.
            Err(Error::Refused { source, .. }) if source.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            other => other?,
        }
    }
    Ok(found)
}

/// Subnets that this host reaches by other means than Orca's, with the device: what a new network must not overlap. The
/// way to everything else is none of them.
pub fn foreign_subnets() -> Result<Vec<(IpSubnet, String)>, Error> {
    let socket = Netlink::route()?;
    let mut names = BTreeMap::new();
    socket.query(
        "devices",
        GETLINK,
        NLM_F_DUMP,
        &link_header(0, 0, 0),
        |_| {},
        |payload| {
            let attributes = payload.get(LINK_HEADER_LEN..).unwrap_or_default();
            if let (Some(index), Some(name)) = (read_u32(payload, 4), attribute(attributes, IFLA_IFNAME)) {
                names.insert(index, read_text(name));
            }
        },
    )?;
    let mut found = Vec::new();
    routes(&socket, |payload| found.extend(foreign_route(payload)))?;
    let named = |(subnet, device): (IpSubnet, u32)| (subnet, names.get(&device).cloned().unwrap_or_default());
    Ok(found.into_iter().map(named).collect())
}

/// All addresses of a device.
pub(super) fn addresses_of(socket: &Netlink, index: u32) -> Result<Vec<IpAddr>, Error> {
    let mut all = Vec::new();
    addresses(socket, |found| all.extend((found.index == index).then_some(found.address)))?;
    Ok(all)
}

/// The length of the largest packet of the device that has an address.
pub fn mtu_at(address: IpAddr) -> Result<Option<u32>, Error> {
    let socket = Netlink::route()?;
    let mut index = None;
    addresses(&socket, |found| index = index.or((found.address == address).then_some(found.index)))?;
    let Some(index) = index else { return Ok(None) };
    let mut mtu = None;
    // Of this device alone: a node has two for each container.
    socket.query(
        "a device",
        GETLINK,
        0,
        &link_header(index, 0, 0),
        |_| {},
        |payload| {
            let attributes = payload.get(LINK_HEADER_LEN..).unwrap_or_default();
            mtu = attribute(attributes, super::link::IFLA_MTU).and_then(|value| read_u32(value, 0));
        },
    )?;
    Ok(mtu)
}

/// All addresses of this host.
pub fn local_addresses() -> Result<BTreeSet<IpAddr>, Error> {
    let mut all = BTreeSet::new();
    addresses(&Netlink::route()?, |found| {
        all.insert(found.address);
    })?;
    Ok(all)
}

fn header<const LEN: usize>(family: Family) -> [u8; LEN] {
    let mut header = [0; LEN];
    if let Some(first) = header.first_mut() {
        *first = family_number(family);
    }
    header
}

/// Names and aliases of all devices.
pub(super) fn devices(socket: &Netlink, mut each: impl FnMut(String, Option<&str>)) -> Result<(), Error> {
    socket.query(
        "devices",
        GETLINK,
        NLM_F_DUMP,
        &link_header(0, 0, 0),
        |_| {},
        |payload| {
            let attributes = payload.get(LINK_HEADER_LEN..).unwrap_or_default();
            let text = |kind| attribute(attributes, kind).map(read_text);
            if let Some(name) = text(IFLA_IFNAME) {
                each(name, text(IFLA_IFALIAS).as_deref());
            }
        },
    )
}

/// An address of a device.
struct Found {
    index: u32,
    address: IpAddr,
    label: String,
    metric: Option<u32>,
}

fn addresses(socket: &Netlink, mut each: impl FnMut(Found)) -> Result<(), Error> {
    for family in Family::ALL {
        socket.query(
            "addresses",
            GETADDR,
            NLM_F_DUMP,
            &header::<ADDRESS_HEADER_LEN>(family),
            |_| {},
            |payload| {
                let attributes = payload.get(ADDRESS_HEADER_LEN..).unwrap_or_default();
                let label = attribute(attributes, IFA_LABEL).map(read_text).unwrap_or_default();
                let metric = attribute(attributes, IFA_RT_PRIORITY).and_then(|value| read_u32(value, 0));
                // IPv6 tells the local address only where there is another at the far end.
                let value = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS));
                if let (Some(index), Some(address)) = (read_u32(payload, 4), value.and_then(ip)) {
                    each(Found { index, address, label, metric });
                }
            },
        )?;
    }
    Ok(())
}

fn routes(socket: &Netlink, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
    for family in Family::ALL {
        let header = header::<ROUTE_HEADER_LEN>(family);
        socket.query("routes", GETROUTE, NLM_F_DUMP, &header, |_| {}, &mut each)?;
    }
    Ok(())
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(value).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

/// Destination and device of a route of the main table that is not Orca's, nor the default route, nor to itself. Link-local
/// and multicast destinations, which every IPv6 device has, are no subnets of anybody's.
fn foreign_route(payload: &[u8]) -> Option<(IpSubnet, u32)> {
    const TABLE_MAIN: u8 = 254;
    let header = payload.get(..ROUTE_HEADER_LEN)?;
    let attributes = payload.get(ROUTE_HEADER_LEN..)?;
    if header[4] != TABLE_MAIN || header[5] == ROUTE_PROTOCOL || header[1] == 0 {
        return None;
    }
    let device = attribute(attributes, 4).and_then(|value| read_u32(value, 0))?;
    let destination = attribute(attributes, 1).and_then(ip)?;
    if matches!(destination, IpAddr::V6(six) if six.is_unicast_link_local() || six.is_multicast()) {
        return None;
    }
    Some((IpSubnet::new(destination, header[1])?, device))
}

/// Destination, source address and device of a route of Orca's.
fn own_route(payload: &[u8]) -> Option<(IpSubnet, IpAddr, u32)> {
    let header = payload.get(..ROUTE_HEADER_LEN)?;
    let attributes = payload.get(ROUTE_HEADER_LEN..)?;
    let device = attribute(attributes, 4).and_then(|value| read_u32(value, 0))?;
    if header[5] != ROUTE_PROTOCOL {
        return None;
    }
    let destination = IpSubnet::new(attribute(attributes, 1).and_then(ip)?, header[1])?;
    Some((destination, attribute(attributes, 7).and_then(ip)?, device))
}
