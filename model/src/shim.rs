//! What an agent and a shim say to each other: the files in a bundle directory and the messages on its socket.
//!
//! The agent writes [`CONFIG_FILE`] (an OCI runtime config) and [`SPEC_FILE`] (a [`ShimSpec`]) into a directory and
//! executes `orca shim --bundle DIR`. The shim prints one line of JSON, a [`Report`], on its standard output and closes
//! it; afterwards the two talk over [`SOCKET_FILE`] in [`frame`]s. When the container is over, the shim leaves an
//! [`ExitRecord`] in [`EXIT_FILE`], or a [`Failure`] in [`ERROR_FILE`] if it never ran.
//!
//! Everything here is frozen per release: a daemon must be able to drive the shims that its predecessor started.
//! Fields are only ever added, with a default; a change that an older reader would misread raises the version.

mod messages;
mod users;

pub mod frame;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{SyslogAddress, SyslogFormat};

pub use messages::*;
pub use users::{IdMap, IdRange, StagedBind, Users};

/// Version of [`ShimSpec`], [`ExitRecord`] and [`Failure`] that this build writes and the newest that it reads.
pub const SPEC_VERSION: u32 = 1;
/// Version of the socket protocol, said in [`Request::Hello`].
pub const PROTOCOL_VERSION: u32 = 1;

/// The OCI runtime configuration, written by the agent.
pub const CONFIG_FILE: &str = "config.json";
/// The [`ShimSpec`], written by the agent.
pub const SPEC_FILE: &str = "shim.json";
/// The shim's unix stream socket (mode 0600). Its full path may exceed the 107 bytes that `sockaddr_un` holds: connect
/// through `/proc/self/fd/N/shim.sock`, N being an open descriptor of the bundle directory.
pub const SOCKET_FILE: &str = "shim.sock";
/// The [`ExitRecord`], written durably by the shim, or by `orca shim --cleanup` when a shim died without one.
pub const EXIT_FILE: &str = "exit.json";
/// The [`Failure`] of a container that could not be created or started.
pub const ERROR_FILE: &str = "error.json";
/// The shim's own complaints; present only if there were any.
pub const SHIM_LOG_FILE: &str = "shim.log";
/// Locked (fcntl) by a living shim; `--cleanup` refuses to touch a bundle whose lock is held.
pub const LOCK_FILE: &str = "shim.lock";

/// What a shim must know besides the OCI configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimSpec {
    /// [`SPEC_VERSION`] of the writer.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub container_id: String,
    /// Counts the runs of one container on its node; echoed in the exit record so that a stale record is recognised.
    pub run_generation: u64,
    /// The layers to mount at `root.path` of the OCI configuration. `None`: something is mounted there already.
    pub snapshot: Option<Snapshot>,
    /// Where output goes.
    pub log: LogConfig,
    /// Cgroup path below each hierarchy's root, for example `/orca-NODE/CONTAINER`. Must equal `linux.cgroupsPath`, have
    /// at least two components (or one that is not a hierarchy's root) and never be empty.
    pub cgroup: PathBuf,
    /// Whether the container's first process gets a pseudo-terminal; must equal `process.terminal`.
    #[serde(default)]
    pub terminal: bool,
    /// The terminal's first size.
    #[serde(default)]
    pub terminal_size: Option<TerminalSize>,
    /// What standard input is.
    #[serde(default)]
    pub stdin: StdinMode,
    /// The runtime's scratch directory, on a tmpfs if possible; made and removed by the shim. A relative path is taken
    /// from the bundle directory.
    pub state_dir: PathBuf,
    /// Start the process right after creating it, instead of waiting for [`Request::Start`].
    #[serde(default)]
    pub start_immediately: bool,
    /// `name|uid[:group|gid]` to be looked up in the container's own `/etc/passwd` and `/etc/group`, replacing
    /// `process.user` of the configuration. `None`: the configuration's numbers stand.
    #[serde(default)]
    pub user: Option<String>,
    /// Make `process.cwd` in the container's file system if it isn't there, as Docker does.
    #[serde(default)]
    pub create_cwd: bool,
    /// The program that makes the container, with OCI's command line; `None`: the runtime that is built in.
    #[serde(default)]
    pub runtime: Option<PathBuf>,
    /// The /dev/shm of another container, to be put where a mount of the configuration finds it.
    #[serde(default)]
    pub shared_shm: Option<SharedShm>,
    /// The users of the container; `None`: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Users>,
    /// Mounted directories in which the namespaces of all containers are bound. The shim unmounts them for itself, but for
    /// what this container joins: a thousand neighbours would be a thousand mounts to copy and to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_dirs: Vec<PathBuf>,
    /// The processes by which this container joins namespaces of others: `/proc/PID/ns/…` in the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub donors: Vec<Donor>,
}

/// The first process of a container whose namespaces another one joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Donor {
    /// As the host numbers it.
    pub pid: i32,
    /// Whose it is: a number may be another process's by the time that it is used.
    pub container_id: String,
}

/// Another container's /dev/shm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedShm {
    /// The first process of that container.
    pub pid: i32,
    /// Where it is mounted, in the shim's own mount namespace.
    pub target: PathBuf,
}

/// An overlayfs mount: read-only layers below one writable directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Read-only layers, the topmost first. At least one, at most 500 (the kernel's limit).
    pub lower: Vec<PathBuf>,
    /// The container's writable layer.
    pub upper: PathBuf,
    /// overlayfs' scratch directory, on the file system of `upper`.
    pub work: PathBuf,
    /// The writable layer goes with the container, so nothing of it need reach the disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub volatile: bool,
}

