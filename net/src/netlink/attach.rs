//! A container's attachment: its veth pair, addresses and routes.

use std::fs::File;

use model::IpSubnet;

use super::link::{self, Link, Route};
use super::message::Batch;
use super::socket::Netlink;
use super::{netns, sysctl, sysctl_if_present};
use crate::Error;
use crate::plan::{AttachmentPlan, Family, NetworkPlan};

/// IPv4 parameters of the host's side (`linux/ip.h`): no redirects (6), since containers of one network do meet by way
/// of the host; loose source validation (8), since strict checks are the table's; 127.0.0.1 as source (26).
const HOST_SIDE: [(u16, u32); 3] = [(6, 0), (8, 2), (26, 1)];

/// Prefix of fe80::/64, which every IPv6 link has (RFC 4291, section 2.5.6).
const LINK_LOCAL_PREFIX: u8 = 64;

/// Creates the pair, or adopts the one of that name if its other end is in the container's namespace, and sets up both
/// sides. Repeating it does no harm.
pub fn attach(device: &str, network: &NetworkPlan, attachment: &AttachmentPlan) -> Result<(), Error> {
    let namespace = netns::open(&attachment.netns)?;
    // One socket inside the namespace is enough for all that follows.
    let inside = netns::within_file(&attachment.netns, &namespace, Netlink::route)?;
    let outside = Netlink::route()?;
    if let Some(existing) = link::find(&outside, device)? {
        if is_pair(&existing, link::find(&inside, &attachment.interface)?) {
            return set_up(&outside, &inside, &existing, device, network, attachment);
        }
        super::remove_device(device)?;
    }
    let host_side = create(&outside, &namespace, device, network, attachment)?;
    let done = set_up(&outside, &inside, &host_side, device, network, attachment);
    done.inspect_err(|_| {
        // Nothing half-made stays; the first error is the one to tell.
        let _ = super::remove_device(device);
    })
}

fn is_pair(outside: &Link, inside: Option<Link>) -> bool {
    inside.is_some_and(|inside| inside.peer == Some(outside.index) && outside.peer == Some(inside.index))
}

fn create(
    outside: &Netlink,
    namespace: &File,
    device: &str,
    network: &NetworkPlan,
    attachment: &AttachmentPlan,
) -> Result<Link, Error> {
    use std::os::fd::AsFd;
    let mut batch = Batch::default();
    let peer = link::Peer { name: &attachment.interface, netns: namespace.as_fd(), mac: attachment.mac };
    link::create_veth(&mut batch, device, &peer, network.mtu);
    outside.execute(&batch, &[])?;
    link::find(outside, device)?.ok_or_else(|| Error::NoDevice { name: device.into() })
}

fn set_up(
    outside: &Netlink,
    inside: &Netlink,
    host_side: &Link,
    device: &str,
    network: &NetworkPlan,
    attachment: &AttachmentPlan,
) -> Result<(), Error> {
    let six = attachment.address(Family::V6).is_some();
    // Where the container has no IPv6 address, the host offers no IPv6 neighbour on its link.
    sysctl_if_present(&format!("net/ipv6/conf/{device}/disable_ipv6"), if six { "0" } else { "1" })?;
    let mut batch = Batch::default();
    link::configure(&mut batch, host_side.index, &HOST_SIDE);
    if six {
        link::no_address_of_its_own(&mut batch, host_side.index);
    }
    link::set_up(&mut batch, host_side.index);
    outside.execute(&batch, &[])?;
    outside.execute(&host_routes(host_side.index, network, attachment)?, &[libc::EEXIST])?;

    let interface = link::find(inside, &attachment.interface)?;
    let interface = interface.ok_or_else(|| Error::NoDevice { name: attachment.interface.clone() })?;
    if six {
        netns::within(&attachment.netns, || switch_ipv6_on(&attachment.interface))?;
    }
    inside.execute(&container_side(interface.index, network, attachment)?, &[libc::EEXIST])
}

/// The host's way to the container: an address as next hop where the family has no other, and a route an address.
fn host_routes(index: u32, network: &NetworkPlan, attachment: &AttachmentPlan) -> Result<Batch, Error> {
    let mut batch = Batch::default();
    for &address in &attachment.addresses {
        let family = Family::of(address);
        if family == Family::V6 {
            let address = family.next_hop();
            let (prefix, scope) = (LINK_LOCAL_PREFIX, link::SCOPE_LINK);
            link::add_address(
                &mut batch,
                &link::Address { index, address, prefix, scope, mark: None, no_prefix_route: false },
            );
        }
        let source = network.side(family).map(|side| side.gateway);
        link::add_route(&mut batch, &Route { source, ..Route::to(link::host_subnet(address)?, index) });
    }
    Ok(batch)
}

/// In the container's namespace: routers announce nothing there, and its addresses are nobody else's.
fn switch_ipv6_on(interface: &str) -> Result<(), Error> {
    for (parameter, value) in [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")] {
        sysctl(&format!("net/ipv6/conf/{interface}/{parameter}"), value)?;
    }
    Ok(())
}

fn container_side(index: u32, network: &NetworkPlan, attachment: &AttachmentPlan) -> Result<Batch, Error> {
    let mut batch = Batch::default();
    for &address in &attachment.addresses {
        let Some(side) = network.side(Family::of(address)) else { continue };
        let prefix = side.subnet.prefix();
        link::add_address(
            &mut batch,
            &link::Address { index, address, prefix, scope: 0, mark: None, no_prefix_route: true },
        );
    }
    link::set_up(&mut batch, index);
    for &address in &attachment.addresses {
        let family = Family::of(address);
        let Some(side) = network.side(family) else { continue };
        let next_hop = family.next_hop();
        let way_out = attachment.ways_out.contains(&family) && !network.internal;
        if family == Family::V4 {
            // Each device has a route to the next hop; the one of the way out is preferred.
            let metric = if way_out { 0 } else { 100 + index };
            link::add_route(&mut batch, &Route { metric, ..Route::to(link::host_subnet(next_hop)?, index) });
        }
        let mut via_host = |destination: IpSubnet| {
            let (via, source) = (Some(next_hop), Some(address));
            link::add_route(&mut batch, &Route { via, source, ..Route::to(destination, index) });
        };
        via_host(side.subnet);
        if way_out {
            let all = IpSubnet::new(family.unspecified(), 0);
            via_host(all.ok_or(Error::Malformed { what: "a route" })?);
        }
    }
    Ok(batch)
}
