//! From a plan to its table.
//!
//! The way of a packet:
//! 1. `sources` (raw prerouting): what comes from a container must bear an address of that very veth, and must not be
//!    addressed to 127.0.0.0/8, which `route_localnet` on the veth would otherwise let in (CVE-2020-8558).
//! 2. `balance` (nat): virtual addresses and published ports lead to a backend, slot by random draw.
//! 3. `forward`: established goes on; from containers by network (`from_...`: members of the same network, then the
//!    outside unless internal); into containers only what a published port brought.
//! 4. `input`, `output`: published ports and virtual addresses without backend are refused at once.
//! 5. `sources_nat` (postrouting): a container that meets itself, and the host's 127.0.0.1, appear as the gateway;
//!    what leaves for the outside appears as the node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

use model::Protocol;

use super::{Action, Chain, Datum, Element, Field, Hook, Match, Rule, Ruleset, Set, Type};
use crate::plan::{NetworkPlan, NodePlan, PortPlan, SizeClass, slots_after};

/// Refuses what gets here: TCP with a reset, the rest with ICMP.
const REFUSE: &str = "refuse";

impl Ruleset {
    /// The table of a plan; the plan is valid.
    pub fn of(plan: &NodePlan) -> Self {
        Self::after(None, plan)
    }

    /// The table of a plan, whose balancers move as few slots as can be from those of the table before.
    pub fn after(previous: Option<&Self>, plan: &NodePlan) -> Self {
        let mut sets = vec![
            set(
                "owners",
                &[Type::IfName, Type::Ipv4],
                plan.attachments.iter().map(|a| vec![Datum::IfName(plan.device(a)), Datum::Ipv4(a.address)]),
            ),
            map(
                "networks",
                &[Type::Ipv4],
                &[Type::Verdict],
                plan.attachments.iter().filter_map(|a| {
                    let network = plan.network(a.network)?;
                    Some((vec![Datum::Ipv4(a.address)], vec![Datum::Jump(from_chain(network))]))
                }),
            ),
            set("members", &[Type::Ipv4], plan.attachments.iter().map(|a| vec![Datum::Ipv4(a.address)])),
            set("subnets", &[Type::Prefix], prefixes(plan, |_| true)),
            set("outbound", &[Type::Prefix], prefixes(plan, |network| !network.internal)),
            set(
                "hairpin",
                &[Type::Ipv4, Type::Ipv4],
                plan.attachments.iter().map(|a| vec![Datum::Ipv4(a.address), Datum::Ipv4(a.address)]),
            ),
            map(
                "gateways",
                &[Type::Ipv4],
                &[Type::Ipv4],
                plan.attachments.iter().filter_map(|a| {
                    let gateway = plan.network(a.network)?.gateway;
                    Some((vec![Datum::Ipv4(a.address)], vec![Datum::Ipv4(gateway)]))
                }),
            ),
        ];
        sets.extend(plan.networks.iter().map(|network| network_members(plan, network)));
        let balanced = balancer_sets(previous, plan, &mut sets);
        sets.extend(idle_ports(plan));

        let mut chains = vec![refuse()];
        chains.extend(plan.networks.iter().map(from_network));
        let prefix = plan.node_key.device_prefix();
        chains.extend([
            sources(&prefix),
            chain("balance", Hook::NatPrerouting, balanced.clone()),
            chain("balance_host", Hook::NatOutput, balanced),
            input(),
            forward(&prefix),
            output(),
            sources_nat(&prefix),
        ]);
        Self { table: plan.node_key.table(), sets, chains }
    }
}

fn from_chain(network: &NetworkPlan) -> String {
    format!("from_{}", network.id)
}

fn members_set(network: &NetworkPlan) -> String {
    format!("net_{}", network.id)
}

fn set(name: &str, key: &[Type], keys: impl Iterator<Item = Vec<Datum>>) -> Set {
    map(name, key, &[], keys.map(|key| (key, Vec::new())))
}

fn map(name: &str, key: &[Type], value: &[Type], elements: impl Iterator<Item = (Vec<Datum>, Vec<Datum>)>) -> Set {
    let elements: BTreeSet<Element> = elements.map(|(key, value)| Element { key, value }).collect();
    Set { name: name.into(), key: key.into(), value: value.into(), elements: elements.into_iter().collect() }
}

fn prefixes(plan: &NodePlan, wanted: fn(&NetworkPlan) -> bool) -> impl Iterator<Item = Vec<Datum>> {
    plan.networks.iter().filter(move |network| wanted(network)).map(|network| vec![Datum::Prefix(network.subnet)])
}