/// Where a container's output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// How it is kept.
    pub driver: LogDriver,
    /// The current file; older ones get `.1`, `.2`, … appended, the newest being `.1`. Ignored by [`LogDriver::None`].
    pub path: PathBuf,
    /// Bytes after which a file is rotated; 0 never rotates.
    #[serde(default)]
    pub max_size: u64,
    /// Files kept, the current one included; 0 and 1 both keep only the current one.
    #[serde(default)]
    pub max_files: u32,
    /// Compress full files (gzip): `.1.gz`.
    #[serde(default)]
    pub compress: bool,
    /// Written with each line.
    #[serde(default)]
    pub attrs: BTreeMap<String, String>,
    /// Where each line is sent as well.
    #[serde(default)]
    pub remote: Option<RemoteLog>,
    /// Bytes that may wait to be sent before lines are dropped. `None`: the container waits, but not for ever.
    #[serde(default)]
    pub buffer: Option<u64>,
}

impl LogConfig {
    /// One file that is never rotated.
    #[must_use]
    pub fn plain(path: PathBuf) -> Self {
        Self {
            driver: LogDriver::JsonFile,
            path,
            max_size: 0,
            max_files: 1,
            compress: false,
            attrs: BTreeMap::new(),
            remote: None,
            buffer: None,
        }
    }
}

/// Where lines are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemoteLog {
    /// systemd's journal.
    Journald {
        /// Its socket.
        socket: PathBuf,
        /// Fields of each entry.
        fields: BTreeMap<String, String>,
    },
    /// A syslog server.
    Syslog(SyslogConfig),
}

/// A syslog server, and what messages to it say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogConfig {
    /// Where it listens.
    pub address: SyslogAddress,
    /// The facility's number.
    pub facility: u8,
    /// How messages are written.
    pub format: SyslogFormat,
    /// What they are from.
    pub tag: String,
    /// The host that they are from.
    pub hostname: String,
    /// For [`SyslogAddress::Tls`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SyslogTls>,
}

/// Whom to trust on the way to a syslog server, and who one is there. The files are read by the shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogTls {
    /// The name in the server's certificate.
    pub server_name: String,
    /// CAs; else the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The client's certificate and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<(PathBuf, PathBuf)>,
    /// Any certificate will do.
    #[serde(default)]
    pub skip_verify: bool,
}

/// Docker's logging drivers that keep files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// One JSON object per line: `log`, `stream`, `time`.
    JsonFile,
    /// Written as [`LogDriver::JsonFile`]; the agent gives it Docker's defaults for `local` (20 MB, 5 files, compressed).
    Local,
    /// Nothing is kept; attached clients still get the output.
    None,
}

/// What a process reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StdinMode {
    /// `/dev/null`.
    #[default]
    Null,
    /// A pipe (or the terminal) that clients write to and that stays open until one sends [`Request::CloseStdin`].
    Open,
    /// As `Open`, but closed when the first client that attached with `stdin` goes (Docker's `StdinOnce`).
    Once,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters per line.
    pub cols: u16,
}

/// The line that a shim prints on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// The container exists; [`Request::Start`] runs it.
    Created {
        /// Its first process, as the host numbers it.
        pid: i32,
    },
    /// The container runs (`start_immediately`).
    Started {
        /// Its first process, as the host numbers it.
        pid: i32,
        /// When it was started, in nanoseconds since the epoch.
        started_at: u64,
    },
    /// Nothing was made; the shim ends with [`ErrorClass::exit_code`].
    Failed(Failure),
}

/// Why a request, or the whole container, could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// [`SPEC_VERSION`] of the writer.
    pub version: u32,
    /// The run that failed.
    #[serde(default)]
    pub run_generation: u64,
    /// What kind of failure it was.
    pub class: ErrorClass,
    /// For the person who must act.
    pub message: String,
}

/// Kinds of failure that callers treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The command does not exist in the container.
    CommandNotFound,
    /// The command exists but cannot be executed.
    CommandNotExecutable,
    /// The working directory cannot be entered.
    BadWorkingDirectory,
    /// The user or group is not in the container's own databases.
    UnknownUser,
    /// The bundle's files contradict each other or ask for what isn't supported.
    InvalidBundle,
    /// The message was malformed, too long or of an unknown version.
    Protocol,
    /// The request does not fit the container's state (for example exec in one that has ended).
    WrongState,
    /// The kernel or the runtime refused.
    Runtime,
}

impl ErrorClass {
    /// Docker's exit code of a CLI that met this failure: 127 not found, 126 not executable, else 125.
    /// (docker run, "Exit status".)
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::CommandNotFound => 127,
            Self::CommandNotExecutable | Self::BadWorkingDirectory => 126,
            Self::UnknownUser | Self::InvalidBundle | Self::Protocol | Self::WrongState | Self::Runtime => 125,
        }
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// [`SPEC_VERSION`] of the writer.
    pub version: u32,
    /// [`ShimSpec::run_generation`] of the run that ended.
    pub run_generation: u64,
    /// The process's exit code, or 128 + `signal`.
    pub exit_code: u8,
    /// The signal that ended the process, if one did.
    #[serde(default)]
    pub signal: Option<i32>,
    /// Whether the kernel killed anything in the container's cgroup for want of memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// Start of the process in nanoseconds since the epoch; 0 if unknown.
    pub started_at: u64,
    /// Its end in nanoseconds since the epoch.
    pub finished_at: u64,
    /// Lines that could not be written to the log (full disk).
    #[serde(default)]
    pub log_lines_lost: u64,
    /// Set if the record isn't the shim's own observation, for example "shim died".
    #[serde(default)]
    pub reason: Option<String>,
}
