//! Where an archive entry goes: its name made safe, and its parent directory opened inside the snapshot's root.
//!
//! Symlinks in parents are followed by the kernel as if the root were `/` (`openat2`, `RESOLVE_IN_ROOT`), so neither they
//! nor absolute names lead out. The last component is never followed.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use crate::archive::{DEPTH_LIMIT, PATH_LIMIT};
use crate::error::{Error, Result};
use crate::rootfs::MergedRoot;

/// Splits an entry's name into components; empty ones and `.` fall away, so `/etc` is `etc`. The root has none.
///
/// # Errors
/// [`Error::InvalidEntry`] for `..`, NUL, and names that are too long or too deep.
pub(crate) fn components(path: &[u8]) -> Result<Vec<&[u8]>> {
    if path.len() > PATH_LIMIT || path.contains(&0) {
        return Err(Error::entry(path, "its name is too long or has a NUL"));
    }
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&&b".."[..]) {
        return Err(Error::entry(path, "its name has \"..\""));
    }
    if parts.len() > DEPTH_LIMIT {
        return Err(Error::entry(path, format!("its name has more than {DEPTH_LIMIT} components")));
    }
    Ok(parts)
}

pub(crate) fn c_string(name: &[u8]) -> Result<CString> {
    CString::new(name).map_err(|_| Error::entry(name, "its name has a NUL"))
}

/// Opens directories below one root, making those that the archive left out.
pub(super) struct Placer {
    root: OwnedFd,
    below: MergedRoot,
    /// The last parent: entries mostly come directory by directory.
    cached: Option<(Vec<u8>, OwnedFd)>,
}

impl Placer {
    pub(super) fn new(root: OwnedFd, parents: &[PathBuf]) -> Placer {
        Placer { root, below: MergedRoot::new(parents.to_vec()), cached: None }
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Must be called when an existing name is replaced: the cached directory may be another one now.
    pub(super) fn forget(&mut self) {
        self.cached = None;
    }

    /// The directory `parts`, made with its parents where it is missing.
    pub(super) fn parent(&mut self, entry: &[u8], parts: &[&[u8]]) -> Result<&OwnedFd> {
        if parts.is_empty() {
            return Ok(&self.root);
        }
        let path = parts.join(&b'/');
        let hit = self.cached.as_ref().is_some_and(|(cached, _)| *cached == path);
        if !hit {
            let fd = match self.open(&path) {
                Err(Errno::NOENT) => self.make_parents(entry, parts)?,
                opened => opened.map_err(|error| escape(entry, error))?,
            };
            self.cached = Some((path, fd));
        }
        Ok(self.cached.as_ref().map_or(&self.root, |(_, fd)| fd))
    }

    /// The existing directory `parts`, for the target of a hard link.
    pub(super) fn existing(&self, entry: &[u8], parts: &[&[u8]]) -> Result<OwnedFd> {
        let path = if parts.is_empty() { b".".to_vec() } else { parts.join(&b'/') };
        self.open(&path).map_err(|error| escape(entry, error))
    }

    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        rustix::fs::openat2(
            &self.root,
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }

    fn make_parents(&self, entry: &[u8], parts: &[&[u8]]) -> Result<OwnedFd> {
        let mut current = self.open(b".").map_err(|error| escape(entry, error))?;
        for depth in 1..=parts.len() {
            let path = parts[..depth].join(&b'/');
            current = match self.open(&path) {
                Err(Errno::NOENT) => {
                    let name = c_string(parts[depth - 1])?;
                    match rustix::fs::mkdirat(&current, &name, Mode::from_raw_mode(0o755)) {
                        Ok(()) => {}
                        Err(Errno::EXIST) => {
                            return Err(Error::entry(entry, "a parent is a symlink that leads nowhere"));
                        }
                        Err(error) => {
                            return Err(Error::io("create a parent of", String::from_utf8_lossy(entry), error));
                        }
                    }
                    let made = self.open(&path).map_err(|error| escape(entry, error))?;
                    self.copy_owner_and_mode(&path, &made)?;
                    made
                }
                opened => opened.map_err(|error| escape(entry, error))?,
            };
        }
        Ok(current)
    }

    /// A directory that a layer only passes through keeps what the layers below say of it: overlayfs shows the topmost
    /// directory's metadata, and /tmp must stay 1777.
    fn copy_owner_and_mode(&self, path: &[u8], made: &OwnedFd) -> Result<()> {
        let (mut mode, mut uid, mut gid) = (0o755, 0, 0);
        if let Some(stat) = self.below.stat_dir(path)? {
            (mode, uid, gid) = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
        }
        rustix::fs::fchown(made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .and_then(|()| rustix::fs::fchmod(made, Mode::from_raw_mode(mode)))
            .map_err(|error| Error::io("set the owner of", String::from_utf8_lossy(path), error))
    }
}

/// Whether `name` in `dir` exists, and what it is.
pub(super) fn stat(dir: &OwnedFd, name: &CString) -> Result<Option<rustix::fs::Stat>, Errno> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn escape(entry: &[u8], error: Errno) -> Error {
    let reason = match error {
        Errno::NOTDIR => "a parent is not a directory".to_owned(),
        Errno::LOOP => "its parents are a loop of symlinks".to_owned(),
        Errno::XDEV => "its parents lead out of the image".to_owned(),
        Errno::NOENT => "its target's directory is not in the layer".to_owned(),
        other => format!("its parent can't be opened: {other}"),
    };
    Error::entry(entry, reason)
}
