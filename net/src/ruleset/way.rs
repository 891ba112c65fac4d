//! What of a table is about other nodes. Pure.

use model::NetworkId;

use super::build::{REFUSE, Served, in_set, members_set, not_in_set, rule, set};
use super::{Action, Chain, Datum, Field, Match, Rule, Set, Type};
use crate::peers::outermost;
use crate::plan::{Family, NodePlan};

/// Addresses at other nodes, whatever their network.
const FOREIGN: &str = "foreign";
const CHAIN: &str = "from_mesh";

/// The way to other nodes.
pub(super) struct Way {
    device: String,
    /// What is at other nodes, by network; none is empty.
    foreign: Vec<(NetworkId, Vec<Vec<Datum>>)>,
}

/// Name of the set of a network's addresses at other nodes.
fn others_set(network: NetworkId) -> String {
    format!("mesh_{network}")
}

impl Way {
    /// The one of a plan, if it has one.
    pub(super) fn of(family: Family, plan: &NodePlan, networks: &[Served<'_>]) -> Option<Self> {
        let device = plan.mesh.as_ref()?.mesh.device.clone();
        let routed = networks.iter().filter(|served| served.bridge.is_none()).map(|served| served.network.id);
        let prefixes = |id| outermost(plan.foreign(id, family)).into_iter().map(|prefix| vec![Datum::Prefix(prefix)]);
        let foreign = routed.map(|id| (id, prefixes(id).collect::<Vec<_>>()));
        Some(Self { device, foreign: foreign.filter(|(_, prefixes)| !prefixes.is_empty()).collect() })
    }

    pub(super) fn sets(&self) -> Vec<Set> {
        let all = self.foreign.iter().flat_map(|(_, prefixes)| prefixes.iter().cloned());
        let each =
            self.foreign.iter().map(|(id, prefixes)| set(&others_set(*id), &[Type::Prefix], prefixes.iter().cloned()));
        std::iter::once(set(FOREIGN, &[Type::Prefix], all)).chain(each).collect()
    }

    /// A packet's destination is an address of that network at another node; `None` if there is none.
    pub(super) fn at_others(&self, network: NetworkId) -> Option<Match> {
        let has = self.foreign.iter().any(|(id, _)| *id == network);
        has.then(|| in_set(&[Field::Destination], &others_set(network)))
    }

    pub(super) fn not_at_others(&self) -> Match {
        not_in_set(&[Field::Destination], FOREIGN)
    }

    fn comes_from_others(&self) -> Match {
        Match::FromDevice(self.device.clone())
    }

    /// Only what is at other nodes comes from there. Whose of them it is the tunnel has checked.
    pub(super) fn sources(&self) -> Vec<Rule> {
        vec![
            rule(vec![self.comes_from_others(), not_in_set(&[Field::Source], FOREIGN)], Action::Drop),
            rule(vec![self.comes_from_others(), Match::InLoopback(Field::Destination)], Action::Drop),
            rule(vec![self.comes_from_others()], Action::Accept),
        ]
    }

    pub(super) fn dispatch(&self) -> Rule {
        rule(vec![self.comes_from_others()], Action::Goto(CHAIN.into()))
    }

    /// Containers at other nodes reach those of their network here, and nothing further.
    pub(super) fn chain(&self, networks: &[Served<'_>]) -> Chain {
        let of = |id: &NetworkId| networks.iter().find(|served| served.network.id == *id);
        let rules = self.foreign.iter().filter_map(|(id, _)| {
            let served = of(id)?;
            let from = || in_set(&[Field::Source], &others_set(*id));
            let to_members = vec![from(), in_set(&[Field::Destination], &members_set(served.network))];
            let to_nobody = vec![from(), Match::InPrefix(Field::Destination, served.subnet)];
            Some([rule(to_members, Action::Accept), rule(to_nobody, Action::Goto(REFUSE.into()))])
        });
        let rules = rules.flatten().chain([rule(Vec::new(), Action::Drop)]).collect();
        Chain { name: CHAIN.into(), hook: None, rules }
    }

    /// To the host itself comes only what it has asked for.
    pub(super) fn to_the_host(&self) -> Vec<Rule> {
        vec![
            rule(vec![self.comes_from_others(), Match::Established], Action::Accept),
            rule(vec![self.comes_from_others()], Action::Drop),
        ]
    }
}
