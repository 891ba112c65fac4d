//! Why tasks do not run yet, in words. Pure.

use std::collections::BTreeMap;

use model::{Service, TaskState};

use crate::orchestrator::dependencies::{Verdict, verdict};
use crate::scheduler::schedule;
use crate::state::State;

/// Explanations by task id.
pub fn explain(state: &State, services: &[&Service]) -> BTreeMap<String, String> {
    let mut waiting = BTreeMap::new();
    let refused = schedule(state).refused;
    for service in services {
        let verdict = verdict(state, service);
        let not_started = |task: &&model::Task| task.desired <= TaskState::Running && task.status.state < TaskState::Starting;
        for task in state.tasks_of(service.id).filter(not_started) {
            let reason = match &verdict {
                Verdict::Waiting(why) | Verdict::Hopeless(why) if task.desired < TaskState::Running => Some(why),
                _ => refused.get(&task.id),
            };
            if let Some(reason) = reason {
                waiting.insert(task.id.to_string(), reason.clone());
            }
        }
    }
    waiting
}
