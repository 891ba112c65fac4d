//! Packets with link addresses, as the device by which clients cross hands them over and takes them.

use super::{HEADER, NEEDS_CHECKSUM, Offload};
use crate::peers::{OWN_LINK, Zone};

/// Bytes of a link header.
pub const LINK: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// Takes the link header out of the first `length` bytes, which begin with the kernel's header: what follows the first
/// [`LINK`] bytes is then the kernel's header and the packet. Returns to whom it goes; `None` for what is no packet for another node.
pub fn strip(buffer: &mut [u8], length: usize) -> Option<Zone> {
    let head = *buffer.get(..length)?.first_chunk::<{ HEADER + LINK }>()?;
    let mut offload = Offload::read(&head)?;
    let (to, kind) = (head.get(HEADER..HEADER + 6)?, head.get(HEADER + 12..)?);
    let zone = Zone::of_link_address(to.try_into().ok()?)?;
    if kind != IPV4 && kind != IPV6 {
        return None;
    }
    offload.header_length = offload.header_length.saturating_sub(LINK as u16);
    if offload.flags & NEEDS_CHECKSUM != 0 {
        offload.checksum_start = offload.checksum_start.checked_sub(LINK as u16)?;
    }
    buffer.get_mut(LINK..LINK + HEADER)?.copy_from_slice(&offload.write());
    Some(zone)
}

/// From another node, or from nobody, to this one.
pub fn link_header(from: Zone, is_six: bool) -> [u8; LINK] {
    let mut header = [0; LINK];
    header[..6].copy_from_slice(&OWN_LINK);
    header[6..12].copy_from_slice(&from.link_address());
    header[12..].copy_from_slice(if is_six { &IPV6 } else { &IPV4 });
    header
}

/// The kernel's header and a link header, in the place of the kernel's header of a packet.
pub fn dress(head: &[u8], first: u8, from: Zone) -> Option<[u8; HEADER + LINK]> {
    let mut offload = Offload::read(head)?;
    if offload.kind != 0 {
        offload.header_length += LINK as u16;
    }
    if offload.flags & NEEDS_CHECKSUM != 0 {
        offload.checksum_start += LINK as u16;
    }
    let mut dressed = [0; HEADER + LINK];
    dressed[..HEADER].copy_from_slice(&offload.write());
    dressed[HEADER..].copy_from_slice(&link_header(from, first >> 4 == 6));
    Some(dressed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_frame_is_a_packet_again(checksum: bool, start in 0u16..1000, rest: Vec<u8>) {
            let zone = crate::peers::zones([model::NodeId::from_random(1)]).into_values().next().unwrap();
            let flags = if checksum { NEEDS_CHECKSUM } else { 0 };
            let start = if checksum { start } else { 0 };
            let head = Offload { flags, checksum_start: start, ..Offload::default() }.write();
            let mut frame = dress(&head, 0x45, zone).unwrap().to_vec();
            // It goes back to where it came from.
            let from: [u8; 6] = frame[HEADER + 6..HEADER + 12].try_into().unwrap();
            frame[HEADER..HEADER + 6].copy_from_slice(&from);
            frame.extend(&rest);
            let length = frame.len();
            prop_assert_eq!(strip(&mut frame, length), Some(zone));
            prop_assert_eq!(&frame[LINK..LINK + HEADER], &head[..]);
            prop_assert_eq!(&frame[LINK + HEADER..], &rest[..]);
        }

        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, length in 0usize..100) {
            let _ = strip(&mut bytes, length);
        }
    }
}
