//! Tables, sets, chains and rules as messages.

use std::net::Ipv4Addr;

use model::{IpSubnet, Protocol};

use super::expression::rule_expressions;
use super::{FAMILY, NEWTABLE, SUBSYSTEM, TABLE_NAME, generic};
use crate::netlink::message::{Attributes, Batch, NLM_F_APPEND, NLM_F_CREATE};
use crate::ruleset::{Chain, Datum, Element, Hook, Ruleset, Set, Type};

const NEWCHAIN: u16 = SUBSYSTEM | 3;
const NEWRULE: u16 = SUBSYSTEM | 6;
const NEWSET: u16 = SUBSYSTEM | 9;
const NEWSETELEM: u16 = SUBSYSTEM | 12;

const SET_INTERVAL: u32 = 4;
const SET_MAP: u32 = 8;
const ELEMENT_INTERVAL_END: u32 = 1;
/// `NFT_DATA_VERDICT`.
const VERDICT_TYPE: u32 = 0xffff_ff00;
const NFT_JUMP: i32 = -3;
/// Elements in one message: with at most 100 bytes each they stay below an attribute's 64 KiB.
const CHUNK: usize = 500;
/// `IFNAMSIZ`.
const IFNAME_LEN: usize = 16;

/// Adds a whole table; `flags` are more ones for the table itself.
pub(super) fn table(batch: &mut Batch, ruleset: &Ruleset, flags: u16) {
    let table = &ruleset.table;
    let label = format!("add table ip {table}");
    batch.message(label, NEWTABLE, NLM_F_CREATE | flags, &generic(FAMILY, 0), |a| a.text(TABLE_NAME, table));
    // Verdict maps name chains, rules name sets: all chains, then all sets, then what refers to them.
    for chain in &ruleset.chains {
        add_chain(batch, table, chain);
    }
    for (set, id) in ruleset.sets.iter().zip(1u32..) {
        add_set(batch, table, set, id);
        add_elements(batch, table, set);
    }
    for chain in &ruleset.chains {
        for (index, rule) in chain.rules.iter().enumerate() {
            let label = format!("add rule {} of chain {}", index + 1, chain.name);
            batch.message(label, NEWRULE, NLM_F_CREATE | NLM_F_APPEND, &generic(FAMILY, 0), |a| {
                a.text(1, table);
                a.text(2, &chain.name);
                a.nest(4, |a| rule_expressions(a, rule));
            });
        }
    }
}

fn add_chain(batch: &mut Batch, table: &str, chain: &Chain) {
    let label = format!("add chain {}", chain.name);
    batch.message(label, NEWCHAIN, NLM_F_CREATE, &generic(FAMILY, 0), |a| {
        a.text(1, table);
        a.text(3, &chain.name);
        if let Some(hook) = chain.hook {
            let (kind, number, priority) = hook_parameters(hook);
            a.nest(4, |a| {
                a.be32(1, number);
                a.be32(2, priority as u32);
            });
            a.be32(5, 1); // policy: NF_ACCEPT
            a.text(7, kind);
        }
    });
}

/// Chain type, hook number and priority (`linux/netfilter_ipv4.h`).
const fn hook_parameters(hook: Hook) -> (&'static str, u32, i32) {
    match hook {
        Hook::RawPrerouting => ("filter", 0, -300),
        Hook::RawOutput => ("filter", 3, -300),
        Hook::NatPrerouting => ("nat", 0, -100),
        Hook::FilterInput => ("filter", 1, 0),
        Hook::FilterForward => ("filter", 2, 0),
        Hook::NatOutput => ("nat", 3, -100),
        Hook::FilterOutput => ("filter", 3, 0),
        Hook::NatPostrouting => ("nat", 4, 100),
        Hook::LastPostrouting => ("filter", 4, 300),
    }
}

