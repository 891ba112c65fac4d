//! What can go wrong on a node. Every message is for the person who must act.

use std::io;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What callers do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was named does not exist.
    NotFound,
    /// It exists already, or is in a state that forbids this.
    Conflict,
    /// The request itself is wrong.
    Invalid,
    /// The node could not do it.
    Failed,
}

/// A failure on this node.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum Error {
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    #[error("container id prefix {prefix:?} is ambiguous: it fits {count} containers; give more digits")]
    AmbiguousContainer { prefix: String, count: usize },
    #[error(
        "conflict: the container name {name:?} is already in use by container {holder}; remove or rename that container to be able to reuse that name"
    )]
    NameInUse { name: String, holder: String },
    #[error(transparent)]
    Name(#[from] model::NameError),
    #[error("container {name} is paused: unpause it first")]
    Paused { name: String },
    #[error("container {name} is already paused")]
    AlreadyPaused { name: String },
    #[error("container {name} is not paused")]
    NotPaused { name: String },
    #[error("renaming a container to the name that it has: {name}")]
    SameName { name: String },
    #[error("container {name} belongs to a service, which names it: rename the service, or set its container_name")]
    NamedByService { name: String },
    #[error("there is no event filter {key:?}: use one of {known}")]
    EventFilter { key: String, known: String },
    #[error("ps {option}: {reason}")]
    PsOption { option: String, reason: &'static str },
    #[error("container {name} is not running")]
    NotRunning { name: String },
    #[error("container {name} is running: stop it before removing it, or force its removal")]
    Running { name: String },
    #[error("container {name} is being removed")]
    BeingRemoved { name: String },
    #[error("the node is being reset: nothing new is made")]
    BeingReset,
    #[error("the task of container {name} has ended: start its service or project again instead")]
    TaskEnded { name: String },
    #[error("no command specified: neither the image nor the request has one")]
    NoCommand,
    #[error("{message}")]
    Start { code: i32, message: String },

    #[error("invalid signal {text:?}: use a name such as SIGTERM or a number from 1 to 64")]
    Signal { text: String },
    #[error("capability {name}: {reason}")]
    Capability { name: String, reason: &'static str },
    #[error("{key} cannot be {value:?}: {reason}")]
    Spec { key: &'static str, value: String, reason: String },
    #[error(
        "oom_score_adj {wanted} is lower than this node's own {current}: only a daemon with CAP_SYS_RESOURCE may lower it"
    )]
    OomScore { wanted: i32, current: i32 },
    #[error("architecture {found} is not one that Orca runs on: x86_64 or aarch64")]
    Architecture { found: String },
    #[error("the built-in seccomp profile cannot be read: {0}")]
    SeccompProfile(serde_json::Error),
    #[error("the container whose namespace it shares is not running: start that one first")]
    NoPeer,
    #[error("the runtime configuration cannot be made: {0}")]
    RuntimeSpec(#[from] oci_spec::OciSpecError),

    #[error("could not find the file {path} in container {container}")]
    NoSuchFile { container: String, path: String },
    #[error("container {container}: {reason}")]
    Files { container: String, invalid: bool, reason: String },

    #[error("no such volume: {0}")]
    NoSuchVolume(String),
    #[error("volume {name} is in use by container {}", .containers.join(", "))]
    VolumeInUse { name: String, containers: Vec<String> },
    #[error("volume {name}: {reason}")]
    Volume { name: String, reason: String },
    #[error("file server {host} of a volume: {reason}")]
    FileServer { host: String, reason: String },
    #[error("bind source path does not exist: {}", path.display())]
    BindSource { path: PathBuf },
    #[error("{kind} {name} is not known on this node: its manager has not sent it")]
    NoContent { kind: &'static str, name: String },

    #[error("{kind} {name} is a template that cannot be filled in: {reason}")]
    Template { kind: &'static str, name: String, reason: String },

    #[error("network {0} not found on this node")]
    NoSuchNetwork(String),
    #[error("network id prefix {prefix:?} is ambiguous: it fits {count} networks; give more characters")]
    AmbiguousNetwork { prefix: String, count: usize },
    #[error("network with name {0} already exists")]
    NetworkExists(String),
    #[error("network {name}: {reason}")]
    Network { name: String, reason: String },
    #[error("network {name} has active endpoints: {}; disconnect or stop them first", .containers.join(", "))]
    NetworkInUse { name: String, containers: Vec<String> },
    #[error("{0} is a pre-defined network and cannot be removed")]
    PredefinedNetwork(String),
    #[error("container {container} is already connected to network {network}")]
    AlreadyConnected { container: String, network: String },
    #[error("container {container} is not connected to network {network}")]
    NotConnected { container: String, network: String },
    #[error("network {0} is not attachable: only services may join it; declare it attachable")]
    NotAttachable(String),
    #[error("network {network} cannot give an address on this node: {reason}")]
    NoAddress { network: String, reason: String },
    #[error("bind for {address}:{port}/{protocol} failed: port is already allocated to {holder}")]
    PortAllocated { address: String, port: u16, protocol: model::Protocol, holder: String },
    #[error("no free port in {first}-{last} to publish {target}/{protocol}")]
    NoFreePort { first: u16, last: u16, target: u16, protocol: model::Protocol },
    #[error("{0}")]
    Port(String),
    #[error("published ports need a network: network mode {0} has none")]
    PortsWithoutNetwork(&'static str),

    #[error("{} is in use by another orca daemon; stop that one, or give this one another --data-dir", path.display())]
    DataDirInUse { path: PathBuf },
    #[error("{} was written by a version of orca that this one does not know (format {found}, newest known {known})", path.display())]
    Format { path: PathBuf, found: u32, known: u32 },
    #[error("{} is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("the agent's database {}: {reason}", path.display())]
    Database { path: PathBuf, reason: String },

    #[error("the shim of container {container} {what}")]
    Shim { container: String, what: String },
    #[error("{0}")]
    ShimRefused(String),
    #[error(transparent)]
    ShimClient(#[from] crate::shim_client::ShimClientError),
    #[error(
        "container {name} keeps no log: its log driver keeps no files on the node; create it with the driver json-file to read its output"
    )]
    NoLog { name: String },
    #[error("the session with the manager broke: {0}")]
    Session(String),

    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Registry(#[from] image::registry::Error),
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error(transparent)]
    Log(#[from] model::LogError),
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("a worker thread ended in the middle of {0}")]
    Thread(&'static str),
}

impl Error {
    /// For `map_err`: what was being done to which path.
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// What callers do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoSuchContainer(_) | Self::NoSuchVolume(_) | Self::NoSuchNetwork(_) | Self::NoSuchFile { .. } => {
                Kind::NotFound
            }
            Self::Files { invalid: true, .. } => Kind::Invalid,
            Self::Image(image::Error::NoSuchImage(_)) => Kind::NotFound,
            Self::NameInUse { .. }
            | Self::NotRunning { .. }
            | Self::Paused { .. }
            | Self::AlreadyPaused { .. }
            | Self::NotPaused { .. }
            | Self::NamedByService { .. }
            | Self::Running { .. }
            | Self::BeingRemoved { .. }
            | Self::BeingReset
            | Self::TaskEnded { .. }
            | Self::NoLog { .. }
            | Self::ShimClient(crate::shim_client::ShimClientError::NotRunning { .. })
            | Self::NetworkExists(_)
            | Self::NetworkInUse { .. }
            | Self::AlreadyConnected { .. }
            | Self::NotConnected { .. }
            | Self::VolumeInUse { .. } => Kind::Conflict,
            Self::AmbiguousContainer { .. }
            | Self::Name(_)
            | Self::NoCommand
            | Self::SameName { .. }
            | Self::PsOption { .. }
            | Self::EventFilter { .. }
            | Self::Signal { .. }
            | Self::Capability { .. }
            | Self::Spec { .. }
            | Self::Log(_)
            | Self::OomScore { .. }
            | Self::NotAttachable(_)
            | Self::AmbiguousNetwork { .. }
            | Self::Network { .. }
            | Self::PredefinedNetwork(_)
            | Self::PortsWithoutNetwork(_) => Kind::Invalid,
            _ => Kind::Failed,
        }
    }
}
