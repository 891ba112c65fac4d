//! The encrypted network between nodes, carried in user space: WireGuard's protocol (boringtun's core) over a TUN device.
//!
//! - [`packet`] (pure): cutting and joining what the kernel hands over and takes in one piece;
//! - [`tun`], [`udp`]: the device and the socket, many packets in one call;
//! - [`Tunnel`]: peers, sessions, and the threads between the two.
//!
//! Sources are checked where packets come in: a peer's packet must be from an address that it owns, or it is dropped. What may
//! then go where is for the packet filter to say.

pub mod packet;
mod remotes;
pub mod tun;
mod tunnel;
mod udp;
mod workers;

pub use tunnel::{Held, Tunnel};
