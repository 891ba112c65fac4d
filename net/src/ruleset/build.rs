//! From a plan to its table.
//!
//! The way of a packet:
//! 1. `sources` (raw prerouting): what comes from a container must bear an address of that very veth, and must not be
//!    addressed to 127.0.0.0/8, which `route_localnet` on the veth would otherwise let in (CVE-2020-8558). In IPv6,
//!    neighbours find each other by ICMPv6 with link-local sources, or with none yet.
//! 2. `balance` (nat): virtual addresses and published ports lead to a backend, slot by random draw.
//! 3. `forward`: established goes on; from containers by network (`from_...`: members of the same network, then the
//!    outside unless internal); into containers only what a published port brought.
//! 4. `input`, `output`: published ports and virtual addresses without backend are refused at once.
//! 5. `sources_nat` (postrouting): a container that meets itself, and the host's 127.0.0.1, appear as the gateway;
//!    what leaves for the outside appears as the node.
//!
//! What clients of published ports do that cross to other nodes is in `ingress`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use model::{IpSubnet, Link, Protocol};

use super::delta::{capacity, keep_capacity};
use super::ingress::Ingress;
use super::way::Way;
use super::{Action, Chain, Datum, Element, Field, Hook, Match, Rule, Ruleset, Set, Type};
use crate::plan::{AttachmentPlan, Family, NetworkPlan, NodePlan, PortPlan, SizeClass, slots_after};

/// Refuses what gets here: TCP with a reset, the rest with ICMP.
pub(super) const REFUSE: &str = "refuse";

impl Ruleset {
    /// The table of a plan for one family; the plan is valid.
    pub fn of(family: Family, plan: &NodePlan) -> Self {
        Self::after(family, None, plan)
    }

    /// The table of a plan, whose balancers move as few slots as can be from those of the table before.
    pub fn after(family: Family, previous: Option<&Self>, plan: &NodePlan) -> Self {
        let members: Vec<Member> = plan.attachments.iter().filter_map(|a| Member::of(family, plan, a)).collect();
        let networks: Vec<Served> = plan.networks.iter().filter_map(|n| Served::of(family, plan, n)).collect();
        let mut sets = member_sets(&members);
        sets.push(set("subnets", &[Type::Prefix], prefixes(&networks, |_| true)));
        sets.push(set(
            "outbound",
            &[Type::Prefix],
            prefixes(&networks, |network| !network.internal && !network.own_source),
        ));
        sets.extend(networks.iter().map(|served| network_members(&members, served.network)));
        let way = Way::of(family, plan, &networks);
        sets.extend(way.iter().flat_map(Way::sets));
        let balanced = balancer_sets(family, previous, plan, &mut sets);
        sets.extend(idle_ports(family, plan));
        let ingress = Ingress::of(family, plan);
        sets.extend(ingress.iter().flat_map(Ingress::sets));
        sets.extend(hidden_ports(family, plan));
        keep_capacity(previous, &mut sets);

        let mut chains = vec![refuse()];
        let across = Across { way: way.as_ref(), ingress: ingress.as_ref() };
        chains.extend(networks.iter().map(|served| from_network(served, across)));
        let prefix = plan.node_key.device_prefix();
        chains.extend(way.iter().map(|way| way.chain(&networks)));
        chains.extend(ingress.iter().map(Ingress::chain));
        chains.extend([
            sources(family, &prefix, across),
            chain("balance", Hook::NatPrerouting, balanced.clone()),
            chain("balance_host", Hook::NatOutput, balanced),
            input(across),
            forward(&prefix, across),
            output(across),
            sources_nat(family, &prefix, &networks, plan, across.ingress),
        ]);
        chains.extend(ingress.iter().flat_map(|ingress| ingress.hooks(&prefix)));
        Self { family, table: plan.node_key.table(), sets, chains }
    }
}

/// The ways to other nodes, where there are any.
#[derive(Clone, Copy)]
struct Across<'a> {
    way: Option<&'a Way>,
    ingress: Option<&'a Ingress>,
}

