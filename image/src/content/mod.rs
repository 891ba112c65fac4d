//! The content-addressed blob store: `blobs/sha256/<hex>`.
//!
//! A blob is written to a file in the staging directory, hashed on the way, fsynced, and renamed into place, so a name in
//! `blobs/` always holds whole, verified content. Reading verifies digest and size again: a disk that lies is found out.

mod ingest;
mod reader;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use ingest::{Ingested, ingest};
pub(crate) use reader::VerifiedReader;

use crate::digest::{Digest, Hasher};
use crate::error::{Error, Result};

/// Blobs on disk. Safe for concurrent use: each write has a staging file of its own.
pub struct ContentStore {
    blobs: PathBuf,
    staging: PathBuf,
    next: AtomicU64,
}

impl ContentStore {
    /// Opens or makes the store below `root`, with staging files in `staging` (on the same file system).
    ///
    /// # Errors
    /// [`Error::Io`] if a directory can't be made.
    pub fn open(root: &Path, staging: &Path) -> Result<ContentStore> {
        let blobs = root.join("blobs/sha256");
        for dir in [&blobs, staging] {
            fs::create_dir_all(dir).map_err(|error| Error::io("create", dir.display(), error))?;
        }
        Ok(ContentStore { blobs, staging: staging.to_owned(), next: AtomicU64::new(0) })
    }

    /// Where the blob `digest` is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Whether the blob is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// A new blob's writer. Dropped without [`BlobWriter::finish`], it leaves nothing behind.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn writer(&self) -> Result<BlobWriter> {
        let path = self.staging.join(format!("blob-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let file = File::options().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| Error::io("create", path.display(), error))?;
        Ok(BlobWriter { file, staged: Staged { path }, hasher: Hasher::new() })
    }

    /// Stores `bytes` and returns their digest.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.contains(&digest) {
            return Ok(digest);
        }
        let mut writer = self.writer()?;
        writer.write_all(bytes).map_err(|error| Error::io("write", digest, error))?;
        self.publish(writer.finish()?)?;
        Ok(digest)
    }

    /// Stores all of `source`, which must be the blob `expected` of `size` bytes.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] naming both digests, [`Error::SizeMismatch`], [`Error::Io`]; nothing is stored then.
    pub fn put_expected(&self, source: impl Read, expected: &Digest, size: u64) -> Result<()> {
        let mut writer = self.writer()?;
        // One byte more than expected is enough to know that there is too much.
        io::copy(&mut source.take(size.saturating_add(1)), &mut writer)
            .map_err(|error| Error::io("store", expected, error))?;
        let blob = writer.finish()?;
        verify(&format!("blob {expected}"), expected, size, &blob.digest, blob.size)?;
        self.publish(blob)
    }

    /// Renames a staged blob into place and makes the name durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn publish(&self, blob: StagedBlob) -> Result<()> {
        let target = self.path(&blob.digest);
        fs::rename(&blob.staged.path, &target).map_err(|error| Error::io("rename", target.display(), error))?;
        sync_dir(&self.blobs)
    }

    /// The whole blob, verified, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::NoSuchBlob`], [`Error::TooLarge`], [`Error::DigestMismatch`], [`Error::Io`].
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let (file, actual) = self.open_file(digest)?;
        if actual > limit {
            return Err(Error::TooLarge { what: format!("blob {digest}"), actual, limit });
        }
        let mut bytes = Vec::with_capacity(actual as usize);
        VerifiedReader::new(file, *digest, actual)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io("read blob", digest, error))?;
        Ok(bytes)
    }

    /// A reader of the blob that fails at the end, instead of ending, if the content isn't what its name says.
    ///
    /// # Errors
    /// [`Error::NoSuchBlob`], [`Error::SizeMismatch`], [`Error::Io`].
    pub fn open_verified(&self, digest: &Digest, size: u64) -> Result<impl Read + use<>> {
        let (file, actual) = self.open_file(digest)?;
        if actual != size {
            return Err(Error::SizeMismatch { what: format!("blob {digest}"), expected: size, actual });
        }
        Ok(VerifiedReader::new(file, *digest, size))
    }

    /// The blob as a file, which whoever reads it must verify.
    ///
    /// # Errors
    /// [`Error::NoSuchBlob`], [`Error::Io`].
    pub(crate) fn file(&self, digest: &Digest) -> Result<(File, u64)> {
        self.open_file(digest)
    }

    fn open_file(&self, digest: &Digest) -> Result<(File, u64)> {
        let path = self.path(digest);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NoSuchBlob(*digest),
            _ => Error::io("open", path.display(), error),
        })?;
        let size = file.metadata().map_err(|error| Error::io("stat", path.display(), error))?.len();
        Ok((file, size))
    }

    /// Removes a blob; one that isn't there is no error.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove blob", digest, error)),
            _ => Ok(()),
        }
    }

    /// The digests of all blobs. Files with other names aren't the store's and are left out.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(&self) -> Result<Vec<Digest>> {
        let entries = fs::read_dir(&self.blobs).map_err(|error| Error::io("read", self.blobs.display(), error))?;
        let mut digests = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| Error::io("read", self.blobs.display(), error))?;
            if let Some(digest) = entry.file_name().to_str().and_then(|name| Digest::from_hex(name).ok()) {
                digests.push(digest);
            }
        }
        Ok(digests)
    }
}

