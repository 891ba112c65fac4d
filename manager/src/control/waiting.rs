//! Why tasks do not run yet, in words. Pure.

use std::collections::BTreeMap;

use model::{Service, Task, TaskState};

use crate::orchestrator::dependencies::{Verdict, verdict};
use crate::scheduler::schedule;
use crate::state::State;

/// Tasks that do not run yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// What each waits for, by task id.
    pub reasons: BTreeMap<String, String>,
    /// Those whose wait will not end by itself.
    pub hopeless: Vec<String>,
}

/// Explains the tasks of these services.
pub fn explain(state: &State, services: &[&Service]) -> Waiting {
    let mut waiting = Waiting::default();
    let refused = schedule(state).refused;
    for service in services {
        let verdict = verdict(state, service);
        let not_started = |task: &&Task| task.desired <= TaskState::Running && task.status.state < TaskState::Starting;
        for task in state.tasks_of(service.id).filter(not_started) {
            let held = task.desired < TaskState::Running;
            let reason = match &verdict {
                Verdict::Waiting(why) if held => Some(why),
                Verdict::Hopeless(why) if held => {
                    waiting.hopeless.push(task.id.to_string());
                    Some(why)
                }
                _ => refused.get(&task.id),
            };
            if let Some(reason) = reason {
                waiting.reasons.insert(task.id.to_string(), reason.clone());
            }
        }
    }
    waiting
}
