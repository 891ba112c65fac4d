//! Keeps what is on this manager's disk locked as the state says: the key of everything there is wrapped by the cluster's unlock key, which
//! itself is only in the state, and so never in the clear on a disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::KeptKey;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::state::State;
use crate::store::Store;

/// How often what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What a manager's state is locked with; follows the state as long as this value lives.
pub struct Lock {
    key: Arc<Mutex<Option<KeptKey>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Lock {
    /// Begins with the key that has opened the state, if it was locked. Needs a tokio runtime.
    pub fn follow(store: Arc<Store>, unlock: Option<KeptKey>) -> Self {
        let key = Arc::new(Mutex::new(unlock));
        let task = tokio::spawn(run(store, key.clone()));
        Self { key, task: Mutex::new(Some(task)) }
    }

    /// The key now.
    pub fn key(&self) -> Option<KeptKey> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Follows no longer.
    pub async fn end(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            // The only outcome after an abort is that it was aborted, or had ended.
            let _ = task.await;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// What the state says; `None` while it says nothing yet.
fn wanted(state: &State) -> Option<Option<KeptKey>> {
    let cluster = state.cluster.as_ref()?;
    Some(cluster.identity.as_ref().and_then(model::ClusterIdentity::unlock_key))
}

async fn run(store: Arc<Store>, key: Arc<Mutex<Option<KeptKey>>>) {
    let mut changes = store.watch();
    loop {
        changes.borrow_and_update();
        let before = key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(next) = wanted(&store.snapshot()).filter(|next| *next != before) {
            if let Err(error) = lock(&store, next.clone()).await {
                tracing::error!(%error, "this manager's state could not be locked as the cluster wants; trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            tracing::info!(locked = next.is_some(), "the key of this manager's state was written anew");
            *key.lock().unwrap_or_else(PoisonError::into_inner) = next;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn lock(store: &Arc<Store>, key: Option<KeptKey>) -> Result<(), Error> {
    let store = store.clone();
    let written = tokio::task::spawn_blocking(move || store.raft().lock(key.as_ref())).await;
    written.map_err(|error| Error::Stopped { reason: error.to_string() })?
}
