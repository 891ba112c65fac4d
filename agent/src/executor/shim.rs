//! One run of a container: from the shim's start to its exit record.

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use model::shim::{EXIT_FILE, ExitRecord, LOCK_FILE, Report};
use model::{ContainerId, Timestamp};
use rustix::fs::{FlockOperation, Mode, OFlags};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::{Executor, blocking, patiently};
use crate::bundle::Peers;
use crate::containers::Record;
use crate::shim_client::{self, ShimClientError};
use crate::task::Exit;
use crate::{Error, Result, clock};

/// Docker's code for a container that could not be started for other reasons than its command.
const NOT_STARTED: i32 = 125;
/// Longest report of a shim in bytes.
const REPORT_MAX: u64 = 64 << 10;

/// A run that has begun.
#[derive(Debug)]
pub struct Run {
    /// Its first process.
    pub pid: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// Its shim.
    pub child: Option<Child>,
}

/// A run that could not begin.
#[derive(Debug)]
pub struct StartFailure {
    /// 125, 126 or 127.
    pub code: i32,
    /// Why.
    pub message: String,
}

impl From<Error> for StartFailure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::ShimClient(ShimClientError::Refused(failure)) => i32::from(failure.class.exit_code()),
            Error::Start { code, .. } => *code,
            _ => NOT_STARTED,
        };
        Self { code, message: error.to_string() }
    }
}

type Attach = Box<dyn FnOnce(PathBuf) -> BoxFuture<'static, Result<()>> + Send>;

impl Executor {
    /// Begins a run: namespace and bundle at once, then the container and its network at once, then its process. With
    /// `attach`, the process runs after that has returned.
    ///
    /// # Errors
    /// With Docker's exit code for the reason. Nothing of the run stays then.
    pub async fn start(
        self: &Arc<Self>,
        record: &Record,
        peers: Peers,
        generation: u64,
        attach: Option<Attach>,
    ) -> Result<Run, StartFailure> {
        let exclusive = self.exclusive(record.id);
        let _alone = exclusive.lock().await;
        self.shim_gone(record.id).await?;
        let (executor, owned, attached) = (self.clone(), record.clone(), attach.is_some());
        let write = patiently("writing a bundle", move || executor.write_bundle(&owned, peers, generation, attached));
        let owner = self.network_owner(record, peers)?;
        let (namespace, bundle) = tokio::join!(self.networks.open(record, generation, owner), write);
        let run = match (namespace, bundle) {
            (Ok(()), Ok(())) => self.launch(record, attach).await,
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        };
        if run.is_err() {
            self.release(record.id, generation).await;
        }
        run
    }

    async fn launch(&self, record: &Record, attach: Option<Attach>) -> Result<Run, StartFailure> {
        let bundle = self.paths.bundle(record.id);
        let mut child = self.make(record).await?;
        let begun = match attach {
            Some(attach) => self.begin_attached(bundle, attach).await,
            None => shim_client::start(&bundle).await.map_err(|error| Error::from(error).into()),
        };
        match begun {
            Ok((pid, started_at)) => {
                let pid = u32::try_from(pid).unwrap_or(0);
                let started_at = Timestamp(i64::try_from(started_at).unwrap_or(i64::MAX));
                Ok(Run { pid, started_at, child: Some(child) })
            }
            Err(failure) => {
                // It ends by itself; as its parent this process has to take note of that.
                tokio::spawn(async move { child.wait().await });
                Err(failure)
            }
        }
    }

    /// Makes the container and connects it. Both take their time in the kernel, so they go on side by side, except where
    /// parameters of the container's devices are set, which must be there by then.
    async fn make(&self, record: &Record) -> Result<Child, StartFailure> {
        let connect = self.networks.connect(record);
        if record.spec.sysctls.keys().any(|key| key.starts_with("net.")) {
            connect.await?;
            return self.create(record.id).await;
        }
        let (created, connected) = tokio::join!(self.create(record.id), connect);
        let mut child = created?;
        if let Err(error) = connected {
            let _ = shim_client::kill(&self.paths.bundle(record.id), crate::signal::KILL, true).await;
            tokio::spawn(async move { child.wait().await });
            return Err(error.into());
        }
        Ok(child)
    }