/// Compares what a blob should be with what it is.
///
/// # Errors
/// [`Error::SizeMismatch`], [`Error::DigestMismatch`].
pub(crate) fn verify(what: &str, expected: &Digest, size: u64, digest: &Digest, actual: u64) -> Result<()> {
    if digest != expected {
        return Err(Error::DigestMismatch { what: what.to_owned(), expected: *expected, actual: *digest });
    }
    if size != actual {
        return Err(Error::SizeMismatch { what: what.to_owned(), expected: size, actual });
    }
    Ok(())
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    let handle = File::open(dir).map_err(|error| Error::io("open", dir.display(), error))?;
    handle.sync_all().map_err(|error| Error::io("sync", dir.display(), error))
}

/// A staging file, removed on drop unless it was renamed away.
pub(crate) struct Staged {
    path: PathBuf,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already if it was published; what a crash leaves is removed when the store is opened.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes one blob; its name is known at the end.
pub struct BlobWriter {
    file: File,
    staged: Staged,
    hasher: Hasher,
}

/// A whole blob on disk, not yet under its name.
pub(crate) struct StagedBlob {
    staged: Staged,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl StagedBlob {
    /// The content as a stream.
    pub(crate) fn open(&self) -> Result<File> {
        File::open(&self.staged.path).map_err(|error| Error::io("open", self.staged.path.display(), error))
    }

    /// The content, if it has at most `limit` bytes.
    pub(crate) fn read(&self, limit: u64) -> Result<Vec<u8>> {
        if self.size > limit {
            return Err(Error::TooLarge { what: format!("blob {}", self.digest), actual: self.size, limit });
        }
        fs::read(&self.staged.path).map_err(|error| Error::io("read", self.staged.path.display(), error))
    }
}

impl BlobWriter {
    /// How many bytes it has.
    pub(crate) fn size(&self) -> u64 {
        self.hasher.size()
    }

    /// Makes the content durable and computes its digest.
    pub(crate) fn finish(self) -> Result<StagedBlob> {
        self.file.sync_all().map_err(|error| Error::io("sync", self.staged.path.display(), error))?;
        let size = self.hasher.size();
        Ok(StagedBlob { staged: self.staged, digest: self.hasher.finish(), size })
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            // Who reads an archive through this writer would take it for the archive's own error.
            _ => Error::io("write", self.staged.path.display(), error).into(),
        })?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
