//! The merged view of a stack of layers without a mount: what overlayfs would show, resolved by own code.
//!
//! Symlinks are resolved inside the merged tree, component by component; every step opens one name relative to a directory
//! descriptor with `O_NOFOLLOW`, so nothing in an image leads out of it.

mod copy;
mod merged;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::error::{Error, Result};
pub(crate) use merged::{Found, MergedDir};

/// The attribute by which overlayfs hides what lower layers have in a directory.
pub(crate) const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// Whether overlayfs takes this for a whiteout: a character device 0/0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// What a path in an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub is_dir: bool,
    pub is_file: bool,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// In bytes.
    pub size: u64,
}

/// A stack of unpacked layers, top first.
#[derive(Clone, Debug)]
pub struct MergedRoot {
    layers: Vec<PathBuf>,
}

impl MergedRoot {
    /// The merged view of `layers`, top first; a container's upper directory may be the first.
    pub fn new(layers: Vec<PathBuf>) -> MergedRoot {
        MergedRoot { layers }
    }

    /// Whether there are no layers.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    pub(crate) fn layers(&self) -> &[PathBuf] {
        &self.layers
    }

    /// The whole content of the regular file at `path` (symlinks followed inside the image), if it has at most `max_bytes`.
    ///
    /// # Errors
    /// [`Error::NotFoundInRootfs`], [`Error::TooLarge`], [`Error::Rootfs`] if it isn't a regular file, [`Error::Io`].
    pub fn read_file(&self, path: &str, max_bytes: u64) -> Result<Vec<u8>> {
        let Found::Leaf(leaf) = self.resolve(path)? else {
            return Err(Error::Rootfs { path: path.to_owned(), reason: "it is a directory".to_owned() });
        };
        if FileType::from_raw_mode(leaf.stat.st_mode) != FileType::RegularFile {
            return Err(Error::Rootfs { path: path.to_owned(), reason: "it is not a regular file".to_owned() });
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&leaf.dir, &leaf.name, flags, Mode::empty())
            .map_err(|error| Error::io("open", path, error))?;
        let mut bytes = Vec::new();
        File::from(fd)
            .take(max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| Error::io("read", path, error))?;
        if bytes.len() as u64 > max_bytes {
            let actual = u64::try_from(leaf.stat.st_size).unwrap_or(u64::MAX);
            return Err(Error::TooLarge { what: path.to_owned(), actual, limit: max_bytes });
        }
        Ok(bytes)
    }

    /// What is at `path`, symlinks followed inside the image; `None` if nothing is.
    ///
    /// # Errors
    /// [`Error::Rootfs`] for symlink loops, [`Error::Io`].
    pub fn metadata(&self, path: &str) -> Result<Option<Metadata>> {
        let stat = match self.resolve(path) {
            Ok(Found::Dir(dir)) => dir.stat(path)?,
            Ok(Found::Leaf(leaf)) => leaf.stat,
            Err(Error::NotFoundInRootfs { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        Ok(Some(Metadata {
            is_dir: kind == FileType::Directory,
            is_file: kind == FileType::RegularFile,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
        }))
    }

    /// The topmost directory at exactly `path`, no symlink followed, as overlayfs would show it.
    pub(crate) fn stat_dir(&self, path: &[u8]) -> Result<Option<Stat>> {
        if self.layers.is_empty() {
            return Ok(None);
        }
        let shown = String::from_utf8_lossy(path);
        let mut dir = MergedDir::root(&self.layers)?;
        for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            match dir.lookup(part, &shown)? {
                Some(Found::Dir(next)) => dir = next,
                _ => return Ok(None),
            }
        }
        dir.stat(&shown).map(Some)
    }

    fn resolve(&self, path: &str) -> Result<Found> {
        merged::resolve(&self.layers, path)
    }
}
