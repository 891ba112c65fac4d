//! Which node runs a task. Pure: every refusal can be explained.

use std::collections::{BTreeMap, BTreeSet};

use model::{Availability, Node, NodeId, NodeState, Task, TaskId, TaskState};

use crate::allocator::can_lease;
use crate::state::{Command, State};

/// What is still free on a node, and how much it has to do; the order in which nodes are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    tasks: usize,
    node: NodeId,
}

/// What is free on a node.
#[derive(Debug, Clone, Copy)]
struct Free {
    nano_cpus: u64,
    memory: u64,
    tasks: usize,
}

/// What came of scheduling.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// Assignments for the log.
    pub commands: Vec<Command>,
    /// Why a task has no node, in words.
    pub refused: BTreeMap<TaskId, String>,
}

/// Finds a node for each task that has none: one that is ready, allowed and has room, and of those the one with the fewest tasks.
pub fn schedule(state: &State) -> Schedule {
    let pending = |task: &&Task| task.node.is_none() && task.desired <= TaskState::Running;
    let mut schedule = Schedule::default();
    let mut tasks = state.tasks.values().filter(pending).peekable();
    if tasks.peek().is_none() {
        return schedule;
    }
    let mut free: BTreeMap<NodeId, Free> = state.nodes.values().map(|node| (node.id, free_on(state, node))).collect();
    // Kept in order over all tasks, so that a task looks at few nodes instead of at all of them.
    let mut order: BTreeSet<Rank> = free.iter().map(|(node, free)| Rank { tasks: free.tasks, node: *node }).collect();
    for task in tasks {
        if let Some(network) = unallocated(state, task) {
            schedule.refused.insert(task.id, format!("network {network} has no subnet yet"));
            continue;
        }
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let fits = |rank: &&Rank| match refusal(state, task, rank.node, &free) {
            None => true,
            Some(reason) => {
                *reasons.entry(reason).or_default() += 1;
                false
            }
        };
        match order.iter().find(fits).copied() {
            None => {
                schedule.refused.insert(task.id, explain(&reasons));
            }
            Some(rank) => {
                schedule.commands.push(Command::AssignTask { task: task.id, node: rank.node, seen: task.meta.version });
                order.remove(&rank);
                if let Some(free) = free.get_mut(&rank.node) {
                    take(free, task);
                    order.insert(Rank { tasks: free.tasks, ..rank });
                }
            }
        }
    }
    schedule
}

fn free_on(state: &State, node: &Node) -> Free {
    let mut free = Free { nano_cpus: node.description.nano_cpus, memory: node.description.memory, tasks: 0 };
    for task in state.tasks_on(node.id).filter(|task| !task.status.state.is_terminal()) {
        take(&mut free, task);
    }
    free
}

fn take(free: &mut Free, task: &Task) {
    let wanted = &task.spec.container.resources.reservations;
    free.nano_cpus = free.nano_cpus.saturating_sub(wanted.nano_cpus);
    free.memory = free.memory.saturating_sub(wanted.memory);
    free.tasks += 1;
}

/// The first network of the task whose addresses are not known yet.
fn unallocated<'a>(state: &State, task: &'a Task) -> Option<&'a str> {
    let unknown = |name: &&str| {
        let lacks =
            |network: &model::Network| network.subnets.is_empty() || !network.spec.is_complete(&network.subnets);
        state.network_named(name).is_none_or(lacks)
    };
    let attachments = task.spec.network.attachments().iter().filter(|attachment| !attachment.local);
    attachments.map(|attachment| attachment.network.as_str()).find(unknown)
}

/// Why the task cannot run on the node; `None` when it can.
fn refusal(state: &State, task: &Task, node: NodeId, free: &BTreeMap<NodeId, Free>) -> Option<String> {
    let pinned = state.services.get(&task.service).and_then(|service| service.spec.placement.node);
    let (Some(node), Some(free)) = (state.nodes.get(&node), free.get(&node)) else { return Some("unknown".into()) };
    let wanted = &task.spec.container.resources.reservations;
    match node.state {
        _ if pinned.is_some_and(|pinned| pinned != node.id) => {
            Some("not the node where the project was brought up".into())
        }
        _ if node.spec.availability != Availability::Active => Some(format!("set to {}", node.spec.availability)),
        NodeState::Unknown => Some("not heard of since this manager began".into()),
        NodeState::Down => Some("down".into()),
        NodeState::Ready if wanted.nano_cpus > free.nano_cpus => Some("not enough CPU left for the reservation".into()),
        NodeState::Ready if wanted.memory > free.memory => Some("not enough memory left for the reservation".into()),
        NodeState::Ready => without_addresses(state, task, node.id),
    }
}

/// A network of the task that the node has no addresses of and cannot get any.
fn without_addresses(state: &State, task: &Task, node: NodeId) -> Option<String> {
    let networks = task.spec.network.attachments().iter().filter_map(|a| state.network_named(&a.network));
    let full = networks.filter(|network| !can_lease(network, node)).map(|network| &network.spec.name).next()?;
    Some(format!("network {full} has no addresses left; give it a larger subnet"))
}

fn explain(reasons: &BTreeMap<String, usize>) -> String {
    if reasons.is_empty() {
        return "no node has joined yet".into();
    }
    let part = |(reason, count): (&String, &usize)| match count {
        1 => format!("1 node: {reason}"),
        _ => format!("{count} nodes: {reason}"),
    };
    format!("no node fits ({})", reasons.iter().map(part).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests;
