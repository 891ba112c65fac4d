//! A container's attachment: its veth pair, addresses and routes.

use std::fs::File;

use model::{IpSubnet, Link as NetworkLink};

use super::link::{self, Link, Route};
use super::message::Batch;
use super::shared::{attach_on_parent, switch_ipv6_on};
use super::socket::Netlink;
use super::{netns, sysctl_if_present};
use crate::Error;
use crate::plan::{AttachmentPlan, Family, NetworkPlan, NodeKey};

/// IPv4 parameters of the host's side (`linux/ip.h`): no redirects (6), since containers of one network do meet by way
/// of the host; loose source validation (8), since strict checks are the table's; 127.0.0.1 as source (26).
pub(super) const HOST_SIDE: [(u16, u32); 3] = [(6, 0), (8, 2), (26, 1)];

/// Prefix of fe80::/64, which every IPv6 link has (RFC 4291, section 2.5.6).
const LINK_LOCAL_PREFIX: u8 = 64;
/// Prefix of 169.254.0.0/16 (RFC 3927).
const LINK_LOCAL_PREFIX_V4: u8 = 16;

/// Creates the pair, or adopts the one of that name if its other end is in the container's namespace, and sets up both
/// sides. A container on a macvlan or ipvlan network gets a device on the network's parent instead. Repeating it does no harm.
pub fn attach(key: &NodeKey, network: &NetworkPlan, attachment: &AttachmentPlan) -> Result<(), Error> {
    if let Some(parent) = network.link.parent() {
        return attach_on_parent(key, parent, network, attachment);
    }
    let device = &key.device(attachment.container, attachment.network);
    let namespace = netns::open(&attachment.netns)?;
    // One socket inside the namespace is enough for all that follows.
    let inside = netns::within_file(&attachment.netns, &namespace, Netlink::route)?;
    let outside = Netlink::route()?;
    if let Some(existing) = link::find(&outside, device)? {
        if is_pair(&existing, link::find(&inside, &attachment.interface)?) {
            return set_up(key, &outside, &inside, &existing, network, attachment);
        }
        super::remove_device(device)?;
    }
    let host_side = create(&outside, &namespace, device, network, attachment)?;
    let done = set_up(key, &outside, &inside, &host_side, network, attachment);
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
    key: &NodeKey,
    outside: &Netlink,
    inside: &Netlink,
    host_side: &Link,
    network: &NetworkPlan,
    attachment: &AttachmentPlan,
) -> Result<(), Error> {
    let device = key.device(attachment.container, attachment.network);
    let mut batch = Batch::default();
    if network.link != NetworkLink::Routed {
        let name = key.bridge(network.id);
        let bridge = link::find(outside, &name)?.ok_or(Error::NoDevice { name })?;
        // A port has no addresses: the bridge has.
        sysctl_if_present(&format!("net/ipv6/conf/{device}/disable_ipv6"), "1")?;
        link::set_master(&mut batch, host_side.index, bridge.index);
        link::set_up(&mut batch, host_side.index);
        outside.execute(&batch, &[])?;
        return set_up_inside(inside, network, attachment);
    }
    let six = attachment.address(Family::V6).is_some();
    // A container is no router of the host's.
    sysctl_if_present(&format!("net/ipv6/conf/{device}/accept_ra"), "0")?;
    // Where the container has no IPv6 address, the host offers no IPv6 neighbour on its link.
    sysctl_if_present(&format!("net/ipv6/conf/{device}/disable_ipv6"), if six { "0" } else { "1" })?;
    link::configure(&mut batch, host_side.index, &HOST_SIDE);
    if six {
        link::no_address_of_its_own(&mut batch, host_side.index);
    }
    link::set_up(&mut batch, host_side.index);
    outside.execute(&batch, &[])?;
    outside.execute(&host_routes(host_side.index, network, attachment)?, &[libc::EEXIST])?;
    set_up_inside(inside, network, attachment)
}

/// The container's side, whatever it is linked by.
pub(super) fn set_up_inside(inside: &Netlink, network: &NetworkPlan, attachment: &AttachmentPlan) -> Result<(), Error> {
    let interface = link::find(inside, &attachment.interface)?;
    let interface = interface.ok_or_else(|| Error::NoDevice { name: attachment.interface.clone() })?;
    let is_v6 = |address: &std::net::IpAddr| address.is_ipv6();
    if attachment.addresses.iter().chain(&attachment.link_local).any(is_v6) {
        netns::within(&attachment.netns, || switch_ipv6_on(&attachment.interface))?;
    }
    inside.execute(&container_side(interface.index, network, attachment)?, &[libc::EEXIST])?;
    if attachment.sysctls.is_empty() {
        return Ok(());
    }
    // Last, so that they have the last word.
    let parameter = |(key, value): (&String, &String)| {
        super::sysctl(&model::endpoint_sysctl_path(key, &attachment.interface), value)
    };
    netns::within(&attachment.netns, || attachment.sysctls.iter().try_for_each(parameter))
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

fn container_side(index: u32, network: &NetworkPlan, attachment: &AttachmentPlan) -> Result<Batch, Error> {
    let is_routed = network.link == NetworkLink::Routed;
    let mut batch = Batch::default();
    for &address in &attachment.addresses {
        let Some(side) = network.side(Family::of(address)) else { continue };
        let prefix = side.subnet.prefix();
        link::add_address(
            &mut batch,
            &link::Address { index, address, prefix, scope: 0, mark: None, no_prefix_route: is_routed },
        );
    }
    for &address in &attachment.link_local {
        let prefix = if address.is_ipv6() { LINK_LOCAL_PREFIX } else { LINK_LOCAL_PREFIX_V4 };
        let (scope, mark) = (link::SCOPE_LINK, None);
        // Nobody else is on a routed link.
        let no_prefix_route = is_routed;
        link::add_address(&mut batch, &link::Address { index, address, prefix, scope, mark, no_prefix_route });
    }
    link::set_up(&mut batch, index);
    for &address in &attachment.addresses {
        let family = Family::of(address);
        let Some(side) = network.side(family) else { continue };
        let next_hop = if is_routed { family.next_hop() } else { side.gateway };
        let way_out = attachment.ways_out.contains(&family) && !network.internal;
        if is_routed && family == Family::V4 {
            // Each device has a route to the next hop; the one of the way out is preferred.
            let metric = if way_out { 0 } else { 100 + index };
            link::add_route(&mut batch, &Route { metric, ..Route::to(link::host_subnet(next_hop)?, index) });
        }
        let mut via_host = |destination: IpSubnet| {
            let (via, source) = (Some(next_hop), Some(address));
            link::add_route(&mut batch, &Route { via, source, ..Route::to(destination, index) });
        };
        if is_routed {
            via_host(side.subnet);
        }
        if way_out {
            let all = IpSubnet::new(family.unspecified(), 0).ok_or(Error::Malformed { what: "a route" })?;
            match network.link.is_routed_by_device() {
                true => link::add_route(&mut batch, &Route { source: Some(address), ..Route::to(all, index) }),
                false => via_host(all),
            }
        }
    }
    Ok(batch)
}
