//! Removing trees that came from archives: never through symlinks, and of any depth.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Below this depth, directories are first moved up, so that descriptors and stack stay bounded.
const MAX_OPEN: usize = 32;

/// Removes the directory `path` and all in it; one that isn't there is no error.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|error| Error::io("remove", path.display(), std::io::Error::other(error)))?;
    remove_at(CWD, &name).map_err(|error| Error::io("remove", path.display(), error))
}

/// Removes `name` in `parent`, whatever it is.
pub(crate) fn remove_at(parent: impl AsFd, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let top = open_dir(&parent, name)?;
    let mut moved = 0;
    // Each pass may move deep directories up to the top, where the next pass finds them.
    loop {
        let before = moved;
        empty_dir(&top, &top, 1, &mut moved)?;
        if moved == before {
            break;
        }
    }
    rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)
}

fn open_dir(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(
        parent,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn empty_dir(dir: &OwnedFd, top: &OwnedFd, depth: usize, moved: &mut u64) -> Result<(), Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    for (name, kind) in names {
        if kind != FileType::Directory {
            match rustix::fs::unlinkat(dir, &name, AtFlags::empty()) {
                Ok(()) => continue,
                // A file system that tells no types.
                Err(Errno::ISDIR) => {}
                Err(error) => return Err(error),
            }
        }
        if depth >= MAX_OPEN {
            move_up(dir, &name, top, moved)?;
            continue;
        }
        let below = open_dir(dir, &name)?;
        empty_dir(&below, top, depth + 1, moved)?;
        drop(below);
        rustix::fs::unlinkat(dir, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn move_up(dir: &OwnedFd, name: &CStr, top: &OwnedFd, moved: &mut u64) -> Result<(), Errno> {
    loop {
        *moved += 1;
        let target = format!(".moved-up-{moved}");
        match rustix::fs::renameat_with(dir, name, top, target.as_str(), rustix::fs::RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            other => return other,
        }
    }
}