impl Across<'_> {
    /// Conditions for a destination that is at no other node.
    fn nowhere(self) -> impl Iterator<Item = Match> {
        self.way.map(Way::not_at_others).into_iter().chain(self.ingress.map(Ingress::not_away))
    }
}

/// A container's address of the table's family on a network that has that family.
struct Member<'a> {
    device: String,
    address: IpAddr,
    gateway: IpAddr,
    network: &'a NetworkPlan,
}

impl<'a> Member<'a> {
    fn of(family: Family, plan: &'a NodePlan, attachment: &AttachmentPlan) -> Option<Self> {
        let network = plan.network(attachment.network)?;
        let gateway = network.side(family)?.gateway;
        Some(Self { device: plan.way_in(attachment)?, address: attachment.address(family)?, gateway, network })
    }
}

/// A network with its subnet of the table's family.
pub(super) struct Served<'a> {
    pub(super) network: &'a NetworkPlan,
    pub(super) subnet: IpSubnet,
    /// Its bridge device, if it has one.
    pub(super) bridge: Option<String>,
}

impl<'a> Served<'a> {
    fn of(family: Family, plan: &NodePlan, network: &'a NetworkPlan) -> Option<Self> {
        let subnet = network.side(family)?.subnet;
        let bridge = (network.link != Link::Routed).then(|| plan.node_key.bridge(network.id));
        network.meets_host().then_some(Self { network, subnet, bridge })
    }
}

