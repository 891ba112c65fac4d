//! A directory that nothing leads out of, and lookups in it.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::links;

/// How often a lookup is tried again that a rename elsewhere on the machine has disturbed (openat2(2), EAGAIN).
const ATTEMPTS: usize = 1000;

/// The root of a file tree.
#[derive(Debug)]
pub struct Root(OwnedFd);

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Bytes of a file.
    pub size: u64,
    /// Kind and permission bits, as stat(2) has them.
    pub mode: u32,
    /// Nanoseconds since the epoch.
    pub modified: i64,
    /// Where a symlink leads in the end, as an absolute path in the tree; as far as it could be followed.
    pub target: Option<Vec<u8>>,
}

impl Root {
    /// The tree below the directory that `dir` is open on.
    pub fn new(dir: OwnedFd) -> Root {
        Root(dir)
    }

    /// The tree below the directory at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if it isn't a directory.
    pub fn open(path: &Path) -> Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty());
        fd.map(Root).map_err(|error| Error::io("open", path.display(), error))
    }

    /// Opens `path`, which may begin with a slash. Whatever its links say, it is below this root.
    pub(super) fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        resolve_at(&self.0, path, flags, within)
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.0
    }

    /// What is at `path`; the last component is not followed unless a slash or a dot comes after it.
    ///
    /// # Errors
    /// [`Error::NoSuchPath`], [`Error::Io`].
    pub fn stat(&self, path: &[u8]) -> Result<PathStat> {
        let node = self.node(path)?;
        let stat = rustix::fs::fstat(&node).map_err(|error| failed("stat", path, error))?;
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        Ok(PathStat {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode,
            modified: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec as i64),
            target: is_link.then(|| self.follow(path)),
        })
    }

    /// Opens what is at `path` without following or touching it.
    pub(super) fn node(&self, path: &[u8]) -> Result<OwnedFd> {
        self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW).map_err(|error| failed("open", path, error))
    }

    /// Where `path` leads, as text. Only a hint to the caller, who resolves it again: the tree may have changed by then.
    fn follow(&self, path: &[u8]) -> Vec<u8> {
        let link = |here: &[u8]| -> Result<Option<Vec<u8>>, Infallible> {
            let node = self.resolve(here, OFlags::PATH | OFlags::NOFOLLOW);
            Ok(node.and_then(|node| link_target(&node)).ok().flatten())
        };
        let led = links::follow(path, true, link);
        let led = led.unwrap_or_else(|_| path.strip_prefix(b"/").unwrap_or(path).to_vec());
        [b"/".to_vec(), led].concat()
    }
}

/// Opens `path` below `root` by these rules, again where the kernel asks for that.
pub(super) fn resolve_at(root: impl AsFd, path: &[u8], flags: OFlags, rules: ResolveFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    for _ in 0..ATTEMPTS {
        match rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), rules) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// Where a node that was opened with `O_PATH` leads, if it is a symlink.
pub(super) fn link_target(node: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
    let stat: Stat = rustix::fs::fstat(node)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    rustix::fs::readlinkat(node, c"", Vec::new()).map(|target| Some(target.into_bytes()))
}

/// Whether `name` in `dir` exists, and what it is.
pub(super) fn stat_at(dir: &OwnedFd, name: &std::ffi::CStr) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(action: &'static str, path: &[u8], error: Errno) -> Error {
    let text = String::from_utf8_lossy(path).into_owned();
    match error {
        Errno::NOENT => Error::NoSuchPath { path: text },
        other => Error::io(action, text, other),
    }
}
