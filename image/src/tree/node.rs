//! One node of a tree: opened without following or touching it, then looked at, then read.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::root::link_target;
use super::{IdMap, attributes};
use crate::archive::{Entry, Kind};
use crate::error::{Error, Result};

/// The most names of one directory; they are sorted in memory.
const NAMES_LIMIT: usize = 1_000_000;

/// A file, directory or whatever else, held by a descriptor that can neither block nor wake a device.
pub(super) struct Node {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
}

impl Node {
    pub(super) fn new(fd: OwnedFd) -> Result<Node, Errno> {
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Node { fd, stat })
    }

    /// The child `name` of a directory; `None` if it is gone.
    pub(super) fn child(&self, name: &CStr) -> Result<Option<Node>, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Node::new(fd).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// What identifies a file that has several names; `None` if it has one.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        let shared = self.kind() != FileType::Directory && self.stat.st_nlink > 1;
        shared.then_some((self.stat.st_dev, self.stat.st_ino))
    }

    /// A directory's names, sorted.
    pub(super) fn names(&self, path: &[u8]) -> Result<Vec<CString>> {
        let failed = |error: Errno| Error::io("read", String::from_utf8_lossy(path), error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, c".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in Dir::new(fd).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_owned();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if names.len() >= NAMES_LIMIT {
                let what = "names in one directory";
                return Err(Error::LimitExceeded { what, limit: NAMES_LIMIT as u64 });
            }
            names.push(name);
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens the content of a regular file: of this very one, whatever has its name by now.
    pub(super) fn content(&self) -> Result<File, Errno> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(path.as_str(), flags, Mode::empty()).map(File::from)
    }

    /// As an archive's entry named `path`; `None` for sockets, which archives don't have.
    pub(super) fn entry(&self, path: &[u8], ids: &IdMap) -> Result<Option<Entry>, Errno> {
        let stat = &self.stat;
        let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = match self.kind() {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File(u64::try_from(stat.st_size).unwrap_or(0)),
            FileType::Symlink => Kind::Symlink(link_target(&self.fd)?.unwrap_or_default()),
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharDevice(device.0, device.1),
            FileType::BlockDevice => Kind::BlockDevice(device.0, device.1),
            FileType::Socket | FileType::Unknown => return Ok(None),
        };
        let mut path = path.to_vec();
        if kind == Kind::Directory {
            path.push(b'/');
        }
        let (uid, gid) = ids.inside((stat.st_uid, stat.st_gid));
        // A symlink's own attributes are the host's business only.
        let xattrs = if matches!(kind, Kind::Symlink(_)) { Vec::new() } else { attributes::read(&self.fd)? };
        Ok(Some(Entry { path, kind, mode: stat.st_mode & 0o7777, uid, gid, mtime: (stat.st_mtime, 0), xattrs }))
    }
}
