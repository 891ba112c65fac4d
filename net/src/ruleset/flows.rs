//! Which UDP flows of the connection table lead where nothing should lead any more.
//!
//! A connection's translation is decided at its first packet. TCP ends by itself and may drain; a UDP client that never
//! pauses would stick to a backend that is gone, or to "no backend" after one came.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::Protocol;

use crate::plan::NodePlan;

/// A UDP entry of the connection table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Where the client sends to.
    pub destination: IpAddr,
    /// To which port.
    pub port: u16,
    /// Who answers.
    pub answerer: IpAddr,
    /// From which port.
    pub answer_port: u16,
}

/// An address of the host, or all of them, and a port.
type PublishedAt = (Option<IpAddr>, u16);

/// Where UDP flows to this node's virtual addresses and published ports may lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowGuards {
    vips: BTreeMap<IpAddr, BTreeSet<IpAddr>>,
    ports: BTreeMap<PublishedAt, BTreeSet<(IpAddr, u16)>>,
}

impl FlowGuards {
    /// The guards of a plan.
    pub fn of(plan: &NodePlan) -> Self {
        let mut ports: BTreeMap<PublishedAt, BTreeSet<(IpAddr, u16)>> = BTreeMap::new();
        for port in plan.ports.iter().filter(|port| port.protocol == Protocol::Udp) {
            let backends = port.backends.iter().map(|backend| (backend.ip(), backend.port()));
            ports.entry((port.host_address(), port.published)).or_default().extend(backends);
        }
        Self {
            ports,
            vips: plan.vips.iter().map(|vip| (vip.address, vip.backends.iter().copied().collect())).collect(),
        }
    }

    /// Whether nothing is guarded.
    pub fn is_empty(&self) -> bool {
        self.vips.is_empty() && self.ports.is_empty()
    }

    /// Whether a flow should be cut, so that its next packet is balanced anew. `local` tells the host's own addresses.
    pub fn is_stale(&self, flow: Flow, local: &BTreeSet<IpAddr>) -> bool {
        if let Some(backends) = self.vips.get(&flow.destination) {
            return !backends.contains(&flow.answerer);
        }
        let translated = flow.destination != flow.answerer;
        if !translated && !local.contains(&flow.destination) {
            return false;
        }
        let bound = self.ports.get(&(Some(flow.destination), flow.port));
        let backends = bound.or_else(|| self.ports.get(&(None, flow.port)));
        backends.is_some_and(|backends| !backends.contains(&(flow.answerer, flow.answer_port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample;

    fn flow(destination: &str, port: u16, answerer: &str, answer_port: u16) -> Flow {
        Flow { destination: destination.parse().unwrap(), port, answerer: answerer.parse().unwrap(), answer_port }
    }

    #[test]
    fn only_flows_to_gone_backends_are_stale() {
        let guards = FlowGuards::of(&sample::plan());
        let local = ["192.0.2.1".parse().unwrap()].into();
        for (case, stale) in [
            (flow("10.1.0.2", 99, "10.1.0.5", 99), false), // a backend of the virtual address
            (flow("10.1.0.2", 99, "10.1.0.9", 99), true),  // no longer one
            (flow("10.2.0.2", 99, "10.2.0.2", 99), true),  // refused so far: try again
            (flow("192.0.2.1", 5353, "10.1.0.5", 53), false),
            (flow("192.0.2.1", 5353, "10.1.0.6", 53), true),
            (flow("192.0.2.1", 5353, "192.0.2.1", 5353), true), // from before it was published
            (flow("198.51.100.7", 5353, "198.51.100.7", 5353), false), // somebody else's server
            (flow("192.0.2.1", 53, "192.0.2.1", 53), false),
        ] {
            assert_eq!(guards.is_stale(case, &local), stale, "{case:?}");
        }
    }
}
