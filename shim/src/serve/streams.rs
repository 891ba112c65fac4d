//! The container's standard streams: pipes or a terminal, the log behind them, and the bytes that clients send in.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use model::shim::frame::Kind;
use model::shim::{StdinMode, TerminalSize};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::{CHUNK, Supervisor, raw};
use crate::error::{Result, ShimError};
use crate::log::Stream;
use crate::runtime::ProcessIo;
use crate::terminal;

/// A client's input beyond this isn't read until the process has taken some.
pub const INPUT_LIMIT: usize = 256 * 1024;
/// What a pipe is made to hold once its 64 KiB have been found full: each turn moves more then.
const PIPE_SIZE: usize = 256 * 1024;
/// What a pipe holds unless it is told otherwise. (pipe(7))
const FULL_PIPE: usize = 64 * 1024;
/// Ctrl-D: what ends input on a terminal.
const END_OF_TRANSMISSION: u8 = 4;

/// The shim's ends of a process's streams.
pub enum ContainerIo {
    /// Pipes; no standard input if it is `/dev/null`.
    Pipes {
        /// Writing end of standard input.
        stdin: Option<OwnedFd>,
        /// Reading end of standard output.
        stdout: OwnedFd,
        /// Reading end of standard error.
        stderr: OwnedFd,
    },
    /// A terminal, whose master comes with the process.
    Terminal,
}

/// Makes the streams of a process: its side and ours.
///
/// # Errors
/// If there are no descriptors left.
pub fn make(terminal: bool, stdin: StdinMode, runtime: Option<&Path>) -> Result<(ProcessIo, ContainerIo)> {
    if terminal {
        return Ok((ProcessIo::Terminal, ContainerIo::Terminal));
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(ShimError::system("make a pipe"));
    let (their_stdin, our_stdin) = match stdin {
        // crun gives whatever it finds there to the container's user, and /dev/null is the host's: an empty pipe ends as soon.
        StdinMode::Null if runtime.is_some() => (pipe()?.0, None),
        StdinMode::Null => {
            let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(ShimError::io("open", "/dev/null"))?;
            (null, None)
        }
        StdinMode::Open | StdinMode::Once => {
            let (read, write) = pipe()?;
            (read, Some(write))
        }
    };
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let process = ProcessIo::Streams { stdin: their_stdin, stdout: their_stdout, stderr: their_stderr };
    Ok((process, ContainerIo::Pipes { stdin: our_stdin, stdout, stderr }))
}

/// Output still open.
pub struct Output {
    /// Standard output, or the terminal's master.
    pub stdout: Option<OwnedFd>,
    /// Standard error.
    pub stderr: Option<OwnedFd>,
    /// Whether `stdout` is a terminal's master.
    pub is_terminal: bool,
}

/// Turns our ends into non-blocking sources and a sink.
///
/// # Errors
/// If a descriptor can't be prepared.
pub fn connect(io: ContainerIo, master: Option<OwnedFd>, size: Option<TerminalSize>) -> Result<(Output, Option<Sink>)> {
    let is_terminal = matches!(io, ContainerIo::Terminal);
    let (stdin, stdout, stderr) = match (io, master) {
        (ContainerIo::Pipes { stdin, stdout, stderr }, _) => (stdin, Some(stdout), Some(stderr)),
        (ContainerIo::Terminal, Some(master)) => {
            if let Some(size) = size {
                terminal::resize(&master, size)?;
            }
            let writer = master.try_clone().map_err(ShimError::system("duplicate the terminal"))?;
            (Some(writer), Some(master), None)
        }
        (ContainerIo::Terminal, None) => (None, None, None),
    };
    for fd in [&stdin, &stdout, &stderr].into_iter().flatten() {
        let set = fcntl_getfl(fd).and_then(|flags| fcntl_setfl(fd, flags | OFlags::NONBLOCK));
        set.map_err(ShimError::system("prepare a stream"))?;
    }
    let sink =
        stdin.map(|fd| Sink { fd: fd.into(), pending: Vec::new(), sent: 0, closing: false, is_terminal, grown: false });
    Ok((Output { stdout, stderr, is_terminal }, sink))
}

/// Standard input of a process: takes what the process is ready for and keeps the rest.
pub struct Sink {
    fd: std::fs::File,
    pending: Vec<u8>,
    sent: usize,
    closing: bool,
    is_terminal: bool,
    grown: bool,
}

impl Sink {
    /// Queues `bytes` and writes what goes. Returns whether the sink lives on.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        if self.closing || self.has_pending() {
            if !self.closing {
                self.pending.extend_from_slice(bytes);
            }
            return self.flush();
        }
        match self.write(bytes) {
            Some(count) => self.pending.extend_from_slice(&bytes[count..]),
            None => return false,
        }
        true
    }

    /// Writes what goes of `bytes`; `None`: nobody reads any more.
    fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut count = 0;
        while count < bytes.len() {
            match self.fd.write(&bytes[count..]) {
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.grown || self.is_terminal {
                        break;
                    }
                    // Without the right to, the pipe stays as it is.
                    self.grown = true;
                    let _ = fcntl_setpipe_size(&self.fd, PIPE_SIZE);
                }
                Err(_) => return None,
            }
        }
        Some(count)
    }

    /// Closes after what is queued. Returns whether the sink lives on.
    pub fn close(&mut self) -> bool {
        if self.is_terminal {
            return self.push(&[END_OF_TRANSMISSION]);
        }
        self.closing = true;
        self.flush()
    }

    /// Writes what goes. Returns whether the sink lives on.
    pub fn flush(&mut self) -> bool {
        let pending = std::mem::take(&mut self.pending);
        let written = self.write(&pending[self.sent..]);
        self.pending = pending;
        self.sent += written.unwrap_or(0);
        if self.sent < self.pending.len() {
            return written.is_some();
        }
        self.pending.clear();
        self.sent = 0;
        if self.pending.capacity() > INPUT_LIMIT {
            self.pending = Vec::new();
        }
        !self.closing
    }

    /// Whether it has more than it should.
    pub fn is_full(&self) -> bool {
        self.pending.len() - self.sent >= INPUT_LIMIT
    }

    /// Whether it waits for the process to read.
    pub fn has_pending(&self) -> bool {
        self.sent < self.pending.len()
    }

    /// For poll.
    pub fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// What reading a source gave.
