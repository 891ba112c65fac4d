//! What containers of a network share: a bridge device, or a device of the host that theirs lie on.

use std::collections::BTreeSet;
use std::path::Path;

use model::Link as NetworkLink;

use super::link;
use super::message::Batch;
use super::socket::Netlink;
use super::{addresses_of, netns, remove_device, sysctl, sysctl_if_present};
use crate::Error;
use crate::plan::{AttachmentPlan, Family, NetworkPlan, NodeKey};

/// Makes the bridge device of a network or the device of its VLAN, or brings what is there to how it should be. Returns the name
/// of a VLAN's device that was made.
pub fn ensure_link(key: &NodeKey, network: &NetworkPlan) -> Result<Option<String>, Error> {
    match &network.link {
        NetworkLink::Routed => Ok(None),
        NetworkLink::Bridge { name } => ensure_bridge(key, network, name.as_deref()).map(|()| None),
        NetworkLink::Macvlan { parent, .. } | NetworkLink::Ipvlan { parent, .. } => {
            Ok(ensure_parent(key, parent)?.then(|| parent.clone()))
        }
    }
}

fn ensure_bridge(key: &NodeKey, network: &NetworkPlan, name: Option<&str>) -> Result<(), Error> {
    let device = key.bridge(network.id);
    let socket = Netlink::route()?;
    let mut batch = Batch::default();
    let exists = link::find(&socket, &device)?;
    if exists.is_none() {
        link::create_bridge(&mut batch, &device, network.mtu);
        socket.execute(&batch, &[])?;
    }
    let bridge = link::find(&socket, &device)?.ok_or_else(|| Error::NoDevice { name: device.clone() })?;
    if let Some(name) = name {
        let mut batch = Batch::default();
        link::name_also(&mut batch, bridge.index, name);
        // One that is there has its name already.
        let tolerated: &[i32] = if exists.is_some() { &[libc::EEXIST] } else { &[] };
        socket.execute(&batch, tolerated).inspect_err(|_| {
            // One that was there has containers.
            if exists.is_none() {
                let _ = remove_device(&device);
            }
        })?;
    }
    let six = network.side(Family::V6).is_some();
    // A container is no router of the host's.
    for parameter in ["accept_ra", "accept_dad"] {
        sysctl_if_present(&format!("net/ipv6/conf/{device}/{parameter}"), "0")?;
    }
    sysctl_if_present(&format!("net/ipv6/conf/{device}/disable_ipv6"), if six { "0" } else { "1" })?;
    let mut batch = Batch::default();
    for address in addresses_of(&socket, bridge.index)? {
        if !network.subnets.iter().any(|side| side.gateway == address) && !is_link_local(address) {
            // Left from how the network was before.
            link::remove_address(&mut batch, bridge.index, address);
        }
    }
    for side in &network.subnets {
        let (address, prefix) = (side.gateway, side.subnet.prefix());
        let (index, mark) = (bridge.index, None);
        link::add_address(
            &mut batch,
            &link::Address { index, address, prefix, scope: 0, mark, no_prefix_route: false },
        );
    }
    link::configure(&mut batch, bridge.index, &super::attach::HOST_SIDE);
    link::set_up(&mut batch, bridge.index);
    socket.execute(&batch, &[libc::EEXIST, libc::EADDRNOTAVAIL])
}

