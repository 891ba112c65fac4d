//! The device of the mesh, and the routes to other nodes.

use std::net::IpAddr;

use model::IpSubnet;

use super::attach::HOST_SIDE;
use super::link::{self, Route};
use super::message::Batch;
use super::socket::Netlink;
use super::sysctl_if_present;
use crate::Error;
use crate::mesh::tun;

/// Makes the device, or finds it there, and sets it up. It stays when what carries its packets ends, and with it the routes.
pub fn ensure_mesh(device: &str, mtu: u32) -> Result<(), Error> {
    let socket = Netlink::route()?;
    if link::find(&socket, device)?.is_none() {
        tun::create(device, tun::Kind::Packets)?;
    }
    let found = link::find(&socket, device)?.ok_or_else(|| Error::NoDevice { name: device.into() })?;
    sysctl_if_present(&format!("net/ipv6/conf/{device}/accept_ra"), "0")?;
    let mut batch = Batch::default();
    link::set_mtu(&mut batch, found.index, mtu);
    link::configure(&mut batch, found.index, &HOST_SIDE[..2]);
    if super::has_ipv6() {
        link::no_address_of_its_own(&mut batch, found.index);
    }
    link::set_up(&mut batch, found.index);
    socket.execute(&batch, &[])
}

/// Routes addresses at another node to the device, with the host's own address in their network as source.
pub fn add_foreign_route(prefix: IpSubnet, source: IpAddr, device: &str) -> Result<(), Error> {
    let socket = Netlink::route()?;
    let found = link::find(&socket, device)?.ok_or_else(|| Error::NoDevice { name: device.into() })?;
    let mut batch = Batch::default();
    link::add_route(&mut batch, &Route { source: Some(source), ..Route::to(prefix, found.index) });
    socket.execute(&batch, &[])
}

/// Removes such a route; one that is gone is no error.
pub fn remove_foreign_route(prefix: IpSubnet, device: &str) -> Result<(), Error> {
    let socket = Netlink::route()?;
    let Some(found) = link::find(&socket, device)? else { return Ok(()) };
    let mut batch = Batch::default();
    link::remove_route(&mut batch, &Route::to(prefix, found.index));
    socket.execute(&batch, &[libc::ESRCH])
}
