//! Clients' packets within the tunnel: in VXLAN (RFC 7348) between the inner addresses of two nodes.
//!
//! A client's address is nobody's in the tunnel, which carries only what is from an address of its sender's. So another packet
//! goes around it, of the form that the kernel's own VXLAN devices have.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::{SLACK, UDP, big_endian};

/// VXLAN's port.
const PORT: u16 = 4789;
/// Which network it is, of VXLAN's 16 million.
const NETWORK: u32 = 0x6f_7263;
const IP: usize = 40;
const FRAME: usize = IP + 16;
/// Bytes before a client's packet.
pub const HEADERS: usize = FRAME + 14;

/// Puts a client's packet into another one, in place of what the buffer holds; padded with zeros to a multiple of sixteen.
pub fn wrap(packet: &[u8], from: Ipv6Addr, to: Ipv6Addr, buffer: &mut Vec<u8>) {
    let behind = (HEADERS - IP + packet.len()) as u16;
    let is_six = packet.first().is_some_and(|first| first >> 4 == 6);
    buffer.clear();
    buffer.extend([0x60, 0, 0, 0]);
    buffer.extend(behind.to_be_bytes());
    buffer.extend([UDP, 64]);
    buffer.extend(from.octets());
    buffer.extend(to.octets());
    buffer.extend(PORT.to_be_bytes());
    buffer.extend(PORT.to_be_bytes());
    buffer.extend(behind.to_be_bytes());
    // The tunnel lets nothing through that was changed: a checksum would say no more (RFC 6935).
    buffer.extend([0, 0]);
    buffer.extend([8, 0, 0, 0]);
    buffer.extend((NETWORK << 8).to_be_bytes());
    buffer.extend(super::frame::link_header(crate::peers::Zone::NONE, is_six));
    buffer.extend(packet);
    buffer.resize(buffer.len().next_multiple_of(SLACK), 0);
}

/// Where in a packet a client's one lies; `None` where this is no such packet between these two.
pub fn unwrap(packet: &[u8], from: Ipv6Addr, to: Ipv6Addr) -> Option<Range<usize>> {
    let is_around = packet.first()? >> 4 == 6
        && packet.get(6) == Some(&UDP)
        && packet.get(8..24) == Some(&from.octets()[..])
        && packet.get(24..40) == Some(&to.octets()[..])
        && big_endian(packet, IP + 2)? == PORT
        && packet.get(IP + 8) == Some(&8)
        && packet.get(IP + 12..IP + 15) == NETWORK.to_be_bytes().get(1..);
    let inner = packet.get(HEADERS..).filter(|_| is_around)?;
    let length = match (inner.first()? >> 4, big_endian(packet, FRAME + 12)?) {
        (4, 0x0800) => usize::from(big_endian(inner, 2)?),
        (6, 0x86dd) => 40 + usize::from(big_endian(inner, 4)?),
        _ => return None,
    };
    (20..=inner.len()).contains(&length).then_some(HEADERS..HEADERS + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Ipv6Addr = Ipv6Addr::new(0xfd6f, 0, 0, 0, 0, 0, 0, 1);
    const THERE: Ipv6Addr = Ipv6Addr::new(0xfd6f, 0, 0, 0, 0, 0, 0, 2);

    fn packet(length: u16) -> Vec<u8> {
        let mut packet = vec![7; usize::from(length)];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(length in 20u16..3000) {
            let (packet, mut buffer) = (packet(length), Vec::new());
            wrap(&packet, HERE, THERE, &mut buffer);
            prop_assert_eq!(buffer.len() % 16, 0);
            prop_assert_eq!(unwrap(&buffer, HERE, THERE).map(|range| buffer[range].to_vec()), Some(packet));
            prop_assert_eq!(unwrap(&buffer, THERE, HERE), None);
            prop_assert_eq!(buffer.len().abs_diff(crate::peers::CROSSING as usize + usize::from(length)) / 16, 0);
        }

        #[test]
        fn what_was_cut_or_changed_never_leads_outside(length in 20u16..200, cut in 0usize..300, at in 0usize..100, bits: u8) {
            let mut buffer = Vec::new();
            wrap(&packet(length), HERE, THERE, &mut buffer);
            buffer.truncate(cut);
            if let Some(byte) = buffer.get_mut(at) {
                *byte ^= bits;
            }
            if let Some(range) = unwrap(&buffer, HERE, THERE) {
                prop_assert!(range.end <= buffer.len() && range.len() >= 20);
            }
        }
    }
}
