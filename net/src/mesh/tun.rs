//! The device whose packets the mesh carries (`linux/if_tun.h`).

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::Error;

const DEVICE: &str = "/dev/net/tun";
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const TUNSETPERSIST: libc::Ioctl = 0x4004_54cb;
const TUNSETOFFLOAD: libc::Ioctl = 0x4004_54d0;
const IFF_TUN: libc::c_short = 0x0001;
const IFF_TAP: libc::c_short = 0x0002;
const IFF_MULTI_QUEUE: libc::c_short = 0x0100;
const IFF_NO_PI: libc::c_short = 0x1000;
const IFF_VNET_HDR: libc::c_short = 0x4000;
/// Checksums, and TCP of both families, with ECN.
const OFFLOADS: libc::c_ulong = 1 | 2 | 4 | 8;
/// UDP of both families, since Linux 6.2.
const DATAGRAMS: libc::c_ulong = 0x20 | 0x40;

/// What a device carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Packets.
    Packets,
    /// Packets with link addresses.
    Frames,
}

/// One queue of the device.
#[derive(Debug)]
pub struct Queue {
    file: File,
    /// Whether its kernel takes joined UDP.
    pub joins_datagrams: bool,
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Mesh { step, source }
}

fn ioctl(file: &File, request: libc::Ioctl, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the requests above take a number, and the descriptor is open.
    match unsafe { libc::ioctl(file.as_raw_fd(), request, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Opens a queue of the device of this name, which is made if it is not there.
fn open(name: &str, kind: Kind) -> Result<File, Error> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE);
    let file = file.map_err(failed("open /dev/net/tun of"))?;
    // SAFETY: the structure is plain data, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Error::InterfaceName { name: name.into() });
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let kind = if kind == Kind::Packets { IFF_TUN } else { IFF_TAP };
    request.ifr_ifru.ifru_flags = kind | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
    // SAFETY: TUNSETIFF takes a `struct ifreq`, which lives until the call returns.
    if unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) } == -1 {
        return Err(failed("attach to the device of")(io::Error::last_os_error()));
    }
    Ok(file)
}

/// Makes a device that stays without a process that holds it, or finds it there.
pub fn create(name: &str, kind: Kind) -> Result<(), Error> {
    ioctl(&open(name, kind)?, TUNSETPERSIST, 1).map_err(failed("keep the device of"))
}

impl Queue {
    /// Attaches to a device by so many queues.
    pub fn attach(name: &str, kind: Kind, count: usize) -> Result<Vec<Self>, Error> {
        (0..count).map(|_| Self::of(open(name, kind)?)).collect()
    }

    /// One that a predecessor held.
    pub fn adopt(descriptor: OwnedFd) -> Result<Self, Error> {
        Self::of(File::from(descriptor))
    }

    fn of(file: File) -> Result<Self, Error> {
        let joins_datagrams = ioctl(&file, TUNSETOFFLOAD, OFFLOADS | DATAGRAMS).is_ok();
        if !joins_datagrams {
            ioctl(&file, TUNSETOFFLOAD, OFFLOADS).map_err(failed("set the offloads of"))?;
        }
        Ok(Self { file, joins_datagrams })
    }

    /// Reads one packet with its header; `None` when there is none.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::io::read(&self.file, buffer) {
            Ok(length) => Ok(Some(length)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes one packet with its header.
    pub fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        rustix::io::writev(&self.file, parts)?;
        Ok(())
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
