//! What containers have written: Docker's json-file logs, as the shim writes and rotates them.
//!
//! - [`line`]: one line of the file · [`time`]: its time · [`collect`]: what becomes of it; all pure
//! - [`files`]: the set of rotated files · [`reader`]: forwards through them, and on while they grow · [`tail`]: the last N lines

mod collect;
mod files;
mod line;
mod reader;
mod tail;
#[cfg(test)]
mod tests;
mod time;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;
use tokio::sync::mpsc;

use crate::{Error, Result};
pub use collect::{Collect, Record, Records, Run, Text};
pub use line::Line;
pub use reader::{Progress, Reader};
pub use time::parse_rfc3339;

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(50);
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
    fn wants_stream(&self, line: &Line<'_>) -> bool {
        if line.stderr { self.stderr } else { self.stdout }
    }

    fn is_before(&self, line: &Line<'_>) -> bool {
        self.since.is_some_and(|since| line.at < since)
    }

    fn is_after(&self, line: &Line<'_>) -> bool {
        self.until.is_some_and(|until| line.at > until)
    }
}

/// What a reading hands over: batches of what `C` collects.
type Batches<C> = mpsc::Receiver<Result<<C as Collect>::Batch>>;

/// Reads what is there of the log at `path`, in batches. The channel is bounded; dropping the receiver ends the reading.
pub fn read<C: Collect>(path: PathBuf, query: Query, collect: C) -> Batches<C> {
    follow(path, query, collect, std::future::ready(()))
}

/// Reads the log at `path`, and goes on while it grows until `ended` (the container's run has) and all is read.
///
/// A missing file is one that nothing has been written to yet.
pub fn follow<C: Collect>(
    path: PathBuf,
    query: Query,
    collect: C,
    ended: impl Future<Output = ()> + Send + 'static,
) -> Batches<C> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(error) = pump(&path, query, collect, &sender, ended).await {
            // The reader may have gone; then nobody wants to know.
            let _ = sender.send(Err(error)).await;
        }
    });
    receiver
}

async fn pump<C: Collect>(
    path: &Path,
    query: Query,
    mut collect: C,
    sender: &mpsc::Sender<Result<C::Batch>>,
    ended: impl Future<Output = ()> + Send,
) -> Result<()> {
    let opened = path.to_path_buf();
    let mut reader = blocking(move || Reader::open(&opened, query)).await?;
    tokio::pin!(ended);
    let mut is_last_round = false;
    loop {
        let progress;
        (reader, collect, progress) = blocking(move || read_batch(reader, collect)).await?;
        if let Some(batch) = collect.take()
            && sender.send(Ok(batch)).await.is_err()
        {
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

fn read_batch<C: Collect>(mut reader: Reader, mut collect: C) -> Result<(Reader, C, Progress)> {
    loop {
        let progress = reader.read(&mut collect)?;
        if progress != Progress::More || collect.is_full() {
            return Ok((reader, collect, progress));
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
