//! The one error type of the image room.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with images. Each message says what failed, on what, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid reference format: {text:?}: {reason}")]
    InvalidReference { text: String, reason: &'static str },
    #[error("invalid digest {text:?}: {reason}")]
    InvalidDigest { text: String, reason: &'static str },
    #[error("invalid platform {text:?}: expected os/architecture or os/architecture/variant, such as linux/arm64")]
    InvalidPlatform { text: String },
    #[error("invalid change instruction {text:?}: {reason}")]
    InvalidChange { text: String, reason: String },
    #[error("invalid user {spec:?}: {reason}")]
    InvalidUser { spec: String, reason: String },

    #[error("No such image: {0}")]
    NoSuchImage(String),
    #[error("image id prefix {prefix:?} is ambiguous: it matches {}", .matches.join(", "))]
    AmbiguousId { prefix: String, matches: Vec<String> },
    #[error("conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories: {}", .names.join(", "))]
    ManyNames { id: String, names: Vec<String> },
    #[error(
        "conflict: unable to remove repository reference {reference:?} (must force) - container {container} is using its referenced image {id}"
    )]
    NameInUse { reference: String, container: String, id: String },
    #[error("conflict: unable to delete {id} ({how}) - image is being used by {state} container {container}")]
    InUse { id: String, how: &'static str, state: &'static str, container: String },
    #[error("invalid filter {text:?}: {reason}")]
    InvalidFilter { text: String, reason: &'static str },
    #[error("{reference} names a digest: a tag is needed here")]
    TagNeeded { reference: String },

    #[error("digest mismatch on {what}: expected {expected}, got {actual}")]
    DigestMismatch { what: String, expected: Digest, actual: Digest },
    #[error("size mismatch on {what}: expected {expected} bytes, got {actual}")]
    SizeMismatch { what: String, expected: u64, actual: u64 },
    #[error("blob {0} is not in the content store")]
    NoSuchBlob(Digest),
    #[error("invalid {what}: {reason}")]
    InvalidDocument { what: String, reason: String },
    #[error("{what} has {actual} bytes, more than the limit of {limit}")]
    TooLarge { what: String, actual: u64, limit: u64 },
    #[error("invalid archive: {reason}")]
    InvalidArchive { reason: String },
    #[error("invalid archive entry {entry:?}: {reason}")]
    InvalidEntry { entry: String, reason: String },
    #[error("archive exceeds the limit of {limit} {what}")]
    LimitExceeded { what: &'static str, limit: u64 },
    #[error("{image} has no image for platform {wanted}: it has {}", .available.join(", "))]
    NoPlatform { image: String, wanted: String, available: Vec<String> },

    #[error("{path}: {reason}")]
    Rootfs { path: String, reason: String },
    #[error("{path}: no such file or directory in the image")]
    NotFoundInRootfs { path: String },
    #[error("no such file or directory: {path}")]
    NoSuchPath { path: String },

    #[error(
        "image store {path} has version {found}, this program knows {known}: use the program version that wrote it, or a newer one"
    )]
    StoreVersion { path: PathBuf, found: u64, known: u64 },
    #[error("image store {path} is in use by another process")]
    StoreBusy { path: PathBuf },
    #[error("unpacking layer {layer} failed: {reason}")]
    Unpack { layer: Digest, reason: String },

    #[error("cannot {action} {what}: {source}")]
    Io { action: &'static str, what: String, source: io::Error },
}

impl Error {
    /// Wraps an I/O error with what was being done; an [`Error`] that travelled inside `source` (from one of this
    /// crate's own readers) comes out as itself.
    pub(crate) fn io(action: &'static str, what: impl ToString, source: impl Into<io::Error>) -> Error {
        match source.into().downcast::<Error>() {
            Ok(own) => own,
            Err(source) => Error::Io { action, what: what.to_string(), source },
        }
    }

    pub(crate) fn document(what: impl ToString, reason: impl ToString) -> Error {
        Error::InvalidDocument { what: what.to_string(), reason: reason.to_string() }
    }

    pub(crate) fn archive(reason: impl ToString) -> Error {
        Error::InvalidArchive { reason: reason.to_string() }
    }

    pub(crate) fn entry(entry: &[u8], reason: impl ToString) -> Error {
        Error::InvalidEntry { entry: String::from_utf8_lossy(entry).into_owned(), reason: reason.to_string() }
    }
}

impl From<Error> for io::Error {
    /// Lets an [`Error`] pass through `std::io::Read`; [`Error::io`] unpacks it again.
    fn from(error: Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
