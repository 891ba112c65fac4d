//! Where a container is, where it is to go, and what of that is kept.

use std::time::Duration;

use model::{Health, TaskState, Timestamp};

/// What time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME: for deadlines.
    pub monotonic: Duration,
    /// For display.
    pub wall: Timestamp,
}

/// What is to become of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Goal {
    /// It exists, no more.
    #[default]
    Exist,
    /// Made ready to start (a task whose desired state is READY).
    Ready,
    /// Runs, as far as its restart policy and its user want.
    Run,
    /// Ends; its files stay.
    End,
    /// Ends and goes, its anonymous volumes too if `volumes`.
    Remove {
        /// Remove anonymous volumes.
        volumes: bool,
        /// SIGKILL at once.
        force: bool,
    },
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// Only its record exists.
    #[default]
    New,
    /// Being made ready.
    Preparing,
    /// Can start.
    Prepared,
    /// Its process is being started.
    Starting,
    /// Its process runs.
    Running {
        /// Of its first process.
        pid: u32,
        /// When it began.
        started_at: Timestamp,
    },
    /// Between two runs.
    Waiting {
        /// When the next begins.
        until: Duration,
    },
    /// Ended, and rests.
    Exited,
    /// Could not be made ready.
    Rejected,
    /// Its files are being removed.
    Removing,
    /// Gone.
    Removed,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exit {
    /// Code of the process, 128+n for a signal.
    pub code: i32,
    /// Killed for want of memory.
    pub oom_killed: bool,
    /// Begin of the run.
    pub started_at: Timestamp,
    /// Its end.
    pub finished_at: Timestamp,
}

/// What outlives a daemon of a [`Machine`](super::Machine).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Its goal.
    pub goal: Goal,
    /// Whether it was made ready.
    pub prepared: bool,
    /// Whether it could not be.
    pub rejected: bool,
    /// Whether a run was about to begin.
    pub pending: bool,
    /// [`Machine::task_state`](super::Machine::task_state).
    pub reached: TaskState,
    /// A user has stopped it.
    pub stopped: bool,
    /// Number of the last run; 0 before the first.
    pub generation: u64,
    /// Restarts by policy in a row.
    pub attempts: u64,
    /// Restarts by policy.
    pub restart_count: u32,
    /// Restarts of the intent that are done.
    pub restarts_done: u64,
    /// How the last run ended.
    pub last_exit: Option<Exit>,
    /// What went wrong last.
    pub error: Option<String>,
    /// The verdict of the last probe.
    pub health: Health,
    /// How many commands after the start of the present run have passed.
    pub post_started: u32,
    /// How many commands before its stop signal have ended.
    pub pre_stopped: u32,
}
