//! What running work needs and the catalog doesn't name yet: garbage collection leaves it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Store;
use crate::digest::Digest;

/// Counts who needs which blobs and snapshots.
#[derive(Default)]
pub(super) struct Leases {
    counts: Mutex<BTreeMap<Digest, usize>>,
}

impl Leases {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<Digest, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held(&self) -> BTreeSet<Digest> {
        self.locked().keys().copied().collect()
    }
}

/// Blobs and snapshots that stay as long as this value does.
pub struct Lease {
    leases: Arc<Leases>,
    digests: BTreeSet<Digest>,
}

impl Store {
    /// Keeps `digests` (of blobs, and chain ids of snapshots) from collection, whether they are there yet or not. What is
    /// found there afterwards stays there.
    pub fn lease(&self, digests: impl IntoIterator<Item = Digest>) -> Lease {
        // A collection that runs has read the leases: it must be over before anyone looks for what he leased.
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        self.lease_here(digests)
    }

    /// As [`Store::lease`], for who holds off collection already.
    pub(super) fn lease_here(&self, digests: impl IntoIterator<Item = Digest>) -> Lease {
        let digests: BTreeSet<Digest> = digests.into_iter().collect();
        let mut counts = self.leases.locked();
        for digest in &digests {
            *counts.entry(*digest).or_default() += 1;
        }
        Lease { leases: Arc::clone(&self.leases), digests }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut counts = self.leases.locked();
        for digest in &self.digests {
            if let Some(count) = counts.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(digest);
                }
            }
        }
    }
}
