//! Pseudo-terminals: receiving the master that a container's process opened in its own `/dev/pts`, and sizing it.

use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::shim::TerminalSize;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::error::{Result, ShimError};

/// Where libcontainer delivers the master (OCI's console socket).
pub struct ConsoleListener {
    listener: UnixListener,
    path: PathBuf,
}

impl ConsoleListener {
    /// Listens in `dir`.
    ///
    /// # Errors
    /// If the socket can't be bound.
    pub fn bind(dir: &Path) -> Result<Self> {
        let path = dir.join("console.sock");
        let fault = || ShimError::io("bind", &path);
        let handle = File::open(dir).map_err(fault())?;
        let listener =
            UnixListener::bind(format!("/proc/self/fd/{}/console.sock", handle.as_raw_fd())).map_err(fault())?;
        Ok(Self { listener, path })
    }

    /// The socket's path, which may be longer than an address holds: connect through a link, as libcontainer does.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The master; the socket is removed.
    ///
    /// # Errors
    /// If none came within `limit`.
    pub fn accept(&self, limit: Duration) -> Result<OwnedFd> {
        wait_readable(self.listener.as_fd(), limit)?;
        let (stream, _) = self.listener.accept().map_err(ShimError::io("accept on", &self.path))?;
        // It lies in a directory that is removed with the container anyway.
        let _ = std::fs::remove_file(&self.path);
        receive_master(&stream, limit)
    }
}

/// The descriptor that comes over `socket`.
///
/// # Errors
/// If the other side closes it, or nothing comes within `limit`.
pub fn receive_master(socket: impl AsFd, limit: Duration) -> Result<OwnedFd> {
    wait_readable(socket.as_fd(), limit)?;
    let mut name = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(ShimError::system("receive the terminal"))?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.ok_or_else(|| {
        ShimError::system("receive the terminal")(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
    })
}

fn wait_readable(fd: std::os::fd::BorrowedFd<'_>, limit: Duration) -> Result<()> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one valid pollfd.
    match unsafe { libc::poll(&raw mut poll, 1, millis) } {
        1 => Ok(()),
        0 => Err(ShimError::system("receive the terminal")(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        _ => Err(ShimError::system("receive the terminal")(std::io::Error::last_os_error())),
    }
}

/// Sets a terminal's size by its master.
///
/// # Errors
/// If it is no terminal.
pub fn resize(master: impl AsFd, size: TerminalSize) -> Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).map_err(ShimError::system("resize the terminal"))
}
