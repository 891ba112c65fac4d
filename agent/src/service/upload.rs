//! Chunks of a client's stream as a [`Read`] for a thread that may wait.

use std::io::{self, Read};

use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use crate::Error;
use crate::containers::FileTask;

/// Chunks that wait for the disk; the client waits then.
const AHEAD: usize = 4;

/// What the client sends, to be read on a blocking thread.
pub struct Upload {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    taken: usize,
}

impl Upload {
    /// Reads `stream`, whose messages hold chunks as `chunk` finds them, until its end. A stream that breaks, or has another
    /// message in it, is an error to the reader and not an end. Ends early when the reader is dropped.
    pub fn of<T: Send + 'static>(
        mut stream: Streaming<T>,
        chunk: impl Fn(T) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let (sender, upload) = Self::channel();
        tokio::spawn(async move {
            loop {
                let item = match stream.message().await {
                    Ok(None) => return,
                    Ok(Some(message)) => chunk(message).ok_or_else(misplaced),
                    Err(status) => Err(broken(&status)),
                };
                let is_last = item.is_err();
                if sender.send(item).await.is_err() || is_last {
                    return;
                }
            }
        });
        upload
    }

    /// Reads what a task on a container's files writes. Its end is the end only if the task says that it went well; else it is
    /// the task's error, told also to `failure`.
    pub fn of_task(mut task: FileTask, failure: oneshot::Sender<Error>) -> Self {
        let (sender, upload) = Self::channel();
        tokio::spawn(async move {
            while let Some(chunk) = task.output.chunk().await {
                if sender.send(Ok(chunk)).await.is_err() {
                    return;
                }
            }
            if let Err(error) = task.process.end().await {
                let told = io::Error::other(error.to_string());
                // The reader may have given up already.
                let _ = failure.send(error);
                let _ = sender.send(Err(told)).await;
            }
        });
        upload
    }

    /// What is sent to the one is read from the other; when the sender is dropped that is the end.
    pub fn channel() -> (mpsc::Sender<io::Result<Vec<u8>>>, Self) {
        let (sender, chunks) = mpsc::channel(AHEAD);
        (sender, Self { chunks, current: Vec::new(), taken: 0 })
    }
}

fn misplaced() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "after the first message only chunks may come")
}

fn broken(status: &Status) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the client broke off: {}", status.message()))
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // An empty chunk is no end.
        while self.taken == self.current.len() {
            let Some(chunk) = self.chunks.blocking_recv() else { return Ok(0) };
            self.current = chunk?;
            self.taken = 0;
        }
        let rest = &self.current[self.taken..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chunks_are_joined_and_empty_ones_are_no_end() {
        let (sender, mut upload) = Upload::channel();
        let reader = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            upload.read_to_end(&mut all).map(|_| all)
        });
        for chunk in [&b"ab"[..], b"", b"cdefg"] {
            sender.send(Ok(chunk.to_vec())).await.unwrap();
        }
        drop(sender);
        assert_eq!(reader.await.unwrap().unwrap(), b"abcdefg");
    }

    #[tokio::test]
    async fn a_broken_upload_is_no_end() {
        let (sender, mut upload) = Upload::channel();
        sender.send(Ok(b"ab".to_vec())).await.unwrap();
        sender.send(Err(broken(&Status::cancelled("gone")))).await.unwrap();
        drop(sender);
        let read = tokio::task::spawn_blocking(move || upload.read_to_end(&mut Vec::new()));
        assert_eq!(read.await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
