//! What can go wrong between a node and a registry.

use std::time::Duration;

use crate::reference::Reference;

/// Shorthand for results of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, for the person who must act.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum Error {
    #[error(transparent)]
    Image(#[from] crate::Error),
    #[error("pull access denied for {name}, repository does not exist or may require 'orca login': {message}")]
    PullDenied { name: String, message: String },
    #[error("push access denied for {name}: {message}; 'orca login' with an account that may push there")]
    PushDenied { name: String, message: String },
    #[error("manifest for {reference} not found: {message}")]
    ManifestUnknown { reference: String, message: String },
    #[error("login attempt to {registry} failed with status: {message}")]
    Login { registry: String, message: String },
    #[error("unexpected status from {method} request to {url}: {status}: {message}")]
    Status { method: &'static str, url: String, status: u16, message: String, retry_after: Option<Duration> },
    #[error("cannot reach {host}: {reason}")]
    Connect { host: String, reason: String },
    #[error(
        "{host} is not trusted: {reason}; put its CA into /etc/orca/certs.d/{host}/ca.crt, or name it with the daemon's --insecure-registry"
    )]
    Certificate { host: String, reason: String },
    #[error(
        "{host} answers without TLS (server gave HTTP response to HTTPS client); name it with the daemon's --insecure-registry if that is wanted"
    )]
    Plain { host: String },
    #[error("{what} from {host} broke off: {reason}")]
    Broken { host: String, what: String, reason: String },
    #[error("{host} does not keep to the protocol of registries: {reason}")]
    Protocol { host: String, reason: String },
    #[error("redirect of {url} refused: {reason}")]
    Redirect { url: String, reason: &'static str },
    #[error("{text:?}: {reason}")]
    Setting { text: String, reason: &'static str },
    #[error("{path}: {reason}")]
    File { path: String, reason: String },
    #[error("credential helper {program}: {reason}")]
    Helper { program: String, reason: String },
    #[error("An image does not exist locally with the tag: {0}")]
    NotHere(String),
    #[error(
        "no such image: {image}: none of the {nodes} other nodes has it, and its registry could not be asked for it: {reason}"
    )]
    Nowhere { image: String, nodes: usize, reason: String },
    #[error("a worker thread ended in the middle of {0}")]
    Thread(&'static str),
}

impl Error {
    /// Whether it may go better the next time. A server that was never reached probably isn't there.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Error::Broken { .. } => true,
            Error::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// Whether the registry refuses what it was sent, for what it is and not for who sends it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Error::Status { status: 400..=499, .. })
            && !matches!(self, Error::Status { status: 401 | 403 | 408 | 425 | 429, .. })
    }

    /// How long the registry asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// In the middle of a download, a server that can't be reached was there before.
    pub(super) fn in_the_middle(self) -> Error {
        match self {
            Error::Connect { host, reason } => Error::Broken { host, what: "a layer".to_owned(), reason },
            other => other,
        }
    }

    /// In the words of who pulls `reference`.
    pub(super) fn of_pull(self, reference: &Reference) -> Error {
        match self {
            Error::Status { status: 401 | 403, message, .. } => {
                Error::PullDenied { name: reference.familiar_name(), message: or(message, "access denied") }
            }
            Error::Status { status: 404, message, .. } => {
                Error::ManifestUnknown { reference: reference.familiar(), message: or(message, "manifest unknown") }
            }
            other => other,
        }
    }

    /// In the words of who pushes `reference`.
    pub(super) fn of_push(self, reference: &Reference) -> Error {
        match self {
            Error::Status { status: 401 | 403, message, .. } => {
                Error::PushDenied { name: reference.familiar_name(), message: or(message, "access denied") }
            }
            other => other,
        }
    }
}

fn or(message: String, otherwise: &str) -> String {
    if message.is_empty() { otherwise.to_owned() } else { message }
}
