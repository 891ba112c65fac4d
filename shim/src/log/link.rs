//! The socket to where lines are sent. It never blocks, and is made anew when it breaks.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use model::SyslogAddress;
use model::shim::SyslogTls;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, send, sendmsg, socket_with, sockopt,
};

use super::tls::Tls;

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The journal's socket: what is too long for a datagram goes in a sealed memory file.
    Journal(PathBuf),
    /// A syslog server, and whom to trust there.
    Syslog(SyslogAddress, Option<SyslogTls>),
}

/// An open socket.
pub struct Link {
    socket: OwnedFd,
    is_stream: bool,
    is_journal: bool,
    is_udp: bool,
    tls: Option<Box<Tls>>,
    /// Of the message at the front, so much was sent.
    sent: usize,
}

/// What came of an attempt to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it.
    Whole,
    /// The rest must wait until the socket is ready.
    Later,
}

impl Link {
    /// Opens a socket and connects it; a connection over TCP may still be under way.
    pub fn open(target: &Target) -> io::Result<Self> {
        let (socket, is_stream) = match target {
            Target::Journal(path) => (open_unix(path, SocketType::DGRAM)?, false),
            Target::Syslog(SyslogAddress::Unixgram(path), _) => (open_unix(Path::new(path), SocketType::DGRAM)?, false),
            Target::Syslog(SyslogAddress::Unix(path), _) => (open_unix(Path::new(path), SocketType::STREAM)?, true),
            Target::Syslog(SyslogAddress::Udp(address), _) => (open_inet(*address, SocketType::DGRAM)?, false),
            Target::Syslog(SyslogAddress::Tcp(address) | SyslogAddress::Tls(address), _) => {
                (open_inet(*address, SocketType::STREAM)?, true)
            }
        };
        let is_journal = matches!(target, Target::Journal(_));
        let is_udp = matches!(target, Target::Syslog(SyslogAddress::Udp(_), _));
        let tls = match target {
            Target::Syslog(SyslogAddress::Tls(_), Some(options)) => Some(Box::new(Tls::new(options)?)),
            Target::Syslog(SyslogAddress::Tls(_), None) => {
                return Err(io::Error::new(ErrorKind::InvalidInput, "nobody said whom to trust"));
            }
            _ => None,
        };
        Ok(Self { socket, is_stream, is_journal, is_udp, tls, sent: 0 })
    }

    /// For poll.
    pub fn raw(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Sends a message, or what is left of it.
    pub fn send(&mut self, message: &[u8]) -> io::Result<Sent> {
        if let Some(tls) = &mut self.tls {
            let sent = tls.send(&self.socket, message);
            return match (sent, self.error()) {
                (Err(_) | Ok(Sent::Later), Some(error)) => Err(error),
                (sent, _) => sent,
            };
        }
        loop {
            match send(&self.socket, &message[self.sent..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) if self.is_stream && self.sent + count < message.len() => self.sent += count,
                Ok(_) => {
                    self.sent = 0;
                    return Ok(Sent::Whole);
                }
                Err(Errno::INTR) => {}
                // Said of an earlier datagram; whether this one arrives nobody will know either.
                Err(Errno::CONNREFUSED) if self.is_udp => {}
                // A connection that is still being made says NOTCONN on some sockets.
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(Sent::Later),
                Err(Errno::NOTCONN) if self.is_stream && self.error().is_none() => return Ok(Sent::Later),
                Err(Errno::MSGSIZE | Errno::TOOBIG) if self.is_journal => return self.send_file(message),
                Err(error) => return Err(self.error().unwrap_or_else(|| error.into())),
            }
        }
    }

    /// Why a connection could not be made.
    fn error(&self) -> Option<io::Error> {
        sockopt::socket_error(&self.socket).ok()?.err().map(Into::into)
    }

    /// Whether it has to hear something before it can be sent to.
    pub fn waits_for_input(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.waits_for_input())
    }

    /// Takes in what the other side says of its own accord.
    pub fn listen(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.listen(&self.socket),
            None => Ok(()),
        }
    }

    /// Whether the other side has gone, which a stream only tells when it is read from.
    pub fn is_over(&self) -> bool {
        if !self.is_stream || self.tls.is_some() {
            return false;
        }
        let mut byte = [0];
        match rustix::net::recv(&self.socket, &mut byte[..], rustix::net::RecvFlags::DONTWAIT) {
            Ok((_, 0)) => true,
            Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::NOTCONN) => false,
            Err(_) => true,
        }
    }

    /// Sends the message as a sealed memory file (systemd, "Native Journal Protocol").
    fn send_file(&mut self, message: &[u8]) -> io::Result<Sent> {
        let file = memfd_create("orca-log", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(file);
        file.write_all(message)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "no room for a descriptor"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(&self.socket, &[IoSlice::new(&[])], &mut ancillary, flags) {
            Ok(_) => Ok(Sent::Whole),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Sent::Later),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close(&self.socket);
        }
    }
}

fn open_unix(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn open_inet(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
