//! What an earlier daemon left of a container.

use model::shim::{ERROR_FILE, Failure, SPEC_FILE, ShimSpec, Status};
use model::{ContainerId, Timestamp};

use super::Executor;
use crate::shim_client::{self, ShimClientError};
use crate::task::Exit;

/// What a container does that this daemon did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// It has never run.
    Nothing,
    /// It runs.
    Running {
        /// Which run.
        generation: u64,
        /// Its first process.
        pid: u32,
        /// When it began.
        started_at: Timestamp,
        /// It is frozen.
        paused: bool,
    },
    /// Its last run is over.
    Ended {
        /// Which run.
        generation: u64,
        /// How.
        exit: Exit,
    },
    /// Its last run could not begin.
    Failed {
        /// Which run.
        generation: u64,
    },
}

impl Executor {
    /// Finds out what a container does, from its shim or from what a shim has left.
    pub async fn recover(&self, id: ContainerId) -> Recovered {
        let bundle = self.paths.bundle(id);
        let spec = std::fs::read(bundle.join(SPEC_FILE)).ok();
        let spec = spec.and_then(|bytes| serde_json::from_slice::<ShimSpec>(&bytes).ok());
        let Some(ShimSpec { run_generation: generation, .. }) = spec else { return Recovered::Nothing };
        match shim_client::state(&bundle).await {
            Ok(state) => match state.status {
                // An earlier daemon ended between the making of a container and its start, perhaps before it was connected:
                // the next run makes it anew.
                Status::Created => {
                    self.kill(id).await;
                    return match self.shim_gone(id).await {
                        Ok(()) => Recovered::Failed { generation },
                        Err(_) => self.after_the_end(id, generation).await,
                    };
                }
                Status::Running | Status::Paused | Status::Stopped => {
                    let started_at = state.started_at.and_then(|nanos| i64::try_from(nanos).ok()).unwrap_or(0);
                    let pid = u32::try_from(state.pid).unwrap_or(0);
                    let paused = state.status == Status::Paused;
                    return Recovered::Running { generation, pid, started_at: Timestamp(started_at), paused };
                }
            },
            Err(ShimClientError::NotRunning { .. }) => {}
            Err(error) => {
                tracing::warn!(container = %id.short(), %error, "a shim does not answer; waiting for its end")
            }
        }
        self.after_the_end(id, generation).await
    }

    async fn after_the_end(&self, id: ContainerId, generation: u64) -> Recovered {
        let bundle = self.paths.bundle(id);
        if self.shim_gone(id).await.is_ok()
            && let Ok(bytes) = std::fs::read(bundle.join(ERROR_FILE))
            && serde_json::from_slice::<Failure>(&bytes).is_ok_and(|failure| failure.run_generation == generation)
        {
            return Recovered::Failed { generation };
        }
        Recovered::Ended { generation, exit: self.exit_of(id, generation).await }
    }
}
