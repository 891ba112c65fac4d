//! Waiting for what happens to a container.

use tokio::sync::watch;

use super::state::Progress;
use crate::{Error, Result};

/// What to wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// It does not run; at once if it doesn't now.
    #[default]
    NotRunning,
    /// Its next end, even if it does not run now.
    NextExit,
    /// It is gone.
    Removed,
}

/// What the wait found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waited {
    /// Code of the last run; 0 if there was none.
    pub exit_code: i32,
    /// Why it could not be started, if that is how it ended.
    pub error: Option<String>,
}

/// Waits for the condition. A container that is gone fulfils every one.
pub async fn until(mut progress: watch::Receiver<Progress>, condition: WaitCondition) -> Waited {
    let before = progress.borrow().exits;
    let fulfilled = |now: &Progress| {
        now.removed
            || match condition {
                WaitCondition::NotRunning => !now.active,
                WaitCondition::NextExit => now.exits > before,
                WaitCondition::Removed => false,
            }
    };
    let last = when(&mut progress, fulfilled).await;
    let failed = last.exit.is_some_and(|exit| !exit.started_at.is_set());
    Waited {
        exit_code: last.exit.map_or(0, |exit| exit.code),
        error: last.failure.filter(|_| failed).map(|(_, reason)| reason),
    }
}

/// Waits until a run has begun, or could not, since `before`.
pub async fn started(mut progress: watch::Receiver<Progress>, before: &Progress) -> Result<()> {
    let decided = |now: &Progress| now.starts > before.starts || now.failures > before.failures || now.removed;
    let last = when(&mut progress, decided).await;
    if last.starts > before.starts {
        return Ok(());
    }
    let (code, message) =
        last.failure.unwrap_or_else(|| (125, "the container was removed before it could start".into()));
    Err(Error::Start { code, message })
}

/// Waits until nothing of it runs.
pub async fn at_rest(mut progress: watch::Receiver<Progress>) {
    // An error means that its sender, and so the container, has gone.
    let _ = progress.wait_for(|now| !now.active || now.removed).await;
}

/// Waits until it is gone, or could not be removed since `before` failures.
pub async fn removed(mut progress: watch::Receiver<Progress>, before: u64) -> Result<()> {
    let decided = |now: &Progress| now.removed || now.failures > before;
    let last = when(&mut progress, decided).await;
    match last.failure {
        Some((_, message)) if !last.removed => Err(Error::ShimRefused(message)),
        _ => Ok(()),
    }
}

/// The first state that fulfils the condition, or the last one: the sender goes with its container.
async fn when(progress: &mut watch::Receiver<Progress>, fulfilled: impl Fn(&Progress) -> bool) -> Progress {
    // An error says that nothing more will change.
    let _ = progress.wait_for(fulfilled).await.map(drop);
    progress.borrow().clone()
}
