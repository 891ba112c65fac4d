//! The agent's side of a shim's socket (see [`model::shim`]).
//!
//! One-shot requests connect, ask, and have a deadline. [`attach`] and [`exec`] are [`Session`]s, whose halves can be used
//! by two tasks; nothing is buffered without bound, so a slow reader is felt by the process at the other end.

mod connection;
mod error;
mod session;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use model::shim::{ExitRecord, Reply, Request, State, Stats, TerminalSize};

use connection::{Reader, connect};
pub use error::{Result, ShimClientError};
pub use session::{Event, Session, SessionInput, SessionOutput, attach, exec};

/// For requests that a shim answers at once; a busy machine is allowed for.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For requests that execute a command: user lookup and execve(2) may wait for slow disks.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the created container; returns its first process's id on the host and the time in nanoseconds since the epoch.
///
/// # Errors
/// [`ShimClientError::Refused`] with the class that tells the exit code, if the command could not be executed.
pub async fn start(bundle: &Path) -> Result<(i32, u64)> {
    match ask(bundle, "start", START_TIMEOUT, Request::Start).await? {
        (Reply::Started { pid, started_at }, _) => Ok((pid, started_at)),
        (other, reader) => Err(reader.unexpected("start", &other)),
    }
}

/// Sends a signal to the first process, or to `all` in the container's cgroup.
///
/// # Errors
/// [`ShimClientError::NotRunning`] or [`ShimClientError::Refused`] if the container has ended.
pub async fn kill(bundle: &Path, signal: i32, all: bool) -> Result<()> {
    command(bundle, "kill", Request::Kill { signal, all }).await
}

/// Freezes all processes.
///
/// # Errors
/// [`ShimClientError::Refused`] unless it runs.
pub async fn pause(bundle: &Path) -> Result<()> {
    command(bundle, "pause", Request::Pause).await
}

/// Thaws them.
///
/// # Errors
/// [`ShimClientError::Refused`] unless it is paused.
pub async fn resume(bundle: &Path) -> Result<()> {
    command(bundle, "resume", Request::Resume).await
}

/// Sets the size of the container's terminal.
///
/// # Errors
/// [`ShimClientError::Refused`] if it has none.
pub async fn resize(bundle: &Path, size: TerminalSize) -> Result<()> {
    command(bundle, "resize", Request::Resize(size)).await
}

/// Where the container is in its life.
///
/// # Errors
/// [`ShimClientError::NotRunning`] if there is no shim any more.
pub async fn state(bundle: &Path) -> Result<State> {
    match ask(bundle, "state", REQUEST_TIMEOUT, Request::State).await? {
        (Reply::State(state), _) => Ok(state),
        (other, reader) => Err(reader.unexpected("state", &other)),
    }
}

/// What the container uses.
///
/// # Errors
/// [`ShimClientError::NotRunning`] if there is no shim any more.
pub async fn stats(bundle: &Path) -> Result<Stats> {
    match ask(bundle, "stats", REQUEST_TIMEOUT, Request::Stats).await? {
        (Reply::Stats(stats), _) => Ok(*stats),
        (other, reader) => Err(reader.unexpected("stats", &other)),
    }
}

/// Waits for the container's end, for however long that takes.
///
/// # Errors
/// [`ShimClientError::NotRunning`] or [`ShimClientError::Lost`] when there is no shim any more: the record is in the bundle
/// then, or is made by `orca shim --cleanup`. [`ShimClientError::Refused`] if the container's command could not be executed.
pub async fn wait(bundle: &Path) -> Result<ExitRecord> {
    let mut reader = within(bundle, "wait", REQUEST_TIMEOUT, async {
        let (reader, mut writer) = connect(bundle).await?;
        writer.request(&Request::Wait).await?;
        // Both halves must live for the connection to; the shim takes a closed half for a gone client.
        Ok((reader, writer))
    })
    .await?;
    match reader.0.reply("wait").await? {
        Reply::Exit(record) => Ok(record),
        other => Err(reader.0.unexpected("wait", &other)),
    }
}

async fn command(bundle: &Path, name: &'static str, request: Request) -> Result<()> {
    match ask(bundle, name, REQUEST_TIMEOUT, request).await? {
        (Reply::Ok, _) => Ok(()),
        (other, reader) => Err(reader.unexpected(name, &other)),
    }
}

async fn ask(bundle: &Path, name: &'static str, timeout: Duration, request: Request) -> Result<(Reply, Reader)> {
    within(bundle, name, timeout, async {
        let (mut reader, mut writer) = connect(bundle).await?;
        writer.request(&request).await?;
        let reply = reader.reply(name).await?;
        Ok((reply, reader))
    })
    .await
}

async fn within<T>(
    bundle: &Path,
    request: &'static str,
    after: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(after, work).await {
        Ok(result) => result,
        Err(_) => Err(ShimClientError::Timeout { bundle: bundle.into(), request, after }),
    }
}
