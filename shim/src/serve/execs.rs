//! Processes beside the first one, each owned by the connection that asked for it.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use model::shim::frame::Kind;
use model::shim::{ExecRequest, Reply, StdinMode};

use super::clients::Role;
use super::streams::{Got, Sink, connect, make, read};
use super::{CHUNK, DRAIN, Phase, Supervisor};
use crate::error::{Result, ShimError};
use crate::log::Stream;
use crate::report::{Outcome, Reader};
use crate::terminal;

/// Grace for output of an exec whose client reads slowly.
const SLOW_DRAIN: Duration = Duration::from_secs(10);

/// One such process.
pub struct Exec {
    /// Never reused.
    pub id: u64,
    /// As the host numbers it.
    pub pid: i32,
    /// Who asked; `None` once gone.
    pub client: Option<u64>,
    /// Until the command is executed.
    pub outcome: Option<Reader>,
    /// Its standard input.
    pub stdin: Option<Sink>,
    /// Its standard output or terminal.
    pub stdout: Option<OwnedFd>,
    /// Its standard error.
    pub stderr: Option<OwnedFd>,
    is_terminal: bool,
    kill_on_disconnect: bool,
    failed: bool,
    ended: Option<ExecEnded>,
}

struct ExecEnded {
    code: u8,
    at: Instant,
    deadline: Instant,
}

impl Exec {
    /// When its output is given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.ended.as_ref().map(|ended| ended.deadline)
    }

    /// Whether it has more input than it takes.
    pub fn is_input_full(&self) -> bool {
        self.stdin.as_ref().is_some_and(Sink::is_full)
    }

    /// Whether it hasn't ended.
    pub fn is_alive(&self) -> bool {
        self.ended.is_none()
    }
}

impl Supervisor {
    /// Makes the process for client `id`.
    pub(super) fn exec(&mut self, id: u64, request: &ExecRequest) -> Result<()> {
        if !matches!(self.phase, Phase::Running) || self.paused {
            return Err(self.wrong_state("exec"));
        }
        if request.args.first().is_none_or(String::is_empty) {
            return Err(ShimError::Misplaced { what: "exec without a command", why: "args must not be empty" });
        }
        let stdin = if request.stdin { StdinMode::Open } else { StdinMode::Null };
        let (theirs, ours) = make(request.terminal, stdin, self.spec.runtime.as_deref())?;
        let launched = self.runtime.exec(request, theirs)?;
        let (output, sink) = connect(ours, launched.terminal, request.terminal_size)?;
        self.next_id += 1;
        self.execs.push(Exec {
            id: self.next_id,
            pid: launched.pid,
            client: Some(id),
            outcome: Some(launched.outcome),
            stdin: sink,
            stdout: output.stdout,
            stderr: output.stderr,
            is_terminal: output.is_terminal,
            kill_on_disconnect: request.kill_on_disconnect,
            failed: false,
            ended: None,
        });
        let exec = self.next_id;
        if let Some(client) = self.client(id) {
            client.role = Role::Exec(exec);
        }
        Ok(())
    }

    fn exec_mut(&mut self, id: u64) -> Option<&mut Exec> {
        self.execs.iter_mut().find(|exec| exec.id == id)
    }

    /// Looks whether it has executed its command.
    pub(super) fn note_exec_start(&mut self, id: u64) {
        let Some(exec) = self.exec_mut(id) else { return };
        let Some(reader) = &mut exec.outcome else { return };
        let outcome = reader.poll();
        let (pid, client) = (exec.pid, exec.client);
        let reply = match outcome {
            Outcome::Pending => return,
            Outcome::Executed => Reply::ExecStarted { pid },
            Outcome::Failed(class, message) => {
                exec.failed = true;
                Reply::Error(ShimError::Process { class, message }.failure(self.spec.run_generation))
            }
        };
        if let Some(exec) = self.exec_mut(id) {
            exec.outcome = None;
        }
        if let Some(client) = client {
            self.answer(client, &reply);
        }
    }

