//! What the threads of the mesh do: packets out, datagrams in, and what is due by the clock.

use std::os::fd::AsFd;
use std::sync::Arc;

use boringtun::noise::TunnResult;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::inbox::Inbox;
use super::packet::frame::{LINK, strip};
use super::packet::split::split;
use super::packet::vxlan::wrap;
use super::packet::{HEADER, LONGEST, SLACK, addresses};
use super::remotes::Remote;
use super::tun::Queue;
use super::tunnel::Shared;
use super::udp::{Incoming, LARGEST, Outgoing, Socket};

/// How often it is looked whether something is due.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
/// Bytes that the protocol adds to a packet, and its longest message of its own.
const OVERHEAD: usize = 32;
pub(super) const HANDSHAKE: usize = 148;

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
    if let Some(queue) = shared.queues.get(number) {
        carry(shared, number, queue, |buffer, length, outgoing| seal(shared, buffer, length, outgoing));
    }
}

/// From one queue of the device by which clients cross to the peers.
pub(super) fn carry_across(shared: &Shared, number: usize) {
    let mut around = Vec::with_capacity(LARGEST);
    if let Some(queue) = shared.ingress.get(number) {
        carry(shared, number, queue, |buffer, length, outgoing| {
            seal_client(shared, buffer, length, outgoing, &mut around);
        });
    }
}

/// From a queue to the peers.
fn carry(shared: &Shared, number: usize, queue: &Queue, mut seal: impl FnMut(&mut [u8], usize, &mut Outgoing)) {
    let Some(socket) = shared.sockets.get(number).or_else(|| any_socket(shared)) else { return };
    let mut buffer = vec![0; HEADER + LINK + LONGEST + SLACK];
    let mut outgoing = Outgoing::default();
    loop {
        match queue.read(&mut buffer[..HEADER + LINK + LONGEST]) {
            Ok(Some(length)) => {
                seal(&mut buffer, length, &mut outgoing);
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

/// Encrypts a client's packets, for whoever its link address says.
fn seal_client(shared: &Shared, buffer: &mut [u8], length: usize, outgoing: &mut Outgoing, around: &mut Vec<u8>) {
    let remotes = shared.remotes();
    let at = strip(buffer, length).and_then(|zone| remotes.of_zone(zone));
    let remote = at.and_then(|at| Some((remotes.all.get(at)?, remotes.crossing(at)?.1, remotes.own?)));
    let (Some((remote, to_inner, own)), Some(buffer)) = (remote, buffer.get_mut(LINK..)) else { return };
    let to = remote.endpoint();
    let mut tunn = remote.tunn();
    let _ = split(buffer, length - LINK, 0, |packet| {
        wrap(packet, own, to_inner, around);
        let Some(room) = outgoing.room((around.len() + OVERHEAD).max(HANDSHAKE)) else { return };
        if let TunnResult::WriteToNetwork(datagram) = tunn.encapsulate(around, room) {
            let length = datagram.len();
            outgoing.add(length, to);
        }
    });
}

/// From one socket to the device.
pub(super) fn carry_in(shared: &Shared, number: usize) {
    let Some(socket) = shared.sockets.get(number) else { return };
    let Some(queue) = shared.queues.get(number).or_else(|| shared.queues.first()) else { return };
    let ingress = shared.ingress.get(number).or_else(|| shared.ingress.first());
    let mut incoming = Incoming::default();
    let mut inbox = Inbox::new(queue, ingress);
    loop {
        match incoming.receive(socket) {
            Ok(true) => {
                let remotes = shared.remotes();
                for (from, bytes, segment) in incoming.messages() {
                    inbox.take(shared, &remotes, socket, from, bytes.chunks(segment));
                }
                inbox.deliver();
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
