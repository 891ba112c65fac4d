//! The device by which clients of published ports cross to other nodes, and the ways that marks choose there.

use std::collections::BTreeSet;

use model::IpSubnet;

use super::attach::HOST_SIDE;
use super::link::{self, MarkRule, Route};
use super::message::Batch;
use super::socket::Netlink;
use super::sysctl_if_present;
use crate::Error;
use crate::mesh::tun;
use crate::peers::{OWN_LINK, Zone};
use crate::plan::{Family, NodeKey};

/// Validation of sources (`rp_filter`), by its number in `linux/ip.h`.
const RP_FILTER: u16 = 8;

/// Makes the device, or finds it there, sets it up, and adds what is missing of the ways. It stays when what carries its packets ends.
pub fn ensure_ingress(key: &NodeKey, device: &str, mtu: u32, ways: &BTreeSet<Zone>) -> Result<(), Error> {
    let socket = Netlink::route()?;
    if link::find(&socket, device)?.is_none() {
        tun::create(device, tun::Kind::Frames)?;
    }
    let found = link::find(&socket, device)?.ok_or_else(|| Error::NoDevice { name: device.into() })?;
    sysctl_if_present(&format!("net/ipv6/conf/{device}/accept_ra"), "0")?;
    let six = super::has_ipv6();
    if six {
        // Also where new devices have none.
        sysctl_if_present(&format!("net/ipv6/conf/{device}/disable_ipv6"), "0")?;
    }
    let mut batch = Batch::default();
    link::set_mtu(&mut batch, found.index, mtu);
    link::set_link_address(&mut batch, found.index, OWN_LINK);
    link::configure(&mut batch, found.index, &parameters());
    if six {
        link::no_address_of_its_own(&mut batch, found.index);
    }
    link::set_up(&mut batch, found.index);
    socket.execute(&batch, &[])?;
    let families = || Family::ALL.into_iter().filter(|family| six || *family == Family::V4);
    for (zone, family) in ways.iter().flat_map(|zone| families().map(|family| (*zone, family))) {
        socket.execute(&way(found.index, zone, family)?, &[])?;
        let mut batch = Batch::default();
        link::add_rule(&mut batch, rule(key, zone, family));
        socket.execute(&batch, &[libc::EEXIST])?;
    }
    Ok(())
}

/// What comes by the device is from everywhere. Where the host validates all sources, loosely is the least that it lets a device do.
fn parameters() -> [(u16, u32); 3] {
    let all = std::fs::read_to_string("/proc/sys/net/ipv4/conf/all/rp_filter");
    let validates = all.map_or(true, |text| text.trim() != "0");
    HOST_SIDE.map(|(number, value)| (number, if number == RP_FILTER && !validates { 0 } else { value }))
}

/// The table of a mark: all by one neighbour, or, where that is not known yet, by the device.
fn way(device: u32, zone: Zone, family: Family) -> Result<Batch, Error> {
    let all = IpSubnet::new(family.unspecified(), 0).ok_or(Error::Malformed { what: "a route" })?;
    let via = (!zone.is_none()).then(|| zone.next_hop(family));
    let mut batch = Batch::default();
    if let Some(next_hop) = via {
        link::add_neighbour(&mut batch, device, next_hop, zone.link_address());
    }
    link::add_route(&mut batch, &Route { via, table: Some(zone.mark()), ..Route::to(all, device) });
    Ok(batch)
}

fn rule(key: &NodeKey, zone: Zone, family: Family) -> MarkRule {
    MarkRule { family, mark: zone.mark(), priority: key.rule_priority() }
}

/// Has a mark choose nothing any more; the routes go with the device, or are never asked. What is gone is no error.
pub fn remove_way(key: &NodeKey, zone: Zone) -> Result<(), Error> {
    let socket = Netlink::route()?;
    for family in Family::ALL {
        let mut batch = Batch::default();
        link::remove_rule(&mut batch, rule(key, zone, family));
        socket.execute(&batch, &[libc::ENOENT, libc::EAFNOSUPPORT])?;
    }
    Ok(())
}
