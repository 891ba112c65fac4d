//! Cuts what the kernel hands over into packets that fit into the tunnel.

use super::{
    GSO_TCP4, GSO_TCP6, GSO_UDP, HEADER, HEADERS, Malformed, NEEDS_CHECKSUM, Offload, SLACK, TCP, TCP_CHECKSUM, UDP,
    UDP_CHECKSUM, UDP_HEADER, address_range, checksum, set_length,
};

const FIN_AND_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// How a packet is cut.
#[derive(Debug, Clone, Copy)]
struct Shape {
    six: bool,
    udp: bool,
    transport: usize,
    headers: usize,
    size: usize,
}

/// Hands over each packet that the first `length` bytes hold, checksums made, padded with zeros to a multiple of sixteen
/// as far as `mtu` allows. Behind them [`SLACK`] bytes must be free. All but the last have one length.
///
/// # Errors
/// [`Malformed`], before the first packet.
pub fn split(buffer: &mut [u8], length: usize, mtu: usize, mut each: impl FnMut(&[u8])) -> Result<(), Malformed> {
    let offload = buffer.get(..length).and_then(Offload::read).ok_or(Malformed)?;
    let packet = buffer.get_mut(HEADER..length + SLACK).ok_or(Malformed)?;
    let length = length - HEADER;
    if offload.kind == 0 {
        if offload.flags & NEEDS_CHECKSUM != 0 {
            complete(&mut packet[..length], offload)?;
        }
        padded(packet, 0, length, mtu, &mut each);
        return Ok(());
    }
    let shape = shape(&packet[..length], offload).ok_or(Malformed)?;
    let mut headers = [0; HEADERS];
    headers[..shape.headers].copy_from_slice(&packet[..shape.headers]);
    let payload = length - shape.headers;
    let count = payload.div_ceil(shape.size).max(1);
    for index in 0..count {
        // Its headers take the place of what has been handed over already.
        let start = index * shape.size;
        let end = (start + shape.headers + shape.size).min(length);
        let segment = &mut packet[start..end];
        segment[..shape.headers].copy_from_slice(&headers[..shape.headers]);
        finish(segment, shape, index, index + 1 == count);
        padded(packet, start, end - start, mtu, &mut each);
    }
    Ok(())
}

/// Hands over a packet with zeros behind it, and puts back what was there.
fn padded(packet: &mut [u8], start: usize, length: usize, mtu: usize, each: &mut impl FnMut(&[u8])) {
    let whole = length.next_multiple_of(SLACK).min(mtu.max(length));
    let mut behind = [0; SLACK];
    let end = start + length;
    let behind = &mut behind[..whole - length];
    behind.copy_from_slice(&packet[end..start + whole]);
    packet[end..start + whole].fill(0);
    each(&packet[start..start + whole]);
    packet[end..start + whole].copy_from_slice(behind);
}

/// Makes the checksum that the kernel has only begun: in its place lies the sum of the pseudo-header.
fn complete(packet: &mut [u8], offload: Offload) -> Result<(), Malformed> {
    let (start, offset) = (usize::from(offload.checksum_start), usize::from(offload.checksum_offset));
    let sum = checksum::sum(packet.get(start..).ok_or(Malformed)?, 0);
    let place = packet.get_mut(start + offset..start + offset + 2).ok_or(Malformed)?;
    place.copy_from_slice(&checksum::finish(sum, offset == UDP_CHECKSUM));
    Ok(())
}

fn shape(packet: &[u8], offload: Offload) -> Option<Shape> {
    let transport = usize::from(offload.checksum_start);
    let udp = offload.kind == GSO_UDP;
    let protocol = if udp { UDP } else { TCP };
    let six = match packet.first()? >> 4 {
        4 if offload.kind != GSO_TCP6 => {
            let header = usize::from(packet[0] & 0x0f) * 4;
            (header >= 20 && header == transport && packet.get(9) == Some(&protocol)).then_some(false)?
        }
        6 if offload.kind != GSO_TCP4 => {
            let is_first = transport == 40;
            (transport >= 40 && (!is_first || packet.get(6) == Some(&protocol))).then_some(true)?
        }
        _ => return None,
    };
    let (length, offset) = match offload.kind {
        GSO_UDP => (UDP_HEADER, UDP_CHECKSUM),
        GSO_TCP4 | GSO_TCP6 => (usize::from(packet.get(transport + 12)? >> 4) * 4, TCP_CHECKSUM),
        _ => return None,
    };
    let headers = transport + length;
    let fits = length >= if udp { UDP_HEADER } else { 20 } && headers <= packet.len().min(HEADERS);
    let is_whole = offload.flags & NEEDS_CHECKSUM != 0 && usize::from(offload.checksum_offset) == offset;
    (fits && is_whole && offload.size > 0).then_some(Shape { six, udp, transport, headers, size: offload.size.into() })
}

/// Makes a segment's headers its own.
fn finish(segment: &mut [u8], shape: Shape, index: usize, is_last: bool) {
    let Shape { six, udp, transport, size, .. } = shape;
    let length = segment.len();
    if !six {
        let id = u16::from_be_bytes([segment[4], segment[5]]).wrapping_add(index as u16);
        segment[4..6].copy_from_slice(&id.to_be_bytes());
    }
    set_length(segment, six, transport, length);
    let place = if udp {
        segment[transport + 4..transport + 6].copy_from_slice(&((length - transport) as u16).to_be_bytes());
        UDP_CHECKSUM
    } else {
        let at = transport + 4;
        let sequence = u32::from_be_bytes([segment[at], segment[at + 1], segment[at + 2], segment[at + 3]]);
        let sequence = sequence.wrapping_add((index * size) as u32);
        segment[at..at + 4].copy_from_slice(&sequence.to_be_bytes());
        let flags = &mut segment[transport + 13];
        *flags &= if is_last { 0xff } else { !FIN_AND_PSH };
        *flags &= if index == 0 { 0xff } else { !CWR };
        TCP_CHECKSUM
    };
    let protocol = if udp { UDP } else { TCP };
    let pseudo = checksum::pseudo_header(&segment[address_range(six)], protocol, length - transport);
    segment[transport + place..transport + place + 2].fill(0);
    let made = checksum::finish(checksum::sum(&segment[transport..], pseudo), udp);
    segment[transport + place..transport + place + 2].copy_from_slice(&made);
}
