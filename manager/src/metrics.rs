//! What a manager counts: of the state, of Raft, and of what it was asked to change. docs/METRICS.md lists all of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Metric, NodeState, ServiceId, Task, TaskState};

use crate::error::Error;
use crate::state::State;
use crate::store::Store;

/// What came of proposals, since the manager's start.
#[derive(Debug, Default)]
pub struct Proposals {
    applied: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    /// Microseconds that those which were answered took, together.
    time: AtomicU64,
}

impl Proposals {
    /// Counts one.
    pub fn count<T>(&self, result: &Result<T, Error>, took: Duration) {
        let counter = match result {
            Ok(_) => &self.applied,
            Err(Error::Refused(_)) => &self.refused,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if !matches!(result, Err(error) if !matches!(error, Error::Refused(_))) {
            self.time.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    fn metrics(&self) -> [Metric; 2] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let results = [("applied", &self.applied), ("refused", &self.refused), ("failed", &self.failed)];
        [
            Metric::counter("orca_proposals_total", "Changes that this manager proposed, by what came of them.")
                .of_each("result", results.map(|(result, counter)| (result.to_owned(), read(counter)))),
            Metric::counter("orca_proposal_seconds_total", "How long those took that were applied or refused.")
                .of(Duration::from_micros(read(&self.time)).as_secs_f64()),
        ]
    }
}

/// How this manager's member of the Raft group stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RaftView {
    /// It leads.
    pub leads: bool,
    /// It knows of a leader, or is it.
    pub has_leader: bool,
    /// Its term.
    pub term: u64,
    /// Index of its last entry.
    pub last: u64,
    /// Index of the last entry in its state.
    pub applied: u64,
    /// Index of the last entry in its raft snapshot.
    pub snapshot: u64,
    /// Members that vote.
    pub voters: usize,
    /// Members that are brought up to date.
    pub learners: usize,
    /// Members that the leader has not heard of lately.
    pub unreachable: usize,
}

/// Everything that a manager counts.
pub fn metrics(store: &Store) -> Vec<Metric> {
    let mut metrics = of_raft(&store.raft().view());
    metrics.extend(store.proposals().metrics());
    metrics.extend(of_state(&store.snapshot()));
    metrics
}

fn of_raft(view: &RaftView) -> Vec<Metric> {
    let members = [("voter", view.voters), ("learner", view.learners)];
    let mut metrics = vec![
        Metric::gauge("orca_raft_leader", "Whether this manager leads.").of(view.leads),
        Metric::gauge("orca_raft_has_leader", "Whether it knows of a leader, or is it.").of(view.has_leader),
        Metric::gauge("orca_raft_term", "Its term.").of(view.term),
        Metric::gauge("orca_raft_last_index", "The last entry of its log.").of(view.last),
        Metric::gauge("orca_raft_applied_index", "The last entry in its state.").of(view.applied),
        Metric::gauge("orca_raft_snapshot_index", "The last entry in its raft snapshot.").of(view.snapshot),
        Metric::gauge("orca_raft_members", "Members of the group, by whether they vote.")
            .of_each("kind", members.map(|(kind, count)| (kind.to_owned(), count))),
    ];
    if view.leads {
        let silent =
            Metric::gauge("orca_raft_unreachable_members", "Members not heard of lately; only the leader knows.");
        metrics.push(silent.of(view.unreachable));
    }
    metrics
}

const NODE_STATES: [(NodeState, &str); 3] =
    [(NodeState::Ready, "ready"), (NodeState::Down, "down"), (NodeState::Unknown, "unknown")];

fn of_state(state: &State) -> Vec<Metric> {
    let nodes = |wanted| state.nodes.values().filter(|node| node.state == wanted).count();
    let objects = [
        ("service", state.services.len()),
        ("network", state.networks.len()),
        ("secret", state.secrets.len()),
        ("config", state.configs.len()),
    ];
    vec![
        Metric::gauge("orca_state_version", "Version of the state.").of(state.version),
        Metric::gauge("orca_objects", "Objects in the state, by kind.")
            .of_each("kind", objects.map(|(kind, count)| (kind.to_owned(), count))),
        Metric::gauge("orca_nodes", "Nodes by state.")
            .of_each("state", NODE_STATES.map(|(wanted, name)| (name.to_owned(), nodes(wanted)))),
        tasks(state),
        Metric::gauge("orca_pending_tasks", "Tasks that wait for a node; `orca why` says for what.").of(state
            .tasks
            .values()
            .filter(|task| waits(task))
            .count()),
        of_services("orca_service_wanted_tasks", "Tasks that are to run, by service.", state, is_wanted),
        of_services("orca_service_running_tasks", "Tasks that are to run and do, by service.", state, |task| {
            is_wanted(task) && task.status.state == TaskState::Running
        }),
    ]
}

fn is_wanted(task: &Task) -> bool {
    task.desired <= TaskState::Running
}

fn waits(task: &Task) -> bool {
    is_wanted(task) && task.status.state <= TaskState::Pending
}

fn tasks(state: &State) -> Metric {
    let mut counts = std::collections::BTreeMap::<TaskState, usize>::new();
    for task in state.tasks.values() {
        *counts.entry(task.status.state).or_default() += 1;
    }
    let count = |of| counts.get(&of).copied().unwrap_or(0);
    // No task is ever seen in the state that only a wish can have.
    let states = TaskState::ALL.into_iter().filter(|state| *state != TaskState::Remove);
    let each = states.map(|of| (of.to_string(), count(of)));
    Metric::gauge("orca_tasks", "Tasks by state, those of the history among them.").of_each("state", each)
}

fn of_services(name: &'static str, help: &'static str, state: &State, counts: impl Fn(&Task) -> bool) -> Metric {
    let of = |service: ServiceId| state.tasks_of(service).filter(|task| counts(task)).count();
    let each = state.services.values().map(|service| (service.spec.name.clone(), of(service.id)));
    Metric::gauge(name, help).of_each("service", each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{World, replicas, service, stack};

    #[test]
    fn tasks_are_counted_by_state_and_by_service() {
        let mut world = World::new(1);
        let web = model::ServiceSpec { mode: replicas(2), ..service("web") };
        world.up(stack([web, service("db")])).unwrap();
        let text = model::exposition(&of_state(&world.state));
        assert!(text.contains("orca_service_wanted_tasks{service=\"shop-web\"} 0\n"), "{text}");
        world.converge();
        let text = model::exposition(&of_state(&world.state));
        for line in [
            "orca_tasks{state=\"running\"} 3",
            "orca_tasks{state=\"orphaned\"} 0",
            "orca_pending_tasks 0",
            "orca_service_wanted_tasks{service=\"shop-web\"} 2",
            "orca_service_running_tasks{service=\"shop-web\"} 2",
            "orca_objects{kind=\"service\"} 2",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
        }
    }

    #[test]
    fn only_the_leader_says_who_is_silent() {
        let leader = RaftView { leads: true, has_leader: true, voters: 3, unreachable: 1, ..RaftView::default() };
        let text = model::exposition(&of_raft(&leader));
        assert!(text.contains("orca_raft_unreachable_members 1\n") && text.contains("orca_raft_leader 1\n"), "{text}");
        assert!(text.contains("orca_raft_members{kind=\"voter\"} 3\n"), "{text}");
        let follower = RaftView { leads: false, ..leader };
        assert!(!model::exposition(&of_raft(&follower)).contains("unreachable"), "{text}");
    }

    #[test]
    fn proposals_are_counted_by_what_came_of_them() {
        let proposals = Proposals::default();
        proposals.count(&Ok(()), Duration::from_millis(1_500));
        proposals.count::<()>(&Err(Error::NotLeader), Duration::from_secs(9));
        let text = model::exposition(&proposals.metrics());
        assert!(text.contains("{result=\"applied\"} 1\n") && text.contains("{result=\"failed\"} 1\n"), "{text}");
        assert!(text.contains("orca_proposal_seconds_total 1.5\n"), "{text}");
    }
}
