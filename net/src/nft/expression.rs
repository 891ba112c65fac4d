//! Rules as expressions over registers.
//!
//! Registers are the sixteen 32-bit ones, from number 8 (`NFT_REG32_00`); a key's parts lie in consecutive ones, a
//! device name in four.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::Protocol;

use super::encode::{IFNAME_LEN, octets, protocol_number};
use crate::netlink::message::Attributes;
use crate::plan::Family;
use crate::ruleset::{Action, Field, Match, Rule};

const FIRST: u32 = 8;
/// `NFT_REG_VERDICT`.
const VERDICT: u32 = 0;

const META_MARK: u32 = 3;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const CT_STATE: u32 = 0;
const CT_DIRECTION: u32 = 1;
const CT_STATUS: u32 = 2;
const CT_PROTO_DST: u32 = 12;
const CT_ZONE: u32 = 17;
/// `IP_CT_DIR_ORIGINAL`.
const ORIGINAL: u8 = 0;
/// `IP_CT_DIR_REPLY`.
const REPLY: u8 = 1;
const META_L4PROTO: u32 = 16;
const CT_DST_IP: u32 = 20;
const CT_DST_IP6: u32 = 22;
/// `IPPROTO_ICMPV6`.
const ICMPV6: u8 = 58;
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
/// `IPS_DST_NAT`.
const DST_NAT: u32 = 1 << 5;
const FIB_ADDRTYPE: u32 = 3;
const FIB_DADDR: u32 = 2;
const RTN_LOCAL: u32 = 2;
const CMP_EQ: u32 = 0;
const CMP_NEQ: u32 = 1;

/// Writes a rule's expressions.
pub(super) fn rule_expressions(a: &mut Attributes, family: Family, rule: &Rule) {
    for condition in &rule.matches {
        write_match(a, family, condition);
    }
    write_action(a, family, &rule.action);
}

/// A way through the host.
#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    From,
    To,
}

/// Accepts what comes from, or goes to, devices whose names begin so.
pub(super) fn accept_devices(a: &mut Attributes, direction: Direction, prefix: &str) {
    let condition = match direction {
        Direction::From => Match::FromDevices(prefix.into()),
        Direction::To => Match::ToDevices(prefix.into()),
    };
    // Devices have no family.
    write_match(a, Family::V4, &condition);
    // As iptables has it, which shows only rules of its own form.
    expression(a, "counter", |_| {});
    write_action(a, Family::V4, &Action::Accept);
}

