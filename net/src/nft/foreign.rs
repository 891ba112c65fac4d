//! Other programs' tables that would drop what Orca forwards.
//!
//! A base chain of the forward hook whose policy is to drop lets only through what a rule of its own accepts: so do
//! Docker's and ufw's. There two rules are added at its end, where a packet comes that no rule of the host has decided
//! about: what the host denies by rule stays denied, and what may go where is for Orca's own table to say. A chain that
//! ends with an unconditional reject, as firewalld's, has no such place; it is reported.

use std::collections::BTreeSet;

use super::{begin, commit, generic};
use crate::Error;
use crate::netlink::message::{
    Attributes, Batch, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, attribute, attributes, read_text,
};
use crate::netlink::socket::Netlink;
use crate::plan::Family;

const GETCHAIN: u16 = super::SUBSYSTEM | 4;
const NEWRULE: u16 = super::SUBSYSTEM | 6;
const GETRULE: u16 = super::SUBSYSTEM | 7;
const DELRULE: u16 = super::SUBSYSTEM | 8;
/// `NFPROTO_INET`: for IPv4 and IPv6 at once.
const INET: u8 = 1;
const FORWARD: u32 = 2;
const DROP: u32 = 0;

/// A base chain of somebody else's through which forwarded packets go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ForeignChain {
    family: u8,
    table: String,
    name: String,
    drops: bool,
}

/// A rule of such a chain.
#[derive(Debug)]
struct ForeignRule {
    handle: Vec<u8>,
    comment: String,
    /// It refuses every packet that comes to it.
    refuses_all: bool,
}

/// Which way forwarded packets go through others' tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passage {
    /// Chains that rules were added to now, as `TABLE CHAIN`.
    pub opened: BTreeSet<String>,
    /// Chains that refuse forwarded packets and that nothing can be added to.
    pub closed: BTreeSet<String>,
}

/// What marks rules of this node in others' chains.
fn mark(devices: &str) -> String {
    format!("orca {devices}")
}

/// Lets packets of devices whose names begin with `devices` through chains that would drop them, where that undoes no
/// denial, and tells where it cannot be done. Rules that others have been added behind since are moved to the end.
pub fn open_passage(own_table: &str, devices: &str) -> Result<Passage, Error> {
    let mark = mark(devices);
    let mut passage = Passage::default();
    let mut batch = begin();
    for chain in forward_chains(own_table)? {
        let rules = rules(&chain)?;
        let label = format!("{} {}", chain.table, chain.name);
        if rules.iter().any(|rule| rule.refuses_all) {
            passage.closed.insert(label);
            continue;
        }
        if !chain.drops {
            continue;
        }
        let behind = rules.iter().rev().take_while(|rule| rule.comment == mark).count();
        let ours = rules.iter().filter(|rule| rule.comment == mark).count();
        if (behind, ours) == (2, 2) {
            continue;
        }
        rules.iter().filter(|rule| rule.comment == mark).for_each(|rule| delete(&mut batch, &chain, rule));
        add(&mut batch, &chain, devices, &mark);
        passage.opened.insert(label);
    }
    // The transaction's own first message is in it.
    if batch.len() > 1 {
        commit(batch)?;
    }
    Ok(passage)
}

/// Takes this node's rules out of others' chains.
pub fn close_passage(own_table: &str, devices: &str) -> Result<(), Error> {
    let mark = mark(devices);
    let mut batch = begin();
    for chain in forward_chains(own_table)? {
        rules(&chain)?.iter().filter(|rule| rule.comment == mark).for_each(|rule| delete(&mut batch, &chain, rule));
    }
    if batch.len() > 1 { commit(batch) } else { Ok(()) }
}

fn forward_chains(own_table: &str) -> Result<Vec<ForeignChain>, Error> {
    let mut chains = Vec::new();
    let each = |payload: &[u8]| chains.extend(forward_chain(payload).filter(|chain| chain.table != own_table));
    Netlink::netfilter()?.query("chains", GETCHAIN, NLM_F_DUMP, &generic(0, 0), |_| {}, each)?;
    Ok(chains)
}

fn forward_chain(payload: &[u8]) -> Option<ForeignChain> {
    let family = *payload.first()?;
    let body = payload.get(4..)?;
    let text = |kind| attribute(body, kind).map(read_text);
    let hook = attribute(body, 4).and_then(|hook| attribute(hook, 1)).and_then(be32)?;
    let is_filter = text(7)? == "filter";
    let drops = attribute(body, 5).and_then(be32) == Some(DROP);
    let ip = Family::ALL.map(super::number);
    let ours = (family == INET || ip.contains(&family)) && hook == FORWARD && is_filter;
    ours.then_some(ForeignChain { family, table: text(1)?, name: text(3)?, drops })
}

