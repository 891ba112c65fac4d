//! What happens to a container, and what a shell does about it.

use std::time::Duration;

use model::Timestamp;

use super::{Exit, Goal, HookEnd, Turn};
use crate::health::{Check, Probe};

/// What has happened or is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Another goal.
    Goal(Goal),
    /// A user stops it.
    Stop(StopOptions),
    /// A user starts it.
    Run,
    /// A user wants a new run; `count` is the intent's `restarts` that is carried out by it.
    Restart {
        /// What to record as done; `None` for a restart that only this node knows of.
        count: Option<u64>,
        /// How to end the present run.
        options: StopOptions,
    },
    /// Another task takes the container over, whose intent counts so many restarts already.
    Adopted {
        /// Restarts that need not be carried out.
        restarts: u64,
    },
    /// It is ready to start.
    Prepared,
    /// It can't be made ready.
    PrepareFailed(String),
    /// A run has begun.
    Started {
        /// Which.
        generation: u64,
        /// Its first process.
        pid: u32,
        /// When.
        started_at: Timestamp,
    },
    /// A run could not begin.
    StartFailed {
        /// Which.
        generation: u64,
        /// Docker's code for the reason: 125, 126 or 127.
        code: i32,
        /// Why.
        error: String,
    },
    /// A run has ended.
    Exited {
        /// Which.
        generation: u64,
        /// How.
        exit: Exit,
    },
    /// Its processes were frozen, or thawed again.
    Paused(bool),
    /// A health probe has ended.
    Probed(Probe),
    /// A hook has ended.
    Hooked {
        /// Of which run.
        generation: u64,
        /// When it runs.
        turn: Turn,
        /// Which, from 0.
        index: u32,
        /// How.
        end: HookEnd,
    },
    /// Its files are gone.
    Removed,
    /// Its files could not be removed.
    RemoveFailed(String),
    /// Time has passed.
    Tick,
}

/// How to end a run; `None`: as the container's spec says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopOptions {
    /// Signal that asks it to end.
    pub signal: Option<i32>,
    /// Time until SIGKILL.
    pub grace: Option<Duration>,
}

/// What a shell does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make image, volumes and directories ready.
    Prepare,
    /// Begin this run.
    Start {
        /// Number of the run.
        generation: u64,
    },
    /// Send a signal to the first process.
    Signal(i32),
    /// SIGKILL to every process.
    Kill,
    /// Thaw it: what is frozen can't end.
    Resume,
    /// Run this health probe.
    Probe(Check),
    /// Run this hook.
    Hook {
        /// When it runs.
        turn: Turn,
        /// Which, from 0.
        index: u32,
        /// Thaw the container before.
        thaw: bool,
    },
    /// Remove everything that it has on the node.
    Remove {
        /// Anonymous volumes too.
        volumes: bool,
    },
}