fn write_match(a: &mut Attributes, family: Family, condition: &Match) {
    match condition {
        Match::FromDevices(prefix) => {
            meta(a, META_IIFNAME, FIRST);
            compare(a, CMP_EQ, prefix.as_bytes());
        }
        Match::FromDevice(name) => device(a, META_IIFNAME, name),
        Match::ToDevice(name) => device(a, META_OIFNAME, name),
        Match::ToDevices(prefix) => {
            meta(a, META_OIFNAME, FIRST);
            compare(a, CMP_EQ, prefix.as_bytes());
        }
        Match::InSet { fields, set, negate } => {
            load(a, family, fields);
            lookup(a, set, None, *negate);
        }
        Match::InPrefix(field, subnet) => in_prefix(a, *field, subnet.network(), subnet.prefix()),
        Match::Address(field, address) => in_prefix(a, *field, *address, family.width()),
        Match::InLoopback(field) => match family {
            Family::V4 => in_prefix(a, *field, Ipv4Addr::new(127, 0, 0, 0).into(), 8),
            Family::V6 => in_prefix(a, *field, Ipv6Addr::LOCALHOST.into(), 128),
        },
        Match::NotLoopback(field) => {
            load(a, family, &[*field]);
            compare(a, CMP_NEQ, &Ipv6Addr::LOCALHOST.octets());
        }
        Match::FromLinkLocal => in_prefix(a, Field::Source, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 10),
        Match::IsIcmpv6 => {
            meta(a, META_L4PROTO, FIRST);
            compare(a, CMP_EQ, &[ICMPV6]);
        }
        Match::OriginalDestination { set, negate } => {
            load(a, family, &[Field::FirstDestination]);
            lookup(a, set, None, *negate);
        }
        Match::Forth => direction(a, ORIGINAL),
        Match::Back => direction(a, REPLY),
        Match::FromZone => {
            first_packets(a, CT_ZONE, FIRST);
            compare(a, CMP_NEQ, &[0; 2]);
        }
        Match::Marked(mark) => {
            meta(a, META_MARK, FIRST);
            compare(a, CMP_EQ, &mark.to_ne_bytes());
        }
        Match::IsSyn => {
            const FLAGS: u32 = 13;
            payload(a, Header::Transport, FLAGS, 1, FIRST);
            mask(a, &[2]);
            compare(a, CMP_NEQ, &[0]);
        }
        Match::Established => connection_bits(a, CT_STATE, ESTABLISHED_OR_RELATED),
        Match::Translated => connection_bits(a, CT_STATUS, DST_NAT),
        Match::Local(local) => {
            expression(a, "fib", |a| {
                a.be32(1, FIRST);
                a.be32(2, FIB_ADDRTYPE);
                a.be32(3, FIB_DADDR);
            });
            compare(a, if *local { CMP_EQ } else { CMP_NEQ }, &RTN_LOCAL.to_ne_bytes());
        }
        Match::Is(protocol) => {
            load(a, family, &[Field::Protocol]);
            compare(a, CMP_EQ, &[protocol_number(*protocol)]);
        }
        Match::PortIs(field, port) => {
            payload(a, Header::Transport, port_offset(*field), 2, FIRST);
            compare(a, CMP_EQ, &port.to_be_bytes());
        }
    }
}

fn write_action(a: &mut Attributes, family: Family, action: &Action) {
    match action {
        Action::Accept => verdict(a, 1, None),
        Action::Drop => verdict(a, 0, None),
        Action::Goto(chain) => verdict(a, -4, Some(chain)),
        Action::Dispatch { field, map } => {
            load(a, family, &[*field]);
            lookup(a, map, Some(VERDICT), false);
        }
        Action::Dnat { fields, map, port } => {
            load(a, family, fields);
            lookup(a, map, Some(FIRST), false);
            nat(a, family, 1, *port);
        }
        Action::Snat { field, map } => {
            load(a, family, &[*field]);
            lookup(a, map, Some(FIRST), false);
            nat(a, family, 0, false);
        }
        Action::SetPort { protocol, field, port } => set_port(a, *protocol, *field, *port),
        Action::ZoneOfLink => {
            // The last two bytes of the source's.
            payload(a, Header::Link, 10, 2, FIRST);
            expression(a, "ct", |a| {
                a.be32(2, CT_ZONE);
                a.bytes(3, &[ORIGINAL]);
                a.be32(4, FIRST);
            });
        }
        Action::Mark(mark) => {
            immediate(a, &mark.to_ne_bytes());
            set_mark(a);
        }
        Action::MarkOfZone(mark) => {
            first_packets(a, CT_ZONE, FIRST);
            bitwise(a, &[0xff; 4], &mark.to_ne_bytes());
            set_mark(a);
        }
        Action::MarkOf(map) => {
            load(a, family, &[Field::Destination]);
            lookup(a, map, Some(FIRST), false);
            set_mark(a);
        }
        Action::ClampSegments(size) => {
            immediate(a, &size.to_be_bytes());
            expression(a, "exthdr", |a| {
                a.bytes(2, &[2]); // TCPOPT_MSS
                a.be32(3, 2);
                a.be32(4, 2);
                a.be32(6, 1); // NFT_EXTHDR_OP_TCPOPT
                a.be32(7, FIRST);
            });
        }
        Action::Masquerade => expression(a, "masq", |_| {}),
        Action::RejectTcp => expression(a, "reject", |a| a.be32(1, 1)), // NFT_REJECT_TCP_RST
        Action::RejectPort => expression(a, "reject", |a| {
            a.be32(1, 0); // NFT_REJECT_ICMP_UNREACH
            a.bytes(2, &[if family == Family::V4 { 3 } else { 4 }]); // ICMP_PORT_UNREACH, ICMPV6_PORT_UNREACH
        }),
    }
}

