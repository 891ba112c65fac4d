//! What containers have written: Docker's json-file logs, as the shim writes and rotates them.
//!
//! - [`record`]: one line of the file, pure · [`tail`]: the last N lines, from the end
//! - [`files`]: the set of rotated files · [`reader`]: forwards through them, and on while they grow

mod files;
mod reader;
pub mod record;
mod tail;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;
use tokio::sync::mpsc;

use crate::{Error, Result};
pub use reader::{Progress, Reader};
pub use record::Record;

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Records that are handed over at once, about.
const BATCH: usize = 512;
/// Batches that wait for a slow reader.
const AHEAD: usize = 2;

/// Which records are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Only the last so many lines.
    pub tail: Option<u64>,
    /// Not those that are older.
    pub since: Option<Timestamp>,
    /// Not those that are newer.
    pub until: Option<Timestamp>,
    /// Those of standard output.
    pub stdout: bool,
    /// Those of standard error.
    pub stderr: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self { tail: None, since: None, until: None, stdout: true, stderr: true }
    }
}

impl Query {
    fn wants_stream(&self, record: &Record) -> bool {
        if record.stderr { self.stderr } else { self.stdout }
    }

    fn is_before(&self, record: &Record) -> bool {
        self.since.is_some_and(|since| record.at < since)
    }

    fn is_after(&self, record: &Record) -> bool {
        self.until.is_some_and(|until| record.at > until)
    }
}

/// Reads what is there of the log at `path`, in batches. The channel is bounded; dropping the receiver ends the reading.
pub fn read(path: PathBuf, query: Query) -> mpsc::Receiver<Result<Vec<Record>>> {
    follow(path, query, std::future::ready(()))
}

/// Reads the log at `path`, and goes on while it grows until `ended` (the container's run has) and all is read.
///
/// A missing file is one that nothing has been written to yet.
pub fn follow(
    path: PathBuf,
    query: Query,
    ended: impl Future<Output = ()> + Send + 'static,
) -> mpsc::Receiver<Result<Vec<Record>>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(error) = pump(&path, query, &sender, ended).await {
            // The reader may have gone; then nobody wants to know.
            let _ = sender.send(Err(error)).await;
        }
    });
    receiver
}

async fn pump(
    path: &Path,
    query: Query,
    sender: &mpsc::Sender<Result<Vec<Record>>>,
    ended: impl Future<Output = ()> + Send,
) -> Result<()> {
    let opened = path.to_path_buf();
    let mut reader = blocking(move || Reader::open(&opened, query)).await?;
    tokio::pin!(ended);
    let mut is_last_round = false;
    loop {
        let (returned, records, progress) = blocking(move || read_batch(reader)).await?;
        reader = returned;
        if !records.is_empty() && sender.send(Ok(records)).await.is_err() {
            return Ok(());
        }
        match progress {
            Progress::Done => return Ok(()),
            Progress::More => continue,
            Progress::Drained if is_last_round => return Ok(()),
            Progress::Drained => {}
        }
        tokio::select! {
            // What was written before the end may have come after the last look, so there is one more.
            () = &mut ended => is_last_round = true,
            () = sender.closed() => return Ok(()),
            () = tokio::time::sleep(POLL) => is_last_round = is_past(query.until),
        }
    }
}

fn read_batch(mut reader: Reader) -> Result<(Reader, Vec<Record>, Progress)> {
    let mut records = Vec::new();
    loop {
        let progress = reader.read(&mut records)?;
        if progress != Progress::More || records.len() >= BATCH {
            return Ok((reader, records, progress));
        }
    }
}

/// Whether nothing that is wanted can be written any more.
fn is_past(until: Option<Timestamp>) -> bool {
    until.is_some_and(|until| crate::clock::wall() > until)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Thread("reading a log"))?
}
