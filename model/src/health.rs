//! Health checks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How to find out whether a container serves. `None` means the image's value, else Docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// What to run; `None`: the image's test.
    pub test: Option<HealthTest>,
    /// Between checks; 30 s.
    pub interval: Option<Duration>,
    /// A check that takes longer has failed; 30 s.
    pub timeout: Option<Duration>,
    /// So many failures in a row mean unhealthy; 3.
    pub retries: Option<u32>,
    /// Failures in this time after the start do not count; 0.
    pub start_period: Option<Duration>,
    /// Between checks in the start period; 5 s.
    pub start_interval: Option<Duration>,
}

/// The command of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthTest {
    /// No check, not even the image's.
    Disabled,
    /// Run this program.
    Exec(Vec<String>),
    /// Run this text with the image's shell.
    Shell(String),
}

/// What health checks have found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// There is no check.
    #[default]
    None,
    /// No verdict yet.
    Starting,
    /// The last check passed.
    Healthy,
    /// The retries are used up.
    Unhealthy,
}
