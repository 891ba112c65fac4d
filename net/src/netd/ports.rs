//! Reserved ports: sockets that are bound so that nobody else takes the port, and that serve nothing.
//!
//! nftables translates what comes to a published port before it gets to a socket, and reserves nothing by itself. A TCP
//! socket that does not listen answers with a reset where there is no translation; on IPv6 it may serve ([`super::relay`]).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use model::Protocol;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

use super::protocol::Reservation;
use crate::Error;

/// Binds what a reservation asks for: on all addresses, TCP has a socket for IPv6 too.
pub(super) fn reserve(reservation: Reservation) -> Result<Vec<OwnedFd>, Error> {
    let address = reservation.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut held = vec![bind_one(reservation, address)?];
    if reservation.host_ip.is_none() && reservation.protocol == Protocol::Tcp {
        match bind_one(reservation, IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
            Ok(socket) => held.push(socket),
            // A host without IPv6 has nobody on ::1 either.
            Err(Error::PortBind { source, .. }) if is_no_family(&source) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

fn bind_one(reservation: Reservation, address: IpAddr) -> Result<OwnedFd, Error> {
    let Reservation { protocol, port, .. } = reservation;
    // First without address reuse, so that two that reserve see each other. Then with it, which only gets past remains
    // of ended connections: a listener, and a reservation, still refuse.
    let bound = match try_bind(protocol, address, port, false) {
        Err(Errno::EADDRINUSE) if protocol == Protocol::Tcp => try_bind(protocol, address, port, true),
        other => other,
    };
    bound.map_err(|errno| match errno {
        Errno::EADDRINUSE => Error::PortInUse { port, protocol, address, owner: owner(protocol, port) },
        Errno::EMFILE => Error::TooManyPorts { port, protocol, limit: limit() },
        _ => Error::PortBind { port, protocol, address, source: errno.into() },
    })
}

fn is_no_family(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// How many files this process may have open.
fn limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Lets this process have as many files open as it may; what it would start has the same.
pub(super) fn raise_limit() {
    let resource = rustix::process::Resource::Nofile;
    let limit = rustix::process::getrlimit(resource);
    // Below its bound every process may set it.
    let _ = rustix::process::setrlimit(resource, rustix::process::Rlimit { current: limit.maximum, ..limit });
}

/// Whether a port of an address is free for a moment.
///
/// # Errors
/// Why it cannot be had; a kernel without the protocol says [`std::io::ErrorKind::Unsupported`], or nothing better.
pub fn can_bind(protocol: Protocol, address: SocketAddr) -> std::io::Result<()> {
    match try_bind(protocol, address.ip(), address.port(), false) {
        Ok(_) => Ok(()),
        Err(Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT) => Err(std::io::ErrorKind::Unsupported.into()),
        Err(errno) => Err(errno.into()),
    }
}

fn try_bind(protocol: Protocol, address: IpAddr, port: u16, reuse: bool) -> Result<OwnedFd, Errno> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SockType::Stream, None),
        Protocol::Udp => (SockType::Datagram, None),
        Protocol::Sctp => (SockType::Stream, Some(SockProtocol::Sctp)),
    };
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC, number)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    setsockopt(&fd, sockopt::ReuseAddr, &reuse)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(address, port)))?;
    Ok(fd)
}

/// " by PROGRAM (pid N)" for who holds a port, as far as /proc tells.
fn owner(protocol: Protocol, port: u16) -> String {
    let inodes: Vec<String> = ["", "6"]
        .into_iter()
        .filter_map(|family| fs::read_to_string(format!("/proc/self/net/{protocol}{family}")).ok())
        .flat_map(|table| inodes(&table, port))
        .collect();
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let Ok(processes) = fs::read_dir("/proc") else { return String::new() };
    for process in processes.flatten().take(100_000) {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if holds(&process.path(), &wanted) {
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return format!(" by {} (pid {pid})", program.trim());
        }
    }
    String::new()
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    let mut targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target)))
}

/// Inodes of the sockets bound to a port, from the text of /proc/net/tcp and its like (proc_net_tcp in the kernel's
/// documentation): the second column is the local address, the tenth the inode.
fn inodes(table: &str, port: u16) -> Vec<String> {
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, hex) = columns.get(1)?.rsplit_once(':')?;
        let inode = *columns.get(9)?;
        (u16::from_str_radix(hex, 16) == Ok(port) && inode != "0").then(|| inode.to_owned())
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reservation(protocol: Protocol, port: u16) -> Reservation {
        Reservation { protocol, port, host_ip: Some(Ipv4Addr::LOCALHOST.into()) }
    }

    #[test]
    fn a_taken_port_is_named_with_its_owner() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let message = reserve(reservation(Protocol::Tcp, port)).unwrap_err().to_string();
        assert!(message.contains(&format!("port {port}/tcp")), "{message}");
        assert!(message.contains(&format!("(pid {})", std::process::id())), "{message}");
    }

    #[test]
    fn two_reservations_exclude_each_other_and_listeners() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            // Whatever else runs on this machine may take a port between two looks at it.
            let free = || {
                let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                probe.local_addr().unwrap().port()
            };
            let tried = std::iter::repeat_with(free).take(20);
            let (port, held) =
                tried.filter_map(|port| Some((port, reserve(reservation(protocol, port)).ok()?))).next().unwrap();
            assert!(matches!(reserve(reservation(protocol, port)), Err(Error::PortInUse { .. })), "{protocol}");
            if protocol == Protocol::Tcp {
                assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_err());
                let refused = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
                assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            }
            drop(held);
            let again = || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                reserve(reservation(protocol, port)).is_ok()
            };
            assert!(std::iter::repeat_with(again).take(100).any(|free| free), "{port}/{protocol}");
        }
    }
}
