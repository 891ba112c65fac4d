//! The kernel's connection table: deleting entries (`linux/netfilter/nfnetlink_conntrack.h`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{generic, number};
use crate::Error;
use crate::netlink::message::{Batch, NLM_F_ACK, NLM_F_DUMP, attribute};
use crate::netlink::socket::Netlink;
use crate::plan::Family;
use crate::ruleset::{Flow, FlowGuards};

/// `NFNL_SUBSYS_CTNETLINK << 8`.
const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const UDP: u8 = 17;

/// An entry, with what names it to the kernel.
struct Entry {
    flow: Flow,
    original: Vec<u8>,
    id: Option<Vec<u8>>,
    zone: Option<Vec<u8>>,
}

/// Deletes the UDP entries of a family that the guards call stale; returns how many. `local` are the host's own addresses. Works on
/// the calling thread's network namespace.
pub fn cut_stale_flows(family: Family, guards: &FlowGuards, local: &BTreeSet<IpAddr>) -> Result<usize, Error> {
    let header = generic(number(family), 0);
    let socket = Netlink::netfilter()?;
    let mut stale = Vec::new();
    socket.query(
        "connections",
        GET,
        NLM_F_DUMP,
        &header,
        |_| {},
        |payload| {
            let entry = payload.get(4..).and_then(udp_entry);
            stale.extend(entry.filter(|entry| guards.is_stale(entry.flow, local)));
        },
    )?;
    let mut batch = Batch::default();
    for entry in &stale {
        batch.message("delete a connection", DELETE, NLM_F_ACK, &header, |a| {
            a.bytes(TUPLE_ORIG | 0x8000, &entry.original);
            if let Some(zone) = &entry.zone {
                a.bytes(ZONE, zone);
            }
            if let Some(id) = &entry.id {
                a.bytes(ID, id);
            }
        });
    }
    // An entry may end by itself between listing and deleting.
    socket.execute(&batch, &[libc::ENOENT])?;
    Ok(stale.len())
}

fn udp_entry(attributes: &[u8]) -> Option<Entry> {
    let original = attribute(attributes, TUPLE_ORIG)?;
    let reply = attribute(attributes, TUPLE_REPLY)?;
    let transport = attribute(original, TUPLE_PROTO)?;
    if attribute(transport, 1)? != [UDP] {
        return None;
    }
    let flow = Flow {
        destination: address(original, 2)?,
        port: be16(attribute(transport, 3)?)?,
        answerer: address(reply, 1)?,
        answer_port: be16(attribute(attribute(reply, TUPLE_PROTO)?, 2)?)?,
    };
    Some(Entry {
        flow,
        original: original.to_vec(),
        id: attribute(attributes, ID).map(<[u8]>::to_vec),
        zone: attribute(attributes, ZONE).map(<[u8]>::to_vec),
    })
}

/// The source (1) or destination (2) of a tuple: `CTA_IP_V4_SRC` and so on; those of IPv6 follow with the same distance.
fn address(tuple: &[u8], which: u16) -> Option<IpAddr> {
    let addresses = attribute(tuple, TUPLE_IP)?;
    if let Some(value) = attribute(addresses, which) {
        return Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?));
    }
    Some(IpAddr::from(<[u8; 16]>::try_from(attribute(addresses, which + 2)?).ok()?))
}

fn be16(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(value.try_into().ok()?))
}
