//! `reconcile(state, now) -> commands`: from services to tasks. Total, and it comes to rest: what it returns, applied,
//! leaves nothing to return but the next step of the same way (a deleted task's successor, a removed service's networks).

pub mod dependencies;
mod inplace;
pub mod jobs;
mod lost;
mod reaper;
mod rolling;
mod task;
#[cfg(test)]
mod tests;
mod update;
mod wanted;

use std::time::Duration;

use model::Timestamp;

use crate::state::{Command, IdSource, State};

/// What is to be done now, and when to look again if nothing changes before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Commands for the log.
    pub commands: Vec<Command>,
    /// The nearest deadline.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }
}

/// Compares services with their tasks.
pub fn reconcile(state: &State, now: Timestamp, ids: &mut IdSource) -> Plan {
    let mut plan = Plan::default();
    lost::give_up(state, &mut plan);
    for service in state.services.values() {
        match (service.spec.rolls(), service.spec.mode.is_job()) {
            (false, _) => inplace::reconcile(state, service, now, ids, &mut plan),
            (true, true) => jobs::reconcile(state, service, now, ids, &mut plan),
            (true, false) => rolling::reconcile(state, service, now, ids, &mut plan),
        }
    }
    reaper::reap(state, &mut plan);
    plan
}

/// First wait before a task that a node has refused is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// The wait after `tries` tries that failed before this one: doubled each time.
fn retry_delay(tries: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << tries.min(10)).min(RETRY_MAX)
}
