//! What steps of builds have made, by what they are known by: `build-cache/<key>.json`, one file a step.
//!
//! A record names a layer, which it keeps from collection. Its file's modification time says when it was last used. A record
//! that can't be read, or whose layer is gone, is none: the step is done again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{BuiltLayer, Lease, Store};
use crate::build::Key;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::gc::Holdings;
use crate::manifest::to_json;

const VERSION: u32 = 1;

/// What one step has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRecord {
    version: u32,
    /// The step, for people.
    pub description: String,
    /// The layer; none if nothing changed.
    pub layer: Option<BuiltLayer>,
    /// The chain id of the layers with it.
    pub chain: Option<Digest>,
    /// When it was made: seconds since the epoch.
    pub created: i64,
}

impl CacheRecord {
    /// A record of a step.
    pub fn new(description: String, layer: Option<BuiltLayer>, chain: Option<Digest>, created: i64) -> CacheRecord {
        CacheRecord { version: VERSION, description, layer, chain, created }
    }

    fn digests(&self) -> impl Iterator<Item = Digest> {
        self.layer.iter().map(|layer| layer.descriptor.digest).chain(self.chain)
    }
}

/// A record as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// What the step is known by.
    pub key: Key,
    /// What it has made.
    pub record: CacheRecord,
    /// When it was last used: seconds since the epoch.
    pub used: i64,
}

impl CacheEntry {
    /// The bytes of its layer.
    pub fn size(&self) -> u64 {
        self.record.layer.as_ref().map_or(0, |layer| layer.size)
    }
}

impl Store {
    fn cache_dir(&self) -> PathBuf {
        self.root.join("build-cache")
    }

    /// Where directories are that last from build to build (`RUN --mount=type=cache`).
    pub fn cache_mounts(&self) -> PathBuf {
        self.root.join("build-mounts")
    }

    /// Removes them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn prune_cache_mounts(&self) -> Result<()> {
        crate::snapshot::remove_tree(&self.cache_mounts())
    }

    fn cache_path(&self, key: &Key) -> PathBuf {
        self.cache_dir().join(format!("{}.json", key.hex()))
    }

    /// What the step of this key has made, if its layer is still here; it stays as long as the lease does.
    pub fn cached(&self, key: &Key) -> Option<(CacheRecord, Lease)> {
        let path = self.cache_path(key);
        let record: CacheRecord = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        if record.version != VERSION {
            return None;
        }
        let lease = self.lease(record.digests());
        if record.layer.as_ref().is_some_and(|layer| !self.content.contains(&layer.descriptor.digest)) {
            return None;
        }
        // When it was last used matters only to who prunes.
        let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some((record, lease))
    }

    /// Remembers what a step has made.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remember(&self, key: &Key, record: &CacheRecord) -> Result<()> {
        let dir = self.cache_dir();
        let path = self.cache_path(key);
        let staged = self.root.join("staging").join(format!("cache-{}", key.hex()));
        let failed = |error| Error::io("write", path.display(), error);
        fs::create_dir_all(&dir).map_err(|error| Error::io("create", dir.display(), error))?;
        fs::write(&staged, to_json("cache record", record)?).map_err(failed)?;
        fs::rename(&staged, &path).map_err(failed)
    }

    /// All records, the most recently used first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn cache(&self) -> Result<Vec<CacheEntry>> {
        let dir = self.cache_dir();
        let failed = |error| Error::io("read", dir.display(), error);
        let listed = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.map_err(failed)?,
        };
        let mut entries = Vec::new();
        for file in listed {
            let path = file.map_err(failed)?.path();
            let key = path.file_stem().and_then(|stem| Digest::from_hex(stem.to_str()?).ok());
            let record = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<CacheRecord>(&bytes).ok());
            if let (Some(key), Some(record)) = (key, record) {
                let used =
                    fs::metadata(&path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                let used = used.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
                entries.push(CacheEntry { key, record, used: i64::try_from(used).unwrap_or(i64::MAX) });
            }
        }
        entries.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.key.cmp(&b.key)));
        Ok(entries)
    }

    /// Forgets the records that `goes` takes, and the layers that nothing holds any more; returns what went.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn prune_cache(&self, goes: impl Fn(&CacheEntry) -> bool) -> Result<Vec<CacheEntry>> {
        let _alone = self.collecting.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<CacheEntry> = self.cache()?.into_iter().filter(goes).collect();
        for entry in &gone {
            let path = self.cache_path(&entry.key);
            fs::remove_file(&path).map_err(|error| Error::io("remove", path.display(), error))?;
        }
        self.sweep(&BTreeSet::new())?;
        Ok(gone)
    }

    /// What the records keep.
    pub(super) fn cache_holdings(&self) -> Result<Holdings> {
        let digests: BTreeSet<Digest> = self.cache()?.iter().flat_map(|entry| entry.record.digests()).collect();
        Ok(Holdings { blobs: digests.clone(), snapshots: digests })
    }
}
