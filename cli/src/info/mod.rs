//! `orca version`, `orca info` and `orca system df`: the node as a whole.

mod node;
mod shares;
mod swarm;
mod usage;
mod version;

pub use node::{InfoArgs, info};
pub use usage::{UsageArgs, usage};
pub use version::{VersionArgs, version};

/// What Go calls this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
