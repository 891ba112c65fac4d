//! The shim's loop: one thread, one poll(2), over the container's output, its exit, the socket and its clients.
//!
//! - [`clients`]: connections and their buffers · [`requests`]: what clients ask · [`execs`]: processes beside the first
//! - [`streams`]: input and output · [`ending`]: from the first process's exit to the last byte · [`wake`]: what poll says

mod clients;
mod ending;
mod execs;
mod requests;
mod streams;
mod wake;

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use model::shim::{ExitRecord, Failure, Report, ShimSpec};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::error::{Result, ShimError};
use crate::isolate;
use crate::log::Log;
use crate::report;
use crate::runtime::{Launched, Runtime};

use clients::Client;
use ending::Ended;
pub use ending::reap_all;
use execs::Exec;
pub use streams::{ContainerIo, make};
use streams::{Output, Sink};

/// How long output may still come from processes that outlive the one that ended but hold its pipe.
const DRAIN: Duration = Duration::from_millis(100);
/// After this long with nothing to do, buffers are given back.
const IDLE: Duration = Duration::from_millis(500);
/// What is read at once.
const CHUNK: usize = 128 * 1024;

/// Where the container's first process is in its life.
enum Phase {
    /// Waits to be started.
    Created,
    /// Was told to execute its command.
    Starting,
    /// Did.
    Running,
    /// Is over.
    Ended,
}

/// One container and everything that hangs on it.
pub struct Supervisor {
    bundle: Bundle,
    spec: ShimSpec,
    cgroup: Cgroup,
    runtime: Box<dyn Runtime>,
    listener: UnixListener,
    signals: SignalFd,
    pid: i32,
    outcome: Option<report::Reader>,
    phase: Phase,
    paused: bool,
    /// The client that waits for the start; none with `start_immediately`.
    starter: Option<u64>,
    started_at: Option<u64>,
    failure: Option<ShimError>,
    ended: Option<Ended>,
    output: Output,
    input: Option<Sink>,
    log: Option<Log>,
    clients: Vec<Client>,
    execs: Vec<Exec>,
    next_id: u64,
    buffer: Vec<u8>,
}

/// What a supervisor needs from those who made the container.
pub struct Parts {
    /// The open bundle.
    pub bundle: Bundle,
    /// Its `shim.json`.
    pub spec: ShimSpec,
    /// The container's cgroups.
    pub cgroup: Cgroup,
    /// Who made it.
    pub runtime: Box<dyn Runtime>,
    /// The bundle's socket.
    pub listener: UnixListener,
    /// The log.
    pub log: Option<Log>,
}

impl Supervisor {
    /// Takes charge of a created container.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn new(parts: Parts, launched: Launched, io: ContainerIo) -> Result<Self> {
        let signals = SignalFd::with_flags(&isolate::blocked_signals(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(ShimError::system("open a signal descriptor"))?;
        let (output, input) = streams::connect(io, launched.terminal, parts.spec.terminal_size)?;
        Ok(Self {
            bundle: parts.bundle,
            spec: parts.spec,
            cgroup: parts.cgroup,
            runtime: parts.runtime,
            listener: parts.listener,
            signals,
            pid: launched.pid,
            outcome: Some(launched.outcome),
            phase: Phase::Created,
            paused: false,
            starter: None,
            started_at: None,
            failure: None,
            ended: None,
            output,
            input,
            log: parts.log,
            clients: Vec::new(),
            execs: Vec::new(),
            next_id: 0,
            buffer: Vec::new(),
        })
    }

    /// Serves until the container is over and its record is written.
    ///
    /// # Errors
    /// If the container's command could not be executed; nothing is left of the container then.
    pub fn run(mut self) -> Result<ExitRecord> {
        if self.spec.start_immediately {
            self.begin_start(None);
        } else {
            announce(&Report::Created { pid: self.pid });
        }
        isolate::trim_memory();
        while !self.is_over() {
            self.turn(self.patience());
        }
        self.finish()
    }

    /// Tells the first process to execute its command; how that went comes later, in [`Self::note_start`].
    fn begin_start(&mut self, client: Option<u64>) {
        self.starter = client;
        self.phase = Phase::Starting;
        if let Err(error) = self.runtime.start() {
            self.fail_start(error);
        }
    }

    fn fail_start(&mut self, error: ShimError) {
        self.failure.get_or_insert(error);
        crate::cgroup::send(self.pid, libc::SIGKILL);
    }

    /// Looks whether the first process has executed its command.
    fn note_start(&mut self) {
        let Some(reader) = &mut self.outcome else { return };
        match reader.poll() {
            report::Outcome::Pending => {}
            report::Outcome::Failed(class, message) => {
                self.outcome = None;
                self.fail_start(ShimError::Process { class, message });
            }
            report::Outcome::Executed => {
                self.outcome = None;
                if matches!(self.phase, Phase::Starting) && self.failure.is_none() {
                    self.note_started();
                }
            }
        }
    }

    fn note_started(&mut self) {
        let started_at = crate::time::now();
        self.phase = Phase::Running;
        self.started_at = Some(started_at);
        match self.starter.take() {
            Some(client) => self.answer(client, &model::shim::Reply::Started { pid: self.pid, started_at }),
            None => announce(&Report::Started { pid: self.pid, started_at }),
        }
    }

    /// How long poll may wait.
    fn patience(&self) -> Option<Duration> {
        let now = Instant::now();
        let deadlines =
            self.execs.iter().filter_map(Exec::deadline).chain(self.ended.as_ref().map(|ended| ended.deadline));
        let deadlines = deadlines.chain(self.log.as_ref().and_then(|log| log.deadline(now)));
        let next = deadlines.min().map(|deadline| deadline.saturating_duration_since(now) + Duration::from_millis(1));
        let idle = (self.buffer.capacity() > 0).then_some(IDLE);
        next.into_iter().chain(idle).min()
    }

    fn release_buffers(&mut self) {
        self.buffer = Vec::new();
        if let Some(log) = &mut self.log {
            log.release_buffers();
        }
        self.clients.iter_mut().for_each(Client::trim);
        isolate::trim_memory();
    }

    fn failure_of(&self, error: &ShimError) -> Failure {
        error.failure(self.spec.run_generation)
    }

    fn wrong_state(&self, action: &'static str) -> ShimError {
        let state = match self.phase {
            Phase::Created => "created, not started",
            Phase::Starting => "just starting",
            Phase::Running if self.paused => "paused",
            Phase::Running => "running",
            Phase::Ended => "stopped",
        };
        ShimError::WrongState { action, state }
    }

    fn complain(&self, line: &str) {
        let mut text = Vec::new();
        crate::time::write_rfc3339(crate::time::now(), &mut text);
        self.bundle.complain(model::shim::SHIM_LOG_FILE, &format!("{} {line}\n", String::from_utf8_lossy(&text)));
    }
}

/// Prints the report and lets go of standard output. The daemon may be gone; then nobody reads it.
pub fn announce(report: &Report) {
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    // SAFETY: the buffer is valid for its length; SIGPIPE is blocked, so a closed pipe is an ignored error.
    unsafe { libc::write(libc::STDOUT_FILENO, line.as_ptr().cast(), line.len()) };
    // Without /dev/null the pipe stays open, which only delays the daemon's end of file.
    let _ = isolate::detach_stdout();
}

fn raw(fd: &impl AsRawFd) -> i32 {
    fd.as_raw_fd()
}