    /// Reads its output once and passes it on.
    pub(super) fn pump_exec(&mut self, id: u64, stream: Stream) {
        // Nothing of its output may overtake the word that it runs.
        self.note_exec_start(id);
        self.buffer.resize(CHUNK, 0);
        let mut buffer = std::mem::take(&mut self.buffer);
        if let Some(exec) = self.exec_mut(id) {
            let (source, kind) = match stream {
                Stream::Stdout => (&mut exec.stdout, Kind::Stdout),
                Stream::Stderr => (&mut exec.stderr, Kind::Stderr),
            };
            let client = exec.client;
            match source.as_ref().map_or(Got::End, |fd| read(fd, &mut buffer)) {
                Got::Nothing => {}
                Got::End => *source = None,
                Got::Bytes(count) => {
                    if let Some(client) = client.and_then(|client| self.client(client)) {
                        client.send(kind, &buffer[..count]);
                    }
                }
            }
        }
        self.buffer = buffer;
    }

    /// It ended with `code`.
    pub(super) fn note_exec_end(&mut self, pid: i32, code: u8) -> bool {
        let Some(exec) = self.execs.iter_mut().find(|exec| exec.pid == pid && exec.is_alive()) else { return false };
        let at = Instant::now();
        exec.ended = Some(ExecEnded { code, at, deadline: at + DRAIN });
        exec.stdin = None;
        let id = exec.id;
        self.note_exec_start(id);
        true
    }

    /// Gives up output that nobody will close, and says goodbye for those that are done.
    pub(super) fn settle_execs(&mut self) {
        let now = Instant::now();
        let behind: Vec<u64> =
            self.clients.iter().filter(|client| client.is_behind()).map(|client| client.id).collect();
        for exec in &mut self.execs {
            let slow = exec.client.is_some_and(|client| behind.contains(&client));
            let Some(ended) = &mut exec.ended else { continue };
            if slow && now < ended.at + SLOW_DRAIN {
                ended.deadline = now + DRAIN;
            } else if now >= ended.deadline {
                exec.stdout = None;
                exec.stderr = None;
                exec.outcome = None;
            }
        }
        let done = |exec: &Exec| {
            exec.ended.is_some() && exec.stdout.is_none() && exec.stderr.is_none() && exec.outcome.is_none()
        };
        let (over, rest): (Vec<Exec>, Vec<Exec>) = std::mem::take(&mut self.execs).into_iter().partition(done);
        self.execs = rest;
        for exec in over {
            if let (Some(client), Some(ended)) = (exec.client.and_then(|id| self.client(id)), exec.ended) {
                // The connection may ask for something else now.
                client.role = Role::Control;
                if !exec.failed {
                    client.reply(&Reply::ExecExit { exit_code: ended.code });
                }
            }
        }
    }

    /// Its client is gone: kill it if that was wanted, else let it run unheard.
    pub(super) fn abandon_exec(&mut self, id: u64) {
        let Some(exec) = self.exec_mut(id) else { return };
        exec.client = None;
        exec.stdin = None;
        if exec.kill_on_disconnect && exec.is_alive() {
            crate::cgroup::send(exec.pid, libc::SIGKILL);
        }
    }

    /// Gives a client's bytes to its exec.
    pub(super) fn feed_exec(&mut self, id: u64, bytes: &[u8]) {
        if let Some(exec) = self.exec_mut(id)
            && exec.stdin.as_mut().is_some_and(|sink| !sink.push(bytes))
        {
            exec.stdin = None;
        }
    }

    /// Closes an exec's standard input.
    pub(super) fn close_exec_input(&mut self, id: u64) {
        if let Some(exec) = self.exec_mut(id)
            && exec.stdin.as_mut().is_some_and(|sink| !sink.close())
        {
            exec.stdin = None;
        }
    }

    /// Writes what an exec is ready to read.
    pub(super) fn flush_exec_input(&mut self, id: u64) {
        if let Some(exec) = self.exec_mut(id)
            && exec.stdin.as_mut().is_some_and(|sink| !sink.flush())
        {
            exec.stdin = None;
        }
    }

    /// Signals an exec's process.
    pub(super) fn kill_exec(&mut self, id: u64, signal: i32) {
        if let Some(exec) = self.exec_mut(id)
            && exec.is_alive()
        {
            crate::cgroup::send(exec.pid, signal);
        }
    }

    /// Resizes an exec's terminal.
    pub(super) fn resize_exec(&mut self, id: u64, size: model::shim::TerminalSize) -> Result<()> {
        match self.exec_mut(id) {
            Some(Exec { is_terminal: true, stdout: Some(master), .. }) => terminal::resize(master, size),
            _ => Err(ShimError::Misplaced { what: "resize", why: "the process has no terminal" }),
        }
    }
}
