//! What can go wrong between the agent and a shim.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use model::shim::Failure;
use model::shim::frame::FrameError;

/// Why a shim did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ShimClientError {
    /// No shim listens: the container has ended (its record says how), or was never created.
    #[error("the container does not run: no shim answers in {}", bundle.display())]
    NotRunning {
        /// The container's bundle directory.
        bundle: PathBuf,
    },
    /// The shim refused, in its own words.
    #[error("{}", .0.message)]
    Refused(Failure),
    /// No answer in time.
    #[error("the shim in {} did not answer `{request}` within {} s; `shim.log` beside it may say why", bundle.display(), after.as_secs())]
    Timeout {
        /// The container's bundle directory.
        bundle: PathBuf,
        /// What was asked.
        request: &'static str,
        /// How long it was waited.
        after: Duration,
    },
    /// The shim closed the connection before it answered.
    #[error("the shim in {} closed the connection before it answered `{request}`", bundle.display())]
    Lost {
        /// The container's bundle directory.
        bundle: PathBuf,
        /// What was asked.
        request: &'static str,
    },
    /// The shim answered something else than what was asked.
    #[error("the shim in {} answered `{request}` with {reply}", bundle.display())]
    Unexpected {
        /// The container's bundle directory.
        bundle: PathBuf,
        /// What was asked.
        request: &'static str,
        /// Its answer, shortened.
        reply: String,
    },
    /// The socket failed.
    #[error("cannot {action} the shim in {}: {source}", bundle.display())]
    Io {
        /// `connect to`, `read from`, `write to`.
        action: &'static str,
        /// The container's bundle directory.
        bundle: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What came is no frame, or what should go doesn't fit into one.
    #[error("the shim in {} sent or was to be sent a bad frame: {source}", bundle.display())]
    Frame {
        /// The container's bundle directory.
        bundle: PathBuf,
        /// What is wrong with it.
        source: FrameError,
    },
    /// What came is no message of the protocol.
    #[error("the shim in {} sent a message that this version does not know: {source}", bundle.display())]
    Message {
        /// The container's bundle directory.
        bundle: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Results of this module.
pub type Result<T, E = ShimClientError> = std::result::Result<T, E>;
