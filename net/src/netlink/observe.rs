//! What the kernel has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use model::IpSubnet;

use super::link::{
    ADDRESS_HEADER_LEN, GETADDR, GETLINK, GETROUTE, IFLA_IFNAME, LINK_HEADER_LEN, LOOPBACK, ROUTE_HEADER_LEN,
    ROUTE_PROTOCOL, link_header,
};
use super::message::{NLM_F_DUMP, attribute, read_text, read_u32};
use super::socket::Netlink;
use crate::Error;
use crate::plan::{NodeKey, Observed};

const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;

/// Reads the devices, addresses and routes that carry this node's key.
pub fn observe(key: &NodeKey) -> Result<Observed, Error> {
    let socket = Netlink::route()?;
    let mut observed = Observed { devices: devices(&socket, &key.device_prefix())?, ..Observed::default() };
    let label = key.address_label();
    addresses(&socket, |index, address, found| {
        if index == LOOPBACK && found == label {
            observed.loopback.insert(address);
        }
    })?;
    // Routes bear no label; theirs is that their source address is one of ours.
    let mut routes = Vec::new();
    socket.query(
        "routes",
        GETROUTE,
        NLM_F_DUMP,
        &ipv4_header::<ROUTE_HEADER_LEN>(),
        |_| {},
        |payload| {
            routes.extend(loopback_route(payload));
        },
    )?;
    observed.subnets = routes.into_iter().filter(|(_, source)| observed.loopback.contains(source)).collect();
    Ok(observed)
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
    let mut routes = Vec::new();
    socket.query(
        "routes",
        GETROUTE,
        NLM_F_DUMP,
        &ipv4_header::<ROUTE_HEADER_LEN>(),
        |_| {},
        |payload| routes.extend(foreign_route(payload)),
    )?;
    let named = |(subnet, device): (IpSubnet, u32)| (subnet, names.get(&device).cloned().unwrap_or_default());
    Ok(routes.into_iter().map(named).collect())
}

/// All IPv4 addresses of this host.
pub fn local_addresses() -> Result<BTreeSet<Ipv4Addr>, Error> {
    let mut all = BTreeSet::new();
    addresses(&Netlink::route()?, |_, address, _| {
        all.insert(address);
    })?;
    Ok(all)
}

fn ipv4_header<const LEN: usize>() -> [u8; LEN] {
    let mut header = [0; LEN];
    if let Some(family) = header.first_mut() {
        *family = libc::AF_INET as u8;
    }
    header
}

fn devices(socket: &Netlink, prefix: &str) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    socket.query(
        "devices",
        GETLINK,
        NLM_F_DUMP,
        &link_header(0, 0, 0),
        |_| {},
        |payload| {
            let attributes = payload.get(LINK_HEADER_LEN..).unwrap_or_default();
            let name = attribute(attributes, IFLA_IFNAME).map(read_text);
            names.extend(name.filter(|name| name.starts_with(prefix)));
        },
    )?;
    Ok(names)
}

fn addresses(socket: &Netlink, mut each: impl FnMut(u32, Ipv4Addr, &str)) -> Result<(), Error> {
    socket.query(
        "addresses",
        GETADDR,
        NLM_F_DUMP,
        &ipv4_header::<ADDRESS_HEADER_LEN>(),
        |_| {},
        |payload| {
            let attributes = payload.get(ADDRESS_HEADER_LEN..).unwrap_or_default();
            let label = attribute(attributes, IFA_LABEL).map(read_text).unwrap_or_default();
            if let (Some(index), Some(address)) =
                (read_u32(payload, 4), attribute(attributes, IFA_LOCAL).and_then(ipv4))
            {
                each(index, address, &label);
            }
        },
    )
}

fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

/// Destination and device of a route of the main table that is not Orca's, nor the default route, nor to itself.
fn foreign_route(payload: &[u8]) -> Option<(IpSubnet, u32)> {
    const TABLE_MAIN: u8 = 254;
    let header = payload.get(..ROUTE_HEADER_LEN)?;
    let attributes = payload.get(ROUTE_HEADER_LEN..)?;
    if header[4] != TABLE_MAIN || header[5] == ROUTE_PROTOCOL || header[1] == 0 {
        return None;
    }
    let device = attribute(attributes, 4).and_then(|value| read_u32(value, 0))?;
    Some((IpSubnet::new(attribute(attributes, 1).and_then(ipv4)?.into(), header[1])?, device))
}

/// Destination and source address of a route of Orca's to the loopback device.
fn loopback_route(payload: &[u8]) -> Option<(IpSubnet, Ipv4Addr)> {
    let header = payload.get(..ROUTE_HEADER_LEN)?;
    let attributes = payload.get(ROUTE_HEADER_LEN..)?;
    let device = attribute(attributes, 4).and_then(|value| read_u32(value, 0))?;
    if header[5] != ROUTE_PROTOCOL || device != LOOPBACK {
        return None;
    }
    let destination = IpSubnet::new(attribute(attributes, 1).and_then(ipv4)?.into(), header[1])?;
    Some((destination, attribute(attributes, 7).and_then(ipv4)?))
}
