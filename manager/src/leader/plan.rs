//! What is to be done now: orchestrators, allocator and scheduler in turn on a draft of the state, until none has anything to
//! add, so that a whole `up` rides in one entry. Pure.

use model::Timestamp;

use crate::orchestrator::{self, Plan};
use crate::state::{Command, Entry, IdSource, Refusal, State, apply};
use crate::{allocator, scheduler};

/// Most rounds: new tasks want networks, networks leases, leases let tasks be assigned. What is left waits for the next plan.
const ROUNDS: usize = 8;

/// A plan, and what the cores have got wrong in it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be proposed in one entry.
    pub plan: Plan,
    /// Commands of one core that its own draft refused: its error, never a person's.
    pub refused: Option<Refusal>,
}

/// What is to be done, and when to look again.
pub fn plan(state: &State, now: Timestamp, ids: &mut IdSource) -> Outcome {
    let mut draft = state.clone();
    let mut outcome = Outcome::default();
    for _ in 0..ROUNDS {
        let before = outcome.plan.commands.len();
        let step = orchestrator::reconcile(&draft, now, ids);
        outcome.plan.wake_at = step.wake_at;
        outcome.take(&mut draft, now, step.commands);
        let allocations = allocator::allocate(&draft);
        outcome.take(&mut draft, now, allocations);
        let assignments = scheduler::schedule(&draft).commands;
        outcome.take(&mut draft, now, assignments);
        if outcome.plan.commands.len() == before {
            break;
        }
    }
    outcome
}

impl Outcome {
    /// Versions seen in the draft are newer than any in the state; in the entry they are its own, which is never stale.
    fn take(&mut self, draft: &mut State, now: Timestamp, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        let entry = Entry { now, commands };
        match apply(draft, &entry) {
            Ok(_) => self.plan.commands.extend(entry.commands),
            Err(refusal) => self.refused = Some(refusal),
        }
    }
}
