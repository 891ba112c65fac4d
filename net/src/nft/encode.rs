//! Tables, sets, chains and rules as messages.

use std::net::IpAddr;

use model::{IpSubnet, Protocol};

use super::expression::rule_expressions;
use super::{NEWTABLE, SUBSYSTEM, TABLE_NAME, generic, number, word};
use crate::netlink::message::{Attributes, Batch, NLM_F_APPEND, NLM_F_CREATE};
use crate::plan::Family;
use crate::ruleset::{Chain, Datum, Element, Hook, Ruleset, Set, SetDelta, Type};

const NEWCHAIN: u16 = SUBSYSTEM | 3;
const NEWRULE: u16 = SUBSYSTEM | 6;
const NEWSET: u16 = SUBSYSTEM | 9;
const NEWSETELEM: u16 = SUBSYSTEM | 12;
const DELSETELEM: u16 = SUBSYSTEM | 14;

const SET_INTERVAL: u32 = 4;
const SET_MAP: u32 = 8;
const ELEMENT_INTERVAL_END: u32 = 1;
/// `NFT_DATA_VERDICT`.
const VERDICT_TYPE: u32 = 0xffff_ff00;
const NFT_JUMP: i32 = -3;
/// Elements in one message: with at most 100 bytes each they stay below an attribute's 64 KiB.
const CHUNK: usize = 500;
/// `IFNAMSIZ`.
pub(super) const IFNAME_LEN: usize = 16;

/// Adds a whole table; `flags` are more ones for the table itself.
pub(super) fn table(batch: &mut Batch, ruleset: &Ruleset, flags: u16) {
    let (family, table) = (ruleset.family, ruleset.table.as_str());
    let header = generic(number(family), 0);
    let label = format!("add table {} {table}", word(family));
    batch.message(label, NEWTABLE, NLM_F_CREATE | flags, &header, |a| a.text(TABLE_NAME, table));
    // Verdict maps name chains, rules name sets: all chains, then all sets, then what refers to them.
    for chain in &ruleset.chains {
        add_chain(batch, &header, table, chain);
    }
    for (set, id) in ruleset.sets.iter().zip(1u32..) {
        add_set(batch, family, table, set, id);
        let elements: Vec<&Element> = set.elements.iter().collect();
        add_elements(batch, &header, table, &set.name, &elements);
    }
    for chain in &ruleset.chains {
        for (index, rule) in chain.rules.iter().enumerate() {
            let label = format!("add rule {} of chain {}", index + 1, chain.name);
            batch.message(label, NEWRULE, NLM_F_CREATE | NLM_F_APPEND, &header, |a| {
                a.text(1, table);
                a.text(2, &chain.name);
                a.nest(4, |a| rule_expressions(a, family, rule));
            });
        }
    }
}

