//! Starts a daemon in the background, for commands that find none.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::client::{Client, DEFAULT_HOST, Host};
use crate::error::{Error, Result};

/// Where such a daemon writes its log.
const LOG: &str = "/var/log/orca.log";

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Starts `orca daemon` in a session of its own and waits until it answers.
pub async fn start() -> Result<()> {
    let log = PathBuf::from(LOG);
    let failed = |reason: String| Error::DaemonStart { reason, log: log.clone() };
    if !rustix::process::geteuid().is_root() {
        return Err(failed("no daemon runs, and starting one needs root; try sudo".into()));
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
    let file = file.map_err(|source| Error::File { action: "open", path: log.clone(), source })?;
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command
        .arg("daemon")
        .current_dir("/")
        .env_remove("ORCA_HOST")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file);
    // SAFETY: setsid(2) is async-signal-safe, and touches nothing of the parent.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    eprintln!("orca: no daemon runs; starting one in the background (log: {LOG})");
    let host = Host {
        address: DEFAULT_HOST.into(),
        explicit: true,
        context: "default".into(),
        identity: None,
        dry_run: false,
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if Client::connect(&host).await.is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(failed(format!("it ended with {status}")));
        }
        if tokio::time::Instant::now() > deadline {
            return Err(failed(format!("it did not answer within {} s", PATIENCE.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
