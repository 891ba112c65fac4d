//! What has happened, as a person reads it, and its hash, by which two runs are compared.

use std::collections::VecDeque;
use std::time::Duration;

/// Lines that are kept for the report of a failure.
const KEPT: usize = 150;

/// The last events, and a hash of all.
#[derive(Debug, Clone)]
pub struct Trace {
    hash: u64,
    events: u64,
    last: VecDeque<String>,
}

impl Default for Trace {
    fn default() -> Self {
        // FNV-1a's offset basis.
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, last: VecDeque::new() }
    }
}

impl Trace {
    /// One thing has happened.
    pub fn note(&mut self, now: Duration, what: &str) {
        for byte in now.as_nanos().to_le_bytes().iter().chain(what.as_bytes()) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.events += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(format!("{:>12.6} {what}", now.as_secs_f64()));
    }

    /// Of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many things have happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last lines.
    pub fn text(&self) -> String {
        self.last.iter().map(|line| format!("{line}\n")).collect()
    }
}
