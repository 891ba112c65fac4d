//! Descriptors from one netd to the next (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::protocol::{Handover, Held};
use crate::Error;

/// Descriptors in one message; the kernel takes 253.
const CHUNK: usize = 200;

fn failed(step: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Socket { step, source }
}

/// Sends descriptors in order.
pub(super) async fn send(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
    for chunk in descriptors.chunks(CHUNK) {
        let raw: Vec<RawFd> = chunk.iter().map(AsRawFd::as_raw_fd).collect();
        let send = || {
            let rights = [ControlMessage::ScmRights(&raw)];
            sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::empty(), None)
                .map_err(io::Error::from)
        };
        stream.async_io(Interest::WRITABLE, send).await.map_err(failed("pass descriptors over"))?;
    }
    Ok(())
}

/// Receives as many descriptors as a handover lists.
pub(super) async fn receive(stream: &UnixStream, handover: &Handover) -> Result<Vec<OwnedFd>, Error> {
    let count = handover.held.iter().map(|held| match held {
        Held::Container { .. } => 2,
        Held::Port { descriptors, .. } => *descriptors,
        Held::Mesh { queues, sockets, ingress, .. } => queues.saturating_add(*sockets).saturating_add(*ingress),
    });
    let count = count.fold(0, usize::saturating_add);
    let mut received: Vec<OwnedFd> = Vec::new();
    while received.len() < count {
        let more = stream.async_io(Interest::READABLE, || receive_some(stream)).await;
        let more = more.map_err(failed("receive descriptors over"))?;
        if more.is_empty() {
            return Err(Error::Malformed { what: "a predecessor's descriptors" });
        }
        received.extend(more);
    }
    Ok(received)
}

fn receive_some(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([RawFd; CHUNK]);
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just made these descriptors for this process, and nothing else knows them.
            received.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok(received)
}
