//! How this node's kernel tells the other nodes apart, where they send it clients of published ports. Pure.
//!
//! A client that enters the cluster at another node keeps its address, which says nothing of where it entered. What says so is
//! the link address that netd gives its packets: it becomes the zone of the connection, the zone of an answer becomes its mark,
//! and the mark chooses the route back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::NodeId;
use serde::{Deserialize, Serialize};

use crate::plan::{Family, stable_hash};

/// Upper half of all marks of Orca's: "or".
const MARK: u32 = 0x6f72_0000;
/// Link addresses of the device: locally administered, then "or"; what follows says whose one is.
const LINK: [u8; 4] = [2, 0x6f, 0x72, 0];
/// Link address of this node's own end of the device.
pub const OWN_LINK: [u8; 6] = [2, 0x6f, 0x72, 1, 0, 0];
/// Numbers that would stand for addresses with a meaning of their own: 169.254.1.1, 169.254.169.254.
const MEANT_OTHERWISE: [u16; 2] = [0x0101, 0xa9fe];

/// A number that another node has at this one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(u16);

impl Zone {
    /// No other node: what is still to find its way.
    pub const NONE: Self = Self(0);

    /// Whether it is [`NONE`](Self::NONE).
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Of packets that go there; the routing table for them has the same number.
    pub const fn mark(self) -> u32 {
        MARK | self.0 as u32
    }

    /// Whose mark that is.
    pub const fn of_mark(mark: u32) -> Option<Self> {
        if mark & 0xffff_0000 == MARK { Some(Self(mark as u16)) } else { None }
    }

    /// The next hop on the way there.
    pub const fn next_hop(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(169, 254, (self.0 >> 8) as u8, self.0 as u8)),
            Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x6f72, self.0)),
        }
    }

    /// Its link address. The number in it is in the host's byte order, as the packet filter reads numbers of zones.
    pub const fn link_address(self) -> [u8; 6] {
        let ([a, b, c, d], [e, f]) = (LINK, self.0.to_ne_bytes());
        [a, b, c, d, e, f]
    }

    /// Whose link address that is.
    pub fn of_link_address(address: [u8; 6]) -> Option<Self> {
        let [a, b, c, d, e, f] = address;
        let zone = Self(u16::from_ne_bytes([e, f]));
        ([a, b, c, d] == LINK && !zone.is_none()).then_some(zone)
    }
}

/// The number of each node: the same whoever else is there, but for two of the same digest.
pub fn zones(nodes: impl IntoIterator<Item = NodeId>) -> BTreeMap<NodeId, Zone> {
    let mut taken: BTreeSet<u16> = MEANT_OTHERWISE.into_iter().chain([0, u16::MAX]).collect();
    let nodes: BTreeSet<NodeId> = nodes.into_iter().collect();
    let number = |node: NodeId| {
        let first = stable_hash(&[b"zone", node.to_string().as_bytes()]) as u16;
        let number = (0..=u16::MAX).map(|step| first.wrapping_add(step)).find(|number| !taken.contains(number))?;
        taken.insert(number);
        Some((node, Zone(number)))
    };
    nodes.into_iter().filter_map(number).collect()
}

/// A node's address within the tunnel, which no device has: what carries clients' packets bears it.
pub fn inner_address(node: NodeId) -> Ipv6Addr {
    let own = stable_hash(&[b"inner", node.to_string().as_bytes()]);
    Ipv6Addr::from(0xfd6f_7263_6100_0000_u128 << 64 | u128::from(own))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_node_has_a_number_of_its_own(ids: BTreeSet<u128>) {
            let nodes: BTreeSet<NodeId> = ids.into_iter().map(NodeId::from_random).collect();
            let zones = zones(nodes.iter().copied());
            prop_assert_eq!(zones.len(), nodes.len());
            prop_assert_eq!(zones.values().collect::<BTreeSet<_>>().len(), nodes.len());
            for zone in zones.values() {
                prop_assert!(!zone.is_none());
                prop_assert_eq!(Zone::of_link_address(zone.link_address()), Some(*zone));
                prop_assert_eq!(Zone::of_mark(zone.mark()), Some(*zone));
                prop_assert_ne!(zone.next_hop(Family::V4), crate::plan::NEXT_HOP);
            }
        }
    }

    #[test]
    fn numbers_are_pinned() {
        // Connections of clients outlive the daemon, and so must what their zones mean.
        let node = NodeId::from_random(1);
        assert_eq!(zones([node])[&node], Zone(PINNED));
        assert_eq!(zones([node, NodeId::from_random(2)])[&node], Zone(PINNED));
        assert_eq!(inner_address(node).segments()[..4], [0xfd6f, 0x7263, 0x6100, 0]);
    }

    const PINNED: u16 = 0xfff0;
}
