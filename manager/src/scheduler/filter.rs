//! Why a task cannot run on a node.

use std::collections::BTreeMap;

use model::{Availability, NodeId, NodeState, Task};

use super::free::Free;
use crate::allocator::can_lease;
use crate::state::State;

/// The first network of the task whose addresses are not known yet.
pub fn unallocated<'a>(state: &State, task: &'a Task) -> Option<&'a str> {
    let unknown = |name: &&str| {
        let lacks =
            |network: &model::Network| network.subnets.is_empty() || !network.spec.is_complete(&network.subnets);
        state.network_named(name).is_none_or(lacks)
    };
    let attachments = task.spec.network.attachments().iter().filter(|attachment| !attachment.local);
    attachments.map(|attachment| attachment.network.as_str()).find(unknown)
}

/// Why the task cannot run on the node, which has so many tasks of its service; `None` when it can.
pub fn refusal(state: &State, task: &Task, node: NodeId, free: &BTreeMap<NodeId, Free>, own: usize) -> Option<String> {
    let service = state.services.get(&task.service);
    let placement = service.map(|service| &service.spec.placement);
    let (Some(node), Some(free)) = (state.nodes.get(&node), free.get(&node)) else { return Some("unknown".into()) };
    if placement.and_then(|placement| placement.node).is_some_and(|pinned| pinned != node.id) {
        return Some("not the node where the project was brought up".into());
    }
    if node.spec.availability != Availability::Active {
        return Some(format!("set to {}", node.spec.availability));
    }
    match node.state {
        NodeState::Unknown => return Some("not heard of since this manager began".into()),
        NodeState::Down => return Some("down".into()),
        NodeState::Ready => {}
    }
    if let Some(unmet) = placement.and_then(|placement| placement.unmet(node)) {
        return Some(format!("constraint {unmet} not met"));
    }
    let most = placement.map_or(0, |placement| placement.max_replicas) as usize;
    if most > 0 && own >= most && task.bound.is_none() {
        return Some(format!("has the most tasks of the service that a node may have, {most}"));
    }
    without_room(task, free)
        .or_else(|| {
            let port = free.taken_port(service)?;
            Some(format!("port {}/{} of the host is taken", port.published.unwrap_or_default(), port.protocol))
        })
        .or_else(|| without_addresses(state, task, node.id))
}

/// What the node lacks of what the task reserves.
fn without_room(task: &Task, free: &Free) -> Option<String> {
    let wanted = &task.spec.container.resources.reservations;
    if wanted.nano_cpus > free.nano_cpus {
        return Some("not enough CPU left for the reservation".into());
    }
    if wanted.memory > free.memory {
        return Some("not enough memory left for the reservation".into());
    }
    let lacks = |(kind, count): &(&String, &u64)| free.generic.get(*kind).copied().unwrap_or_default() < **count;
    let (kind, _) = wanted.generic.iter().find(lacks)?;
    Some(format!("not enough {kind} left for the reservation"))
}

/// A network of the task that the node has no addresses of and cannot get any.
fn without_addresses(state: &State, task: &Task, node: NodeId) -> Option<String> {
    let networks = task.spec.network.attachments().iter().filter_map(|a| state.network_named(&a.network));
    let full = networks.filter(|network| !can_lease(network, node)).map(|network| &network.spec.name).next()?;
    Some(format!("network {full} has no addresses left; give it a larger subnet"))
}
