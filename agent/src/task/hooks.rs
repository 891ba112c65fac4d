//! Commands that run in a container beside its own: after its start, and before its stop signal.
//!
//! They run one after another. One that was under way when a daemon died is begun again by the next daemon; those that had
//! ended are not.

use model::TaskState;

use super::{Action, Machine, Stage};

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Once the container's process has begun.
    PostStart,
    /// Before its stop signal.
    PreStop,
}

impl std::fmt::Display for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PostStart => "post_start",
            Self::PreStop => "pre_stop",
        })
    }
}

/// How a hook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookEnd {
    /// With code 0.
    Passed,
    /// Otherwise, and how.
    Failed(String),
    /// It was killed, as happens when the container ends.
    Cut(String),
}

/// How many hooks a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hooks {
    /// After its start.
    pub post_start: u32,
    /// Before its stop signal.
    pub pre_stop: u32,
}

impl Hooks {
    /// Those of a spec.
    pub fn of(spec: &model::ContainerSpec) -> Self {
        let count = |hooks: &[model::Hook]| u32::try_from(hooks.len()).unwrap_or(u32::MAX);
        Self { post_start: count(&spec.post_start), pre_stop: count(&spec.pre_stop) }
    }
}

impl Machine {
    /// Whether everything that belongs to the start of the present run is done.
    pub(super) fn is_begun(&self) -> bool {
        self.post_started >= self.policy.hooks.post_start
    }

    /// The next command after the start, unless one is under way.
    pub(super) fn post_start(&mut self) -> Option<Action> {
        if self.is_begun() || self.hook.is_some() {
            return None;
        }
        self.hook = Some((Turn::PostStart, self.post_started));
        Some(Action::Hook { turn: Turn::PostStart, index: self.post_started, thaw: false })
    }

    /// What is done before the stop signal: `None` when that may be sent.
    pub(super) fn pre_stop(&mut self) -> Option<Vec<Action>> {
        if self.pre_stopped >= self.policy.hooks.pre_stop {
            return None;
        }
        if matches!(self.hook, Some((Turn::PreStop, _))) {
            return Some(Vec::new());
        }
        self.hook = Some((Turn::PreStop, self.pre_stopped));
        let thaw = std::mem::take(&mut self.paused);
        Some(vec![Action::Hook { turn: Turn::PreStop, index: self.pre_stopped, thaw }])
    }

    /// A hook has ended. One that fails after the start fails the container; before the stop signal it keeps nothing from
    /// ending.
    pub(super) fn hooked(&mut self, turn: Turn, index: u32, end: HookEnd) {
        if self.hook != Some((turn, index)) || !matches!(self.stage, Stage::Running { .. }) {
            return;
        }
        self.hook = None;
        match (turn, end) {
            (Turn::PostStart, HookEnd::Passed) => self.post_started += 1,
            (Turn::PostStart, HookEnd::Failed(error)) => {
                self.error = Some(error);
                self.advance(TaskState::Failed);
            }
            (Turn::PostStart, HookEnd::Cut(error)) => {
                self.error = Some(error);
                self.cut = true;
            }
            (Turn::PreStop, end) => {
                self.pre_stopped += 1;
                if let HookEnd::Failed(error) | HookEnd::Cut(error) = end {
                    self.error = Some(error);
                }
            }
        }
    }

    /// A run begins, or is over: hooks of another one say nothing.
    pub(super) fn forget_hooks(&mut self) {
        (self.hook, self.cut) = (None, false);
        (self.post_started, self.pre_stopped) = (0, 0);
    }
}