/// One expression: its name and its data.
fn expression(a: &mut Attributes, name: &str, content: impl FnOnce(&mut Attributes)) {
    a.nest(1, |a| {
        a.text(1, name);
        a.nest(2, content);
    });
}

/// Loads fields into consecutive registers from the first on.
fn load(a: &mut Attributes, family: Family, fields: &[Field]) {
    let mut register = FIRST;
    for field in fields {
        match field {
            Field::IifName => meta(a, META_IIFNAME, register),
            Field::Source | Field::Destination => {
                let (offset, length) = address_place(family, *field);
                payload(a, Header::Network, offset, length, register);
            }
            Field::FirstDestination => {
                first_packets(a, if family == Family::V4 { CT_DST_IP } else { CT_DST_IP6 }, register);
            }
            Field::FirstPort => first_packets(a, CT_PROTO_DST, register),
            Field::Protocol if family == Family::V4 => payload(a, Header::Network, 9, 1, register),
            // Extension headers may come before it.
            Field::Protocol => meta(a, META_L4PROTO, register),
            Field::Port | Field::SourcePort => payload(a, Header::Transport, port_offset(*field), 2, register),
            Field::Slot(count) => expression(a, "numgen", |a| {
                a.be32(1, register);
                a.be32(2, *count);
                a.be32(3, 1); // NFT_NG_RANDOM
            }),
        }
        register += match field {
            Field::IifName => 4,
            Field::Source | Field::Destination | Field::FirstDestination => u32::from(family.width()) / 32,
            Field::Protocol | Field::Port | Field::SourcePort | Field::FirstPort | Field::Slot(_) => 1,
        };
    }
}

fn meta(a: &mut Attributes, key: u32, register: u32) {
    expression(a, "meta", |a| {
        a.be32(1, register);
        a.be32(2, key);
    });
}

fn device(a: &mut Attributes, key: u32, name: &str) {
    meta(a, key, FIRST);
    let mut whole = name.as_bytes().to_vec();
    whole.resize(IFNAME_LEN, 0);
    compare(a, CMP_EQ, &whole);
}

/// Something of the connection as its first packet had it.
fn first_packets(a: &mut Attributes, key: u32, register: u32) {
    expression(a, "ct", |a| {
        a.be32(1, register);
        a.be32(2, key);
        a.bytes(3, &[ORIGINAL]);
    });
}

fn direction(a: &mut Attributes, direction: u8) {
    expression(a, "ct", |a| {
        a.be32(1, FIRST);
        a.be32(2, CT_DIRECTION);
    });
    compare(a, CMP_EQ, &[direction]);
}

fn immediate(a: &mut Attributes, value: &[u8]) {
    expression(a, "immediate", |a| {
        a.be32(1, FIRST);
        a.nest(2, |a| a.bytes(1, value));
    });
}

fn set_mark(a: &mut Attributes) {
    expression(a, "meta", |a| {
        a.be32(2, META_MARK);
        a.be32(3, FIRST);
    });
}

enum Header {
    Link = 0,
    Network = 1,
    Transport = 2,
}

fn payload(a: &mut Attributes, header: Header, offset: u32, length: u32, register: u32) {
    expression(a, "payload", |a| {
        a.be32(1, register);
        a.be32(2, header as u32);
        a.be32(3, offset);
        a.be32(4, length);
    });
}

const fn port_offset(field: Field) -> u32 {
    if matches!(field, Field::SourcePort) { 0 } else { 2 }
}