fn is_link_local(address: std::net::IpAddr) -> bool {
    matches!(address, std::net::IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Sees to a device that a macvlan or ipvlan network is to lie on: `DEVICE.ID` that is not there is made, and marked so that it goes with
/// its network. Whether it was made.
pub fn ensure_parent(key: &NodeKey, parent: &str) -> Result<bool, Error> {
    let socket = Netlink::route()?;
    if link::find(&socket, parent)?.is_some() {
        return Ok(false);
    }
    let absent = || Error::NoDevice { name: parent.into() };
    let (base, id) = vlan(parent).ok_or_else(absent)?;
    let base = link::find(&socket, base)?.ok_or_else(absent)?;
    let mut batch = Batch::default();
    link::create_vlan(&mut batch, parent, base.index, id);
    socket.execute(&batch, &[])?;
    let made = link::find(&socket, parent)?.ok_or_else(absent)?;
    let mut batch = Batch::default();
    link::set_alias(&mut batch, made.index, &key.alias());
    link::set_up(&mut batch, made.index);
    socket.execute(&batch, &[])?;
    Ok(true)
}

/// The device and the VLAN of it that a name means.
fn vlan(name: &str) -> Option<(&str, u16)> {
    let (base, id) = name.rsplit_once('.')?;
    Some((base, id.parse().ok().filter(|id| (1..4095).contains(id))?))
}

/// Gives a container a device on its network's parent, or adopts the one that it has there. It is marked, so that the next daemon
/// knows it from what the container itself has made.
pub(super) fn attach_on_parent(
    key: &NodeKey,
    parent: &str,
    network: &NetworkPlan,
    attachment: &AttachmentPlan,
) -> Result<(), Error> {
    use std::os::fd::AsFd;
    let namespace = netns::open(&attachment.netns)?;
    let inside = netns::within_file(&attachment.netns, &namespace, Netlink::route)?;
    let outside = Netlink::route()?;
    let parent_device = link::find(&outside, parent)?.ok_or_else(|| Error::NoDevice { name: parent.into() })?;
    let found = link::find(&inside, &attachment.interface)?;
    let is_ours = found.as_ref().is_some_and(|device| device.peer == Some(parent_device.index));
    if !is_ours {
        if found.is_some() {
            remove_inside(&inside, &attachment.interface)?;
        }
        let peer = link::Peer { name: &attachment.interface, netns: namespace.as_fd(), mac: attachment.mac };
        let mut batch = Batch::default();
        match &network.link {
            NetworkLink::Macvlan { mode, .. } => link::create_macvlan(&mut batch, &peer, parent_device.index, *mode),
            NetworkLink::Ipvlan { mode, flag, .. } => {
                link::create_ipvlan(&mut batch, &peer, parent_device.index, *mode, *flag);
            }
            NetworkLink::Routed | NetworkLink::Bridge { .. } => {}
        }
        outside.execute(&batch, &[])?;
    }
    let done = mark(key, &inside, &attachment.interface)
        .and_then(|()| super::attach::set_up_inside(&inside, network, attachment));
    done.inspect_err(|_| {
        // One that was there is in use.
        if !is_ours {
            let _ = remove_inside(&inside, &attachment.interface);
        }
    })
}

fn mark(key: &NodeKey, inside: &Netlink, interface: &str) -> Result<(), Error> {
    let device = link::find(inside, interface)?.ok_or_else(|| Error::NoDevice { name: interface.into() })?;
    let mut batch = Batch::default();
    link::set_alias(&mut batch, device.index, &key.alias());
    inside.execute(&batch, &[])
}

/// Whether the kernel makes ipvlan devices on a parent: makes one, and removes it.
///
/// # Errors
/// The kernel's refusal.
pub fn try_ipvlan(parent: &str, link: &NetworkLink) -> Result<(), Error> {
    let NetworkLink::Ipvlan { mode, flag, .. } = link else { return Ok(()) };
    let socket = Netlink::route()?;
    let index = link::find(&socket, parent)?.ok_or_else(|| Error::NoDevice { name: parent.into() })?.index;
    let name = format!("orcatry{index}");
    let mut batch = Batch::default();
    link::create_ipvlan_here(&mut batch, &name, index, *mode, *flag);
    link::remove(&mut batch, &name);
    socket.execute(&batch, &[])
}

/// Removes devices of Orca's that a container is not to have: an earlier daemon was killed before it took them off.
pub fn shed(key: &NodeKey, path: &Path, wanted: &BTreeSet<String>) -> Result<(), Error> {
    let Some(inside) = enter(path)? else { return Ok(()) };
    let (alias, mut strangers) = (key.alias(), Vec::new());
    super::observe::devices(&inside, |name, found| {
        if found == Some(alias.as_str()) && !wanted.contains(&name) {
            strangers.push(name);
        }
    })?;
    strangers.iter().try_for_each(|name| remove_inside(&inside, name))
}

fn remove_inside(inside: &Netlink, interface: &str) -> Result<(), Error> {
    let mut batch = Batch::default();
    link::remove(&mut batch, interface);
    inside.execute(&batch, &[libc::ENODEV])
}

/// Takes a container's device off a network that has no device for it on the host; one that is gone is no error.
pub fn detach(path: &Path, interface: &str) -> Result<(), Error> {
    match enter(path)? {
        Some(inside) => remove_inside(&inside, interface),
        None => Ok(()),
    }
}

/// A socket in a container's namespace, if that is still there.
fn enter(path: &Path) -> Result<Option<Netlink>, Error> {
    match netns::within(path, Netlink::route) {
        Ok(inside) => Ok(Some(inside)),
        Err(Error::Netns { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // The file is there and no namespace any more.
        Err(Error::Netns { source, .. }) if source.raw_os_error() == Some(libc::EINVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

/// In the container's namespace: routers announce nothing there, and its addresses are nobody else's.
pub(super) fn switch_ipv6_on(interface: &str) -> Result<(), Error> {
    for (parameter, value) in [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")] {
        sysctl(&format!("net/ipv6/conf/{interface}/{parameter}"), value)?;
    }
    Ok(())
}