fn add_chain(batch: &mut Batch, header: &[u8], table: &str, chain: &Chain) {
    let label = format!("add chain {}", chain.name);
    batch.message(label, NEWCHAIN, NLM_F_CREATE, header, |a| {
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
        Hook::ManglePrerouting => ("filter", 0, -150),
        Hook::NatPrerouting => ("nat", 0, -100),
        Hook::AfterDnat => ("filter", 0, -90),
        Hook::RouteBeforeDnat => ("route", 3, -110),
        Hook::RouteAfterDnat => ("route", 3, -90),
        Hook::ManglePostrouting => ("filter", 4, -150),
        Hook::FilterInput => ("filter", 1, 0),
        Hook::FilterForward => ("filter", 2, 0),
        Hook::NatOutput => ("nat", 3, -100),
        Hook::FilterOutput => ("filter", 3, 0),
        Hook::NatPostrouting => ("nat", 4, 100),
        Hook::LastPostrouting => ("filter", 4, 300),
    }
}

fn add_set(batch: &mut Batch, family: Family, table: &str, set: &Set, id: u32) {
    let interval = set.key.contains(&Type::Prefix);
    let is_map = !set.value.is_empty();
    let length = |types: &[Type]| types.iter().map(|part| padded(family, *part)).sum();
    batch.message(format!("add set {}", set.name), NEWSET, NLM_F_CREATE, &generic(number(family), 0), |a| {
        a.text(1, table);
        a.text(2, &set.name);
        a.be32(3, if interval { SET_INTERVAL } else { 0 } | if is_map { SET_MAP } else { 0 });
        a.be32(4, type_number(family, &set.key));
        a.be32(5, length(&set.key));
        if is_map {
            a.be32(6, type_number(family, &set.value));
            a.be32(7, length(&set.value));
        }
        if !interval {
            a.nest(9, |a| a.be32(1, set.capacity));
        }
        a.be32(10, id);
    });
}

/// nft's number of a type; a concatenation has six bits a part. The kernel only keeps it, for `nft list`.
fn type_number(family: Family, types: &[Type]) -> u32 {
    let address = match family {
        Family::V4 => 7,
        Family::V6 => 8,
    };
    types.iter().fold(0, |number, part| match part {
        Type::Verdict => VERDICT_TYPE,
        Type::Address | Type::Prefix => number << 6 | address,
        Type::Protocol => number << 6 | 12,
        Type::Port => number << 6 | 13,
        Type::Slot => number << 6 | 19,
        Type::IfName => number << 6 | 41,
    })
}

/// Bytes of a part within a concatenation.
const fn padded(family: Family, part: Type) -> u32 {
    match part {
        Type::IfName | Type::Verdict => IFNAME_LEN as u32,
        Type::Address | Type::Prefix => family.width() as u32 / 8,
        Type::Protocol | Type::Port | Type::Slot => 4,
    }
}

/// Changes elements of sets.
pub(super) fn changes(batch: &mut Batch, family: Family, table: &str, changes: &[SetDelta<'_>]) {
    let header = generic(number(family), 0);
    for change in changes {
        for chunk in change.removed.chunks(CHUNK) {
            let label = format!("delete elements of set {}", change.set);
            batch.message(label, DELSETELEM, 0, &header, |a| {
                a.text(1, table);
                a.text(2, change.set);
                a.nest(3, |a| chunk.iter().for_each(|element| a.nest(1, |a| add_key(a, element))));
            });
        }
        add_elements(batch, &header, table, change.set, &change.added);
    }
}

fn add_elements(batch: &mut Batch, header: &[u8], table: &str, set: &str, elements: &[&Element]) {
    for chunk in elements.chunks(CHUNK) {
        let label = format!("add elements of set {set}");
        batch.message(label, NEWSETELEM, NLM_F_CREATE, header, |a| {
            a.text(1, table);
            a.text(2, set);
            a.nest(3, |a| chunk.iter().for_each(|element| add_element(a, element)));
        });
    }
}

fn add_key(a: &mut Attributes, element: &Element) {
    a.nest(1, |a| a.bytes(1, &data(&element.key, element.key.len() > 1)));
}

fn add_element(a: &mut Attributes, element: &Element) {
    if let [Datum::Prefix(subnet)] = element.key.as_slice() {
        return add_prefix(a, *subnet);
    }
    a.nest(1, |a| {
        add_key(a, element);
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
    a.nest(1, |a| a.nest(1, |a| a.bytes(1, &octets(subnet.network()))));
    let behind = match subnet.network() {
        IpAddr::V4(first) => {
            u32::try_from(u128::from(u32::from(first)) + subnet.size()).ok().map(|n| n.to_be_bytes().to_vec())
        }
        IpAddr::V6(first) => u128::from(first).checked_add(subnet.size()).map(|n| n.to_be_bytes().to_vec()),
    };
    if let Some(behind) = behind {
        a.nest(1, |a| {
            a.be32(3, ELEMENT_INTERVAL_END);
            a.nest(1, |a| a.bytes(1, &behind));
        });
    }
}

/// An address as the network has it.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
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
            Datum::Address(address) => bytes.extend(octets(*address)),
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
        Protocol::Sctp => 132,
    }
}
