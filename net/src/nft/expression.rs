//! Rules as expressions over registers.
//!
//! Registers are the sixteen 32-bit ones, from number 8 (`NFT_REG32_00`); a key's parts lie in consecutive ones, a
//! device name in four.

use std::net::IpAddr;

use model::Protocol;

use super::encode::protocol_number;
use crate::netlink::message::Attributes;
use crate::ruleset::{Action, Field, Match, Rule};

const FIRST: u32 = 8;
/// `NFT_REG_VERDICT`.
const VERDICT: u32 = 0;

const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const CT_DST_IP: u32 = 20;
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
/// `IPS_DST_NAT`.
const DST_NAT: u32 = 1 << 5;
const FIB_ADDRTYPE: u32 = 3;
const FIB_DADDR: u32 = 2;
const RTN_LOCAL: u32 = 2;
const CMP_EQ: u32 = 0;
const CMP_NEQ: u32 = 1;

/// Writes a rule's expressions.
pub(super) fn rule_expressions(a: &mut Attributes, rule: &Rule) {
    for condition in &rule.matches {
        write_match(a, condition);
    }
    write_action(a, &rule.action);
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
    write_match(a, &condition);
    // As iptables has it, which shows only rules of its own form.
    expression(a, "counter", |_| {});
    write_action(a, &Action::Accept);
}

fn write_match(a: &mut Attributes, condition: &Match) {
    match condition {
        Match::FromDevices(prefix) => {
            meta(a, META_IIFNAME, FIRST);
            compare(a, CMP_EQ, prefix.as_bytes());
        }
        Match::ToDevices(prefix) => {
            meta(a, META_OIFNAME, FIRST);
            compare(a, CMP_EQ, prefix.as_bytes());
        }
        Match::InSet { fields, set, negate } => {
            load(a, fields);
            lookup(a, set, None, *negate);
        }
        Match::InPrefix(field, subnet) => {
            if let IpAddr::V4(network) = subnet.network() {
                in_prefix(a, *field, u32::from(network), subnet.prefix());
            }
        }
        Match::Address(field, address) => in_prefix(a, *field, (*address).into(), 32),
        Match::InLoopback(field) => in_prefix(a, *field, 0x7f00_0000, 8),
        Match::OriginalDestination(set) => {
            expression(a, "ct", |a| {
                a.be32(1, FIRST);
                a.be32(2, CT_DST_IP);
                a.bytes(3, &[0]); // IP_CT_DIR_ORIGINAL
            });
            lookup(a, set, None, false);
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
            payload(a, Header::Network, 9, 1, FIRST);
            compare(a, CMP_EQ, &[protocol_number(*protocol)]);
        }
        Match::PortIs(field, port) => {
            payload(a, Header::Transport, port_offset(*field), 2, FIRST);
            compare(a, CMP_EQ, &port.to_be_bytes());
        }
    }
}

fn write_action(a: &mut Attributes, action: &Action) {
    match action {
        Action::Accept => verdict(a, 1, None),
        Action::Drop => verdict(a, 0, None),
        Action::Goto(chain) => verdict(a, -4, Some(chain)),
        Action::Dispatch { field, map } => {
            load(a, &[*field]);
            lookup(a, map, Some(VERDICT), false);
        }
        Action::Dnat { fields, map, port } => {
            load(a, fields);
            lookup(a, map, Some(FIRST), false);
            nat(a, 1, *port);
        }
        Action::Snat { field, map } => {
            load(a, &[*field]);
            lookup(a, map, Some(FIRST), false);
            nat(a, 0, false);
        }
        Action::SetPort { protocol, field, port } => set_port(a, *protocol, *field, *port),
        Action::Masquerade => expression(a, "masq", |_| {}),
        Action::RejectTcp => expression(a, "reject", |a| a.be32(1, 1)), // NFT_REJECT_TCP_RST
        Action::RejectPort => expression(a, "reject", |a| {
            a.be32(1, 0); // NFT_REJECT_ICMP_UNREACH
            a.bytes(2, &[3]); // ICMP_PORT_UNREACH
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
fn load(a: &mut Attributes, fields: &[Field]) {
    let mut register = FIRST;
    for field in fields {
        match field {
            Field::IifName => meta(a, META_IIFNAME, register),
            Field::Source => payload(a, Header::Network, 12, 4, register),
            Field::Destination => payload(a, Header::Network, 16, 4, register),
            Field::Protocol => payload(a, Header::Network, 9, 1, register),
            Field::Port | Field::SourcePort => payload(a, Header::Transport, port_offset(*field), 2, register),
            Field::Slot(count) => expression(a, "numgen", |a| {
                a.be32(1, register);
                a.be32(2, *count);
                a.be32(3, 1); // NFT_NG_RANDOM
            }),
        }
        register += if matches!(field, Field::IifName) { 4 } else { 1 };
    }
}

fn meta(a: &mut Attributes, key: u32, register: u32) {
    expression(a, "meta", |a| {
        a.be32(1, register);
        a.be32(2, key);
    });
}

enum Header {
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
    expression(a, "immediate", |a| {
        a.be32(1, FIRST);
        a.nest(2, |a| a.bytes(1, &port.to_be_bytes()));
    });
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

/// `register & mask`, in place.
fn mask(a: &mut Attributes, mask: &[u8]) {
    expression(a, "bitwise", |a| {
        a.be32(1, FIRST);
        a.be32(2, FIRST);
        a.be32(3, mask.len() as u32);
        a.nest(4, |a| a.bytes(1, mask));
        a.nest(5, |a| a.bytes(1, &[0; 4]));
    });
}

/// As nft does it: whole bytes of a prefix are compared without a mask.
fn in_prefix(a: &mut Attributes, field: Field, network: u32, prefix: u8) {
    let bytes = usize::from(prefix / 8);
    let offset = if matches!(field, Field::Source) { 12 } else { 16 };
    if prefix.is_multiple_of(8) && bytes > 0 {
        payload(a, Header::Network, offset, bytes as u32, FIRST);
        compare(a, CMP_EQ, &network.to_be_bytes()[..bytes]);
    } else {
        payload(a, Header::Network, offset, 4, FIRST);
        mask(a, &u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0).to_be_bytes());
        compare(a, CMP_EQ, &network.to_be_bytes());
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
fn nat(a: &mut Attributes, kind: u32, port: bool) {
    expression(a, "nat", |a| {
        a.be32(1, kind);
        a.be32(2, u32::from(super::FAMILY));
        a.be32(3, FIRST);
        if port {
            a.be32(5, FIRST + 1);
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
