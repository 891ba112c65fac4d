//! Connections to published ports that the packet filter cannot lead to a container: those to ::1, from where the kernel lets
//! nothing out, and those to other IPv6 addresses where the container has IPv4 alone.
//!
//! The socket that reserves the port then listens, and connections are copied by this process. The client's address is
//! lost on that way, as with Docker's proxy. Everything else is translated in the kernel and never comes here.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{Backlog, Shutdown, listen, setsockopt, shutdown, sockopt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::protocol::Reservation;
use crate::Error;

/// Connections at once, for the whole node: two descriptors each.
const MAX_CONNECTIONS: usize = 1024;
/// How long a container has to accept a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many more connections there may be.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        // It is closed by nobody.
        let _ = self.0.acquire_many(MAX_CONNECTIONS as u32).await;
    }
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CONNECTIONS)))
    }
}

/// A reserved socket that serves.
#[derive(Debug)]
pub(super) struct Relay {
    backends: Arc<Mutex<Vec<SocketAddr>>>,
    socket: OwnedFd,
    task: JoinHandle<()>,
    /// A successor serves the same socket.
    handed_over: bool,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        if !self.handed_over {
            // It stays bound, and refuses again.
            let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
        }
    }
}

/// Whether a reserved socket is an IPv6 one.
pub(super) fn is_ipv6(socket: &OwnedFd) -> bool {
    nix::sys::socket::getsockname::<nix::sys::socket::SockaddrStorage>(socket.as_raw_fd())
        .is_ok_and(|address| address.as_sockaddr_in6().is_some())
}

impl Relay {
    /// Serves on a reserved socket.
    pub(super) fn start(
        reservation: Reservation,
        socket: BorrowedFd<'_>,
        backends: Vec<SocketAddr>,
        room: &Room,
    ) -> Result<Self, Error> {
        let failed = |step| move |source| Error::Socket { step, source };
        let socket = socket.try_clone_to_owned().map_err(failed("duplicate"))?;
        listen(&socket, Backlog::MAXCONN).map_err(|errno| failed("listen on")(errno.into()))?;
        let listener = TcpListener::from(socket.try_clone().map_err(failed("duplicate"))?);
        listener.set_nonblocking(true).map_err(failed("prepare"))?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed("listen on"))?;
        let backends = Arc::new(Mutex::new(backends));
        let task = tokio::spawn(accept(reservation, listener, Arc::clone(&backends), room.clone()));
        Ok(Self { backends, socket, task, handed_over: false })
    }

    /// Leads new connections elsewhere.
    pub(super) fn lead_to(&self, backends: Vec<SocketAddr>) {
        *self.backends.lock().unwrap_or_else(PoisonError::into_inner) = backends;
    }

    /// Leaves the socket to a successor.
    pub(super) const fn hand_over(&mut self) {
        self.handed_over = true;
    }
}

async fn accept(
    reservation: Reservation,
    listener: tokio::net::TcpListener,
    backends: Arc<Mutex<Vec<SocketAddr>>>,
    room: Room,
) {
    for turn in 0usize.. {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                tracing::debug!(port = reservation.port, %error, "a published port's socket does not accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let backend = {
            let backends = backends.lock().unwrap_or_else(PoisonError::into_inner);
            backends.get(turn % backends.len().max(1)).copied()
        };
        let (Some(backend), Ok(permit)) = (backend, Arc::clone(&room.0).try_acquire_owned()) else {
            refuse(client);
            continue;
        };
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = copy(client, backend).await {
                tracing::debug!(%backend, %error, "a relayed connection broke");
            }
        });
    }
}

async fn copy(mut client: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let connected = timeout(PATIENCE, TcpStream::connect(backend)).await;
    let mut server = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(server) => server,
        Err(error) => {
            refuse(client);
            return Err(error);
        }
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Ends a connection with a reset, which no client takes for an empty answer.
fn refuse(client: TcpStream) {
    let _ = setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 });
}
