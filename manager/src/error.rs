//! What can go wrong in a manager, for the person who must act.

use std::io;
use std::path::{Path, PathBuf};

use model::NodeId;

use crate::state::Refusal;

/// What can go wrong in a manager.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The replicated state machine refuses the change; nothing of it was made.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Only the leader may do this.
    #[error("this manager is not the leader: try again on another one, or wait for the election to end")]
    NotLeader,
    /// The change may or may not have been made.
    #[error("the leader changed while the change was being made: look whether it is there before trying again")]
    Uncertain,
    /// There is no room for the log.
    #[error("no change can be made: the disk of {} is full ({free} bytes free, {needed} needed); make room there", path.display())]
    DiskFull {
        /// Whose file system.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes that must be.
        needed: u64,
    },
    /// More than one entry may hold.
    #[error("the change is {size} bytes long, more than the {limit} that fit into one: split it")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The key file can't be used.
    #[error("cannot use the key file {}: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The log's database can't be used.
    #[error("cannot use the raft log {}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// Another process has the log open.
    #[error("the raft log {} is in use by another process: is another daemon running with this data directory?", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A record of the log can't be read.
    #[error("cannot read {record} of the raft log {}: {flaw}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Which record.
        record: String,
        /// What is wrong with it.
        flaw: RecordFlaw,
    },
    /// The raft snapshot can't be read.
    #[error("cannot read the raft snapshot {}: {flaw}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: RecordFlaw,
    },
    /// The log belongs to another node.
    #[error("the raft log {} was written by node {found}, and this is node {expected}: was the data directory copied? \
        Give each node its own", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// The node that wrote it.
        found: String,
        /// This node.
        expected: NodeId,
    },
    /// A log entry or a raft snapshot holds what this release doesn't know.
    #[error("cannot apply entry {index} of the raft log: {reason}; run a release that knows it")]
    UnknownEntry {
        /// Its index.
        index: u64,
        /// Why.
        reason: String,
    },
    /// Raft has ended.
    #[error("this manager has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The manager did not become ready.
    #[error(
        "the manager was not ready within {seconds} s of its start: see its log for what the disk or the log lacks"
    )]
    NotReady {
        /// How long it was waited for.
        seconds: u64,
    },
    /// A manager that is brought up to date.
    #[error("manager {manager:x} lacks {entries} entries yet")]
    Behind {
        /// Raft's number for it.
        manager: u64,
        /// How many.
        entries: u64,
    },
    /// A certificate could not be made.
    #[error("the cluster's CA cannot issue a certificate: {reason}")]
    Authority {
        /// Why.
        reason: String,
    },
    /// What a node shows as its public key is none.
    #[error("the public key is no point on P-256: is the node of another version of Orca?")]
    PublicKey,
    /// The key of everything on disk is wrapped.
    #[error(
        "Swarm is encrypted and needs to be unlocked before it can be used. Please use \"orca swarm unlock\" to unlock it."
    )]
    Locked,
    /// By another key than the one that was given.
    #[error(
        "invalid key: it does not open this manager's state. Was it rotated since? `orca swarm unlock-key` on a manager that is not \
        locked prints the present one; a manager that was off meanwhile opens with the one of then"
    )]
    WrongKey,
    /// A backup cannot be made or read.
    #[error("the backup cannot be used: {0}")]
    Backup(#[from] crate::backup::BackupError),
    /// The kernel gave no random numbers.
    #[error("the kernel gives no random numbers (getrandom(2) failed)")]
    Random,
    /// A thread could not be started.
    #[error("cannot start the thread {name}: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// What is wrong with a sealed record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFlaw {
    /// It ends too early.
    #[error("it is cut short; restore the file from a backup")]
    Truncated,
    /// Written by another release.
    #[error("its format is version {0}, and this release knows only 1; run the release that wrote it")]
    Version(u8),
    /// It does not open with this key, in this place, in this cluster.
    #[error(
        "it is damaged, or the key file beside it is not the one it was written with; restore both from one backup"
    )]
    Sealed,
    /// Its content is no message of ours.
    #[error("it is not understood ({0}); run the release that wrote it")]
    Content(String),
    /// An entry between two others is missing.
    #[error("it is missing while later ones are there; restore the file from a backup")]
    Missing,
    /// The key itself can't be used.
    #[error("its key is not usable for AES-256-GCM")]
    Key,
    /// The kernel gave no random numbers.
    #[error("the kernel gives no random numbers (getrandom(2) failed)")]
    Random,
}

/// Whether an I/O error says that there is no room: ENOSPC or EDQUOT.
pub(crate) fn says_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }

    pub(crate) fn database(path: &Path, source: impl Into<redb::Error>) -> Self {
        match source.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse { path: path.to_owned() },
            source => Self::Database { path: path.to_owned(), source: Box::new(source) },
        }
    }

    /// Whether making room on the disk would help.
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::DiskFull { .. } => true,
            Self::File { source, .. } => says_full(source),
            Self::Database { source, .. } => matches!(&**source, redb::Error::Io(error) if says_full(error)),
            _ => false,
        }
    }
}
