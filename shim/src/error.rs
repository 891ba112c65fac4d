//! What can go wrong in a shim.

use std::io;
use std::path::PathBuf;

use model::shim::{ErrorClass, Failure, SPEC_VERSION};
use thiserror::Error;

/// Everything that a shim reports.
#[derive(Debug, Error)]
pub enum ShimError {
    /// Wrong command line.
    #[error("usage: orca shim [--cleanup] --bundle DIR")]
    Usage,
    /// A file, directory or socket.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A call that concerns no file.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A file that is no JSON or not of its type.
    #[error("{} is not valid: {source}", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A file of a later release.
    #[error(
        "{file} has version {found}, this shim reads versions up to {known}; run it with the release that wrote it"
    )]
    SpecVersion {
        /// Which file.
        file: &'static str,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Another shim works on this bundle.
    #[error("bundle {} belongs to a living shim; stop the container instead", .0.display())]
    Locked(PathBuf),
    /// The cgroup path is missing or would be somebody else's.
    #[error("cgroup path {} is refused: it must be absolute, without \"..\", and not a hierarchy's root", .0.display())]
    CgroupPath(PathBuf),
    /// `shim.json` and `config.json` disagree.
    #[error("{key} is {spec} in shim.json but {config} in config.json")]
    Contradiction {
        /// The key of shim.json.
        key: &'static str,
        /// Its value.
        spec: String,
        /// The other's.
        config: String,
    },
    /// A cgroup mount on cgroup v1.
    #[error(
        "config.json mounts cgroups at {0}: on cgroup v1 the container could write to them; leave the mount out on this host"
    )]
    CgroupMount(String),
    /// A negative OOM score without the privilege for it.
    #[error(
        "oom_score_adj {wanted} is below {current}, which needs CAP_SYS_RESOURCE that this host withholds; use {current} or more"
    )]
    OomScore {
        /// What config.json says.
        wanted: i64,
        /// What the shim has.
        current: i64,
    },
    /// No or too many layers.
    #[error("a snapshot of {0} layers cannot be mounted: overlayfs takes 1 to 500; squash the image")]
    Layers(usize),
    /// overlayfs refused.
    #[error("cannot mount the snapshot at {}: {source}", path.display())]
    Overlay {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file system of a layer cannot show other ids.
    #[error(
        "cannot show {} to the container's users: {source}; its file system needs idmapped mounts, or run the container with --userns host",
        path.display()
    )]
    IdMapped {
        /// Which layer.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Ids that no root is among.
    #[error("the container's user namespace has no root: user and group 0 must be mapped")]
    NoRootUser,
    /// A name that the container's databases don't have.
    #[error("no {kind} {name:?} in the container's {file}; name one that it has, or use a number")]
    UnknownUser {
        /// `user` or `group`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
    },
    /// The container's working directory can't be made or entered.
    #[error("cannot enter working directory {path}: {source}")]
    WorkingDirectory {
        /// In the container.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A typed complaint of a container's process before its exec.
    #[error("{message}")]
    Process {
        /// What kind.
        class: ErrorClass,
        /// In words.
        message: String,
    },
    /// libcontainer failed.
    #[error("the runtime cannot {action} the container: {message}")]
    Runtime {
        /// What was tried.
        action: &'static str,
        /// Its error, and the causes it logged.
        message: String,
    },
    /// The request doesn't fit the state.
    #[error("cannot {action}: the container is {state}")]
    WrongState {
        /// What was asked.
        action: &'static str,
        /// What it is.
        state: &'static str,
    },
    /// A malformed message.
    #[error("malformed message: {0}")]
    Message(serde_json::Error),
    /// A malformed frame.
    #[error(transparent)]
    Frame(#[from] model::shim::frame::FrameError),
    /// A client of another release.
    #[error(
        "client speaks shim protocol {client}, this shim speaks {shim}; use a client of the release that started the container"
    )]
    ProtocolVersion {
        /// Theirs.
        client: u32,
        /// Ours.
        shim: u32,
    },
    /// A request where it isn't allowed.
    #[error("{what} is not allowed here: {why}")]
    Misplaced {
        /// Which request or frame.
        what: &'static str,
        /// What is expected.
        why: &'static str,
    },
    /// A signal that doesn't exist.
    #[error("signal {0} does not exist; use 1 to 64")]
    Signal(i32),
    /// A capability that doesn't exist.
    #[error("capability {0:?} is not known; names look like CAP_NET_ADMIN")]
    Capability(String),
    /// Processes that survive SIGKILL, or a cgroup that stays busy.
    #[error("cgroup {} cannot be emptied: {left} processes remain after SIGKILL (uninterruptible I/O?)", path.display())]
    CgroupBusy {
        /// Which.
        path: PathBuf,
        /// How many.
        left: usize,
    },
    /// A rule of the device filter.
    #[error("a device rule of config.json makes no sense: {0}")]
    DeviceRule(String),
    /// A controller that this host lacks.
    #[error("cannot {action}: this host has no {controller} cgroup for the container")]
    NoController {
        /// What was tried.
        action: &'static str,
        /// Which controller.
        controller: &'static str,
    },
}

impl ShimError {
    /// The kind that callers tell apart.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Process { class, .. } => *class,
            Self::UnknownUser { .. } => ErrorClass::UnknownUser,
            Self::WorkingDirectory { .. } => ErrorClass::BadWorkingDirectory,
            Self::WrongState { .. } => ErrorClass::WrongState,
            Self::Message(_)
            | Self::Frame(_)
            | Self::ProtocolVersion { .. }
            | Self::Misplaced { .. }
            | Self::Signal(_) => ErrorClass::Protocol,
            Self::Json { .. }
            | Self::SpecVersion { .. }
            | Self::Locked(_)
            | Self::CgroupPath(_)
            | Self::Contradiction { .. }
            | Self::CgroupMount(_)
            | Self::OomScore { .. }
            | Self::Layers(_)
            | Self::NoRootUser
            | Self::Capability(_)
            | Self::DeviceRule(_)
            | Self::Usage => ErrorClass::InvalidBundle,
            Self::Io { .. }
            | Self::System { .. }
            | Self::Overlay { .. }
            | Self::IdMapped { .. }
            | Self::Runtime { .. }
            | Self::CgroupBusy { .. }
            | Self::NoController { .. } => ErrorClass::Runtime,
        }
    }

    /// As it is told to others.
    #[must_use]
    pub fn failure(&self, run_generation: u64) -> Failure {
        Failure { version: SPEC_VERSION, run_generation, class: self.class(), message: self.to_string() }
    }

    /// For `map_err` on an errno-like error about a path.
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// For `map_err` on an errno-like error about no path.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { action, source: source.into() }
    }
}

/// The crate's result.
pub type Result<T, E = ShimError> = std::result::Result<T, E>;