fn add_set(batch: &mut Batch, table: &str, set: &Set, id: u32) {
    let interval = set.key.contains(&Type::Prefix);
    let is_map = !set.value.is_empty();
    batch.message(format!("add set {}", set.name), NEWSET, NLM_F_CREATE, &generic(FAMILY, 0), |a| {
        a.text(1, table);
        a.text(2, &set.name);
        a.be32(3, if interval { SET_INTERVAL } else { 0 } | if is_map { SET_MAP } else { 0 });
        a.be32(4, type_number(&set.key));
        a.be32(5, set.key.iter().map(|t| padded(*t)).sum());
        if is_map {
            a.be32(6, type_number(&set.value));
            a.be32(7, set.value.iter().map(|t| padded(*t)).sum());
        }
        if !interval && !set.elements.is_empty() {
            a.nest(9, |a| a.be32(1, set.elements.len() as u32));
        }
        a.be32(10, id);
    });
}

/// nft's number of a type; a concatenation has six bits a part. The kernel only keeps it, for `nft list`.
fn type_number(types: &[Type]) -> u32 {
    types.iter().fold(0, |number, part| match part {
        Type::Verdict => VERDICT_TYPE,
        Type::Ipv4 | Type::Prefix => number << 6 | 7,
        Type::Protocol => number << 6 | 12,
        Type::Port => number << 6 | 13,
        Type::Slot => number << 6 | 19,
        Type::IfName => number << 6 | 41,
    })
}

/// Bytes of a part within a concatenation.
const fn padded(part: Type) -> u32 {
    match part {
        Type::IfName | Type::Verdict => IFNAME_LEN as u32,
        Type::Ipv4 | Type::Prefix | Type::Protocol | Type::Port | Type::Slot => 4,
    }
}

fn add_elements(batch: &mut Batch, table: &str, set: &Set) {
    for chunk in set.elements.chunks(CHUNK) {
        let label = format!("add elements of set {}", set.name);
        batch.message(label, NEWSETELEM, NLM_F_CREATE, &generic(FAMILY, 0), |a| {
            a.text(1, table);
            a.text(2, &set.name);
            a.nest(3, |a| chunk.iter().for_each(|element| add_element(a, element, set.key.len() > 1)));
        });
    }
}

fn add_element(a: &mut Attributes, element: &Element, concatenated: bool) {
    if let [Datum::Prefix(subnet)] = element.key.as_slice() {
        return add_prefix(a, *subnet);
    }
    a.nest(1, |a| {
        a.nest(1, |a| a.bytes(1, &data(&element.key, concatenated)));
        match element.value.as_slice() {
            [] => {}
            [Datum::Jump(chain)] => a.nest(2, |a| {
                a.nest(2, |a| {
                    a.be32(1, NFT_JUMP as u32);
                    a.text(2, chain);
                });
            }),
            value => a.nest(2, |a| a.bytes(1, &data(value, value.len() > 1))),
        }
    });
}

/// A prefix is the element where it begins and one, marked as end, behind it (unless it ends with the address space).
fn add_prefix(a: &mut Attributes, subnet: IpSubnet) {
    let (Some(std::net::IpAddr::V4(first)), size) = (subnet.nth(0), subnet.size()) else { return };
    a.nest(1, |a| a.nest(1, |a| a.bytes(1, &first.octets())));
    let behind = u32::try_from(u128::from(u32::from(first)) + size);
    if let Ok(behind) = behind {
        a.nest(1, |a| {
            a.be32(3, ELEMENT_INTERVAL_END);
            a.nest(1, |a| a.bytes(1, &Ipv4Addr::from(behind).octets()));
        });
    }
}

/// The parts as registers hold them: each begins at a multiple of four bytes.
fn data(parts: &[Datum], concatenated: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    for part in parts {
        match part {
            Datum::IfName(name) => {
                let mut padded = name.as_bytes().to_vec();
                padded.resize(IFNAME_LEN, 0);
                bytes.extend(padded);
            }
            Datum::Ipv4(address) => bytes.extend(address.octets()),
            Datum::Protocol(protocol) => bytes.push(protocol_number(*protocol)),
            Datum::Port(port) => bytes.extend(port.to_be_bytes()),
            Datum::Slot(slot) => bytes.extend(slot.to_ne_bytes()),
            // Verdicts and prefixes are never parts of a concatenation: see `Ruleset::of`.
            Datum::Prefix(_) | Datum::Jump(_) => {}
        }
        if concatenated {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

pub(super) const fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}
