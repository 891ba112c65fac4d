//! What a container's spec says about restarts, endings and probes.

use std::time::Duration;

use model::{RestartCondition, RestartPolicy};

use super::Hooks;
use crate::health::Check;

/// Docker's first wait before a restart; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A run that lasted this long starts the back-off anew.
const WINDOW: Duration = Duration::from_secs(10);

/// How a container is restarted, ended and probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The spec's.
    pub restart: RestartPolicy,
    /// Number of the signal that asks it to end.
    pub stop_signal: i32,
    /// Time between that signal and SIGKILL.
    pub grace: Duration,
    /// Its health check.
    pub health: Option<Check>,
    /// Commands that run in it at its start and its end.
    pub hooks: Hooks,
    /// Remove it when it rests.
    pub auto_remove: bool,
    /// It is no task's, so it may begin again after it has ended.
    pub standalone: bool,
}

impl Policy {
    /// Whether a run that ended with `code` is followed by another one after `attempts` in a row.
    pub fn runs_again(&self, code: i32, attempts: u64) -> bool {
        let condition = match self.restart.condition {
            RestartCondition::No => false,
            RestartCondition::OnFailure => code != 0,
            RestartCondition::Always | RestartCondition::UnlessStopped => true,
        };
        condition && self.restart.max_attempts.is_none_or(|max| attempts < max)
    }

    /// The wait before restart number `attempt` (from 1) in a row.
    pub fn delay(&self, attempt: u64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        self.restart.delay.unwrap_or_else(|| (BACKOFF_MIN * (1 << doublings)).min(BACKOFF_MAX))
    }

    /// A run that lasts this long counts as a success.
    pub fn window(&self) -> Duration {
        self.restart.window.unwrap_or(WINDOW)
    }

    /// Whether the daemon's own start runs it again, though a user had stopped it (Docker's `always`).
    pub fn starts_with_daemon(&self) -> bool {
        self.restart.condition == RestartCondition::Always
    }
}