fn network_members(plan: &NodePlan, network: &NetworkPlan) -> Set {
    let members = plan.attachments.iter().filter(|a| a.network == network.id);
    set(&members_set(network), &[Type::Ipv4], members.map(|a| vec![Datum::Ipv4(a.address)]))
}

/// The maps of each size class in use, and the rules that look into them: one address of the host before all of them.
fn balancer_sets(previous: Option<&Ruleset>, plan: &NodePlan, sets: &mut Vec<Set>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for class in SizeClass::ALL {
        let vips =
            plan.vips.iter().filter(|vip| !vip.backends.is_empty() && SizeClass::of(vip.backends.len()) == class);
        let name = format!("vips{}", class.slots());
        let before = previous.and_then(|ruleset| ruleset.set(&name));
        let entries = vips.flat_map(|vip| {
            let value = |backend: &std::net::Ipv4Addr| vec![Datum::Ipv4(*backend)];
            balance(before, vec![Datum::Ipv4(vip.address)], &vip.backends, class, value)
        });
        let vips = map(&name, &[Type::Ipv4, Type::Slot], &[Type::Ipv4], entries);
        if !vips.elements.is_empty() {
            let fields = vec![Field::Destination, Field::Slot(class.slots())];
            rules.push(Rule { matches: vec![], action: Action::Dnat { fields, map: name, port: false } });
            sets.push(vips);
        }
    }
    for (bound, name) in [(true, "ports_at"), (false, "ports")] {
        for class in SizeClass::ALL {
            let (ports, rule) = port_map(previous, plan, bound, &format!("{name}{}", class.slots()), class);
            if !ports.elements.is_empty() {
                sets.push(ports);
                rules.push(rule);
            }
        }
    }
    rules
}

/// The entries of one balancer: whoever was behind it in the set before keeps its slots.
fn balance<B: Clone + Ord + std::hash::Hash + ToString>(
    before: Option<&Set>,
    key: Vec<Datum>,
    backends: &[B],
    class: SizeClass,
    value: impl Fn(&B) -> Vec<Datum>,
) -> Vec<(Vec<Datum>, Vec<Datum>)> {
    let known: BTreeMap<Vec<Datum>, &B> = backends.iter().map(|backend| (value(backend), backend)).collect();
    let elements = before.into_iter().flat_map(|set| &set.elements).filter(|element| element.key.starts_with(&key));
    let previous: Vec<Option<B>> = elements.map(|element| known.get(&element.value).map(|b| (*b).clone())).collect();
    let table = slots_after(&previous, backends, class);
    let entry = |(backend, slot): (B, u32)| {
        let mut key = key.clone();
        key.push(Datum::Slot(slot));
        (key, value(&backend))
    };
    table.into_iter().zip(0u32..).map(entry).collect()
}

fn port_map(previous: Option<&Ruleset>, plan: &NodePlan, bound: bool, name: &str, class: SizeClass) -> (Set, Rule) {
    let wanted = |port: &&PortPlan| {
        let busy = !port.backends.is_empty() && SizeClass::of(port.backends.len()) == class;
        busy && port.host_ipv4().is_some() == bound
    };
    let before = previous.and_then(|ruleset| ruleset.set(name));
    let value = |backend: &SocketAddrV4| vec![Datum::Ipv4(*backend.ip()), Datum::Port(backend.port())];
    let entries =
        plan.ports.iter().filter(wanted).flat_map(|port| balance(before, port_key(port), &port.backends, class, value));
    let (mut key, mut fields) = port_key_shape(bound);
    key.push(Type::Slot);
    fields.push(Field::Slot(class.slots()));
    let ports = map(name, &key, &[Type::Ipv4, Type::Port], entries);
    let action = Action::Dnat { fields, map: name.into(), port: true };
    (ports, Rule { matches: vec![Match::Local(true)], action })
}

fn port_key(port: &PortPlan) -> Vec<Datum> {
    let mut key: Vec<Datum> = port.host_ipv4().map(Datum::Ipv4).into_iter().collect();
    key.extend([Datum::Protocol(port.protocol), Datum::Port(port.published)]);
    key
}

fn port_key_shape(bound: bool) -> (Vec<Type>, Vec<Field>) {
    if bound {
        let fields = vec![Field::Destination, Field::Protocol, Field::Port];
        (vec![Type::Ipv4, Type::Protocol, Type::Port], fields)
    } else {
        (vec![Type::Protocol, Type::Port], vec![Field::Protocol, Field::Port])
    }
}

