//! Directories merged as overlayfs merges them, and path resolution in them.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{OPAQUE_XATTR, is_whiteout};
use crate::error::{Error, Result};
use crate::links::SYMLINK_LIMIT;

/// A directory as seen through the layers: the directories that make it up, top first. Never empty.
pub(crate) struct MergedDir {
    pub(super) fds: Vec<Rc<OwnedFd>>,
}

/// A name that is no directory, in the layer that provides it.
pub(crate) struct Leaf {
    pub(super) dir: Rc<OwnedFd>,
    pub(super) name: CString,
    pub(crate) stat: Stat,
}

impl Leaf {
    /// Opens it without following or touching it.
    pub(crate) fn open_path(&self, path: &str) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.dir.as_ref(), &self.name, flags, Mode::empty());
        fd.map_err(|error| Error::io("open", path, error))
    }
}

pub(crate) enum Found {
    Dir(MergedDir),
    Leaf(Leaf),
}

impl MergedDir {
    pub(crate) fn root(layers: &[PathBuf]) -> Result<MergedDir> {
        let mut fds = Vec::with_capacity(layers.len());
        for layer in layers {
            let fd = rustix::fs::openat(CWD, layer, dir_flags(), Mode::empty());
            let fd = fd.map_err(|error| Error::io("open", layer.display(), error))?;
            let opaque = is_opaque(&fd).map_err(|error| Error::io("read attributes of", layer.display(), error))?;
            fds.push(Rc::new(fd));
            if opaque {
                break;
            }
        }
        if fds.is_empty() {
            return Err(Error::NotFoundInRootfs { path: "/".to_owned() });
        }
        Ok(MergedDir { fds })
    }

    /// The topmost directory, opened without touching it.
    pub(crate) fn open_path(&self, path: &str) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.fds[0].as_ref(), c".", flags, Mode::empty());
        fd.map_err(|error| Error::io("open", path, error))
    }

    /// The metadata overlayfs shows: the topmost directory's.
    pub(crate) fn stat(&self, path: &str) -> Result<Stat> {
        rustix::fs::fstat(&self.fds[0]).map_err(|error| Error::io("stat", path, error))
    }

    /// `name` in this directory, no symlink followed.
    pub(crate) fn lookup(&self, name: &[u8], path: &str) -> Result<Option<Found>> {
        let failed = |error: Errno| Error::io("look up", path, error);
        let name = CString::new(name)
            .map_err(|_| Error::Rootfs { path: path.to_owned(), reason: "it has a NUL".to_owned() })?;
        let mut merged = Vec::new();
        for dir in &self.fds {
            let stat = match rustix::fs::statat(dir.as_ref(), &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(failed(error)),
            };
            if is_whiteout(&stat) {
                break;
            }
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                if merged.is_empty() {
                    return Ok(Some(Found::Leaf(Leaf { dir: Rc::clone(dir), name, stat })));
                }
                break;
            }
            let fd = rustix::fs::openat(dir.as_ref(), &name, dir_flags(), Mode::empty()).map_err(failed)?;
            let opaque = is_opaque(&fd).map_err(failed)?;
            merged.push(Rc::new(fd));
            if opaque {
                break;
            }
        }
        Ok(if merged.is_empty() { None } else { Some(Found::Dir(MergedDir { fds: merged })) })
    }

    /// All names, of all layers; some may be hidden by whiteouts, which [`MergedDir::lookup`] tells.
    pub(crate) fn names(&self, path: &str) -> Result<BTreeSet<Vec<u8>>> {
        let failed = |error: Errno| Error::io("read", path, error);
        let mut names = BTreeSet::new();
        for fd in &self.fds {
            for entry in Dir::read_from(fd.as_ref()).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name().to_bytes();
                if !matches!(name, b"." | b"..") {
                    names.insert(name.to_vec());
                }
            }
        }
        Ok(names)
    }
}

/// Resolves `path` from the root, following symlinks as a process with this root would.
pub(super) fn resolve(layers: &[PathBuf], path: &str) -> Result<Found> {
    let not_found = || Error::NotFoundInRootfs { path: path.to_owned() };
    let refused = |reason: &str| Error::Rootfs { path: path.to_owned(), reason: reason.to_owned() };
    let mut stack = vec![MergedDir::root(layers)?];
    let mut todo: Vec<Vec<u8>> = Vec::new();
    push_components(&mut todo, path.as_bytes());
    let mut symlinks = 0;
    while let Some(part) = todo.pop() {
        if part == b".." {
            if stack.len() > 1 {
                stack.pop();
            }
            continue;
        }
        let current = stack.last().ok_or_else(not_found)?;
        match current.lookup(&part, path)?.ok_or_else(not_found)? {
            Found::Dir(dir) => stack.push(dir),
            Found::Leaf(leaf) if FileType::from_raw_mode(leaf.stat.st_mode) == FileType::Symlink => {
                symlinks += 1;
                if symlinks > SYMLINK_LIMIT {
                    return Err(refused("too many levels of symlinks"));
                }
                let target = rustix::fs::readlinkat(leaf.dir.as_ref(), &leaf.name, Vec::new());
                let target = target.map_err(|error| Error::io("read link", path, error))?;
                if target.to_bytes().starts_with(b"/") {
                    stack.truncate(1);
                }
                push_components(&mut todo, target.to_bytes());
            }
            Found::Leaf(leaf) if todo.is_empty() => return Ok(Found::Leaf(leaf)),
            Found::Leaf(_) => return Err(refused("a component of it is not a directory")),
        }
    }
    stack.pop().map(Found::Dir).ok_or_else(not_found)
}

/// Puts the components of `path` on top of `todo`, the first one last.
fn push_components(todo: &mut Vec<Vec<u8>>, path: &[u8]) {
    let parts = path.rsplit(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b"."));
    todo.extend(parts.map(<[u8]>::to_vec));
}

fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn is_opaque(fd: &OwnedFd) -> Result<bool, Errno> {
    let mut value = [0_u8; 8];
    match rustix::fs::fgetxattr(fd, OPAQUE_XATTR, &mut value[..]) {
        Ok(length) => Ok(value.get(..length) == Some(b"y")),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error),
    }
}