fn rules(chain: &ForeignChain) -> Result<Vec<ForeignRule>, Error> {
    let mut rules = Vec::new();
    let names = |a: &mut Attributes| {
        a.text(1, &chain.table);
        a.text(2, &chain.name);
    };
    let each = |payload: &[u8]| rules.extend(payload.get(4..).and_then(|body| foreign_rule(chain, body)));
    Netlink::netfilter()?.query("rules", GETRULE, NLM_F_DUMP, &generic(chain.family, 0), names, each)?;
    Ok(rules)
}

fn foreign_rule(chain: &ForeignChain, body: &[u8]) -> Option<ForeignRule> {
    // Old kernels list every table's rules whatever is asked for.
    let is = |kind, name: &str| attribute(body, kind).map(read_text).is_some_and(|found| found == name);
    if !is(1, &chain.table) || !is(2, &chain.name) {
        return None;
    }
    let expressions: Vec<&[u8]> = attribute(body, 4).map(|list| attributes(list).map(|(_, e)| e).collect())?;
    Some(ForeignRule {
        handle: attribute(body, 3)?.to_vec(),
        comment: attribute(body, 7).and_then(comment).unwrap_or_default(),
        refuses_all: refuses(&expressions),
    })
}

/// Whether nothing but counters and logging comes before a reject or a drop.
fn refuses(expressions: &[&[u8]]) -> bool {
    let name = |expression: &[u8]| attribute(expression, 1).map(read_text).unwrap_or_default();
    let is_silent = |expression: &&&[u8]| matches!(name(expression).as_str(), "counter" | "log" | "limit");
    let mut deciding = expressions.iter().filter(|expression| !is_silent(expression));
    let Some(first) = deciding.next() else { return false };
    let code = || {
        let verdict = attribute(attribute(attribute(first, 2)?, 2)?, 2)?;
        attribute(verdict, 1).and_then(be32)
    };
    let target = || attribute(attribute(first, 2)?, 1).map(read_text);
    match name(first).as_str() {
        "reject" => true,
        "immediate" => code() == Some(DROP),
        // As iptables writes it.
        "target" => matches!(target().as_deref(), Some("REJECT" | "DROP")),
        _ => false,
    }
}

/// User data are fields of a type, a length and a value; type 0 is the comment that `nft` shows.
fn comment(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let value = rest.get(..usize::from(*length))?;
        if *kind == 0 {
            return Some(read_text(value));
        }
        data = rest.get(usize::from(*length)..)?;
    }
    None
}

fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

fn delete(batch: &mut Batch, chain: &ForeignChain, rule: &ForeignRule) {
    let label = format!("delete a rule of chain {} {}", chain.table, chain.name);
    batch.message(label, DELRULE, 0, &generic(chain.family, 0), |a| {
        a.text(1, &chain.table);
        a.text(2, &chain.name);
        a.bytes(3, &rule.handle);
    });
}

/// From our devices, and to them: what may pass is for our own table to say.
fn add(batch: &mut Batch, chain: &ForeignChain, devices: &str, mark: &str) {
    for direction in [super::expression::Direction::From, super::expression::Direction::To] {
        let label = format!("add a rule to chain {} {}", chain.table, chain.name);
        batch.message(label, NEWRULE, NLM_F_CREATE | NLM_F_APPEND, &generic(chain.family, 0), |a| {
            a.text(1, &chain.table);
            a.text(2, &chain.name);
            a.nest(4, |a| super::expression::accept_devices(a, direction, devices));
            let mut data = vec![0, (mark.len() + 1) as u8];
            data.extend(mark.as_bytes());
            data.push(0);
            a.bytes(7, &data);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_comment_is_found_among_user_data() {
        assert_eq!(comment(b"\x01\x02ab\x00\x05orca\0"), Some("orca".into()));
        assert_eq!(comment(b"\x01\x02ab"), None);
        assert_eq!(comment(b"\x00\x09short"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = forward_chain(&bytes);
            let _ = comment(&bytes);
            let chain = ForeignChain { family: 2, table: String::new(), name: String::new(), drops: true };
            let _ = foreign_rule(&chain, &bytes);
            let _ = refuses(&[&bytes]);
        }
    }
}
