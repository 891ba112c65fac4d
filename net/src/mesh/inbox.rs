//! What has come from other nodes in one batch: opened, checked, and sorted by the device that it is for.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::ops::Range;

use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::{Packet, Tunn, TunnResult};

use super::packet::frame::dress;
use super::packet::vxlan::unwrap;
use super::packet::{Coalescer, HEADER, addresses};
use super::remotes::Remotes;
use super::tun::Queue;
use super::tunnel::Shared;
use super::udp::{LARGEST, MESSAGES, Socket};
use super::workers::HANDSHAKE;
use crate::peers::Zone;

/// Kinds of messages by their first byte.
const COOKIE: u8 = 3;
const DATA: u8 = 4;

/// What has come in one batch.
pub(super) struct Inbox<'a> {
    plain: Vec<u8>,
    used: usize,
    answer: Vec<u8>,
    packets: Outlet<'a>,
    /// The way of clients, and from which node those are that it holds.
    clients: Option<(Outlet<'a>, Zone)>,
}

/// A device with what it is to be handed.
struct Outlet<'a> {
    queue: &'a Queue,
    coalescer: Coalescer,
}

impl<'a> Outlet<'a> {
    fn new(queue: &'a Queue) -> Self {
        Self { queue, coalescer: Coalescer::new(queue.joins_datagrams) }
    }

    /// Hands over what has come; what the device does not take is lost.
    fn deliver(&mut self, plain: &[u8], from: Option<Zone>) {
        let queue = self.queue;
        self.coalescer.finish(plain, |head, parts| {
            let rest = || parts.iter().filter_map(|part| plain.get(part.clone()));
            let (kernels, headers) = head.split_at(HEADER.min(head.len()));
            let first = headers.first().or_else(|| rest().next()?.first()).copied().unwrap_or_default();
            let dressed = from.and_then(|from| dress(kernels, first, from));
            let kernels = dressed.as_ref().map_or(kernels, |dressed| &dressed[..]);
            let slices: Vec<_> = [kernels, headers].into_iter().chain(rest()).map(IoSlice::new).collect();
            if let Err(error) = queue.write(&slices) {
                tracing::debug!(%error, "a device of the mesh did not take a packet");
            }
        });
    }
}

impl<'q> Inbox<'q> {
    /// An empty one, for the device and for the one by which clients cross.
    pub(super) fn new(packets: &'q Queue, clients: Option<&'q Queue>) -> Self {
        Self {
            plain: vec![0; MESSAGES * LARGEST],
            used: 0,
            answer: vec![0; LARGEST],
            packets: Outlet::new(packets),
            clients: clients.map(|queue| (Outlet::new(queue), Zone::NONE)),
        }
    }

    /// Takes datagrams that have come together. Those of one session are opened under one lock.
    pub(super) fn take<'a>(
        &mut self,
        shared: &Shared,
        remotes: &Remotes,
        socket: &Socket,
        from: SocketAddr,
        datagrams: impl Iterator<Item = &'a [u8]>,
    ) {
        let mut datagrams = datagrams.peekable();
        while let Some(mut datagram) = datagrams.next() {
            let Some(at) = self.sender(shared, remotes, socket, from, datagram) else { continue };
            let Some(remote) = remotes.all.get(at) else { continue };
            let mut tunn = remote.tunn();
            loop {
                if self.open(&mut tunn, (remotes, at), socket, from, datagram) && remote.endpoint() != from {
                    remote.heard_from(from);
                }
                match datagrams.next_if(|next| is_same_session(datagram, next)) {
                    Some(next) => datagram = next,
                    None => break,
                }
            }
        }
    }

    /// Whose a datagram is, as far as it says.
    fn sender(
        &mut self,
        shared: &Shared,
        remotes: &Remotes,
        socket: &Socket,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<usize> {
        let Packet::HandshakeInit(_) = Tunn::parse_incoming_packet(datagram).ok()? else {
            return remotes.of(&Tunn::parse_incoming_packet(datagram).ok()?);
        };
        match shared.limiter.verify_packet(Some(from.ip()), datagram, &mut self.answer) {
            Ok(Packet::HandshakeInit(begin)) => {
                let (secret, public) = shared.keys();
                let sender = parse_handshake_anon(secret, public, &begin).ok()?;
                remotes.of_key(&sender.peer_static_public)
            }
            Err(TunnResult::WriteToNetwork(cookie)) => {
                socket.send(cookie, from);
                None
            }
            _ => None,
        }
    }

    /// Opens a datagram; whether it was its sender's for certain.
    fn open(
        &mut self,
        tunn: &mut Tunn,
        (remotes, sender): (&Remotes, usize),
        socket: &Socket,
        from: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let start = self.used;
        let Some(room) = self.plain.get_mut(start..).filter(|room| room.len() >= datagram.len().max(HANDSHAKE)) else {
            return false;
        };
        match tunn.decapsulate(Some(from.ip()), datagram, room) {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                let (source, length) = (addresses(packet).map(|(source, _)| source), packet.len());
                let crossing = remotes.own.zip(remotes.crossing(sender));
                let inner = crossing.and_then(|(own, (zone, of))| Some((unwrap(packet, of, own)?, zone)));
                // Who sends what is not its own is believed in nothing.
                let is_own = || source.and_then(|source| remotes.owners.of(source)) == Some(sender);
                if let Some((inner, zone)) = inner {
                    self.used += length;
                    self.add_client(start + inner.start..start + inner.end, zone);
                } else if is_own() {
                    self.used += length;
                    self.packets.coalescer.push(&self.plain, start..start + length);
                }
                true
            }
            TunnResult::WriteToNetwork(answer) => {
                let is_cookie = answer.first() == Some(&COOKIE);
                socket.send(answer, from);
                // What has waited for the session.
                while let TunnResult::WriteToNetwork(waited) = tunn.decapsulate(None, &[], &mut self.answer) {
                    socket.send(waited, from);
                }
                !is_cookie
            }
            TunnResult::Done => datagram.first() == Some(&DATA),
            TunnResult::Err(_) => false,
        }
    }

    /// Those of two nodes may look the same: they are never joined.
    fn add_client(&mut self, range: Range<usize>, from: Zone) {
        let Some((outlet, of)) = &mut self.clients else { return };
        if *of != from {
            outlet.deliver(&self.plain, Some(*of));
            *of = from;
        }
        outlet.coalescer.push(&self.plain, range);
    }

    /// Hands over to the devices what has come.
    pub(super) fn deliver(&mut self) {
        self.packets.deliver(&self.plain, None);
        if let Some((outlet, from)) = &mut self.clients {
            outlet.deliver(&self.plain, Some(*from));
        }
        self.used = 0;
    }
}

/// Kind and number of both are those of one session's data.
fn is_same_session(one: &[u8], other: &[u8]) -> bool {
    one.first() == Some(&DATA) && matches!((one.get(..8), other.get(..8)), (Some(one), Some(other)) if one == other)
}
