//! The other nodes with their sessions.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use boringtun::noise::{Packet, Tunn};
use boringtun::x25519::PublicKey;
use model::MeshKey;

use super::tunnel::Shared;
use crate::peers::{Mesh, Owners, Zone, inner_address};

/// Another node.
pub(super) struct Remote {
    /// What numbers of its sessions begin with.
    index: u32,
    key: MeshKey,
    /// Where it said that it is.
    said: SocketAddr,
    /// Where it was last heard of.
    endpoint: Mutex<SocketAddr>,
    tunn: Mutex<Tunn>,
}

impl Remote {
    pub(super) fn tunn(&self) -> MutexGuard<'_, Tunn> {
        self.tunn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn endpoint(&self) -> SocketAddr {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet that must be its own has come from there.
    pub(super) fn heard_from(&self, from: SocketAddr) {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = from;
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Remotes {
    pub(super) all: Vec<Arc<Remote>>,
    pub(super) owners: Owners<usize>,
    /// This node's own address within the tunnel, if clients cross.
    pub(super) own: Option<Ipv6Addr>,
    /// Of each of them, how its clients are told apart.
    crossings: Vec<(Zone, Ipv6Addr)>,
    by_zone: HashMap<Zone, usize>,
    by_key: HashMap<[u8; 32], usize>,
    by_index: HashMap<u32, usize>,
}

impl Remotes {
    /// The next ones: who was there keeps its sessions. Those that are new come with it.
    pub(super) fn after(&self, mesh: &Mesh, shared: &Shared) -> (Self, Vec<Arc<Remote>>) {
        let mut next = Self::default();
        let mut added = Vec::new();
        next.own = mesh.ingress.as_ref().map(|ingress| inner_address(ingress.node));
        for peer in &mesh.peers {
            let known = self.by_key.get(peer.key.bytes()).and_then(|at| self.all.get(*at));
            let remote = match known {
                Some(known) if known.said == peer.endpoint => Arc::clone(known),
                // Who moves starts anew: it is another boot, or another network.
                _ => {
                    let index = shared.next_index();
                    let remote = Arc::new(Remote {
                        index,
                        key: peer.key,
                        said: peer.endpoint,
                        endpoint: Mutex::new(peer.endpoint),
                        tunn: Mutex::new(shared.tunn(PublicKey::from(*peer.key.bytes()), index)),
                    });
                    added.push(Arc::clone(&remote));
                    remote
                }
            };
            next.crossings.push((peer.zone, inner_address(peer.node)));
            next.by_zone.insert(peer.zone, next.all.len());
            next.by_key.insert(*remote.key.bytes(), next.all.len());
            next.by_index.insert(remote.index, next.all.len());
            next.all.push(remote);
        }
        let claims = mesh.peers.iter().enumerate().flat_map(|(at, peer)| peer.prefixes.iter().map(move |p| (*p, at)));
        let (owners, refused) = Owners::new(claims);
        for (prefix, at) in refused {
            let node = mesh.peers.get(at).map(|peer| peer.node.to_string());
            tracing::warn!(%prefix, node, "another node has this address already: it stays there");
        }
        next.owners = owners;
        (next, added)
    }

    /// Whose a datagram is that is no beginning of a session, by the number in it.
    pub(super) fn of(&self, packet: &Packet<'_>) -> Option<usize> {
        let number = match packet {
            Packet::HandshakeInit(_) => return None,
            Packet::HandshakeResponse(packet) => packet.receiver_idx,
            Packet::PacketCookieReply(packet) => packet.receiver_idx,
            Packet::PacketData(packet) => packet.receiver_idx,
        };
        self.by_index.get(&(number >> 8)).copied()
    }

    /// How one's clients are told apart: its number and its address within the tunnel.
    pub(super) fn crossing(&self, at: usize) -> Option<(Zone, Ipv6Addr)> {
        self.crossings.get(at).copied()
    }

    /// Who has this number.
    pub(super) fn of_zone(&self, zone: Zone) -> Option<usize> {
        self.by_zone.get(&zone).copied()
    }

    /// Who has this key.
    pub(super) fn of_key(&self, key: &[u8; 32]) -> Option<usize> {
        self.by_key.get(key).copied()
    }
}
