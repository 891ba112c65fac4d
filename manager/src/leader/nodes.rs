//! Which nodes are heard of: deadlines in memory, their outcome in the state.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{NodeId, NodeState};
use tokio::sync::Notify;

use super::backoff::Backoff;
use crate::error::Error;
use crate::liveness::{self, Down, Event, Liveness};
use crate::state::{Command, State};
use crate::store::Store;

/// Who is heard of; filled by the dispatcher, read by the leader.
pub struct NodeWatch {
    start: Instant,
    watched: Mutex<Watched>,
    heard: Notify,
}

#[derive(Default)]
struct Watched {
    liveness: Liveness,
    /// Heard of since the last look.
    heard: BTreeSet<NodeId>,
    /// Missed their deadline since the last look.
    down: BTreeSet<NodeId>,
}

impl Default for NodeWatch {
    fn default() -> Self {
        Self { start: Instant::now(), watched: Mutex::default(), heard: Notify::new() }
    }
}

impl NodeWatch {
    /// A node's session has begun, or it has said something.
    pub fn heard(&self, node: NodeId) {
        let mut watched = self.watched();
        liveness::step(&mut watched.liveness, Event::Heard(node), self.start.elapsed());
        watched.down.remove(&node);
        if watched.heard.insert(node) {
            self.heard.notify_one();
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks nodes for one term; every deadline begins afresh.
    pub(super) async fn run(&self, store: &Store) {
        let heard = std::mem::take(&mut *self.watched()).heard;
        for node in heard {
            self.heard(node);
        }
        let mut changes = store.watch();
        let mut backoff = Backoff::default();
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.look(store).await {
                backoff.wait("the states of nodes can't be changed", &error).await;
                continue;
            }
            backoff.reset();
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = self.heard.notified() => {}
                () = self.next_deadline() => {}
            }
        }
    }

    async fn look(&self, store: &Store) -> Result<(), Error> {
        let state = store.snapshot();
        let commands = self.marks(&state);
        if commands.is_empty() {
            return Ok(());
        }
        store.propose(commands).await.map(|_| ())
    }

    /// What the state says otherwise than the deadlines. Those that could not be proposed are found again.
    fn marks(&self, state: &State) -> Vec<Command> {
        let now = self.start.elapsed();
        let mut watched = self.watched();
        if let Some(cluster) = &state.cluster {
            watched.liveness.patience = cluster.spec.heartbeat;
        }
        for node in state.nodes.values().filter(|node| node.state == NodeState::Ready) {
            if !watched.down.contains(&node.id) {
                liveness::step(&mut watched.liveness, Event::Known(node.id), now);
            }
        }
        let late = liveness::step(&mut watched.liveness, Event::Tick, now);
        watched.down.extend(late.into_iter().map(|Down(node)| node));
        let is = |node: &NodeId, wanted: NodeState| state.nodes.get(node).is_none_or(|node| node.state == wanted);
        let Watched { heard, down, .. } = &mut *watched;
        heard.retain(|node| !is(node, NodeState::Ready));
        down.retain(|node| !is(node, NodeState::Down));
        let ready = heard.iter().map(|node| Command::SetNodeState { node: *node, state: NodeState::Ready });
        let lost = down.iter().map(|node| Command::SetNodeState { node: *node, state: NodeState::Down });
        ready.chain(lost).collect()
    }

    async fn next_deadline(&self) {
        let next = self.watched().liveness.next();
        match next {
            // A little later, so that the deadline has passed for certain.
            Some(at) => tokio::time::sleep(at.saturating_sub(self.start.elapsed()) + Duration::from_millis(1)).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{NodeDescription, Timestamp};

    use crate::state::{Entry, apply};

    fn mark(state: &mut State, commands: Vec<Command>) {
        apply(state, &Entry { now: Timestamp(1), commands }).unwrap();
    }

    #[test]
    fn a_silent_node_is_marked_down_once_and_ready_when_it_is_heard() {
        let (mut state, node) = (State::default(), NodeId::from_random(1));
        let mut watch = NodeWatch::default();
        mark(&mut state, vec![Command::RegisterNode { node, description: NodeDescription::default() }]);
        watch.heard(node);
        assert_eq!(watch.marks(&state), []);
        // As if an hour had passed.
        watch.start -= Duration::from_secs(3600);
        let down = vec![Command::SetNodeState { node, state: NodeState::Down }];
        assert_eq!(watch.marks(&state), down);
        assert_eq!(watch.marks(&state), down, "not in the state yet");
        mark(&mut state, down);
        assert_eq!(watch.marks(&state), []);
        watch.heard(node);
        let ready = vec![Command::SetNodeState { node, state: NodeState::Ready }];
        assert_eq!(watch.marks(&state), ready);
        mark(&mut state, ready);
        assert_eq!(watch.marks(&state), []);
    }

    #[test]
    fn a_node_that_a_new_leader_has_never_heard_of_has_its_full_deadline() {
        let (mut state, node) = (State::default(), NodeId::from_random(1));
        mark(&mut state, vec![Command::RegisterNode { node, description: NodeDescription::default() }]);
        let mut watch = NodeWatch::default();
        assert_eq!(watch.marks(&state), []);
        watch.start -= Duration::from_secs(3600);
        assert_eq!(watch.marks(&state).len(), 1);
    }
}
