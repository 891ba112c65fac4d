//! Whether nodes are heard of. `step(machine, event, now)`; time is a count that only goes forward, whoever holds it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ClusterSpec, NodeId};

/// So many times an agent says that it lives, within the time after which it is down.
const BEATS: u32 = 3;

/// Time between two heartbeats of an agent that is down when it is not heard of for `patience`.
pub fn period(patience: Duration) -> Duration {
    patience / BEATS
}

/// When each node is down unless it is heard of before. A new leader begins with an empty one, and every deadline afresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// How long a node may be silent.
    pub patience: Duration,
    deadlines: BTreeMap<NodeId, Duration>,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { patience: ClusterSpec::default().heartbeat, deadlines: BTreeMap::new() }
    }
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is in the state, heard of or not.
    Known(NodeId),
    /// Its session began or it said something.
    Heard(NodeId),
    /// Time has passed.
    Tick,
}

/// A node whose deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Down(pub NodeId);

/// One move; `now` is the time since some fixed moment.
pub fn step(liveness: &mut Liveness, event: Event, now: Duration) -> Vec<Down> {
    let deadline = now + liveness.patience;
    match event {
        Event::Known(node) => {
            liveness.deadlines.entry(node).or_insert(deadline);
            Vec::new()
        }
        Event::Heard(node) => {
            liveness.deadlines.insert(node, deadline);
            Vec::new()
        }
        Event::Tick => {
            let late: Vec<NodeId> =
                liveness.deadlines.iter().filter(|(_, at)| **at <= now).map(|(node, _)| *node).collect();
            for node in &late {
                liveness.deadlines.remove(node);
            }
            late.into_iter().map(Down).collect()
        }
    }
}

impl Liveness {
    /// The nearest deadline.
    pub fn next(&self) -> Option<Duration> {
        self.deadlines.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_silent_for_too_long_is_down() {
        let (mut liveness, node) = (Liveness::default(), NodeId::from_random(1));
        step(&mut liveness, Event::Known(node), Duration::ZERO);
        step(&mut liveness, Event::Heard(node), Duration::from_secs(10));
        step(&mut liveness, Event::Known(node), Duration::from_secs(20));
        assert_eq!(liveness.next(), Some(Duration::from_secs(15)));
        assert_eq!(step(&mut liveness, Event::Tick, Duration::from_secs(14)), []);
        assert_eq!(step(&mut liveness, Event::Tick, Duration::from_secs(15)), [Down(node)]);
        assert_eq!(step(&mut liveness, Event::Tick, Duration::from_secs(99)), []);
    }
}
