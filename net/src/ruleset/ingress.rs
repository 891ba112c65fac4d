//! What of a table is about clients of published ports that cross from one node to another. Pure.
//!
//! Where a client enters, its packets are led to a backend as ever, and if that is at another node, a mark (`away`) has them routed
//! there by the device for that, with the client's own address. Where they come out, the link address tells the node of entry: it
//! becomes the zone of the connection, so that one client port that enters at two nodes is two connections, and answers are
//! marked by it and go back the way that they came.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Protocol;

use super::build::{chain, in_set, map, not_in_set, port_key, port_key_shape, rule, set};
use super::{Action, Chain, Datum, Field, Hook, Match, Rule, Set, Type};
use crate::peers::Zone;
use crate::plan::{Family, NodePlan};

/// Backends at other nodes, and the marks that lead there.
const AWAY: &str = "away";
/// Backends here, with their ports.
const HERE: &str = "here";
/// Other nodes' own addresses, each with backends that are there.
const HOME: &str = "home";
const CHAIN: &str = "from_ingress";

/// The way of clients to and from other nodes.
pub(super) struct Ingress {
    family: Family,
    device: String,
    away: BTreeMap<IpAddr, Zone>,
    here: BTreeSet<(IpAddr, Protocol, u16)>,
    home: BTreeSet<(IpAddr, IpAddr)>,
    /// Ports that lead to other nodes, those of one address of the host and those of all.
    ports: [Vec<Vec<Datum>>; 2],
    segment: u16,
}

/// Names of the sets of such ports.
const PORTS: [&str; 2] = ["away_ports_at", "away_ports"];

impl Ingress {
    /// The one of a plan, if it has one.
    pub(super) fn of(family: Family, plan: &NodePlan) -> Option<Self> {
        let (mesh, crossing) = plan.crossing()?;
        let of_family = |address: &IpAddr| Family::of(*address) == family;
        let away: BTreeMap<IpAddr, Zone> =
            crossing.away.iter().filter(|(address, _)| of_family(address)).map(|(a, zone)| (*a, *zone)).collect();
        let at = |zone: Zone| away.iter().filter(move |(_, at)| **at == zone).map(|(address, _)| *address);
        let nodes = mesh.peers.iter().map(|peer| (peer.endpoint.ip(), peer.zone)).filter(|(node, _)| of_family(node));
        let leads_away = |port: &&crate::plan::PortPlan| {
            port.is_on(family) && port.backends.iter().any(|backend| away.contains_key(&backend.ip()))
        };
        let ports = [true, false].map(|bound| {
            let ports = plan.ports.iter().filter(leads_away).filter(|port| port.host_address().is_some() == bound);
            ports.map(port_key).collect()
        });
        // What IP and TCP put before a segment.
        let headers = if family == Family::V4 { 40 } else { 60 };
        Some(Self {
            family,
            device: mesh.ingress.as_ref()?.device.clone(),
            home: nodes.flat_map(|(node, zone)| at(zone).map(move |backend| (node, backend))).collect(),
            here: crossing.here.iter().filter(|(address, ..)| of_family(address)).copied().collect(),
            segment: u16::try_from(mesh.ingress_mtu().saturating_sub(headers)).unwrap_or(u16::MAX),
            ports,
            away,
        })
    }

    pub(super) fn sets(&self) -> Vec<Set> {
        let away = |(address, zone): (&IpAddr, &Zone)| (vec![Datum::Address(*address)], vec![Datum::Slot(zone.mark())]);
        let here = |(address, protocol, port): &(IpAddr, Protocol, u16)| {
            vec![Datum::Address(*address), Datum::Protocol(*protocol), Datum::Port(*port)]
        };
        let home = |(node, backend): &(IpAddr, IpAddr)| vec![Datum::Address(*node), Datum::Address(*backend)];
        let ports = PORTS.iter().zip([true, false]).zip(&self.ports);
        let ports = ports.map(|((name, bound), ports)| set(name, &port_key_shape(bound).0, ports.iter().cloned()));
        let fixed = [
            map(AWAY, &[Type::Address], &[Type::Slot], self.away.iter().map(away)),
            set(HERE, &port_key_shape(true).0, self.here.iter().map(here)),
            set(HOME, &[Type::Address, Type::Address], self.home.iter().map(home)),
        ];
        fixed.into_iter().chain(ports).collect()
    }

    fn comes(&self) -> Match {
        Match::FromDevice(self.device.clone())
    }