pub enum Got {
    /// This many bytes at the start of the buffer.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing ever again.
    End,
}

/// Reads once.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Got {
    loop {
        match rustix::io::read(fd.as_fd(), &mut *buffer) {
            Ok(0) => return Got::End,
            Ok(count) => {
                if count == FULL_PIPE {
                    // Without the right to, or for a terminal, it stays as it is.
                    let _ = fcntl_setpipe_size(fd.as_fd(), PIPE_SIZE);
                }
                return Got::Bytes(count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Got::Nothing,
            // A terminal whose last process closed it says EIO.
            Err(_) => return Got::End,
        }
    }
}

impl Supervisor {
    /// Reads the container's output once, logs it and passes it on.
    pub(super) fn pump(&mut self, stream: Stream) {
        self.buffer.resize(CHUNK, 0);
        let source = match stream {
            Stream::Stdout => &self.output.stdout,
            Stream::Stderr => &self.output.stderr,
        };
        let Some(fd) = source else { return };
        match read(fd, &mut self.buffer) {
            Got::Nothing => {}
            Got::Bytes(count) => self.take_output(stream, count),
            Got::End => self.end_output(stream),
        }
    }

    fn take_output(&mut self, stream: Stream, count: usize) {
        let kind = match stream {
            Stream::Stdout => Kind::Stdout,
            Stream::Stderr => Kind::Stderr,
        };
        let buffer = std::mem::take(&mut self.buffer);
        for client in &mut self.clients {
            client.offer(kind, &buffer[..count]);
        }
        if let Some(log) = &mut self.log {
            log.take(stream, &buffer[..count]);
        }
        self.buffer = buffer;
    }

    fn end_output(&mut self, stream: Stream) {
        match stream {
            Stream::Stdout => self.output.stdout = None,
            Stream::Stderr => self.output.stderr = None,
        }
        if let Some(log) = &mut self.log {
            log.finish(stream);
        }
    }

    /// Closes the output whatever may still come.
    pub(super) fn close_output(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.end_output(stream);
        }
    }

    /// The terminal's master, for resizing.
    pub(super) fn resize(&self, size: TerminalSize) -> Result<()> {
        match &self.output.stdout {
            Some(master) if self.output.is_terminal => terminal::resize(master, size),
            _ => Err(ShimError::Misplaced { what: "resize", why: "the process has no terminal" }),
        }
    }

    /// Gives a client's bytes to the container.
    pub(super) fn feed_container(&mut self, bytes: &[u8]) {
        if let Some(sink) = &mut self.input
            && !sink.push(bytes)
        {
            self.input = None;
        }
    }

    /// Closes the container's standard input.
    pub(super) fn close_container_input(&mut self) {
        if let Some(sink) = &mut self.input
            && !sink.close()
        {
            self.input = None;
        }
    }

    /// Descriptor numbers of the container's output, for poll.
    pub(super) fn output_fds(&self) -> [Option<RawFd>; 2] {
        [self.output.stdout.as_ref().map(raw), self.output.stderr.as_ref().map(raw)]
    }
}
