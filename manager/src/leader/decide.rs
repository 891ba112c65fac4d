//! Proposes what the cores decide: on every change of the state, and when the nearest deadline comes.

use std::time::Duration;

use model::Timestamp;

use super::backoff::Backoff;
use super::plan::{self, Outcome};
use crate::error::Error;
use crate::state::Refusal;
use crate::store::{Store, id_source, now};

/// Least time between two plans: changes that come meanwhile are decided on together.
const COALESCE: Duration = Duration::from_millis(5);
/// Least wait for a deadline, should one that has passed be named again.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

pub async fn run(store: &Store) {
    let mut changes = store.watch();
    let mut backoff = Backoff::default();
    loop {
        changes.mark_unchanged();
        match decide(store).await {
            Ok(wake_at) => {
                backoff.reset();
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = sleep_until(wake_at) => {}
                }
                tokio::time::sleep(COALESCE).await;
            }
            // Somebody else was faster; decide again on what there is now.
            Err(Error::Refused(refusal @ Refusal::Stale { .. })) => {
                tracing::debug!(%refusal, "a plan was out of date");
                tokio::time::sleep(COALESCE).await;
            }
            Err(error) => backoff.wait("a plan was not taken", &error).await,
        }
    }
}

/// One plan; when to look again.
async fn decide(store: &Store) -> Result<Option<Timestamp>, Error> {
    let Outcome { plan, refused } = plan::plan(&store.snapshot(), now(), &mut id_source()?);
    if let Some(refusal) = refused {
        tracing::error!(%refusal, "a core decided what the state refuses");
    }
    if !plan.commands.is_empty() {
        tracing::debug!(commands = plan.commands.len(), "proposing a plan");
        store.propose(plan.commands).await?;
    }
    Ok(plan.wake_at)
}

async fn sleep_until(at: Option<Timestamp>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(now()).max(SHORTEST_WAIT)).await,
        None => std::future::pending().await,
    }
}
