//! Control messages on a shim's socket, sent as the JSON payload of [`frame::Kind::Control`](super::frame::Kind).
//!
//! A client begins with [`Request::Hello`]. Every other request gets exactly one direct reply, in order. [`Request::Exec`]
//! and [`Request::Attach`] turn the connection into a stream: output frames arrive until [`Reply::ExecExit`] or
//! [`Reply::Exit`], and `Kill`, `Resize` and `CloseStdin` then concern that stream's process.

use serde::{Deserialize, Serialize};

use super::{ExitRecord, Failure, TerminalSize};

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Must be the first. An unknown version is refused with an error that names both, and the connection closed.
    Hello {
        /// The client's [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION).
        version: u32,
    },
    /// Runs the created container. Reply: [`Reply::Started`] once the command has been executed.
    Start,
    /// Sends a signal. Reply: [`Reply::Ok`].
    Kill {
        /// Number, 1 to 64.
        signal: i32,
        /// To every process in the container's cgroup instead of the first process only.
        #[serde(default)]
        all: bool,
    },
    /// Runs one more process in the container. Replies: [`Reply::ExecStarted`], output, [`Reply::ExecExit`].
    Exec(ExecRequest),
    /// Follows the container's output from now on. Replies: [`Reply::Attached`], output, [`Reply::Exit`].
    Attach {
        /// This client's stdin frames go to the container.
        stdin: bool,
        /// Wants standard output (with a terminal: everything).
        stdout: bool,
        /// Wants standard error.
        stderr: bool,
        /// The container waits for this client when it reads slowly, rather than the client being cut off.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lossless: bool,
    },
    /// Sets the terminal's size. Reply: [`Reply::Ok`].
    Resize(TerminalSize),
    /// Closes the process's standard input once what was sent before is written. Reply: [`Reply::Ok`].
    CloseStdin,
    /// Freezes all processes. Reply: [`Reply::Ok`].
    Pause,
    /// Thaws them. Reply: [`Reply::Ok`].
    Resume,
    /// Reply: [`Reply::State`].
    State,
    /// Reply: [`Reply::Stats`].
    Stats,
    /// Reply: [`Reply::Exit`], when there is a record.
    Wait,
}

/// A process to run beside the container's first one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The command and its arguments; not empty.
    pub args: Vec<String>,
    /// `NAME=value` entries over the container's own environment.
    #[serde(default)]
    pub env: Vec<String>,
    /// Working directory; `None` is the container's.
    #[serde(default)]
    pub cwd: Option<String>,
    /// `name|uid[:group|gid]`, looked up in the container; `None` is the container's user.
    #[serde(default)]
    pub user: Option<String>,
    /// Supplementary groups besides those that `user` has in the container's `/etc/group`.
    #[serde(default)]
    pub additional_gids: Vec<u32>,
    /// Whether to give it a pseudo-terminal.
    #[serde(default)]
    pub terminal: bool,
    /// The terminal's first size.
    #[serde(default)]
    pub terminal_size: Option<TerminalSize>,
    /// Whether stdin frames of this connection are its standard input; else it is `/dev/null`.
    #[serde(default)]
    pub stdin: bool,
    /// Capabilities by name (`CAP_NET_ADMIN`); `None` is the container's own set.
    #[serde(default)]
    pub capabilities: Option<Vec<String>>,
    /// `Some(true)` sets `no_new_privs`; `None` is as the container has it.
    #[serde(default)]
    pub no_new_privileges: Option<bool>,
    /// All capabilities and no seccomp filter (`docker exec --privileged`).
    #[serde(default)]
    pub privileged: bool,
    /// Kill the process when this connection ends before it does; otherwise it runs on, its output discarded.
    #[serde(default)]
    pub kill_on_disconnect: bool,
}

/// What a shim answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Hello`].
    Hello {
        /// The shim's [`PROTOCOL_VERSION`](super::PROTOCOL_VERSION).
        version: u32,
        /// Which container this is.
        container_id: String,
        /// Which run of it.
        run_generation: u64,
    },
    /// Done.
    Ok,
    /// Refused or failed. The connection stays usable unless the class is
    /// [`Protocol`](super::ErrorClass::Protocol).
    Error(Failure),
    /// The container runs.
    Started {
        /// Its first process, as the host numbers it.
        pid: i32,
        /// When, in nanoseconds since the epoch.
        started_at: u64,
    },
    /// The command of [`Request::Exec`] was executed.
    ExecStarted {
        /// Its process, as the host numbers it.
        pid: i32,
    },
    /// The process of [`Request::Exec`] ended and all its output has been sent.
    ExecExit {
        /// Exit code, or 128 + signal.
        exit_code: u8,
    },
    /// Output follows.
    Attached,
    /// This client read too slowly and is cut off; the log has everything.
    Dropped {
        /// Why, in words.
        reason: String,
    },
    /// To [`Request::State`].
    State(State),
    /// To [`Request::Stats`].
    Stats(Box<Stats>),
    /// The container ended.
    Exit(ExitRecord),
}

/// A container's life as its shim sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where it is in its life.
    pub status: Status,
    /// Its first process, as the host numbers it.
    pub pid: i32,
    /// When it was started, in nanoseconds since the epoch.
    #[serde(default)]
    pub started_at: Option<u64>,
    /// Running exec processes, as the host numbers them.
    #[serde(default)]
    pub execs: Vec<i32>,
    /// Lines that could not be written to the log so far.
    #[serde(default)]
    pub log_lines_lost: u64,
}

/// OCI's container states, and Docker's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Made, not started.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Over; the exit record is being written.
    Stopped,
}

/// What a container uses. `None`: this kernel doesn't count it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// When it was read, in nanoseconds since the epoch.
    pub read_at: u64,
    /// Bytes of memory in use, file cache included.
    #[serde(default)]
    pub memory_usage: Option<u64>,
    /// Bytes of inactive file cache; Docker's `MEM USAGE` is `memory_usage` less this.
    #[serde(default)]
    pub memory_inactive_file: Option<u64>,
    /// Limit in bytes; `None` also when unlimited.
    #[serde(default)]
    pub memory_limit: Option<u64>,
    /// Processes killed for want of memory.
    #[serde(default)]
    pub oom_kills: Option<u64>,
    /// CPU time in nanoseconds.
    #[serde(default)]
    pub cpu_total: Option<u64>,
    /// Of it in user mode.
    #[serde(default)]
    pub cpu_user: Option<u64>,
    /// Of it in the kernel.
    #[serde(default)]
    pub cpu_system: Option<u64>,
    /// Periods in which the container was throttled.
    #[serde(default)]
    pub cpu_throttled_periods: Option<u64>,
    /// Nanoseconds for which it was throttled.
    #[serde(default)]
    pub cpu_throttled_time: Option<u64>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<u64>,
    /// Their limit; `None` also when unlimited.
    #[serde(default)]
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    #[serde(default)]
    pub block_read: Option<u64>,
    /// Bytes written to block devices.
    #[serde(default)]
    pub block_write: Option<u64>,
}
