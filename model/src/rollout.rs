//! How the tasks of a service give way to those of a newer spec.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::cluster::words;

/// How tasks give way to newer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateConfig {
    /// So many at a time; 0: all at once.
    pub parallelism: u32,
    /// Time between a task that runs and the next that gives way.
    pub delay: Duration,
    /// What to do when more fail than may.
    pub failure_action: FailureAction,
    /// How long new tasks are watched after the last of them runs.
    pub monitor: Duration,
    /// Millionths of the tasks that may fail.
    pub max_failure_ratio: u32,
    /// Which of the two containers is there first.
    pub order: UpdateOrder,
}

impl Default for UpdateConfig {
    fn default() -> Self {
        Self {
            parallelism: 1,
            delay: Duration::ZERO,
            failure_action: FailureAction::Pause,
            monitor: Duration::from_secs(5),
            max_failure_ratio: 0,
            order: UpdateOrder::StopFirst,
        }
    }
}

/// What to do when an update fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureAction {
    /// Leave the other tasks as they are.
    #[default]
    Pause,
    /// Go on.
    Continue,
    /// Go back to what the service was before.
    Rollback,
}

/// Which of the two containers is there first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// The new one starts when the old one has ended.
    #[default]
    StopFirst,
    /// The old one ends when the new one serves.
    StartFirst,
}

words!(FailureAction, "pause, continue or rollback", Pause = "pause", Continue = "continue", Rollback = "rollback");
words!(UpdateOrder, "stop-first or start-first", StopFirst = "stop-first", StartFirst = "start-first");

/// How a rolling update goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStatus {
    /// How far it is.
    pub state: UpdateState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    pub completed_at: Timestamp,
    /// Why, in words.
    pub message: String,
}

impl UpdateStatus {
    /// One that begins.
    pub fn begin(state: UpdateState, now: Timestamp) -> Self {
        let message = if state == UpdateState::Updating { "update in progress" } else { "rollback in progress" };
        Self { state, started_at: now, completed_at: Timestamp::NEVER, message: message.into() }
    }
}

/// How far a rolling update is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateState {
    /// It goes on.
    #[default]
    Updating,
    /// Too much has failed; a user must decide.
    Paused,
    /// All tasks are of the new spec.
    Completed,
    /// It goes back.
    RollbackStarted,
    /// Too much has failed on the way back.
    RollbackPaused,
    /// All tasks are of the earlier spec again.
    RollbackCompleted,
}

words!(
    UpdateState,
    "a state of an update",
    Updating = "updating",
    Paused = "paused",
    Completed = "completed",
    RollbackStarted = "rollback_started",
    RollbackPaused = "rollback_paused",
    RollbackCompleted = "rollback_completed"
);

impl UpdateState {
    /// Whether tasks give way now.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Updating | Self::RollbackStarted)
    }

    /// Whether it is a way back.
    pub fn is_back(self) -> bool {
        matches!(self, Self::RollbackStarted | Self::RollbackPaused | Self::RollbackCompleted)
    }
}
