//! IPv4 and IPv6, which share every rule and no packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::IpSubnet;
use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The next hop of every route inside a container: one link-local address of the host's, the same on every veth, so
    /// that no network needs an address of its own for that.
    pub const fn next_hop(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(super::NEXT_HOP),
            Self::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
        }
    }

    /// All addresses.
    pub const fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    /// Bits of an address.
    pub const fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// Whether a subnet is of this family.
    pub const fn has(self, subnet: &IpSubnet) -> bool {
        subnet.is_ipv4() == matches!(self, Self::V4)
    }
}
