//! Cutting and joining, against a reference and against each other.

use proptest::prelude::*;

use super::split::split;
use super::*;

/// A packet with right checksums.
fn packet(six: bool, udp: bool, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let transport = if six { 40 } else { 20 };
    let header = if udp { UDP_HEADER } else { 32 };
    let length = transport + header + payload.len();
    let mut packet = vec![0; transport + header];
    if six {
        packet[0] = 0x60;
        (packet[6], packet[7]) = (if udp { UDP } else { TCP }, 64);
        packet[8..40].copy_from_slice(&std::array::from_fn::<u8, 32, _>(|index| index as u8));
    } else {
        packet[0] = 0x45;
        packet[6] = 0x40;
        (packet[8], packet[9]) = (64, if udp { UDP } else { TCP });
        packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 65]);
    }
    set_length(&mut packet, six, transport, length);
    packet[transport..transport + 4].copy_from_slice(&[0x9c, 0x40, 0, 80]);
    if udp {
        packet[transport + 4..transport + 6].copy_from_slice(&((length - transport) as u16).to_be_bytes());
    } else {
        packet[transport + 4..transport + 8].copy_from_slice(&sequence.to_be_bytes());
        (packet[transport + 12], packet[transport + 13]) = (8 << 4, flags);
        packet[transport + 20..transport + 32].copy_from_slice(&[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
    packet.extend(payload);
    let offset = transport + if udp { UDP_CHECKSUM } else { TCP_CHECKSUM };
    let protocol = if udp { UDP } else { TCP };
    let pseudo = checksum::pseudo_header(&packet[address_range(six)], protocol, length - transport);
    let sum = checksum::finish(checksum::sum(&packet[transport..], pseudo), udp);
    packet[offset..offset + 2].copy_from_slice(&sum);
    packet
}

/// What the coalescer writes of packets, each write in one piece.
fn joined(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let buffer = packets.concat();
    let mut coalescer = Coalescer::new(true);
    let mut at = 0;
    for packet in packets {
        coalescer.push(&buffer, at..at + packet.len());
        at += packet.len();
    }
    let mut writes = Vec::new();
    coalescer.finish(&buffer, |head, parts| {
        let rest = parts.iter().flat_map(|part| &buffer[part.clone()]);
        writes.push(head.iter().chain(rest).copied().collect());
    });
    writes
}

/// What comes out when the kernel's form is cut again, without padding.
fn cut(written: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut buffer = written.to_vec();
    buffer.resize(written.len() + SLACK, 0xaa);
    let mut packets = Vec::new();
    split(&mut buffer, written.len(), mtu, |packet| {
        let length = match packet[0] >> 4 {
            6 => 40 + usize::from(big_endian(packet, 4).unwrap()),
            _ => big_endian(packet, 2).unwrap().into(),
        };
        assert!(packet.len() - length < SLACK && packet[length..].iter().all(|byte| *byte == 0));
        packets.push(packet[..length].to_vec());
    })?;
    Ok(packets)
}

/// Packets of one flow that follow each other.
fn stream(six: bool, udp: bool, size: usize, payload: &[u8]) -> Vec<Vec<u8>> {
    let last = payload.len().div_ceil(size);
    let each = |(index, part): (usize, &[u8])| {
        let flags = if index + 1 == last { 0x18 } else { 0x10 };
        packet(six, udp, (u32::MAX - 1000).wrapping_add((index * size) as u32), flags, part)
    };
    let wrapping = |(index, part): (usize, &[u8])| {
        let mut packet = each((index, part));
        if !six && !udp {
            packet[4..6].copy_from_slice(&(index as u16).to_be_bytes());
            set_length(&mut packet, false, 20, 52 + part.len());
        }
        packet
    };
    payload.chunks(size).enumerate().map(wrapping).collect()
}

proptest! {
    #[test]
    fn what_is_joined_is_cut_into_the_same(
        six: bool,
        udp: bool,
        size in 1usize..1400,
        payload in proptest::collection::vec(any::<u8>(), 1..20_000),
    ) {
        let payload = &payload[..payload.len().min(size * 40)];
        let mut packets = stream(six, udp, size, payload);
        if !six && udp {
            for (index, packet) in packets.iter_mut().enumerate() {
                packet[4..6].copy_from_slice(&(index as u16).to_be_bytes());
                let length = packet.len();
                set_length(packet, false, 20, length);
            }
        }
        let writes = joined(&packets);
        prop_assert_eq!(writes.len(), 1);
        let cut = cut(&writes[0], 1420).unwrap();
        prop_assert_eq!(cut, packets);
    }

    #[test]
    fn any_bytes_from_the_device_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..8) {
        let mut buffer = bytes.clone();
        if let [flags, gso, ..] = buffer.as_mut_slice() {
            (*flags, *gso) = (*flags & 1, kind);
        }
        let _ = cut_unread(&buffer);
    }

    #[test]
    fn headers_that_lie_do_no_harm(six: bool, udp: bool, at in 0usize..100, byte: u8, payload: Vec<u8>) {
        let packets = stream(six, udp, 50, &payload);
        for write in joined(&packets) {
            let mut write = write;
            let at = at % write.len();
            write[at] = byte;
            let _ = cut_unread(&write);
        }
        let mut packets = packets;
        for packet in &mut packets {
            let at = at % packet.len();
            packet[at] = byte;
        }
        // Nothing is lost, whatever it says.
        let total: usize = packets.iter().map(Vec::len).sum();
        let written: usize = joined(&packets).iter().map(|write| write.len() - HEADER).sum();
        prop_assert!(written <= total);
    }
}

fn cut_unread(written: &[u8]) -> Result<usize, Malformed> {
    let mut buffer = written.to_vec();
    buffer.resize(written.len() + SLACK, 0);
    let mut count = 0;
    split(&mut buffer, written.len(), 1420, |_| count += 1)?;
    Ok(count)
}

#[test]
fn what_does_not_belong_together_stays_apart() {
    let at = |sequence, flags| packet(false, false, sequence, flags, &[7; 100]);
    let count = |packets: &[Vec<u8>]| joined(packets).len();
    assert_eq!(count(&[at(0, 0x10), at(100, 0x10)]), 1);
    assert_eq!(count(&[at(0, 0x10), at(101, 0x10)]), 2, "a gap");
    assert_eq!(count(&[at(0, 0x18), at(100, 0x10)]), 2, "the first was to be handed over at once");
    assert_eq!(count(&[at(0, 0x10), at(100, 0x11)]), 2, "an end");
    let mut broken = at(100, 0x10);
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(count(&[at(0, 0x10), broken]), 2, "a wrong checksum stays wrong");
    // Another flow in between does not matter; an acknowledgement of the same does.
    let other = packet(true, false, 0, 0x10, &[1; 10]);
    assert_eq!(count(&[at(0, 0x10), other, at(100, 0x10)]), 2);
    let bare = packet(false, false, 100, 0x10, &[]);
    assert_eq!(count(&[at(0, 0x10), bare, at(100, 0x10)]), 3);
    // One that is shorter is the last.
    let short = packet(false, false, 100, 0x10, &[7; 50]);
    assert_eq!(count(&[at(0, 0x10), short, at(150, 0x10)]), 2);
}

#[test]
fn checksums_that_were_only_begun_are_made() {
    for udp in [false, true] {
        let whole = packet(false, udp, 9, 0x10, b"hello");
        let offset = if udp { UDP_CHECKSUM } else { TCP_CHECKSUM };
        let mut begun = whole.clone();
        let protocol = if udp { UDP } else { TCP };
        let pseudo = checksum::fold(checksum::pseudo_header(&whole[12..20], protocol, whole.len() - 20));
        begun[20 + offset..22 + offset].copy_from_slice(&pseudo.to_ne_bytes());
        let (checksum_start, checksum_offset) = (20, offset as u16);
        let offload = Offload { flags: NEEDS_CHECKSUM, checksum_start, checksum_offset, ..Offload::default() };
        let written = [&offload.write()[..], &begun].concat();
        assert_eq!(cut(&written, 1420).unwrap(), [whole]);
    }
}
