//! The daemon's end of the process that works on a container's files.

use std::process::Stdio;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::order::{Answer, Failure, Order, Report};
use crate::{Error, Result};

/// Bytes that are read from it at once.
const BUFFER: usize = 256 << 10;
/// The most of its last words that is read.
const REPORT_MAX: u64 = 64 << 10;
/// The longest line of an answer.
const LINE_MAX: u64 = 64 << 10;

/// A process at work. It ends when this is dropped.
pub struct Process {
    container: String,
    child: Child,
    input: Option<ChildStdin>,
    report: JoinHandle<Vec<u8>>,
}

/// What it writes.
pub struct Output(BufReader<ChildStdout>);

impl Process {
    /// Starts `program` on this order, for the container of this name.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be started.
    pub async fn start(program: std::process::Command, container: &str, order: &Order) -> Result<(Self, Output)> {
        let failed = |error| Error::io("run", "the process for a container's files")(error);
        let mut command = Command::from(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let taken = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut input), Some(output), Some(words)) = taken else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        let report = tokio::spawn(last_words(words));
        let mut line = serde_json::to_vec(order).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // If it has ended already, its report says why.
        let _ = input.write_all(&line).await;
        let process = Self { container: container.to_owned(), child, input: Some(input), report };
        Ok((process, Output(BufReader::with_capacity(BUFFER, output))))
    }

    /// Its standard input; where it is not taken it ends after the order.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::Files`] with its reason.
    pub async fn end(mut self) -> Result<Answer> {
        drop(self.input.take());
        let status = self.child.wait().await;
        let words = (&mut self.report).await.unwrap_or_default();
        match serde_json::from_slice(&words) {
            Ok(Report::Done(answer)) => Ok(answer),
            Ok(Report::Failed(failure)) => Err(self.error(failure)),
            Err(_) => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                let reason = format!("the process that works on its files ended with {status}");
                Err(Error::Files { container: self.container.clone(), invalid: false, reason })
            }
        }
    }

    fn error(&self, Failure { not_found, invalid, message }: Failure) -> Error {
        let container = self.container.clone();
        if not_found {
            let path = message.rsplit_once(": ").map_or(message.as_str(), |(_, path)| path).to_owned();
            return Error::NoSuchFile { container, path };
        }
        Error::Files { container, invalid, reason: message }
    }
}

impl Output {
    /// One line as JSON; `None` at the end, or if it says something else, which its report explains.
    pub async fn line<T: DeserializeOwned>(&mut self) -> Option<T> {
        let mut line = Vec::new();
        (&mut self.0).take(LINE_MAX).read_until(b'\n', &mut line).await.ok()?;
        serde_json::from_slice(&line).ok()
    }

    /// What it has written since; `None` at the end.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut chunk = vec![0; BUFFER];
        match self.0.read(&mut chunk).await {
            Ok(count @ 1..) => {
                chunk.truncate(count);
                Some(chunk)
            }
            _ => None,
        }
    }

    /// The rest as a blocking reader's source.
    pub fn into_inner(self) -> BufReader<ChildStdout> {
        self.0
    }
}

async fn last_words(words: ChildStderr) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error is used.
    let _ = words.take(REPORT_MAX).read_to_end(&mut bytes).await;
    bytes
}
