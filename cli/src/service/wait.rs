//! How a command waits for what it has changed, and what it ends with. The managers go on in any case.

use std::time::Duration;

use crate::container::flags;
use crate::error::Error;

/// Exit code for services that have not come to what was asked for, and will not by themselves.
const FAILED: u8 = 122;
/// Exit code for an update that has failed and was taken back.
const ROLLED_BACK: u8 = 123;
/// Exit code for a wait that took too long, as timeout(1) has it.
const TIMED_OUT: u8 = 124;
/// Exit code for a wait that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// Flags of commands that wait.
#[derive(Debug, Clone, clap::Args)]
pub struct WaitFlags {
    /// Do not wait for the services to converge
    #[arg(short, long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    detach: Option<bool>,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    /// Wait no longer than this; what was begun goes on
    #[arg(long, value_name = "DURATION", value_parser = flags::duration)]
    timeout: Option<Duration>,
}

impl WaitFlags {
    /// Whether to wait.
    pub fn waits(&self) -> bool {
        self.detach != Some(true)
    }

    /// Whether to show how it goes.
    pub fn shows(&self) -> bool {
        !self.quiet
    }

    /// How long to wait; `None`: for as long as it takes.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

/// Why a wait ended before services were as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// They will not come to it by themselves, for this reason.
    Failed(String),
    /// What they were is what they are again.
    RolledBack(String),
    /// It took longer than this.
    TimedOut(Duration),
    /// The user wants to wait no more.
    Interrupted,
}

impl Unfinished {
    /// In words, of these services.
    pub fn of(self, services: &[String]) -> Error {
        let look = format!("`orca service ps {}` shows how far it is", services.join(" "));
        let (reason, code) = match self {
            Self::Failed(reason) => (reason, FAILED),
            Self::RolledBack(reason) => (reason, ROLLED_BACK),
            Self::TimedOut(after) => {
                (format!("not converged within {after:?}. It goes on in the background: {look}"), TIMED_OUT)
            }
            Self::Interrupted => (format!("Operation continuing in background: {look}"), INTERRUPTED),
        };
        Error::Unfinished { reason, code }
    }
}
