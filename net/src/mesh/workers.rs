//! What the threads of the mesh do: packets out, datagrams in, and what is due by the clock.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::{Packet, Tunn, TunnResult};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::packet::split::split;
use super::packet::{Coalescer, HEADER, LONGEST, SLACK, addresses};
use super::remotes::{Remote, Remotes};
use super::tun::Queue;
use super::tunnel::Shared;
use super::udp::{Incoming, LARGEST, MESSAGES, Outgoing, Socket};

/// How often it is looked whether something is due.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
/// Bytes that the protocol adds to a packet, and its longest message of its own.
const OVERHEAD: usize = 32;
const HANDSHAKE: usize = 148;
/// Kinds of messages by their first byte.
const COOKIE: u8 = 3;
const DATA: u8 = 4;

/// Waits until there is something to read; whether the mesh goes on.
fn wait(shared: &Shared, what: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(what, PollFlags::IN), PollFd::new(&shared.stop, PollFlags::IN)];
    let _ = poll(&mut fds, None);
    fds[1].revents().is_empty()
}

fn has_ended(shared: &Shared, patience: &Timespec) -> bool {
    let mut fds = [PollFd::new(&shared.stop, PollFlags::IN)];
    matches!(poll(&mut fds, Some(patience)), Ok(1..))
}

/// The socket that a thread without one of its own sends by.
fn any_socket(shared: &Shared) -> Option<&Socket> {
    shared.sockets.first()
}

/// From one queue of the device to the peers.
pub(super) fn carry_out(shared: &Shared, number: usize) {
    let Some(queue) = shared.queues.get(number) else { return };
    let Some(socket) = shared.sockets.get(number).or_else(|| any_socket(shared)) else { return };
    let mut buffer = vec![0; HEADER + LONGEST + SLACK];
    let mut outgoing = Outgoing::default();
    loop {
        match queue.read(&mut buffer[..HEADER + LONGEST]) {
            Ok(Some(length)) => {
                seal(shared, &mut buffer, length, &mut outgoing);
                if !outgoing.is_full() {
                    continue;
                }
                outgoing.flush(socket);
                if has_ended(shared, &Timespec { tv_sec: 0, tv_nsec: 0 }) {
                    return;
                }
            }
            Ok(None) => {
                outgoing.flush(socket);
                if !wait(shared, queue) {
                    return;
                }
            }
            Err(error) => return shared.give_up(&error),
        }
    }
}

/// Encrypts what the device has handed over, for whoever owns its destination; for nobody it is dropped.
fn seal(shared: &Shared, buffer: &mut [u8], length: usize, outgoing: &mut Outgoing) {
    let destination = buffer.get(HEADER..length).and_then(addresses).map(|(_, destination)| destination);
    let remotes = shared.remotes();
    let owner = destination.and_then(|destination| remotes.owners.of(destination));
    let Some(remote) = owner.and_then(|at| remotes.all.get(at)) else { return };
    let to = remote.endpoint();
    let mut tunn = remote.tunn();
    // What is not as it says is dropped.
    let _ = split(buffer, length, shared.mtu(), |packet| {
        let Some(room) = outgoing.room((packet.len() + OVERHEAD).max(HANDSHAKE)) else { return };
        if let TunnResult::WriteToNetwork(datagram) = tunn.encapsulate(packet, room) {
            let length = datagram.len();
            outgoing.add(length, to);
        }
    });
}

/// From one socket to the device.
pub(super) fn carry_in(shared: &Shared, number: usize) {
    let Some(socket) = shared.sockets.get(number) else { return };
    let Some(queue) = shared.queues.get(number).or_else(|| shared.queues.first()) else { return };
    let mut incoming = Incoming::default();
    let mut inbox = Inbox {
        plain: vec![0; MESSAGES * LARGEST],
        used: 0,
        answer: vec![0; LARGEST],
        coalescer: Coalescer::new(queue.joins_datagrams),
    };
    loop {
        match incoming.receive(socket) {
            Ok(true) => {
                let remotes = shared.remotes();
                for (from, bytes, segment) in incoming.messages() {
                    inbox.take(shared, &remotes, socket, from, bytes.chunks(segment));
                }
                inbox.deliver(queue);
                if has_ended(shared, &Timespec { tv_sec: 0, tv_nsec: 0 }) {
                    return;
                }
            }
            Ok(false) => {
                if !wait(shared, socket) {
                    return;
                }
            }
            Err(error) => return shared.give_up(&error),
        }
    }
}

/// What has come in one batch.
struct Inbox {
    plain: Vec<u8>,
    used: usize,
    answer: Vec<u8>,
    coalescer: Coalescer,
}

impl Inbox {
    /// Takes datagrams that have come together. Those of one session are opened under one lock.
    fn take<'a>(
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
                // Who sends what is not its own is believed in nothing.
                if source.and_then(|source| remotes.owners.of(source)) == Some(sender) {
                    self.used += length;
                    self.coalescer.push(&self.plain, start..start + length);
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

    /// Hands over to the device what has come; what it does not take is lost.
    fn deliver(&mut self, queue: &Queue) {
        let plain = &self.plain;
        self.coalescer.finish(plain, |head, parts| {
            let rest = parts.iter().filter_map(|part| plain.get(part.clone()));
            let slices: Vec<_> = std::iter::once(head).chain(rest).map(IoSlice::new).collect();
            if let Err(error) = queue.write(&slices) {
                tracing::debug!(%error, "the device of the mesh did not take a packet");
            }
        });
        self.used = 0;
    }
}

/// Kind and number of both are those of one session's data.
fn is_same_session(one: &[u8], other: &[u8]) -> bool {
    one.first() == Some(&DATA) && matches!((one.get(..8), other.get(..8)), (Some(one), Some(other)) if one == other)
}

/// Begins a session.
pub(super) fn greet(shared: &Shared, remote: &Arc<Remote>) {
    let mut message = [0; HANDSHAKE];
    let Some(socket) = any_socket(shared) else { return };
    let to = remote.endpoint();
    if let TunnResult::WriteToNetwork(message) = remote.tunn().format_handshake_initiation(&mut message, false) {
        socket.send(message, to);
    }
}

/// Renews keys, keeps sessions alive, tries again: what the protocol wants done in time.
pub(super) fn keep_time(shared: &Shared) {
    let mut message = vec![0; LARGEST];
    let Some(socket) = any_socket(shared) else { return };
    while !has_ended(shared, &TICK) {
        shared.limiter.reset_count();
        for remote in &shared.remotes().all {
            let to = remote.endpoint();
            if let TunnResult::WriteToNetwork(message) = remote.tunn().update_timers(&mut message) {
                socket.send(message, to);
            }
        }
    }
}
