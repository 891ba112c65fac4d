//! What can go wrong between Orca's processes.

use std::path::PathBuf;

use tonic::{Code, Status};

/// A failure at the wire.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A message lacks a part that it must have.
    #[error("a message has no {0}; is the other side of another version of Orca?")]
    Missing(&'static str),
    /// A field holds what its type does not have: no id, no address, an enum number that this version does not know.
    #[error("the field {field} cannot be {value:?}")]
    Invalid {
        /// `message.field`.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
    },
    /// A list holds two objects of one id.
    #[error("the field {field} has {id} twice")]
    Repeated {
        /// `message.field`.
        field: &'static str,
        /// Which id.
        id: String,
    },
    /// An address of a daemon that Orca cannot use.
    #[error("cannot use the daemon address {address:?}: {reason}")]
    Address {
        /// As given, shortened.
        address: String,
        /// What is expected.
        reason: &'static str,
    },
    /// There is no socket at that path.
    #[error("there is no daemon socket at {}; is the daemon running? start it with `orca daemon`", path.display())]
    NoSocket {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The socket is there, but nobody listens: its daemon has ended.
    #[error("no daemon listens at {}; is it running? start it with `orca daemon`", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is not for this user.
    #[error("no permission to use the daemon at {}; use sudo, or join the group that owns the socket", path.display())]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// The system cannot connect to the socket for another reason, such as a path that is too long.
    #[error("cannot connect to the daemon at {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// `ssh` could not be started, or no daemon answered through it.
    #[error(
        "cannot reach a daemon by `ssh {host}`: {}; does that command work, and is orca there?",
        root_cause(source)
    )]
    Ssh {
        /// The arguments of `ssh`.
        host: String,
        /// The transport's reason.
        source: tonic::transport::Error,
    },
    /// A daemon on another machine could not be reached, or one side does not accept the other's certificate.
    #[error("cannot use the daemon at {address}: {reason}")]
    Remote {
        /// Its name.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// A certificate or key that is of no use.
    #[error("the {what} is of no use: {reason}")]
    Identity {
        /// `CA`, `certificate` or `key`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The socket is open, but no HTTP/2 connection came about.
    #[error("cannot speak with the daemon at {}: {}; is it a daemon of Orca?", path.display(), root_cause(source))]
    Transport {
        /// The socket.
        path: PathBuf,
        /// The transport's reason.
        source: tonic::transport::Error,
    },
    /// The connection broke while a call was under way.
    #[error("lost the connection to the daemon: {reason}; if it has ended, start it with `orca daemon` and try again")]
    Lost {
        /// The transport's innermost reason.
        reason: String,
    },
    /// The daemon refuses the call or fails; its words.
    #[error("{message}")]
    Daemon {
        /// The kind of failure.
        code: Code,
        /// What the daemon says, for the person who must act.
        message: String,
    },
}

impl Error {
    /// A field that holds what its type does not have; long values are cut.
    pub(crate) fn invalid(field: &'static str, value: impl ToString) -> Self {
        Self::Invalid { field, value: shorten(&value.to_string()) }
    }
}

/// The first hundred characters: messages come from outside and may be of any length.
pub(crate) fn shorten(value: &str) -> String {
    value.chars().take(100).collect()
}

impl From<Error> for Status {
    /// What a server answers when a request does not convert, or when a call of its own has failed.
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Missing(_) | Error::Invalid { .. } | Error::Repeated { .. } | Error::Address { .. } => {
                Code::InvalidArgument
            }
            Error::Permission { .. } => Code::PermissionDenied,
            Error::NoSocket { .. }
            | Error::Refused { .. }
            | Error::Connect { .. }
            | Error::Ssh { .. }
            | Error::Remote { .. }
            | Error::Identity { .. }
            | Error::Transport { .. }
            | Error::Lost { .. } => Code::Unavailable,
            Error::Daemon { code, .. } => *code,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Status> for Error {
    /// A failed call: the server's words, or a broken connection, which is a status that this side has made from an error.
    fn from(status: Status) -> Self {
        if let Some(source) = std::error::Error::source(&status) {
            return Self::Lost { reason: root_cause(source) };
        }
        let message = match status.message() {
            "" => status.code().description(),
            message => message,
        };
        Self::Daemon { code: status.code(), message: message.to_owned() }
    }
}

/// The innermost reason: those around it say no more than "transport error".
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
