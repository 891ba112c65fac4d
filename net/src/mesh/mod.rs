//! The encrypted network between nodes, carried in user space: WireGuard's protocol (boringtun's core) over a TUN device.
//!
//! - [`packet`] (pure): cutting and joining what the kernel hands over and takes in one piece;
//! - [`tun`], [`udp`]: the device and the socket, many packets in one call;
//! - [`inbox`]: what has come, opened and sorted;
//! - [`Tunnel`]: peers, sessions, and the threads between the two.
//!
//! Sources are checked where packets come in: a peer's packet must be from an address that it owns, or it is dropped. What may
//! then go where is for the packet filter to say. Clients of published ports have addresses that no node owns: their packets cross
//! within others ([`packet::vxlan`]), by a device of their own.

mod inbox;
pub mod packet;
mod remotes;
pub mod tun;
mod tunnel;
mod udp;
mod workers;

pub use tunnel::{Held, Tunnel};
