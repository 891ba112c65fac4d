//! What a step is known by: everything that its outcome depends on, as one digest.

use crate::digest::{Digest, Hasher};

/// A step's name in the cache.
pub type Key = Digest;

/// The version of what goes into a key: another one finds nothing that an older program has kept.
const VERSION: &str = "orca-build-1";

/// Collects what a step depends on.
pub struct KeyWriter(Hasher);

impl KeyWriter {
    /// Of a step of this kind.
    pub fn new(kind: &str) -> KeyWriter {
        let mut writer = KeyWriter(Hasher::new());
        writer.field(VERSION).field(kind);
        writer
    }

    /// Adds one part. Its length goes before it, so that parts can't run into each other.
    pub fn field(&mut self, part: impl AsRef<[u8]>) -> &mut KeyWriter {
        let part = part.as_ref();
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Adds a list.
    pub fn list<T: AsRef<[u8]>>(&mut self, parts: impl IntoIterator<Item = T>) -> &mut KeyWriter {
        let parts: Vec<T> = parts.into_iter().collect();
        self.0.update(&(parts.len() as u64).to_le_bytes());
        for part in parts {
            self.field(part);
        }
        self
    }

    /// The key.
    pub fn finish(self) -> Key {
        self.0.finish()
    }
}
