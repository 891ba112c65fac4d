//! Namespaces, devices, addresses and routes, over rtnetlink (rtnetlink(7)), without processes.
//!
//! Everything works on the network namespace of the calling thread, which for the agent is the host's; work inside a
//! container's namespace is done on a thread of its own that enters it and ends. Requests go out in batches: attaching
//! a container costs two of them.

mod attach;
mod ingress;
mod link;
mod mesh;
pub(crate) mod message;
pub mod netns;
mod observe;
mod shared;
pub(crate) mod socket;
pub mod userns;

pub use attach::attach;
pub use ingress::{ensure_ingress, remove_way};
pub use mesh::{add_foreign_route, ensure_mesh, remove_foreign_route};
pub use observe::{foreign_subnets, local_addresses, mtu_at, observe};
pub use shared::{detach, ensure_link, ensure_parent, shed, try_ipvlan};
pub(crate) use socket::exchanged;

use observe::addresses_of;

use std::net::IpAddr;
use std::path::Path;

use model::IpSubnet;

use crate::Error;
use crate::plan::{Family, NodeKey};
use message::Batch;
use socket::Netlink;

/// Puts an address on the loopback device, marked as this node's. One that is there already stays as it is: another
/// node in the same namespace may have put it there.
pub fn add_loopback_address(key: &NodeKey, address: IpAddr) -> Result<(), Error> {
    let mut batch = Batch::default();
    let label = key.address_label();
    link::add_address(
        &mut batch,
        &link::Address {
            index: link::LOOPBACK,
            address,
            prefix: Family::of(address).width(),
            scope: if address.is_ipv4() { link::SCOPE_LINK } else { 0 },
            mark: Some(link::Mark { label: &label, metric: key.address_metric() }),
            no_prefix_route: false,
        },
    );
    Netlink::route()?.execute(&batch, &[libc::EEXIST])
}

/// Removes an address from the loopback device; one that is gone is no error.
pub fn remove_loopback_address(address: IpAddr) -> Result<(), Error> {
    let mut batch = Batch::default();
    link::remove_address(&mut batch, link::LOOPBACK, address);
    Netlink::route()?.execute(&batch, &[libc::EADDRNOTAVAIL])
}

/// Routes a subnet to the loopback device, which for IPv6 means nowhere if it is a whole one and the host itself if it is one
/// address, with the host's address there as source.
pub fn add_subnet_route(subnet: IpSubnet, source: IpAddr) -> Result<(), Error> {
    let mut batch = Batch::default();
    link::add_route(&mut batch, &link::Route { source: Some(source), ..link::Route::to(subnet, link::LOOPBACK) });
    Netlink::route()?.execute(&batch, &[])
}

/// Removes such a route; one that is gone is no error.
pub fn remove_subnet_route(subnet: IpSubnet) -> Result<(), Error> {
    let mut batch = Batch::default();
    link::remove_route(&mut batch, &link::Route::to(subnet, link::LOOPBACK));
    Netlink::route()?.execute(&batch, &[libc::ESRCH])
}

/// Deletes a device, and with a veth its peer; one that is gone is no error.
pub fn remove_device(name: &str) -> Result<(), Error> {
    let mut batch = Batch::default();
    link::remove(&mut batch, name);
    Netlink::route()?.execute(&batch, &[libc::ENODEV])
}

/// Whether there is a device of that name.
pub fn has_device(name: &str) -> Result<bool, Error> {
    Ok(link::find(&Netlink::route()?, name)?.is_some())
}

/// Lets the kernel forward packets of a family between devices.
pub fn enable_forwarding(family: Family) -> Result<(), Error> {
    match family {
        Family::V4 => sysctl("net/ipv4/ip_forward", "1"),
        Family::V6 => forward_ipv6(),
    }
}

/// A host that forwards IPv6 no longer learns its own addresses and routes from its routers unless told to (accept_ra 2 of
/// the kernel's ip-sysctl): devices that do so now go on.
fn forward_ipv6() -> Result<(), Error> {
    const FORWARDING: &str = "net/ipv6/conf/all/forwarding";
    let root = Path::new("/proc/sys");
    if !has_ipv6() {
        return Err(Error::NoIpv6);
    }
    if std::fs::read_to_string(root.join(FORWARDING)).is_ok_and(|current| current.trim() == "1") {
        return Ok(());
    }
    for entry in std::fs::read_dir(root.join("net/ipv6/conf")).into_iter().flatten().flatten() {
        let device = entry.file_name().to_string_lossy().into_owned();
        let name = format!("net/ipv6/conf/{device}/accept_ra");
        let learns = std::fs::read_to_string(root.join(&name)).is_ok_and(|current| current.trim() == "1");
        // Of the devices that are there: one that is made later must not believe what a container announces.
        if learns && device != "all" && device != "default" {
            sysctl_if_present(&name, "2")?;
        }
    }
    sysctl(FORWARDING, "1")
}

/// Whether the calling thread's network namespace has IPv6.
pub fn has_ipv6() -> bool {
    let is_off = |name: &str| {
        let path = Path::new("/proc/sys/net/ipv6/conf").join(name).join("disable_ipv6");
        std::fs::read_to_string(path).map_or(true, |text| text.trim() == "1")
    };
    !is_off("lo")
}

/// Writes a kernel parameter of the calling thread's network namespace, unless it has that value.
pub(crate) fn sysctl(name: &str, value: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys").join(name);
    if std::fs::read_to_string(&path).is_ok_and(|current| current.trim() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).map_err(|source| Error::File { step: "write", path, source })
}

/// As [`sysctl`], where the kernel may lack the parameter (IPv6 can be compiled out or disabled at boot).
pub(crate) fn sysctl_if_present(name: &str, value: &str) -> Result<(), Error> {
    match sysctl(name, value) {
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
