//! Which node runs a task. Pure: every refusal can be explained.

mod filter;
mod free;

use std::collections::{BTreeMap, BTreeSet};

use model::{Attribute, NodeId, Place, ServiceId, Task, TaskId};

use crate::state::{Command, State};
use filter::{refusal, unallocated};
use free::Free;

/// The order in which nodes are tried: those with the fewest tasks of the service that are to stay, then those with the fewest of
/// all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    own: usize,
    tasks: usize,
    node: NodeId,
}

/// What came of scheduling.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// Assignments for the log.
    pub commands: Vec<Command>,
    /// Why a task has no node, in words.
    pub refused: BTreeMap<TaskId, String>,
}

/// Finds a node for each task that has none: one that is ready, allowed and has room, and of those one with the fewest tasks of its
/// service.
pub fn schedule(state: &State) -> Schedule {
    let mut schedule = Schedule::default();
    let mut pending: BTreeMap<ServiceId, Vec<&Task>> = BTreeMap::new();
    for task in state.tasks.values().filter(|task| task.node.is_none() && task.is_live()) {
        pending.entry(task.service).or_default().push(task);
    }
    if pending.is_empty() {
        return schedule;
    }
    let mut free: BTreeMap<NodeId, Free> = state.nodes.values().map(|node| (node.id, Free::of(state, node))).collect();
    for (service, tasks) in pending {
        let mut group = Group::new(state, service, &free);
        for task in tasks {
            match group.place(task, &free) {
                Err(reason) => drop(schedule.refused.insert(task.id, reason)),
                Ok(node) => {
                    schedule.commands.push(Command::AssignTask { task: task.id, node, seen: task.meta.version });
                    if let Some(free) = free.get_mut(&node) {
                        free.take(state, task);
                    }
                    group.taken(node);
                }
            }
        }
    }
    schedule
}

/// The tasks of one service, placed one after the other.
struct Group<'a> {
    state: &'a State,
    /// How many tasks of the service a node has, those among them that are to end.
    own: BTreeMap<NodeId, usize>,
    /// Where the task is that another one of its place takes over from.
    seats: BTreeMap<Place, NodeId>,
    /// Kept in order over all tasks, so that a task looks at few nodes instead of at all of them.
    order: BTreeSet<Rank>,
    ranks: BTreeMap<NodeId, Rank>,
    preferences: &'a [Attribute],
}

impl<'a> Group<'a> {
    fn new(state: &'a State, service: ServiceId, free: &BTreeMap<NodeId, Free>) -> Self {
        let (mut own, mut seats) = (BTreeMap::<NodeId, usize>::new(), BTreeMap::new());
        let mut staying: BTreeMap<NodeId, usize> = BTreeMap::new();
        for task in state.tasks_of(service).filter(|task| !task.status.state.is_terminal()) {
            let Some(node) = task.node else { continue };
            *own.entry(node).or_default() += 1;
            if task.is_live() {
                *staying.entry(node).or_default() += 1;
                seats.insert(task.place(), node);
            }
        }
        let rank = |(node, free): (&NodeId, &Free)| {
            let count = staying.get(node).copied().unwrap_or_default();
            Rank { own: count, tasks: free.tasks, node: *node }
        };
        let order: BTreeSet<Rank> = free.iter().map(rank).collect();
        let ranks = order.iter().map(|rank| (rank.node, *rank)).collect();
        let spec = state.services.get(&service).map(|service| &service.spec);
        let preferences = spec.map_or(&[][..], |spec| &spec.placement.preferences);
        Self { state, own, seats, order, ranks, preferences }
    }

    /// The node for a task, or why there is none.
    fn place(&self, task: &Task, free: &BTreeMap<NodeId, Free>) -> Result<NodeId, String> {
        if let Some(network) = unallocated(self.state, task) {
            return Err(format!("network {network} has no subnet yet"));
        }
        let own = |node: &NodeId| self.own.get(node).copied().unwrap_or_default();
        let refusal = |node: NodeId| refusal(self.state, task, node, free, own(&node));
        if let Some(node) = task.bound {
            return refusal(node).map_or(Ok(node), |reason| Err(format!("its node does not fit: {reason}")));
        }
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut fits = |rank: &&Rank| match refusal(rank.node) {
            None => true,
            Some(reason) => {
                *reasons.entry(reason).or_default() += 1;
                false
            }
        };
        // Whoever it takes over from will be gone: the node of that one has one fewer.
        let seat = self.seats.get(&task.place()).copied();
        let left = |rank: &Rank| match seat == Some(rank.node) {
            true => Rank { own: rank.own.saturating_sub(1), tasks: rank.tasks.saturating_sub(1), ..*rank },
            false => *rank,
        };
        let found = match self.preferences {
            [] => {
                let seat = seat.and_then(|node| self.ranks.get(&node)).filter(|rank| refusal(rank.node).is_none());
                self.order.iter().find(&mut fits).into_iter().chain(seat).min_by_key(|rank| left(rank))
            }
            preferences => {
                let branches = self.branches(preferences);
                let load = |rank: &Rank| self.load(rank.node, seat, preferences, &branches);
                self.order.iter().filter(&mut fits).min_by_key(|rank| (load(rank), left(rank)))
            }
        };
        found.map(|rank| rank.node).ok_or_else(|| explain(&reasons))
    }

    /// How many tasks of the service are on nodes with the same values of the first preferences.
    fn branches(&self, preferences: &[Attribute]) -> BTreeMap<Vec<String>, usize> {
        let mut branches: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        for rank in self.ranks.values().filter(|rank| rank.own > 0) {
            let path = self.path(rank.node, preferences);
            for level in 1..=path.len() {
                *branches.entry(path[..level].to_vec()).or_default() += rank.own;
            }
        }
        branches
    }

    fn path(&self, node: NodeId, preferences: &[Attribute]) -> Vec<String> {
        let node = self.state.nodes.get(&node);
        preferences.iter().map(|attribute| node.map_or_else(String::new, |n| attribute.of(n).into_owned())).collect()
    }

    /// What a task would come upon at the node, branch by branch.
    fn load(
        &self,
        node: NodeId,
        seat: Option<NodeId>,
        preferences: &[Attribute],
        branches: &BTreeMap<Vec<String>, usize>,
    ) -> Vec<usize> {
        let path = self.path(node, preferences);
        let given_up = seat.map(|seat| self.path(seat, preferences)).unwrap_or_default();
        let load = |level: usize| {
            let count = branches.get(&path[..level]).copied().unwrap_or_default();
            count.saturating_sub(usize::from(given_up.get(..level) == Some(&path[..level])))
        };
        (1..=path.len()).map(load).collect()
    }

    fn taken(&mut self, node: NodeId) {
        *self.own.entry(node).or_default() += 1;
        if let Some(rank) = self.ranks.get_mut(&node) {
            self.order.remove(rank);
            *rank = Rank { own: rank.own + 1, tasks: rank.tasks + 1, ..*rank };
            self.order.insert(*rank);
        }
    }
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
