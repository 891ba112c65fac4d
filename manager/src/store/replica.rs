//! The state machine that Raft applies entries to, and the copy of its state that everybody reads.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::Applied;
use crate::raft::{Replica, Reply};
use crate::state::{self, State, codec};

/// The newest state.
#[derive(Default)]
pub struct Shared {
    state: RwLock<State>,
    version: watch::Sender<u64>,
}

impl Shared {
    pub fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn publish(&self, state: State) {
        let version = state.version;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        self.version.send_if_modified(|before| std::mem::replace(before, version) != version);
    }
}

/// Owns the state; only Raft changes it.
pub struct StateReplica {
    state: State,
    shared: Arc<Shared>,
}

impl StateReplica {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { state: State::default(), shared }
    }
}

impl Replica for StateReplica {
    fn apply(&mut self, _index: u64, entry: &[u8]) -> Result<Reply, String> {
        let entry = codec::decode_entry(entry).map_err(|error| error.to_string())?;
        let before = self.state.clone();
        Ok(match state::apply(&mut self.state, &entry) {
            Ok(events) => {
                self.shared.publish(self.state.clone());
                Reply::Applied(Box::new(Applied { before, after: self.state.clone(), events }))
            }
            Err(refusal) => Reply::Refused(refusal),
        })
    }

    fn freeze(&self) -> Arc<dyn Fn() -> Vec<u8> + Send + Sync> {
        let state = self.state.clone();
        Arc::new(move || codec::encode_state(&state))
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.state = codec::decode_state(state).map_err(|error| error.to_string())?;
        self.shared.publish(self.state.clone());
        Ok(())
    }
}
