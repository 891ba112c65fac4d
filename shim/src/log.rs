//! What becomes of a container's output: lines, in a file and on their way to a server.
//!
//! - [`lines`]: cutting and encoding · [`file`]: rotated files, [`compress`]ed between other work
//! - [`message`]: what servers are told · [`delivery`]: the queue to one, over a [`link`], with [`tls`] or without

mod compress;
mod delivery;
mod file;
mod lines;
mod link;
mod message;
mod tls;

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use model::shim::{LogConfig, LogDriver, RemoteLog};

use crate::error::{Result, ShimError};

use delivery::Delivery;
use file::LogFile;
pub use lines::Stream;
use lines::{Lines, write_line};
use link::Target;
use message::{Message, Piece};

/// A container's log.
pub struct Log {
    file: Option<LogFile>,
    attrs: Vec<u8>,
    remote: Option<Remote>,
    lines: [Lines; 2],
    batch: Vec<u8>,
}

/// A server, and what is known of the lines it is sent.
struct Remote {
    config: RemoteLog,
    delivery: Delivery,
    /// Of each stream: the piece sent last, if its line goes on.
    pieces: [Option<Piece>; 2],
}

impl Log {
    /// Opens the log of `config`; `None` if nothing is to be kept.
    ///
    /// # Errors
    /// If the file can't be opened.
    pub fn open(config: &LogConfig) -> Result<Option<Self>> {
        let file = match config.driver {
            LogDriver::None => None,
            LogDriver::JsonFile | LogDriver::Local => Some(LogFile::open(config)?),
        };
        let remote = config.remote.as_ref().map(|remote| {
            let target = match remote {
                RemoteLog::Journald { socket, .. } => Target::Journal(socket.clone()),
                RemoteLog::Syslog(syslog) => Target::Syslog(syslog.address.clone(), syslog.tls.clone()),
            };
            Remote {
                config: remote.clone(),
                delivery: Delivery::new(target, config.buffer),
                pieces: Default::default(),
            }
        });
        if file.is_none() && remote.is_none() {
            return Ok(None);
        }
        let attrs =
            encode_attrs(&config.attrs).map_err(|source| ShimError::Json { path: config.path.clone(), source })?;
        Ok(Some(Self { file, attrs, remote, lines: Default::default(), batch: Vec::new() }))
    }

    /// Lines dropped so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let sent = self.remote.as_ref().map_or(0, |remote| remote.delivery.dropped());
        self.file.as_ref().map_or(0, LogFile::lost) + sent
    }

    /// Takes what was read.
    pub fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let Self { file, attrs, remote, lines, batch } = self;
        let time = crate::time::now();
        let mut emit = keep(file, attrs, remote, batch, stream, time);
        lines[stream as usize].feed(bytes, |line| emit(line, !line.ends_with(b"\n")));
        drop(emit);
        self.write();
    }

    /// Takes what never got its newline.
    pub fn finish(&mut self, stream: Stream) {
        let Self { file, attrs, remote, lines, batch } = self;
        let time = crate::time::now();
        let mut emit = keep(file, attrs, remote, batch, stream, time);
        lines[stream as usize].finish(|line| emit(line, false));
        drop(emit);
        self.write();
    }

    fn write(&mut self) {
        if let Some(file) = &mut self.file {
            file.write(&self.batch);
            self.batch.clear();
        }
        if let Some(remote) = &mut self.remote {
            remote.delivery.advance(Instant::now());
        }
    }

    /// Gives memory back.
    pub fn release_buffers(&mut self) {
        self.batch = Vec::new();
    }

    /// Whether the container has to wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.delivery.is_full())
    }

    /// What to poll.
    #[must_use]
    pub fn interest(&self) -> Option<(RawFd, i16)> {
        self.remote.as_ref()?.delivery.interest()
    }

    /// When there is something to do although nothing happens.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let compression = self.file.as_ref().is_some_and(LogFile::is_compressing).then_some(now);
        compression.or_else(|| self.remote.as_ref()?.delivery.deadline())
    }

    /// Does some of what waits; what an operator should know.
    pub fn advance(&mut self) -> Option<String> {
        if let Some(file) = &mut self.file {
            file.compress_some();
        }
        let remote = self.remote.as_mut()?;
        remote.delivery.advance(Instant::now());
        remote.delivery.complaint()
    }

    /// Sends what waits, for no longer than `limit`.
    pub fn drain(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let Some(remote) = &mut self.remote else { return };
        while !remote.delivery.is_empty() && Instant::now() < deadline {
            remote.delivery.advance(Instant::now());
            let (fd, events) = remote.delivery.interest().unwrap_or((-1, 0));
            let mut polled = [libc::pollfd { fd, events, revents: 0 }];
            // SAFETY: the array is valid for its length; a negative descriptor is only waited for.
            unsafe { libc::poll(polled.as_mut_ptr(), 1, 10) };
        }
    }
}

/// What is done with each line of a stream: encoded for the file, sent to the server.
fn keep<'a>(
    file: &'a Option<LogFile>,
    attrs: &'a [u8],
    remote: &'a mut Option<Remote>,
    batch: &'a mut Vec<u8>,
    stream: Stream,
    time: u64,
) -> impl FnMut(&[u8], bool) + 'a {
    move |line, goes_on| {
        if file.is_some() {
            write_line(line, stream, attrs, time, batch);
        }
        if let Some(remote) = remote {
            remote.push(line, stream, time, goes_on);
        }
    }
}

impl Remote {
    fn push(&mut self, line: &[u8], stream: Stream, time: u64, goes_on: bool) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let last = &mut self.pieces[stream as usize];
        let piece = match *last {
            Some(Piece { line, ordinal, .. }) => Some(Piece { line, ordinal: ordinal + 1, is_last: !goes_on }),
            None if goes_on => Some(Piece { line: time, ordinal: 1, is_last: false }),
            None => None,
        };
        *last = piece.filter(|_| goes_on);
        let message = Message { text, stream, time, piece };
        // Servers have no use for empty lines, and Docker sends none.
        if text.is_empty() && piece.is_none() {
            return;
        }
        self.delivery.push(match &self.config {
            RemoteLog::Journald { fields, .. } => message::journal(&message, fields),
            RemoteLog::Syslog(config) => message::syslog(&message, config),
        });
    }
}

/// `"attrs":{…},`, or nothing.
fn encode_attrs(attrs: &BTreeMap<String, String>) -> serde_json::Result<Vec<u8>> {
    if attrs.is_empty() {
        return Ok(Vec::new());
    }
    Ok(format!("\"attrs\":{},", serde_json::to_string(attrs)?).into_bytes())
}
