//! The agent's side of netd.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

use super::SOCKET;
use super::protocol::{self, Reply, Report, Request, Tables, VERSION};
use crate::Error;

/// How long netd has for an answer; a thousand containers' sockets take it about 200 ms.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a netd that was just started has until it answers.
const START: Duration = Duration::from_secs(5);

/// A connection to netd.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    pid: u32,
}

impl Client {
    /// Connects to the netd of a run directory.
    pub async fn connect(run_dir: &Path) -> Result<Self, Error> {
        let path = run_dir.join(SOCKET);
        let stream = UnixStream::connect(&path).await;
        let mut stream =
            stream.map_err(|source| Error::NetdUnreachable { step: "connect to", path: path.clone(), source })?;
        let pid = bounded(&path, greet(&mut stream)).await?;
        Ok(Self { stream, path, pid })
    }

    /// Connects, and where none answers starts one with the given command, which runs [`main`](super::main). Its output
    /// goes where the command says; the caller places it in a cgroup beside its own.
    pub async fn connect_or_spawn(run_dir: &Path, mut command: Command) -> Result<Self, Error> {
        match Self::connect(run_dir).await {
            Err(Error::NetdUnreachable { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            other => return other,
        }
        let path = run_dir.join(SOCKET);
        command.kill_on_drop(false);
        let mut child =
            command.spawn().map_err(|source| Error::NetdUnreachable { step: "start", path: path.clone(), source })?;
        let deadline = tokio::time::Instant::now() + START;
        loop {
            let last = match Self::connect(run_dir).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            if let Ok(Some(status)) = child.try_wait() {
                let source = io::Error::other(format!("it ended at once with {status}"));
                return Err(Error::NetdUnreachable { step: "start", path, source });
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(last);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Process id of this netd.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Puts tables in the place of those before; what could not be done is in the report.
    pub async fn set_tables(&mut self, tables: &Tables) -> Result<Report, Error> {
        match self.ask(&Request::SetTables(Box::new(tables.clone()))).await? {
            Reply::Report(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until this netd ends. It never speaks first, so anything but silence is its end.
    pub async fn ended(mut self) {
        let _ = protocol::read::<Reply>(&mut self.stream).await;
    }

    /// Ends netd: names and reserved ports go with it.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        match self.ask(&Request::Shutdown).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, Error> {
        let stream = &mut self.stream;
        bounded(&self.path, async {
            protocol::write(stream, request).await?;
            let reply = protocol::read(stream).await?;
            reply.ok_or_else(|| Error::NetdMessage { reason: "netd ended in the middle of a request".into() })
        })
        .await
    }
}

/// Exchanges versions; returns netd's process id.
pub(super) async fn greet(stream: &mut UnixStream) -> Result<u32, Error> {
    protocol::write(stream, &Request::Hello { version: VERSION }).await?;
    match protocol::read(stream).await? {
        Some(Reply::Hello { version: VERSION, pid }) => Ok(pid),
        Some(Reply::Hello { version, .. }) => Err(Error::NetdVersion { theirs: version, ours: VERSION }),
        Some(other) => Err(unexpected(&other)),
        None => Err(Error::NetdMessage { reason: "netd ended before its hello".into() }),
    }
}

fn unexpected(reply: &Reply) -> Error {
    let name = match reply {
        Reply::Hello { .. } => "hello",
        Reply::Report(_) => "report",
        Reply::Handover(_) => "handover",
        Reply::Done => "done",
    };
    Error::NetdMessage { reason: format!("an unexpected {name}") }
}

async fn bounded<T>(path: &Path, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(Error::NetdUnreachable {
            step: "get an answer from",
            path: path.into(),
            source: io::ErrorKind::TimedOut.into(),
        })
    })
}
