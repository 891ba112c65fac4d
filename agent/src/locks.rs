//! Locks by name: who needs one never waits for who has another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A lock of the kind `L` for each name.
#[derive(Debug)]
pub struct Locks<K, L> {
    held: Mutex<BTreeMap<K, Arc<L>>>,
}

impl<K, L> Default for Locks<K, L> {
    fn default() -> Self {
        Self { held: Mutex::default() }
    }
}

impl<K: Ord, L: Default> Locks<K, L> {
    /// The lock of this name. Those that nobody holds or waits for are forgotten.
    pub fn of(&self, name: K) -> Arc<L> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, lock| Arc::strong_count(lock) > 1);
        held.entry(name).or_default().clone()
    }
}