fn idle_ports(plan: &NodePlan) -> [Set; 2] {
    [(true, "idle_ports_at"), (false, "idle_ports")].map(|(bound, name)| {
        let idle = plan.ports.iter().filter(|p| p.backends.is_empty() && p.host_ipv4().is_some() == bound);
        set(name, &port_key_shape(bound).0, idle.map(port_key))
    })
}

fn chain(name: &str, hook: Hook, rules: Vec<Rule>) -> Chain {
    Chain { name: name.into(), hook: Some(hook), rules }
}

fn rule(matches: Vec<Match>, action: Action) -> Rule {
    Rule { matches, action }
}

fn in_set(fields: &[Field], set: &str) -> Match {
    Match::InSet { fields: fields.into(), set: set.into(), negate: false }
}

fn not_in_set(fields: &[Field], set: &str) -> Match {
    Match::InSet { fields: fields.into(), set: set.into(), negate: true }
}

fn refuse() -> Chain {
    let rules = vec![rule(vec![Match::Is(Protocol::Tcp)], Action::RejectTcp), rule(vec![], Action::RejectPort)];
    Chain { name: REFUSE.into(), hook: None, rules }
}

/// Where a network's containers may go. Its own addresses that nobody has are refused at once: a virtual address
/// without backend, a container that is gone.
fn from_network(network: &NetworkPlan) -> Chain {
    let outside = if network.internal { Action::Drop } else { Action::Accept };
    let rules = vec![
        rule(vec![in_set(&[Field::Destination], &members_set(network))], Action::Accept),
        rule(vec![Match::InPrefix(Field::Destination, network.subnet)], Action::Goto(REFUSE.into())),
        rule(vec![Match::OriginalDestination("subnets".into())], Action::Drop),
        rule(vec![], outside),
    ];
    Chain { name: from_chain(network), hook: None, rules }
}

fn sources(prefix: &str) -> Chain {
    let ours = Match::FromDevices(prefix.into());
    let rules = vec![
        rule(vec![ours.clone(), not_in_set(&[Field::IifName, Field::Source], "owners")], Action::Drop),
        rule(vec![ours, Match::InLoopback(Field::Destination)], Action::Drop),
    ];
    chain("sources", Hook::RawPrerouting, rules)
}

fn forward(prefix: &str) -> Chain {
    let ours = Match::FromDevices(prefix.into());
    let to_us = in_set(&[Field::Destination], "subnets");
    let rules = vec![
        // Known connections to a container that is gone lead to the loopback device and are refused below.
        rule(
            vec![to_us.clone(), not_in_set(&[Field::Destination], "members"), Match::Translated],
            Action::Goto(REFUSE.into()),
        ),
        rule(vec![Match::Established], Action::Accept),
        rule(vec![ours.clone()], Action::Dispatch { field: Field::Source, map: "networks".into() }),
        rule(vec![ours], Action::Drop),
        rule(vec![Match::OriginalDestination("subnets".into())], Action::Drop),
        rule(vec![to_us.clone(), Match::Translated], Action::Accept),
        rule(vec![to_us], Action::Drop),
    ];
    chain("forward", Hook::FilterForward, rules)
}

fn input() -> Chain {
    let idle = |bound: bool, set: &str| {
        rule(vec![Match::Local(true), in_set(&port_key_shape(bound).1, set)], Action::Goto(REFUSE.into()))
    };
    chain("input", Hook::FilterInput, vec![idle(true, "idle_ports_at"), idle(false, "idle_ports")])
}

fn output() -> Chain {
    let rules = vec![rule(
        vec![
            in_set(&[Field::Destination], "subnets"),
            not_in_set(&[Field::Destination], "members"),
            Match::Local(false),
        ],
        Action::Goto(REFUSE.into()),
    )];
    chain("output", Hook::FilterOutput, rules)
}

fn sources_nat(prefix: &str) -> Chain {
    let as_gateway = || Action::Snat { field: Field::Destination, map: "gateways".into() };
    let rules = vec![
        rule(vec![in_set(&[Field::Source, Field::Destination], "hairpin")], as_gateway()),
        rule(vec![Match::ToDevices(prefix.into()), Match::InLoopback(Field::Source)], as_gateway()),
        rule(
            vec![in_set(&[Field::Source], "outbound"), not_in_set(&[Field::Destination], "subnets")],
            Action::Masquerade,
        ),
    ];
    chain("sources_nat", Hook::NatPostrouting, rules)
}
