//! What can go wrong between Orca's processes.

use std::path::PathBuf;

/// A failure at the wire.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A message lacks a part that it must have.
    #[error("a message has no {0}; the other side is of another version")]
    Missing(&'static str),
    /// A field holds what its type does not have.
    #[error("the field {field} cannot be {value:?}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
    },
    /// An address of a daemon that Orca cannot use.
    #[error("cannot use the address {address:?}: {reason}")]
    Address {
        /// As given.
        address: String,
        /// What is expected.
        reason: &'static str,
    },
    /// Nobody listens.
    #[error("no daemon answers at {}: {reason}; is it running? start it with `orca daemon`", path.display())]
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The socket is not for this user.
    #[error("no permission to use {}; try sudo, or join the group that owns it", path.display())]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// The connection could not be made or broke.
    #[error("the connection to the daemon failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

impl Error {
    /// A field that holds what its type does not have; long values are cut.
    pub(crate) fn invalid(field: &'static str, value: impl ToString) -> Self {
        Self::Invalid { field, value: value.to_string().chars().take(100).collect() }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Self::invalid_argument(error.to_string())
    }
}