    /// Starts a shim, which makes the container and then waits for the word to start it.
    async fn create(&self, id: ContainerId) -> Result<Child, StartFailure> {
        let bundle = self.paths.bundle(id);
        let state = self.paths.shim_state(id);
        if let Some(parent) = state.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
        }
        let mut child =
            Command::from(self.programs.shim(&bundle)).spawn().map_err(Error::io("run the shim in", &bundle))?;
        let failure = match read_report(id, &mut child).await {
            Ok(Report::Created { .. }) => return Ok(child),
            Ok(Report::Started { .. }) => Error::Shim { container: id.short(), what: "started unasked".into() }.into(),
            Ok(Report::Failed(failure)) => {
                StartFailure { code: i32::from(failure.class.exit_code()), message: failure.message }
            }
            Err(error) => error.into(),
        };
        tokio::spawn(async move { child.wait().await });
        Err(failure)
    }

    async fn begin_attached(&self, bundle: PathBuf, attach: Attach) -> Result<(i32, u64), StartFailure> {
        if let Err(error) = attach(bundle.clone()).await {
            // Who wanted to attach has gone: the container must not run unseen.
            let _ = shim_client::kill(&bundle, crate::signal::KILL, true).await;
            return Err(error.into());
        }
        Ok(shim_client::start(&bundle).await.map_err(Error::from)?)
    }

    /// Waits for the end of a run. A shim that died is cleaned up after.
    pub async fn watch(&self, id: ContainerId, generation: u64, child: Option<Child>) -> Exit {
        let bundle = self.paths.bundle(id);
        let waited = shim_client::wait(&bundle).await;
        if let Some(mut child) = child {
            // Reaps the shim whenever it ends; who needs it gone asks for its lock.
            tokio::spawn(async move { child.wait().await });
        }
        match waited {
            Ok(record) if record.run_generation == generation => to_exit(&record),
            _ => self.exit_of(id, generation).await,
        }
    }

    /// How a run without a shim ended, from its record; where a shim died without one, it is made now.
    pub(super) async fn exit_of(&self, id: ContainerId, generation: u64) -> Exit {
        if let Err(error) = self.shim_gone(id).await {
            tracing::warn!(container = %id.short(), %error, "cannot tell whether the shim has ended");
        }
        // A shim that was killed once its record was written leaves what it had not removed yet, its state last.
        let is_clean = !self.paths.shim_state(id).exists();
        if let Some(record) = self.exit_record(id, generation).filter(|_| is_clean) {
            return to_exit(&record);
        }
        match self.clean_up(id).await {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(container = %id.short(), %error, "a dead shim's container could not be cleaned up")
            }
        }
        match self.exit_record(id, generation) {
            Some(record) => to_exit(&record),
            None => Exit { code: 255, oom_killed: false, started_at: clock::wall(), finished_at: clock::wall() },
        }
    }

    fn exit_record(&self, id: ContainerId, generation: u64) -> Option<ExitRecord> {
        let bytes = std::fs::read(self.paths.bundle(id).join(EXIT_FILE)).ok()?;
        let record: ExitRecord = serde_json::from_slice(&bytes).ok()?;
        (record.run_generation == generation).then_some(record)
    }

    /// Ends what a dead shim left running and unmounts what it had mounted.
    async fn clean_up(&self, id: ContainerId) -> Result<()> {
        let bundle = self.paths.bundle(id);
        let command = Command::from(self.programs.cleanup(&bundle)).output();
        let output = command.await.map_err(Error::io("run the shim's cleanup in", &bundle))?;
        if output.status.success() {
            return Ok(());
        }
        let what = format!("could not be cleaned up: {}", String::from_utf8_lossy(&output.stderr).trim());
        Err(Error::Shim { container: id.short(), what })
    }

    /// Waits until no shim has the bundle: its lock is held as long as it lives.
    pub(super) async fn shim_gone(&self, id: ContainerId) -> Result<()> {
        let path = self.paths.bundle(id).join(LOCK_FILE);
        let Ok(file) = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) else { return Ok(()) };
        if rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(());
        }
        blocking("waiting for a shim's end", move || {
            loop {
                match rustix::fs::fcntl_lock(&file, FlockOperation::LockExclusive) {
                    Err(rustix::io::Errno::INTR) => {}
                    done => return done.map_err(Error::io("lock", &path)),
                }
            }
        })
        .await
    }

    /// Takes a run's network down.
    pub async fn release(&self, id: ContainerId, generation: u64) {
        let lock = self.networks.lock(id);
        let _removing = lock.lock().await;
        self.networks.remove(id, generation).await;
    }
}

fn to_exit(record: &ExitRecord) -> Exit {
    let time = |nanos: u64| Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX));
    Exit {
        code: i32::from(record.exit_code),
        oom_killed: record.oom_killed,
        // 0 would mean that it never ran.
        started_at: time(if record.started_at == 0 { record.finished_at } else { record.started_at }),
        finished_at: time(record.finished_at),
    }
}

async fn read_report(id: ContainerId, child: &mut Child) -> Result<Report> {
    let broken = |what: String| Error::Shim { container: id.short(), what };
    let stdout = child.stdout.take().ok_or_else(|| broken("has no standard output".into()))?;
    let mut bytes = Vec::new();
    let read = stdout.take(REPORT_MAX).read_to_end(&mut bytes).await;
    read.map_err(|error| broken(format!("could not be read from: {error}")))?;
    let line = bytes.lines().next().and_then(Result::ok).unwrap_or_default();
    if line.is_empty() {
        return Err(broken("ended without a word; see shim.log in its bundle".into()));
    }
    serde_json::from_str(&line)
        .map_err(|error| broken(format!("said something that this version does not know: {error}")))
}
