//! Joins packets of one flow, so that the kernel has to look at all of them once.
//!
//! What is joined here the kernel could have joined itself (its GRO): neighbours in sequence whose headers are the same, with
//! right checksums. A flow's packets stay in their order; what cannot be joined ends what came before.

use std::ops::Range;

use super::{
    GSO_TCP4, GSO_TCP6, GSO_UDP, HEADER, HEADERS, LONGEST, NEEDS_CHECKSUM, Offload, TCP, TCP_CHECKSUM, UDP,
    UDP_CHECKSUM, UDP_HEADER, address_range, big_endian, checksum, set_length,
};

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
/// Flows that are kept open at once; one more closes the oldest.
const FLOWS: usize = 64;
/// Packets in one: what the kernel allows of datagrams (UDP_MAX_SEGMENTS), and enough of the others.
const PACKETS: usize = 64;

/// Packets of one batch, which lie in one buffer.
#[derive(Debug, Default)]
pub struct Coalescer {
    joins_datagrams: bool,
    items: Vec<Item>,
    /// Items that the next packet of their flow may join, the newest last.
    open: Vec<usize>,
    /// Lists to use again.
    spare: Vec<Vec<Range<usize>>>,
}

/// One packet, or several of a flow.
#[derive(Debug)]
struct Item {
    /// The first one.
    first: Range<usize>,
    flow: Option<Flow>,
    /// Payloads of all of them, once there is a second.
    parts: Vec<Range<usize>>,
    length: usize,
    next: u32,
    pushes: bool,
    is_checked: bool,
}

/// What the headers of a packet say that can be joined.
#[derive(Debug, Clone, Copy)]
struct Flow {
    six: bool,
    udp: bool,
    transport: usize,
    headers: usize,
    payload: usize,
    /// Whether others may join it at all.
    joins: bool,
}

impl Coalescer {
    /// One for a device; `joins_datagrams`: its kernel takes joined UDP too.
    pub fn new(joins_datagrams: bool) -> Self {
        Self { joins_datagrams, ..Self::default() }
    }

    /// Takes the packet that lies at `range`.
    pub fn push(&mut self, buffer: &[u8], range: Range<usize>) {
        let Some(packet) = buffer.get(range.clone()) else { return };
        let Some(flow) = Flow::of(packet).filter(|flow| !flow.udp || self.joins_datagrams) else {
            return self.add(range, None, 0);
        };
        let sequence = flow.sequence(packet);
        let same = |index: &usize| self.items.get(*index).is_some_and(|item| item.is_flow_of(buffer, packet, flow));
        if let Some(at) = self.open.iter().rposition(same) {
            let index = self.open[at];
            if self.items[index].join(buffer, range.clone(), flow, sequence, &mut self.spare) {
                if self.items[index].is_full(flow) {
                    self.open.remove(at);
                }
                return;
            }
            self.open.remove(at);
        }
        self.add(range, Some(flow), sequence.wrapping_add(flow.payload as u32));
        if flow.joins && !flow.pushes(packet) {
            if self.open.len() >= FLOWS {
                self.open.remove(0);
            }
            self.open.push(self.items.len() - 1);
        }
    }

    fn add(&mut self, first: Range<usize>, flow: Option<Flow>, next: u32) {
        let length = first.len();
        self.items.push(Item { first, flow, parts: Vec::new(), length, next, pushes: false, is_checked: false });
    }

    /// Hands over what there is to write, in order: the kernel's header with what follows it, and where the rest lies.
    pub fn finish(&mut self, buffer: &[u8], mut each: impl FnMut(&[u8], &[Range<usize>])) {
        self.open.clear();
        for mut item in self.items.drain(..) {
            match item.flow.filter(|_| !item.parts.is_empty()) {
                None => each(&Offload::default().write(), std::slice::from_ref(&item.first)),
                Some(flow) => {
                    let mut head = [0; HEADER + HEADERS];
                    let length = item.head(buffer, flow, &mut head);
                    each(&head[..length], &item.parts);
                }
            }
            item.parts.clear();
            self.spare.push(item.parts);
        }
    }
}

impl Flow {
    /// `None` where the packet belongs to no flow that could be open.
    fn of(packet: &[u8]) -> Option<Self> {
        let (six, protocol, transport, length) = match packet.first()? {
            0x45 if big_endian(packet, 6)? & 0x3fff == 0 => (false, *packet.get(9)?, 20, big_endian(packet, 2)?.into()),
            first if first >> 4 == 6 => (true, *packet.get(6)?, 40, 40 + usize::from(big_endian(packet, 4)?)),
            _ => return None,
        };
        let udp = protocol == UDP;
        let (least, header) = match protocol {
            TCP => (20, usize::from(packet.get(transport + 12)? >> 4) * 4),
            UDP => (UDP_HEADER, UDP_HEADER),
            _ => return None,
        };
        let headers = transport + header;
        if header < least || headers > length || length != packet.len() {
            return None;
        }
        let payload = length - headers;
        let is_plain = if udp {
            // Without a checksum nothing says that what is joined was whole.
            big_endian(packet, transport + UDP_CHECKSUM)? != 0
                && usize::from(big_endian(packet, transport + 4)?) == length - transport
        } else {
            packet.get(transport + 13)? & !PSH == ACK
        };
        let joins = is_plain && payload > 0 && headers <= HEADERS;
        Some(Self { six, udp, transport, headers, payload, joins })
    }

