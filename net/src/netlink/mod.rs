//! Namespaces, devices, addresses and routes, over rtnetlink (rtnetlink(7)), without processes.
//!
//! Everything works on the network namespace of the calling thread, which for the agent is the host's; work inside a
//! container's namespace is done on a thread of its own that enters it and ends. Requests go out in batches: attaching
//! a container costs two of them.

mod attach;
mod link;
pub(crate) mod message;
pub mod netns;
mod observe;
pub(crate) mod socket;
pub mod userns;

pub use attach::attach;
pub use observe::{foreign_subnets, local_addresses, observe};

use std::net::Ipv4Addr;
use std::path::Path;

use model::IpSubnet;

use crate::Error;
use crate::plan::NodeKey;
use message::Batch;
use socket::Netlink;

/// Puts an address on the loopback device, labelled as this node's. One that is there already stays as it is: another
/// node in the same namespace may have put it there.
pub fn add_loopback_address(key: &NodeKey, address: Ipv4Addr) -> Result<(), Error> {
    let mut batch = Batch::default();
    link::add_address(
        &mut batch,
        &link::Address {
            index: link::LOOPBACK,
            address,
            prefix: 32,
            scope: link::SCOPE_LINK,
            label: Some(&key.address_label()),
            no_prefix_route: false,
        },
    );
    Netlink::route()?.execute(&batch, &[libc::EEXIST])
}

/// Removes an address from the loopback device; one that is gone is no error.
pub fn remove_loopback_address(address: Ipv4Addr) -> Result<(), Error> {
    let mut batch = Batch::default();
    link::remove_address(&mut batch, link::LOOPBACK, address);
    Netlink::route()?.execute(&batch, &[libc::EADDRNOTAVAIL])
}

/// Routes a whole subnet to the loopback device, with the host's address in it as source.
pub fn add_subnet_route(subnet: IpSubnet, source: Ipv4Addr) -> Result<(), Error> {
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

/// Lets the kernel forward IPv4 packets between devices.
pub fn enable_forwarding() -> Result<(), Error> {
    sysctl("net/ipv4/ip_forward", "1")
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