/// Writes a port into the transport header; the kernel corrects the checksum, which lies elsewhere in each protocol.
fn set_port(a: &mut Attributes, protocol: Protocol, field: Field, port: u16) {
    immediate(a, &port.to_be_bytes());
    expression(a, "payload", |a| {
        a.be32(2, Header::Transport as u32);
        a.be32(3, port_offset(field));
        a.be32(4, 2);
        a.be32(5, FIRST);
        a.be32(6, 1); // NFT_PAYLOAD_CSUM_INET
        a.be32(7, if matches!(protocol, Protocol::Tcp) { 16 } else { 6 });
    });
}

fn compare(a: &mut Attributes, operator: u32, value: &[u8]) {
    expression(a, "cmp", |a| {
        a.be32(1, FIRST);
        a.be32(2, operator);
        a.nest(3, |a| a.bytes(1, value));
    });
}

/// Where an address lies in the network header, and how long it is.
const fn address_place(family: Family, field: Field) -> (u32, u32) {
    match (family, field) {
        (Family::V4, Field::Source) => (12, 4),
        (Family::V4, _) => (16, 4),
        (Family::V6, Field::Source) => (8, 16),
        (Family::V6, _) => (24, 16),
    }
}

/// `register & mask`, in place.
fn mask(a: &mut Attributes, mask: &[u8]) {
    bitwise(a, mask, &vec![0; mask.len()]);
}

/// `(register & mask) ^ other`, in place.
fn bitwise(a: &mut Attributes, mask: &[u8], other: &[u8]) {
    expression(a, "bitwise", |a| {
        a.be32(1, FIRST);
        a.be32(2, FIRST);
        a.be32(3, mask.len() as u32);
        a.nest(4, |a| a.bytes(1, mask));
        a.nest(5, |a| a.bytes(1, other));
    });
}

/// As nft does it: whole bytes of a prefix are compared without a mask.
fn in_prefix(a: &mut Attributes, field: Field, network: IpAddr, prefix: u8) {
    let whole = usize::from(prefix / 8);
    let (offset, length) = address_place(Family::of(network), field);
    let network = octets(network);
    if prefix.is_multiple_of(8) && whole > 0 {
        payload(a, Header::Network, offset, whole as u32, FIRST);
        compare(a, CMP_EQ, &network[..whole]);
    } else {
        let mut bits = vec![0; length as usize];
        bits[..whole].fill(0xff);
        if let Some(partial) = bits.get_mut(whole) {
            *partial = !(0xff_u8.checked_shr(u32::from(prefix % 8)).unwrap_or(0));
        }
        payload(a, Header::Network, offset, length, FIRST);
        mask(a, &bits);
        compare(a, CMP_EQ, &network);
    }
}

fn connection_bits(a: &mut Attributes, key: u32, bits: u32) {
    expression(a, "ct", |a| {
        a.be32(1, FIRST);
        a.be32(2, key);
    });
    mask(a, &bits.to_ne_bytes());
    compare(a, CMP_NEQ, &[0; 4]);
}

fn lookup(a: &mut Attributes, set: &str, destination: Option<u32>, negate: bool) {
    expression(a, "lookup", |a| {
        a.text(1, set);
        a.be32(2, FIRST);
        if let Some(register) = destination {
            a.be32(3, register);
        }
        if negate {
            a.be32(5, 1);
        }
    });
}

/// `kind`: 0 source, 1 destination.
fn nat(a: &mut Attributes, family: Family, kind: u32, port: bool) {
    expression(a, "nat", |a| {
        a.be32(1, kind);
        a.be32(2, u32::from(super::number(family)));
        a.be32(3, FIRST);
        if port {
            a.be32(5, FIRST + u32::from(family.width()) / 32);
        }
    });
}

fn verdict(a: &mut Attributes, code: i32, chain: Option<&str>) {
    expression(a, "immediate", |a| {
        a.be32(1, VERDICT);
        a.nest(2, |a| {
            a.nest(2, |a| {
                a.be32(1, code as u32);
                if let Some(chain) = chain {
                    a.text(2, chain);
                }
            });
        });
    });
}