    fn sequence(&self, packet: &[u8]) -> u32 {
        let bytes = packet.get(self.transport + 4..self.transport + 8).filter(|_| !self.udp);
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
    }

    fn pushes(&self, packet: &[u8]) -> bool {
        !self.udp && packet.get(self.transport + 13).is_some_and(|flags| flags & PSH != 0)
    }

    fn has_right_checksum(&self, packet: &[u8]) -> bool {
        let Self { six, udp, transport, .. } = *self;
        let protocol = if udp { UDP } else { TCP };
        let pseudo = checksum::pseudo_header(&packet[address_range(six)], protocol, packet.len() - transport);
        checksum::fold(checksum::sum(&packet[transport..], pseudo)) == 0xffff
    }
}

impl Item {
    /// Whether a packet is of the same flow: protocol, addresses and ports.
    fn is_flow_of(&self, buffer: &[u8], packet: &[u8], flow: Flow) -> bool {
        let Some(own) = self.flow else { return false };
        let first = &buffer[self.first.clone()];
        let same = |range: Range<usize>| first[range.clone()] == packet[range];
        (own.six, own.udp, own.transport) == (flow.six, flow.udp, flow.transport)
            && same(address_range(flow.six))
            && same(flow.transport..flow.transport + 4)
    }

    /// Joins the next packet of the flow, if it may.
    fn join(
        &mut self,
        buffer: &[u8],
        range: Range<usize>,
        flow: Flow,
        sequence: u32,
        spare: &mut Vec<Vec<Range<usize>>>,
    ) -> bool {
        let (Some(own), packet) = (self.flow, &buffer[range.clone()]) else { return false };
        let first = &buffer[self.first.clone()];
        let fits = flow.joins
            && flow.headers == own.headers
            && flow.payload <= own.payload
            && self.length + flow.payload <= LONGEST - SLACK_OF_KERNEL
            && self.parts.len().max(1) < PACKETS
            && (flow.udp || sequence == self.next)
            && has_same_headers(first, packet, flow);
        if !fits || !flow.has_right_checksum(packet) || !self.is_checked && !own.has_right_checksum(first) {
            return false;
        }
        self.is_checked = true;
        if self.parts.is_empty() {
            self.parts = spare.pop().unwrap_or_default();
            self.parts.push(self.first.start + own.headers..self.first.end);
        }
        self.parts.push(range.start + flow.headers..range.end);
        self.length += flow.payload;
        self.next = self.next.wrapping_add(flow.payload as u32);
        self.pushes |= flow.pushes(packet);
        true
    }

    /// Whether what has just joined it must be its last.
    fn is_full(&self, last: Flow) -> bool {
        self.pushes || self.flow.is_none_or(|own| last.payload < own.payload) || self.parts.len() >= PACKETS
    }

    /// Writes the kernel's header and those of the packets together.
    fn head(&self, buffer: &[u8], flow: Flow, head: &mut [u8; HEADER + HEADERS]) -> usize {
        let Flow { six, udp, transport, headers, payload, .. } = flow;
        let (protocol, offset) = if udp { (UDP, UDP_CHECKSUM) } else { (TCP, TCP_CHECKSUM) };
        let kind = match (udp, six) {
            (true, _) => GSO_UDP,
            (false, true) => GSO_TCP6,
            (false, false) => GSO_TCP4,
        };
        let offload = Offload {
            flags: NEEDS_CHECKSUM,
            kind,
            header_length: headers as u16,
            size: payload as u16,
            checksum_start: transport as u16,
            checksum_offset: offset as u16,
        };
        head[..HEADER].copy_from_slice(&offload.write());
        let whole = &mut head[HEADER..HEADER + headers];
        whole.copy_from_slice(&buffer[self.first.start..self.first.start + headers]);
        set_length(whole, six, transport, self.length);
        if udp {
            whole[transport + 4..transport + 6].copy_from_slice(&((self.length - transport) as u16).to_be_bytes());
        } else if self.pushes {
            whole[transport + 13] |= PSH;
        }
        // The kernel, or the hardware at the end, completes it.
        let pseudo = checksum::pseudo_header(&whole[address_range(six)], protocol, self.length - transport);
        let begun = checksum::fold(pseudo).to_ne_bytes();
        whole[transport + offset..transport + offset + 2].copy_from_slice(&begun);
        HEADER + headers
    }
}

/// The kernel takes datagrams of 65,507 bytes at most, without their headers.
const SLACK_OF_KERNEL: usize = 64;

/// Whether all that the kernel will write into each of them is the same in both.
fn has_same_headers(first: &[u8], packet: &[u8], flow: Flow) -> bool {
    let Flow { six, udp, transport, headers, .. } = flow;
    let same = |range: Range<usize>| first[range.clone()] == packet[range];
    let network = if six { same(0..4) && same(7..8) } else { same(1..2) && same(6..7) && same(8..9) };
    let rest =
        || same(transport + 8..transport + 12) && same(transport + 14..transport + 16) && same(transport + 20..headers);
    network && (udp || rest())
}
