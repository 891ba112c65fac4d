//! Streams: following the container's output, and processes beside its first one.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use model::shim::{ExecRequest, ExitRecord, Failure, Reply, Request, TerminalSize};

use super::connection::{Incoming, Reader, Writer, connect};
use super::error::{Result, ShimClientError};
use super::{REQUEST_TIMEOUT, START_TIMEOUT, within};

/// What a stream brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Standard output, or everything that a terminal shows.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
    /// The process ended and all its output has come.
    Exit {
        /// Exit code, or 128 + signal.
        code: u8,
        /// The container's own record; none for an exec.
        record: Option<Box<ExitRecord>>,
    },
    /// This side read too slowly and is cut off; the log has everything.
    Dropped {
        /// The shim's words.
        reason: String,
    },
    /// A signal, a size or the start of the container was refused. The stream goes on unless the connection ends.
    Refused(Failure),
}

/// A stream: take it apart with the two public fields to read and write at the same time.
#[derive(Debug)]
pub struct Session {
    /// What comes.
    pub output: SessionOutput,
    /// What goes.
    pub input: SessionInput,
}

/// The reading half. Whoever doesn't read is not read for by the shim: the process waits. A shim of an earlier release cuts off
/// attached clients that read slowly, by [`Event::Dropped`].
#[derive(Debug)]
pub struct SessionOutput {
    reader: Reader,
}

/// The writing half. Its methods wait while the process doesn't read its input; a dropped future may leave half a frame, so
/// nothing more may be sent then.
#[derive(Debug)]
pub struct SessionInput {
    writer: Writer,
}

/// Follows the output of the container of `bundle` from now on; with `stdin`, input goes to it.
///
/// # Errors
/// [`ShimClientError::NotRunning`] if there is no shim, [`ShimClientError::Refused`] if the container has just ended.
pub async fn attach(bundle: &Path, stdin: bool) -> Result<Session> {
    within(bundle, "attach", REQUEST_TIMEOUT, async {
        let (mut reader, mut writer) = connect(bundle).await?;
        writer.request(&Request::Attach { stdin, stdout: true, stderr: true, lossless: true }).await?;
        match reader.reply("attach").await? {
            Reply::Attached => Ok(Session::new(reader, writer)),
            other => Err(reader.unexpected("attach", &other)),
        }
    })
    .await
}

/// Runs one more process in the container of `bundle`. The number is its process id on the host.
///
/// # Errors
/// [`ShimClientError::Refused`] with the class that tells the exit code, if it could not be executed.
pub async fn exec(bundle: &Path, request: ExecRequest) -> Result<(Session, i32)> {
    within(bundle, "exec", START_TIMEOUT, async {
        let (mut reader, mut writer) = connect(bundle).await?;
        writer.request(&Request::Exec(request)).await?;
        match reader.reply("exec").await? {
            Reply::ExecStarted { pid } => Ok((Session::new(reader, writer), pid)),
            other => Err(reader.unexpected("exec", &other)),
        }
    })
    .await
}

impl Session {
    fn new(reader: Reader, writer: Writer) -> Self {
        Self { output: SessionOutput { reader }, input: SessionInput { writer } }
    }
}

impl SessionOutput {
    /// What comes next; `None` when the shim has closed the connection. Dropping the future loses nothing.
    ///
    /// # Errors
    /// If the connection or the protocol breaks.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let Some(incoming) = self.reader.next().await? else { return Ok(None) };
            let reply = match incoming {
                Incoming::Stdout(bytes) => return Ok(Some(Event::Stdout(bytes))),
                Incoming::Stderr(bytes) => return Ok(Some(Event::Stderr(bytes))),
                Incoming::Control(reply) => *reply,
            };
            return Ok(Some(match reply {
                Reply::Ok => continue,
                Reply::ExecExit { exit_code } => Event::Exit { code: exit_code, record: None },
                Reply::Exit(record) => Event::Exit { code: record.exit_code, record: Some(Box::new(record)) },
                Reply::Dropped { reason } => Event::Dropped { reason },
                Reply::Error(failure) => Event::Refused(failure),
                other => return Err(self.reader.unexpected("a stream", &other)),
            }));
        }
    }

    /// Reads to the end of an exec whose output is small and wanted whole: at most `limit` bytes of both streams are kept,
    /// the rest is read and dropped. Returns the exit code and the output in the order in which it came.
    ///
    /// # Errors
    /// As [`Self::next`], and [`ShimClientError::Lost`] if there was no exit code.
    pub async fn collect(&mut self, limit: usize) -> Result<(u8, Vec<u8>)> {
        let mut output = Vec::new();
        loop {
            match self.next().await? {
                Some(Event::Stdout(bytes) | Event::Stderr(bytes)) => {
                    let room = limit.saturating_sub(output.len()).min(bytes.len());
                    output.extend_from_slice(&bytes[..room]);
                }
                Some(Event::Exit { code, .. }) => return Ok((code, output)),
                Some(Event::Refused(failure)) => return Err(ShimClientError::Refused(failure)),
                Some(Event::Dropped { .. }) => {}
                None => return Err(ShimClientError::Lost { bundle: self.bundle(), request: "exec" }),
            }
        }
    }

    fn bundle(&self) -> PathBuf {
        self.reader.bundle().into()
    }
}

impl SessionInput {
    /// Sends bytes to the process.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn stdin(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.input(bytes).await
    }

    /// Closes the process's standard input after what was sent.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn close_stdin(&mut self) -> Result<()> {
        self.writer.request(&Request::CloseStdin).await
    }

    /// Sets the terminal's size; a refusal comes as [`Event::Refused`].
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn resize(&mut self, size: TerminalSize) -> Result<()> {
        self.writer.request(&Request::Resize(size)).await
    }

    /// Sends a signal to the stream's process; a refusal comes as [`Event::Refused`].
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn kill(&mut self, signal: i32) -> Result<()> {
        self.writer.request(&Request::Kill { signal, all: false }).await
    }
}
