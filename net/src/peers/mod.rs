//! The other nodes as this node's end of the mesh must know them, and what changes from one set of them to the next. Pure.
//!
//! A peer is known by its public key. What it may send from, and what is sent to it, are its prefixes: its parts of the
//! networks that both serve, and single addresses. Where two claim an address the longest prefix has it, as in routing.

mod owners;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use model::{IpSubnet, MeshKey, NodeId};
use serde::{Deserialize, Serialize};

pub use owners::Owners;
pub use zone::{OWN_LINK, Zone, inner_address, zones};

/// Bytes that the mesh adds to a packet at most: IPv6 40, UDP 8, WireGuard 32.
pub const OVERHEAD: u32 = 80;
/// Largest packet within the mesh where the hosts' network has the usual 1500.
pub const MTU: u32 = 1500 - OVERHEAD;

/// Least that IPv6 allows.
pub const LEAST_MTU: u32 = 1280;

/// Bytes around a client's packet on its way between nodes: IPv6 40, UDP 8, VXLAN 8, Ethernet 14.
pub const CROSSING: u32 = 70;

/// This node's end of the mesh, and whom it speaks to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mesh {
    /// The device whose packets it carries.
    pub device: String,
    /// Where it listens, UDP.
    pub port: u16,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// The other nodes.
    pub peers: Vec<Peer>,
    /// Where clients of published ports cross to them and come from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
}

/// This node's way for clients of published ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// The device that they cross by.
    pub device: String,
    /// This node.
    pub node: NodeId,
}

impl Mesh {
    /// Largest packet of a client's on its way to another node, in bytes.
    pub fn ingress_mtu(&self) -> u32 {
        self.mtu.saturating_sub(CROSSING).max(LEAST_MTU)
    }
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Which.
    pub node: NodeId,
    /// Who it is in the mesh.
    pub key: MeshKey,
    /// Where it says that it is reached. Where its last packet that could be believed came from counts more.
    pub endpoint: SocketAddr,
    /// What it may send from.
    pub prefixes: BTreeSet<IpSubnet>,
    /// Its number here.
    #[serde(default, skip_serializing_if = "Zone::is_none")]
    pub zone: Zone,
}

/// What becomes of one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new, or is another one than before by its key.
    Add(MeshKey),
    /// It is gone.
    Remove(MeshKey),
    /// It says that it is elsewhere: what was learned of it before no longer counts.
    Move(MeshKey, SocketAddr),
}

/// What turns one set of peers into the next, removals first. Prefixes are no part of it: who has which is looked up in
/// [`Owners`], which is made anew.
pub fn diff<'a>(before: impl IntoIterator<Item = &'a Peer>, after: impl IntoIterator<Item = &'a Peer>) -> Vec<Change> {
    let by_key = |peer: &'a Peer| (peer.key, peer.endpoint);
    let before: BTreeMap<MeshKey, SocketAddr> = before.into_iter().map(by_key).collect();
    let after: BTreeMap<MeshKey, SocketAddr> = after.into_iter().map(by_key).collect();
    let gone = before.keys().filter(|key| !after.contains_key(key));
    let mut changes: Vec<Change> = gone.copied().map(Change::Remove).collect();
    for (key, endpoint) in &after {
        match before.get(key) {
            None => changes.push(Change::Add(*key)),
            Some(known) if known != endpoint => changes.push(Change::Move(*key, *endpoint)),
            Some(_) => {}
        }
    }
    changes
}

/// Prefixes without those that lie within another one, in order: what a set of intervals can hold.
pub fn outermost(prefixes: impl IntoIterator<Item = IpSubnet>) -> Vec<IpSubnet> {
    // A prefix sorts behind every other that holds it.
    let sorted: BTreeSet<IpSubnet> = prefixes.into_iter().collect();
    let mut kept: Vec<IpSubnet> = Vec::new();
    for prefix in sorted {
        if !kept.last().is_some_and(|last| last.overlaps(&prefix)) {
            kept.push(prefix);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(key: u8, port: u16) -> Peer {
        Peer {
            node: NodeId::from_random(key.into()),
            key: MeshKey::new([key; 32]),
            endpoint: ([192, 0, 2, 1], port).into(),
            prefixes: BTreeSet::new(),
            zone: Zone::NONE,
        }
    }

    fn peers() -> impl Strategy<Value = Vec<Peer>> {
        proptest::collection::btree_map(0u8..8, 1u16..3, 0..8)
            .prop_map(|peers| peers.into_iter().map(|(key, port)| peer(key, port)).collect())
    }

    proptest! {
        #[test]
        fn a_difference_leads_to_the_next_peers((before, after) in (peers(), peers())) {
            let mut known: BTreeMap<MeshKey, SocketAddr> = before.iter().map(|p| (p.key, p.endpoint)).collect();
            let wanted: BTreeMap<MeshKey, SocketAddr> = after.iter().map(|p| (p.key, p.endpoint)).collect();
            for change in diff(&before, &after) {
                match change {
                    Change::Add(key) => prop_assert!(known.insert(key, wanted[&key]).is_none()),
                    Change::Remove(key) => prop_assert!(known.remove(&key).is_some()),
                    Change::Move(key, endpoint) => prop_assert_ne!(known.insert(key, endpoint), Some(endpoint)),
                }
            }
            prop_assert_eq!(known, wanted);
            prop_assert_eq!(diff(&after, &after), []);
        }

        #[test]
        fn outermost_prefixes_hold_the_same_and_are_apart(parts in proptest::collection::vec((0u8..8, 24u8..=32), 0..20)) {
            let prefix = |(last, length): (u8, u8)| IpSubnet::new([10, 0, 0, last].into(), length).unwrap();
            let all: Vec<IpSubnet> = parts.into_iter().map(prefix).collect();
            let kept = outermost(all.iter().copied());
            for (index, one) in kept.iter().enumerate() {
                prop_assert!(!kept[index + 1..].iter().any(|other| other.overlaps(one)));
            }
            for last in 0..=255 {
                let address = [10, 0, 0, last].into();
                let has = |set: &[IpSubnet]| set.iter().any(|prefix| prefix.contains(address));
                prop_assert_eq!(has(&all), has(&kept));
            }
        }
    }
}
