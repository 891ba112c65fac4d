//! Snapshots: each layer unpacked once, `snapshots/<chain id hex>/fs`, an overlayfs lower directory.
//!
//! A layer is unpacked in a process of its own ([`unpack_main`]) into `staging/`, synced (`syncfs`), and renamed into place,
//! so a name in `snapshots/` always holds a whole layer. Overlay mounts must not use `redirect_dir` or `metacopy`.

mod child;
mod place;
mod remove;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

pub use child::unpack_main;
pub(crate) use place::{c_string, components};
pub(crate) use remove::{remove_at, remove_tree};
#[cfg(test)]
pub(crate) use unpack::unpack_layer as unpack_in_process;

use crate::archive::Limits;
use crate::content::sync_dir;
use crate::digest::Digest;
use crate::error::{Error, Result};

/// One layer to unpack.
pub(crate) struct Layer<'a> {
    pub(crate) blob: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) diff_id: Digest,
    pub(crate) chain_id: Digest,
    /// The snapshots below, top first.
    pub(crate) parents: &'a [PathBuf],
}

/// What unpacking a layer made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// Who unpacks layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpacker {
    /// A child process of this program, started as `PROGRAM unpack …`, which must call [`unpack_main`].
    Child(PathBuf),
    /// The calling thread: for programs without that subcommand, and tests.
    InProcess,
}

/// The unpacked layers on disk.
pub(crate) struct Snapshots {
    root: PathBuf,
    staging: PathBuf,
    next: AtomicU64,
    /// Chain ids that some thread is unpacking now.
    busy: Mutex<BTreeSet<Digest>>,
    done: Condvar,
}

impl Snapshots {
    pub(crate) fn open(root: PathBuf, staging: PathBuf) -> Result<Snapshots> {
        fs::create_dir_all(&root).map_err(|error| Error::io("create", root.display(), error))?;
        Ok(Snapshots { root, staging, next: AtomicU64::new(0), busy: Mutex::default(), done: Condvar::new() })
    }

    /// The lower directory of `chain_id`.
    pub(crate) fn dir(&self, chain_id: &Digest) -> PathBuf {
        self.root.join(chain_id.hex()).join("fs")
    }

    /// Unpacks `layer` unless it is there; threads that want the same layer wait for the first.
    pub(crate) fn ensure(&self, layer: &Layer<'_>, limits: Limits, unpacker: &Unpacker) -> Result<PathBuf> {
        let target = self.dir(&layer.chain_id);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if target.exists() {
                return Ok(target);
            }
            if busy.insert(layer.chain_id) {
                break;
            }
            busy = self.done.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        drop(busy);
        let result = self.unpack(layer, limits, unpacker);
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&layer.chain_id);
        self.done.notify_all();
        result.map(|()| target)
    }

    fn unpack(&self, layer: &Layer<'_>, limits: Limits, unpacker: &Unpacker) -> Result<()> {
        let staging = self.staging.join(format!("layer-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let into = staging.join("fs");
        fs::create_dir_all(&into).map_err(|error| Error::io("create", into.display(), error))?;
        let outcome = match unpacker {
            Unpacker::Child(program) => child::run(program, layer, &into, limits),
            Unpacker::InProcess => unpack::unpack_layer(layer, &into, limits),
        };
        let outcome = outcome.and_then(|unpacked| {
            tracing::debug!(layer = %layer.diff_id, entries = unpacked.entries, bytes = unpacked.bytes, "layer unpacked");
            self.publish(&staging, &layer.chain_id)
        });
        if outcome.is_err() {
            remove_tree(&staging)?;
        }
        outcome
    }

    fn publish(&self, staging: &Path, chain_id: &Digest) -> Result<()> {
        let handle = File::open(staging).map_err(|error| Error::io("open", staging.display(), error))?;
        rustix::fs::syncfs(&handle).map_err(|error| Error::io("sync", staging.display(), error))?;
        let target = self.root.join(chain_id.hex());
        fs::rename(staging, &target).map_err(|error| Error::io("rename", target.display(), error))?;
        sync_dir(&self.root)
    }

    /// The chain ids of all snapshots.
    pub(crate) fn list(&self) -> Result<Vec<Digest>> {
        let failed = |error| Error::io("read", self.root.display(), error);
        let mut chain_ids = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            chain_ids.extend(name.to_str().and_then(|name| Digest::from_hex(name).ok()));
        }
        Ok(chain_ids)
    }

    /// Removes a snapshot: first its name, so that a crash never leaves half a layer under it.
    pub(crate) fn remove(&self, chain_id: &Digest) -> Result<()> {
        let from = self.root.join(chain_id.hex());
        let trash = self.staging.join(format!("trash-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        fs::rename(&from, &trash).map_err(|error| Error::io("rename", from.display(), error))?;
        remove_tree(&trash)
    }
}
