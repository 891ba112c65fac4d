//! Packets as they pass between the device and the tunnel. Pure.
//!
//! The kernel hands over and takes what many packets of a flow are together, with a header that says how they are to be cut
//! (`struct virtio_net_hdr`, linux/virtio_net.h); a datagram of the tunnel holds one. [`split`](split::split) cuts,
//! [`Coalescer`] joins, and both see to the checksums that the kernel leaves to hardware.

mod checksum;
pub mod coalesce;
pub mod frame;
pub mod split;
pub mod vxlan;

use std::net::IpAddr;

pub use coalesce::Coalescer;

/// Bytes of the header.
pub const HEADER: usize = 10;
/// Bytes that a buffer needs behind the longest packet.
pub const SLACK: usize = 16;
/// Longest packet.
pub const LONGEST: usize = 65_535;
/// Longest headers of a packet that is cut or joined.
const HEADERS: usize = 256;

const NEEDS_CHECKSUM: u8 = 1;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
/// Marks that the first packet says that its sender has slowed down (RFC 3168).
const GSO_ECN: u8 = 0x80;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Where the checksum lies in a transport header.
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;
const UDP_HEADER: usize = 8;

/// A packet that is not as its headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet is not as its headers say")]
pub struct Malformed;

/// What the header says, numbers in the host's byte order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Offload {
    flags: u8,
    kind: u8,
    header_length: u16,
    size: u16,
    checksum_start: u16,
    checksum_offset: u16,
}

impl Offload {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [flags, kind, h0, h1, s0, s1, c0, c1, o0, o1] = *bytes.first_chunk::<HEADER>()?;
        let number = u16::from_ne_bytes;
        let (header_length, size) = (number([h0, h1]), number([s0, s1]));
        let (checksum_start, checksum_offset) = (number([c0, c1]), number([o0, o1]));
        Some(Self { flags, kind: kind & !GSO_ECN, header_length, size, checksum_start, checksum_offset })
    }

    fn write(self) -> [u8; HEADER] {
        let Self { flags, kind, header_length, size, checksum_start, checksum_offset } = self;
        let mut bytes = [0; HEADER];
        (bytes[0], bytes[1]) = (flags, kind);
        for (at, number) in (2..).step_by(2).zip([header_length, size, checksum_start, checksum_offset]) {
            bytes[at..at + 2].copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }
}

/// Source and destination of an IP packet.
pub fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let four = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let six = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
    match packet.first()? >> 4 {
        4 => Some((four(12)?, four(16)?)),
        6 => Some((six(8)?, six(24)?)),
        _ => None,
    }
}

/// Where both addresses lie in a header.
const fn address_range(six: bool) -> std::ops::Range<usize> {
    if six { 8..40 } else { 12..20 }
}

fn big_endian(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Writes the length of a packet into its IP header, and the header's checksum.
fn set_length(headers: &mut [u8], six: bool, transport: usize, length: usize) {
    if six {
        headers[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
        return;
    }
    headers[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    headers[10..12].fill(0);
    let checksum = checksum::finish(checksum::sum(&headers[..transport], 0), false);
    headers[10..12].copy_from_slice(&checksum);
}

#[cfg(test)]
mod tests;
