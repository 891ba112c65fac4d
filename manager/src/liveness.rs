//! Whether nodes are heard of. `step(machine, event, now)`; time is a count that only goes forward, whoever holds it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::NodeId;

/// Time between two heartbeats of an agent.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// A node is down when so many heartbeats have not come.
const MISSED_MAX: u32 = 3;

/// When each node is down unless it is heard of before. A new leader begins with an empty one, and every deadline afresh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Liveness {
    deadlines: BTreeMap<NodeId, Duration>,
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
    let deadline = now + HEARTBEAT * MISSED_MAX;
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
    fn three_missed_heartbeats_are_too_many() {
        let (mut liveness, node) = (Liveness::default(), NodeId::from_random(1));
        step(&mut liveness, Event::Known(node), Duration::ZERO);
        step(&mut liveness, Event::Heard(node), Duration::from_secs(10));
        step(&mut liveness, Event::Known(node), Duration::from_secs(20));
        assert_eq!(liveness.next(), Some(Duration::from_secs(25)));
        assert_eq!(step(&mut liveness, Event::Tick, Duration::from_secs(24)), []);
        assert_eq!(step(&mut liveness, Event::Tick, Duration::from_secs(25)), [Down(node)]);
        assert_eq!(step(&mut liveness, Event::Tick, Duration::from_secs(99)), []);
    }
}
