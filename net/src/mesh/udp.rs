//! The socket that the tunnel's datagrams come and go by, many in one call (udp(7): UDP_SEGMENT, UDP_GRO).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Error;

const UDP_SEGMENT: libc::c_int = 103;
const UDP_GRO: libc::c_int = 104;
/// Bytes that may wait for this process, or for the network.
const QUEUE: libc::c_int = 4 << 20;
/// Messages in one call, each of up to [`LARGEST`] bytes.
pub const MESSAGES: usize = 8;
/// Bytes of the largest message.
pub const LARGEST: usize = 65_535;
/// Datagrams that one message may be cut into (UDP_MAX_SEGMENTS), and their bytes.
const SEGMENTS: usize = 64;
const SEGMENTED: usize = 65_000;

/// A socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    six: bool,
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Mesh { step, source }
}

fn option(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value is a live int of the length given.
    let done = unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size_of::<libc::c_int>() as u32)
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn open(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: it takes numbers only.
    let fd = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Socket {
    /// So many sockets of one port, on all addresses of the host: each peer's datagrams come by one of them, in order.
    pub fn bind(port: u16, count: usize) -> Result<Vec<Self>, Error> {
        (0..count).map(|_| Self::one(port)).collect()
    }

    fn one(port: u16) -> Result<Self, Error> {
        let (fd, six) = match open(libc::AF_INET6) {
            Ok(fd) => (fd, true),
            // A kernel without IPv6.
            Err(_) => (open(libc::AF_INET).map_err(failed("open the socket of"))?, false),
        };
        if six {
            option(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0).map_err(failed("set up the socket of"))?;
        }
        option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1).map_err(failed("set up the socket of"))?;
        let any: IpAddr = if six { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let (address, length) = encode(SocketAddr::new(any, port), six);
        // SAFETY: the address is a live structure of the length given.
        if unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) } == -1 {
            let source = io::Error::last_os_error();
            return Err(Error::MeshPort { port, source });
        }
        Self { fd, six }.set_up()
    }

    /// One that a predecessor held.
    pub fn adopt(fd: OwnedFd) -> Result<Self, Error> {
        let mut domain: libc::c_int = 0;
        let mut length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the value and its length are live and belong together.
        unsafe {
            libc::getsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_DOMAIN,
                (&raw mut domain).cast(),
                &raw mut length,
            );
        }
        Self { fd, six: domain == libc::AF_INET6 }.set_up()
    }

    fn set_up(self) -> Result<Self, Error> {
        // Packets that are too long on some way are cut on it, rather than lost: the device's MTU is what sees to that.
        let _ = option(&self.fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT);
        if self.six {
            let _ = option(&self.fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT);
        }
        // Without the right to more it has what the host allows; joined datagrams are a gain and no need.
        for name in [libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
            let _ = option(&self.fd, libc::SOL_SOCKET, name, QUEUE);
        }
        let _ = option(&self.fd, libc::SOL_UDP, UDP_GRO, 1);
        Ok(self)
    }

    /// Sends one datagram; one that cannot go is lost, as datagrams are.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) {
        let (address, length) = encode(to, self.six);
        // SAFETY: datagram and address are live and of the lengths given.
        unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                datagram.as_ptr().cast(),
                datagram.len(),
                0,
                (&raw const address).cast(),
                length,
            );
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An address as the socket's family has it.
fn encode(address: SocketAddr, six: bool) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: the structure is plain data, for which zeros are valid.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let place = &raw mut storage;
    let length = match (address.ip(), six) {
        (IpAddr::V4(four), false) => {
            let value = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(four.octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a storage has room for every address, and is aligned for it.
            unsafe { place.cast::<libc::sockaddr_in>().write(value) };
            size_of::<libc::sockaddr_in>()
        }
        (ip, _) => {
            let octets = match ip {
                IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
                IpAddr::V6(six) => six.octets(),
            };
            let value = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: octets },
                sin6_scope_id: if let SocketAddr::V6(six) = address { six.scope_id() } else { 0 },
            };
            // SAFETY: as above.
            unsafe { place.cast::<libc::sockaddr_in6>().write(value) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

fn decode(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let place = &raw const *storage;
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it holds.
            let address = unsafe { &*place.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddr::new(ip.into(), u16::from_be(address.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says what it holds.
            let address = unsafe { &*place.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            Some(match ip.to_ipv4_mapped() {
                Some(four) => SocketAddr::new(four.into(), port),
                None => std::net::SocketAddrV6::new(ip, port, 0, address.sin6_scope_id).into(),
            })
        }
        _ => None,
    }
}

/// Datagrams that wait to be sent together.
#[derive(Debug)]
pub struct Outgoing {
    buffer: Vec<u8>,
    used: usize,
    messages: Vec<Message>,
}

/// Datagrams of one length, but for the last, to one place.
#[derive(Debug, Clone, Copy)]
struct Message {
    to: SocketAddr,
    start: usize,
    length: usize,
    segment: usize,
    count: usize,
}

/// Bytes that wait at most, and messages.
const WAITING: usize = 4 * LARGEST;
const WAITING_MESSAGES: usize = 64;

impl Default for Outgoing {
    fn default() -> Self {
        Self { buffer: vec![0; WAITING + 2 * LARGEST], used: 0, messages: Vec::with_capacity(WAITING_MESSAGES) }
    }
}

impl Outgoing {
    /// Whether it should be sent before more comes: what the device hands over at once always finds room then.
    pub fn is_full(&self) -> bool {
        self.used >= WAITING || self.messages.len() >= WAITING_MESSAGES
    }

    /// Where the next datagram of at most so many bytes is to be written; `None` where there is no room left.
    pub fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        self.buffer.get_mut(self.used..)?.get_mut(..length)
    }

    /// So many bytes were written there.
    pub fn add(&mut self, length: usize, to: SocketAddr) {
        let start = self.used;
        self.used += length;
        if let Some(last) = self.messages.last_mut() {
            // Only the last one may be shorter than the others.
            let is_open = last.length == last.segment * last.count && last.count < SEGMENTS;
            if is_open && last.to == to && length <= last.segment && last.length + length <= SEGMENTED {
                (last.length, last.count) = (last.length + length, last.count + 1);
                return;
            }
        }
        self.messages.push(Message { to, start, length, segment: length, count: 1 });
    }

    /// Sends what waits. What cannot go is lost, as datagrams are.
    pub fn flush(&mut self, socket: &Socket) {
        let mut sent = 0;
        while let Some(rest) = self.messages.get(sent..).filter(|rest| !rest.is_empty()) {
            match send_some(socket, &self.buffer, rest) {
                Ok(count) => sent += count.max(1),
                Err(error) => {
                    match error.raw_os_error() {
                        Some(libc::EINTR) => continue,
                        Some(libc::EAGAIN) => {
                            wait_writable(socket);
                            continue;
                        }
                        // A device that cannot sum up, or a way too narrow: one by one, and in pieces.
                        Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE) if rest[0].count > 1 => {
                            let Message { to, start, length, segment, .. } = rest[0];
                            let whole = self.buffer.get(start..start + length).unwrap_or_default();
                            whole.chunks(segment).for_each(|datagram| socket.send(datagram, to));
                        }
                        _ => {}
                    }
                    sent += 1;
                }
            }
        }
        self.messages.clear();
        self.used = 0;
    }
}

fn wait_writable(socket: &Socket) {
    let mut poll = [rustix::event::PollFd::new(socket, rustix::event::PollFlags::OUT)];
    let patience = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let _ = rustix::event::poll(&mut poll, Some(&patience));
}

/// Room for one control message.
type Control = [u64; 4];

fn send_some(socket: &Socket, buffer: &[u8], messages: &[Message]) -> io::Result<usize> {
    let messages = &messages[..messages.len().min(WAITING_MESSAGES)];
    let mut addresses: Vec<_> = messages.iter().map(|message| encode(message.to, socket.six)).collect();
    let mut parts: Vec<libc::iovec> = messages
        .iter()
        .map(|message| {
            let whole = &buffer[message.start..message.start + message.length];
            libc::iovec { iov_base: whole.as_ptr().cast_mut().cast(), iov_len: whole.len() }
        })
        .collect();
    let mut controls: Vec<Control> = vec![[0; 4]; messages.len()];
    let mut headers = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        // SAFETY: the structure is plain data, for which zeros are valid.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_name = (&raw mut addresses[index].0).cast();
        header.msg_hdr.msg_namelen = addresses[index].1;
        header.msg_hdr.msg_iov = &raw mut parts[index];
        header.msg_hdr.msg_iovlen = 1;
        if message.count > 1 {
            header.msg_hdr.msg_control = controls[index].as_mut_ptr().cast();
            // SAFETY: the lengths are of one control message, for which there is room, and its data is a u16.
            unsafe {
                header.msg_hdr.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as _;
                let control = libc::CMSG_FIRSTHDR(&raw const header.msg_hdr);
                (*control).cmsg_level = libc::SOL_UDP;
                (*control).cmsg_type = UDP_SEGMENT;
                (*control).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
                libc::CMSG_DATA(control).cast::<u16>().write_unaligned(message.segment as u16);
            }
        }
        headers.push(header);
    }
    // SAFETY: headers point to addresses, parts and controls that live until the call returns.
    let sent = unsafe { libc::sendmmsg(socket.fd.as_raw_fd(), headers.as_mut_ptr(), headers.len() as u32, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Datagrams that have come.
#[derive(Debug)]
pub struct Incoming {
    buffers: Vec<u8>,
    /// Of each message: from where, its bytes, and those of each datagram in it.
    messages: Vec<(SocketAddr, usize, usize)>,
}

impl Default for Incoming {
    fn default() -> Self {
        Self { buffers: vec![0; MESSAGES * LARGEST], messages: Vec::with_capacity(MESSAGES) }
    }
}

impl Incoming {
    /// Receives what is there; whether anything was.
    pub fn receive(&mut self, socket: &Socket) -> io::Result<bool> {
        self.messages.clear();
        // SAFETY: the structures are plain data, for which zeros are valid.
        let mut addresses: [libc::sockaddr_storage; MESSAGES] = unsafe { std::mem::zeroed() };
        let mut controls: [Control; MESSAGES] = [[0; 4]; MESSAGES];
        // SAFETY: as above.
        let mut parts: [libc::iovec; MESSAGES] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; MESSAGES] = unsafe { std::mem::zeroed() };
        for (index, buffer) in self.buffers.chunks_exact_mut(LARGEST).enumerate().take(MESSAGES) {
            parts[index] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut addresses[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut parts[index];
            header.msg_iovlen = 1;
            header.msg_control = controls[index].as_mut_ptr().cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
        // SAFETY: headers point to buffers, addresses and controls that live until the call returns.
        let count = unsafe {
            libc::recvmmsg(
                socket.fd.as_raw_fd(),
                headers.as_mut_ptr(),
                MESSAGES as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                // What the network says of datagrams that were sent before is no failure of receiving.
                Some(libc::EAGAIN | libc::EINTR | libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH) => {
                    Ok(false)
                }
                _ => Err(error),
            };
        };
        for (header, address) in headers.iter().zip(&addresses).take(count) {
            let length = header.msg_len as usize;
            let segment = segment(&header.msg_hdr).filter(|segment| *segment > 0).unwrap_or(length.max(1));
            let from = decode(address).unwrap_or_else(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
            self.messages.push((from, length, segment));
        }
        Ok(count > 0)
    }

    /// Each message: from where, its bytes, and the length of the datagrams in it.
    pub fn messages(&self) -> impl Iterator<Item = (SocketAddr, &[u8], usize)> {
        let buffers = self.buffers.chunks_exact(LARGEST);
        self.messages.iter().zip(buffers).map(|((from, length, segment), buffer)| (*from, &buffer[..*length], *segment))
    }
}

/// Of how many bytes the datagrams are that the kernel has joined.
fn segment(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel has filled the header in, and its control messages are walked as it says.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            if (*control).cmsg_level == libc::SOL_UDP && (*control).cmsg_type == UDP_GRO {
                return usize::try_from(libc::CMSG_DATA(control).cast::<libc::c_int>().read_unaligned()).ok();
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}
