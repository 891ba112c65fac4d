//! What a machine looks like from outside.

use std::time::Duration;

use model::{ContainerPhase, Health, TaskState};

use super::{Exit, Goal, Machine, Policy, Stage, Turn};
use crate::health::Monitor;

impl Machine {
    /// When a [`Event::Tick`] is worth sending next.
    pub fn deadline(&self) -> Option<Duration> {
        match self.stage {
            Stage::Waiting { until } => Some(until),
            Stage::Running { .. } => match self.ending {
                Some(ending) => Some(ending.kill_at),
                // Nothing is probed then.
                None if self.paused || matches!(self.hook, Some((Turn::PreStop, _))) => None,
                None => self.monitor.as_ref().and_then(Monitor::deadline),
            },
            _ => self.retry,
        }
    }

    /// Whether the present run is being ended.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some() || self.pre_stopped > 0 || matches!(self.hook, Some((Turn::PreStop, _)))
    }

    /// The hook that is under way, from 0.
    pub fn hook(&self) -> Option<(Turn, u32)> {
        self.hook
    }

    /// Whether it is to run.
    pub fn is_wanted(&self) -> bool {
        matches!(self.goal, Goal::Run) && !self.stopped
    }

    /// The task's state; it never goes back.
    pub fn task_state(&self) -> TaskState {
        self.reached
    }

    /// Where the container is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What is wanted of it.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Whether a user has stopped it.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether its run is frozen.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether a user ends it with SIGKILL rather than stops it.
    pub fn is_killed(&self) -> bool {
        self.stopped && self.options.signal == Some(crate::signal::KILL) && self.options.grace == Some(Duration::MAX)
    }

    /// Whether it runs or is about to: what holds addresses, ports and volumes in use.
    pub fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Running { .. } | Stage::Waiting { .. })
    }

    /// Docker's word for the stage.
    pub fn phase(&self) -> ContainerPhase {
        match self.stage {
            Stage::New | Stage::Preparing | Stage::Prepared | Stage::Rejected => ContainerPhase::Created,
            Stage::Starting if self.generation > 1 => ContainerPhase::Restarting,
            Stage::Starting => ContainerPhase::Created,
            Stage::Running { .. } if self.paused => ContainerPhase::Paused,
            Stage::Running { .. } => ContainerPhase::Running,
            Stage::Waiting { .. } => ContainerPhase::Restarting,
            Stage::Exited if self.retry.is_some() => ContainerPhase::Dead,
            Stage::Exited if !self.ever_ran() => ContainerPhase::Created,
            Stage::Exited => ContainerPhase::Exited,
            Stage::Removing | Stage::Removed => ContainerPhase::Removing,
        }
    }

    fn ever_ran(&self) -> bool {
        self.last_exit.is_none_or(|exit| exit.started_at.is_set()) || self.generation > 1
    }

    /// What the health checks say.
    pub fn health(&self) -> Health {
        self.monitor.as_ref().map_or(Health::None, Monitor::health)
    }

    /// The health checks of the present run.
    pub fn monitor(&self) -> Option<&Monitor> {
        self.monitor.as_ref()
    }

    /// Number of the present or last run; 0 before the first.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How often the policy has run it again.
    pub fn restart_count(&self) -> u32 {
        self.restart_count
    }

    /// Restarts of the intent that are done.
    pub fn restarts_done(&self) -> u64 {
        self.restarts_done
    }

    /// How the last run ended.
    pub fn last_exit(&self) -> Option<Exit> {
        self.last_exit
    }

    /// What went wrong last.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Another task's policy, from its next decision on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// How it is restarted, ended and probed.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}