fn member_sets(members: &[Member<'_>]) -> Vec<Set> {
    let address = |member: &Member<'_>| vec![Datum::Address(member.address)];
    let owner = |member: &Member<'_>| vec![Datum::IfName(member.device.clone()), Datum::Address(member.address)];
    let jump = |member: &Member<'_>| (address(member), vec![Datum::Jump(from_chain(member.network))]);
    let itself = |member: &Member<'_>| vec![Datum::Address(member.address), Datum::Address(member.address)];
    let gateway = |member: &Member<'_>| (address(member), vec![Datum::Address(member.gateway)]);
    vec![
        set("owners", &[Type::IfName, Type::Address], members.iter().map(owner)),
        map("networks", &[Type::Address], &[Type::Verdict], members.iter().map(jump)),
        set("members", &[Type::Address], members.iter().map(address)),
        set("hairpin", &[Type::Address, Type::Address], members.iter().map(itself)),
        map("gateways", &[Type::Address], &[Type::Address], members.iter().map(gateway)),
    ]
}

fn from_chain(network: &NetworkPlan) -> String {
    format!("from_{}", network.id)
}

pub(super) fn members_set(network: &NetworkPlan) -> String {
    format!("net_{}", network.id)
}

pub(super) fn set(name: &str, key: &[Type], keys: impl Iterator<Item = Vec<Datum>>) -> Set {
    map(name, key, &[], keys.map(|key| (key, Vec::new())))
}

pub(super) fn map(
    name: &str,
    key: &[Type],
    value: &[Type],
    elements: impl Iterator<Item = (Vec<Datum>, Vec<Datum>)>,
) -> Set {
    let elements: BTreeSet<Element> = elements.map(|(key, value)| Element { key, value }).collect();
    let capacity = capacity(elements.len());
    Set { name: name.into(), key: key.into(), value: value.into(), elements: elements.into_iter().collect(), capacity }
}

fn prefixes(networks: &[Served<'_>], wanted: fn(&NetworkPlan) -> bool) -> impl Iterator<Item = Vec<Datum>> {
    networks.iter().filter(move |served| wanted(served.network)).map(|served| vec![Datum::Prefix(served.subnet)])
}

fn network_members(members: &[Member<'_>], network: &NetworkPlan) -> Set {
    let members = members.iter().filter(|member| member.network.id == network.id);
    set(&members_set(network), &[Type::Address], members.map(|member| vec![Datum::Address(member.address)]))
}

/// The maps of each size class in use, and the rules that look into them: one address of the host before all of them.
fn balancer_sets(family: Family, previous: Option<&Ruleset>, plan: &NodePlan, sets: &mut Vec<Set>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for class in SizeClass::ALL {
        let of_family = plan.vips.iter().filter(|vip| Family::of(vip.address) == family);
        let vips = of_family.filter(|vip| !vip.backends.is_empty() && SizeClass::of(vip.backends.len()) == class);
        let name = format!("vips{}", class.slots());
        let before = previous.and_then(|ruleset| ruleset.set(&name));
        let entries = vips.flat_map(|vip| {
            let value = |backend: &IpAddr| vec![Datum::Address(*backend)];
            balance(before, vec![Datum::Address(vip.address)], &vip.backends, class, value)
        });
        let vips = map(&name, &[Type::Address, Type::Slot], &[Type::Address], entries);
        if !vips.elements.is_empty() {
            let fields = vec![Field::Destination, Field::Slot(class.slots())];
            rules.push(Rule { matches: vec![], action: Action::Dnat { fields, map: name, port: false } });
            sets.push(vips);
        }
    }
    for (bound, name) in [(true, "ports_at"), (false, "ports")] {
        for class in SizeClass::ALL {
            let name = format!("{name}{}", class.slots());
            let before = previous.and_then(|ruleset| ruleset.set(&name));
            let (ports, rule) = port_map(family, before, plan, bound, &name, class);
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

fn port_map(
    family: Family,
    before: Option<&Set>,
    plan: &NodePlan,
    bound: bool,
    name: &str,
    class: SizeClass,
) -> (Set, Rule) {
    let published = plan.ports.iter().filter(|port| port.is_on(family) && port.host_address().is_some() == bound);
    let busy = published.map(|port| (port, port.backends_of(family)));
    let busy = busy.filter(|(_, backends)| !backends.is_empty() && SizeClass::of(backends.len()) == class);
    let value = |backend: &SocketAddr| vec![Datum::Address(backend.ip()), Datum::Port(backend.port())];
    let entries = busy.flat_map(|(port, backends)| balance(before, port_key(port), &backends, class, value));
    let (mut key, mut fields) = port_key_shape(bound);
    key.push(Type::Slot);
    fields.push(Field::Slot(class.slots()));
    let ports = map(name, &key, &[Type::Address, Type::Port], entries);
    let action = Action::Dnat { fields, map: name.into(), port: true };
    let mut matches = vec![Match::Local(true)];
    if family == Family::V6 {
        // The kernel never lets an answer back to ::1 from elsewhere: there netd's socket serves.
        matches.push(Match::NotLoopback(Field::Destination));
    }
    (ports, Rule { matches, action })
}

pub(super) fn port_key(port: &PortPlan) -> Vec<Datum> {
    let mut key: Vec<Datum> = port.host_address().map(Datum::Address).into_iter().collect();
    key.extend([Datum::Protocol(port.protocol), Datum::Port(port.published)]);
    key
}

pub(super) fn port_key_shape(bound: bool) -> (Vec<Type>, Vec<Field>) {
    if bound {
        let fields = vec![Field::Destination, Field::Protocol, Field::Port];
        (vec![Type::Address, Type::Protocol, Type::Port], fields)
    } else {
        (vec![Type::Protocol, Type::Port], vec![Field::Protocol, Field::Port])
    }
}

/// Ports that nothing answers at. In IPv6 that is so too where only IPv4 has backends, unless netd's socket leads to them.
fn idle_ports(family: Family, plan: &NodePlan) -> [Set; 2] {
    let is_idle = |port: &&PortPlan| {
        let elsewhere = family == Family::V6 && port.protocol == Protocol::Tcp && !port.backends.is_empty();
        port.is_on(family) && port.backends_of(family).is_empty() && !elsewhere
    };
    [(true, "idle_ports_at"), (false, "idle_ports")].map(|(bound, name)| {
        let idle = plan.ports.iter().filter(is_idle).filter(|port| port.host_address().is_some() == bound);
        set(name, &port_key_shape(bound).0, idle.map(port_key))
    })
}

pub(super) fn chain(name: &str, hook: Hook, rules: Vec<Rule>) -> Chain {
    Chain { name: name.into(), hook: Some(hook), rules }
}

pub(super) fn rule(matches: Vec<Match>, action: Action) -> Rule {
    Rule { matches, action }
}

pub(super) fn in_set(fields: &[Field], set: &str) -> Match {
    Match::InSet { fields: fields.into(), set: set.into(), negate: false }
}

pub(super) fn not_in_set(fields: &[Field], set: &str) -> Match {
    Match::InSet { fields: fields.into(), set: set.into(), negate: true }
}

/// The connection was begun with an address of a network's.
fn to_a_subnet() -> Match {
    Match::OriginalDestination { set: "subnets".into(), negate: false }
}

fn refuse() -> Chain {
    let rules = vec![rule(vec![Match::Is(Protocol::Tcp)], Action::RejectTcp), rule(vec![], Action::RejectPort)];
    Chain { name: REFUSE.into(), hook: None, rules }
}

/// Where a network's containers may go. Its own addresses that nobody has are refused at once: a virtual address
/// without backend, a container that is gone.
fn from_network(served: &Served<'_>, across: Across<'_>) -> Chain {
    let way = across.way;
    let network = served.network;
    let outside = if network.internal { Action::Drop } else { Action::Accept };
    let mut members = vec![in_set(&[Field::Destination], &members_set(network))];
    let mut others: Vec<Match> = way.and_then(|way| way.at_others(network.id)).into_iter().collect();
    if network.apart {
        members.push(Match::Translated);
        others.push(Match::Translated);
    }
    // Where the host filters what its bridges pass (br_netfilter), broadcast and multicast on the link come here too.
    let link = served.bridge.iter().map(|bridge| rule(vec![Match::ToDevices(bridge.clone())], Action::Accept));
    let mut rules: Vec<Rule> = link.collect();
    rules.push(rule(members, Action::Accept));
    if way.is_some_and(|way| way.at_others(network.id).is_some()) {
        rules.push(rule(others, Action::Accept));
    }
    rules.extend(across.ingress.filter(|_| !network.internal).map(Ingress::asked_by_container));
    rules.extend([
        rule(vec![Match::InPrefix(Field::Destination, served.subnet)], Action::Goto(REFUSE.into())),
        rule(vec![to_a_subnet()], Action::Drop),
        rule(vec![], outside),
    ]);
    Chain { name: from_chain(network), hook: None, rules }
}

fn sources(family: Family, prefix: &str, across: Across<'_>) -> Chain {
    let ours = Match::FromDevices(prefix.into());
    let mut rules: Vec<Rule> = across.way.into_iter().flat_map(Way::sources).collect();
    rules.extend(across.ingress.into_iter().flat_map(Ingress::sources));
    if family == Family::V6 {
        // Such packets are for this host alone: the kernel forwards none.
        let neighbour = |source| rule(vec![ours.clone(), Match::IsIcmpv6, source], Action::Accept);
        rules.push(neighbour(Match::FromLinkLocal));
        rules.push(neighbour(Match::Address(Field::Source, Family::V6.unspecified())));
    }
    rules.extend([
        rule(vec![ours.clone(), not_in_set(&[Field::IifName, Field::Source], "owners")], Action::Drop),
        rule(vec![ours, Match::InLoopback(Field::Destination)], Action::Drop),
    ]);
    chain("sources", Hook::RawPrerouting, rules)
}

fn forward(prefix: &str, across: Across<'_>) -> Chain {
    let ours = Match::FromDevices(prefix.into());
    let to_us = in_set(&[Field::Destination], "subnets");
    let mut gone = vec![to_us.clone(), not_in_set(&[Field::Destination], "members"), Match::Translated];
    gone.extend(across.nowhere());
    let mut rules = vec![
        // Known connections to a container that is gone lead to the loopback device and are refused below.
        rule(gone, Action::Goto(REFUSE.into())),
        rule(vec![Match::Established], Action::Accept),
    ];
    rules.extend(across.way.map(Way::dispatch));
    rules.extend(across.ingress.map(Ingress::dispatch));
    rules.extend([
        rule(vec![ours.clone()], Action::Dispatch { field: Field::Source, map: "networks".into() }),
        rule(vec![ours], Action::Drop),
    ]);
    rules.extend(across.ingress.into_iter().flat_map(Ingress::forward));
    rules.extend([
        rule(vec![to_a_subnet()], Action::Drop),
        rule(vec![to_us.clone(), Match::Translated], Action::Accept),
        rule(vec![to_us], Action::Drop),
    ]);
    chain("forward", Hook::FilterForward, rules)
}

fn input(across: Across<'_>) -> Chain {
    let idle = |bound: bool, set: &str| {
        rule(vec![Match::Local(true), in_set(&port_key_shape(bound).1, set)], Action::Goto(REFUSE.into()))
    };
    let mut rules: Vec<Rule> = across.way.into_iter().flat_map(Way::to_the_host).collect();
    rules.extend(across.ingress.into_iter().flat_map(Ingress::to_the_host));
    rules.extend([idle(true, "idle_ports_at"), idle(false, "idle_ports")]);
    chain("input", Hook::FilterInput, rules)
}

fn output(across: Across<'_>) -> Chain {
    let mut nobodys = vec![
        in_set(&[Field::Destination], "subnets"),
        not_in_set(&[Field::Destination], "members"),
        Match::Local(false),
    ];
    nobodys.extend(across.nowhere());
    let rules = vec![rule(nobodys, Action::Goto(REFUSE.into()))];
    chain("output", Hook::FilterOutput, rules)
}

/// Ports whose backends see the node instead of the client.
fn hidden_ports(family: Family, plan: &NodePlan) -> Option<Set> {
    let hidden: Vec<_> = plan.ports.iter().filter(|port| port.snat && port.is_on(family)).collect();
    let key = |port: &&PortPlan| vec![Datum::Protocol(port.protocol), Datum::Port(port.published)];
    (!hidden.is_empty()).then(|| set("hidden_ports", &[Type::Protocol, Type::Port], hidden.iter().map(key)))
}

fn sources_nat(
    family: Family,
    prefix: &str,
    networks: &[Served<'_>],
    plan: &NodePlan,
    ingress: Option<&Ingress>,
) -> Chain {
    let as_gateway = || Action::Snat { field: Field::Destination, map: "gateways".into() };
    let mut rules = vec![rule(vec![in_set(&[Field::Source, Field::Destination], "hairpin")], as_gateway())];
    if family == Family::V4 {
        rules.push(rule(vec![Match::ToDevices(prefix.into()), Match::InLoopback(Field::Source)], as_gateway()));
    }
    let hides = hidden_ports(family, plan).is_some();
    let hidden = || {
        let not_a_vip = Match::OriginalDestination { set: "subnets".into(), negate: true };
        vec![Match::Translated, not_a_vip, in_set(&[Field::Protocol, Field::FirstPort], "hidden_ports")]
    };
    rules.extend(ingress.into_iter().flat_map(|ingress| ingress.sources_nat(family, hides.then(hidden))));
    if hides {
        rules.push(rule(hidden(), as_gateway()));
    }
    // On a bridge device an answer would go straight to who asked, from another address than was asked.
    for (served, bridge) in networks.iter().filter_map(|served| Some((served, served.bridge.as_ref()?))) {
        let within = |field| in_set(&[field], &members_set(served.network));
        let asked_by_port = vec![within(Field::Source), within(Field::Destination), Match::Translated];
        rules.push(rule(asked_by_port, as_gateway()));
        // What stays on the link keeps its source, also where the host filters what its bridges pass.
        rules.push(rule(vec![Match::ToDevices(bridge.clone()), within(Field::Source)], Action::Accept));
    }
    rules.push(rule(
        vec![in_set(&[Field::Source], "outbound"), not_in_set(&[Field::Destination], "subnets")],
        Action::Masquerade,
    ));
    chain("sources_nat", Hook::NatPostrouting, rules)
}