    fn goes(&self) -> Match {
        Match::ToDevice(self.device.clone())
    }

    pub(super) fn not_away(&self) -> Match {
        not_in_set(&[Field::Destination], AWAY)
    }

    /// What comes is from anybody, but neither for this host's loopback nor from a link.
    pub(super) fn sources(&self) -> Vec<Rule> {
        let mut rules = vec![rule(vec![self.comes(), Match::InLoopback(Field::Destination)], Action::Drop)];
        if self.family == Family::V6 {
            rules.push(rule(vec![self.comes(), Match::FromLinkLocal], Action::Drop));
        }
        rules.push(rule(vec![self.comes()], Action::ZoneOfLink));
        rules.push(rule(vec![self.comes()], Action::Accept));
        rules
    }

    /// A container of this node that asks for a published port.
    pub(super) fn asked_by_container(&self) -> Rule {
        rule(vec![in_set(&[Field::Destination], AWAY), Match::Translated], Action::Accept)
    }

    pub(super) fn dispatch(&self) -> Rule {
        rule(vec![self.comes()], Action::Goto(CHAIN.into()))
    }

    /// Other nodes' clients reach the published ports of containers here, and nothing else.
    pub(super) fn chain(&self) -> Chain {
        let published = in_set(&port_key_shape(true).1, HERE);
        let rules = vec![rule(vec![published], Action::Accept), rule(Vec::new(), Action::Drop)];
        Chain { name: CHAIN.into(), hook: None, rules }
    }

    /// What crosses is what a published port leads away.
    pub(super) fn forward(&self) -> [Rule; 2] {
        [rule(vec![self.goes(), Match::Translated], Action::Accept), rule(vec![self.goes()], Action::Drop)]
    }

    /// To the host itself come answers to what it has asked.
    pub(super) fn to_the_host(&self) -> [Rule; 2] {
        [rule(vec![self.comes(), Match::Established], Action::Accept), rule(vec![self.comes()], Action::Drop)]
    }

    /// Clients keep their addresses, but for those that could not be answered under theirs: this host's 127.0.0.1, and another node
    /// that would be led home, which appear as this node.
    pub(super) fn sources_nat(&self, family: Family, hidden: Option<Vec<Match>>) -> Vec<Rule> {
        let mut rules = Vec::new();
        if family == Family::V4 {
            rules.push(rule(vec![self.goes(), Match::InLoopback(Field::Source)], Action::Masquerade));
        }
        let home = in_set(&[Field::Source, Field::Destination], HOME);
        rules.push(rule(vec![self.goes(), home], Action::Masquerade));
        rules.extend(hidden.map(|mut hidden| {
            hidden.insert(0, self.goes());
            rule(hidden, Action::Masquerade)
        }));
        rules.push(rule(vec![self.goes()], Action::Accept));
        rules
    }

    /// The chains that see to zones, marks and lengths.
    pub(super) fn hooks(&self, prefix: &str) -> Vec<Chain> {
        let unmarked = Zone::NONE.mark();
        let answer = || vec![Match::Back, Match::FromZone];
        let mut from_container = answer();
        from_container.insert(0, Match::FromDevices(prefix.into()));
        let not_a_vip = || Match::OriginalDestination { set: "subnets".into(), negate: true };
        let led_away = || rule(vec![Match::Forth, Match::Translated, not_a_vip()], Action::MarkOf(AWAY.into()));
        // What this host sends is routed anew as soon as its destination is translated, when no mark says the way yet: until then it
        // has one that any way is right for.
        let bound = [true, false].into_iter().zip(PORTS);
        let to_ports = bound.map(|(bound, name)| {
            rule(vec![Match::Local(true), in_set(&port_key_shape(bound).1, name)], Action::Mark(unmarked))
        });
        let own = vec![
            led_away(),
            rule(vec![Match::Marked(unmarked)], Action::Mark(0)),
            rule(answer(), Action::MarkOfZone(unmarked)),
        ];
        let begins = vec![self.goes(), Match::Is(Protocol::Tcp), Match::IsSyn];
        vec![
            chain("answers", Hook::ManglePrerouting, vec![rule(from_container, Action::MarkOfZone(unmarked))]),
            chain("away", Hook::AfterDnat, vec![led_away()]),
            chain("away_host_first", Hook::RouteBeforeDnat, to_ports.collect()),
            chain("away_host", Hook::RouteAfterDnat, own),
            chain("segments", Hook::ManglePostrouting, vec![rule(begins, Action::ClampSegments(self.segment))]),
        ]
    }
}
