//! Trees that are copied from and to: the client's context, and the merged view of layers.

use std::io::Read;

use super::archive::hash;
use crate::archive::Kind;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::links::{Stop, follow};
use crate::rootfs::{Found, MergedDir, MergedRoot};
use crate::tree::describe;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Seen {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File(_))
    }
}

/// A tree of files. Paths have no slash at either end and no `.` or `..`; the root is empty. No link is followed.
pub trait Files {
    /// What is at `path`, if anything.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn look(&self, path: &[u8]) -> Result<Option<Seen>>;

    /// The names in a directory, sorted; none in anything else.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// The content of a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::NotFoundInRootfs`].
    fn open(&self, path: &[u8]) -> Result<Box<dyn Read + '_>>;

    /// The digest of a file's content.
    ///
    /// # Errors
    /// As [`Files::open`].
    fn digest(&self, path: &[u8]) -> Result<Digest> {
        hash(self.open(path)?).map_err(|error| Error::io("read", String::from_utf8_lossy(path), error))
    }
}

/// Where `path` leads when every link in it is followed inside the tree, as far as it exists: what is missing is appended as
/// it is. With `last`, a link at the end is followed too.
///
/// # Errors
/// [`Error::Rootfs`] for loops; [`Error::Io`].
pub fn resolve(files: &dyn Files, path: &[u8], last: bool) -> Result<Vec<u8>> {
    let link = |here: &[u8]| match files.look(here)? {
        Some(Seen { kind: Kind::Symlink(target), .. }) => Ok(Some(target)),
        _ => Ok(None),
    };
    follow(path, last, link).map_err(|stop| match stop {
        Stop::Failed(error) => error,
        Stop::TooMany => {
            let path = String::from_utf8_lossy(path).into_owned();
            Error::Rootfs { path, reason: "too many levels of symlinks".to_owned() }
        }
    })
}

/// Whether the directory `path`, links followed, is there.
///
/// # Errors
/// As [`resolve`].
pub fn exists(files: &dyn Files, path: &[u8]) -> Result<bool> {
    Ok(files.look(&resolve(files, path, true)?)?.is_some_and(|seen| seen.is_dir()))
}

impl MergedRoot {
    fn find(&self, path: &[u8]) -> Result<Option<Found>> {
        if self.is_empty() {
            return Ok(None);
        }
        let shown = String::from_utf8_lossy(path);
        let mut found = Found::Dir(MergedDir::root(self.layers())?);
        for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            let Found::Dir(dir) = &found else { return Ok(None) };
            match dir.lookup(part, &shown)? {
                Some(next) => found = next,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}

impl Files for MergedRoot {
    fn look(&self, path: &[u8]) -> Result<Option<Seen>> {
        let shown = String::from_utf8_lossy(path);
        let entry = match self.find(path)? {
            None if path.is_empty() => return Ok(Some(empty_root())),
            None => return Ok(None),
            Some(Found::Dir(dir)) => describe(dir.open_path(&shown)?, path)?,
            Some(Found::Leaf(leaf)) => describe(leaf.open_path(&shown)?, path)?,
        };
        Ok(entry.map(|entry| Seen {
            kind: entry.kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime.0,
            xattrs: entry.xattrs,
        }))
    }

    fn names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let Some(Found::Dir(dir)) = self.find(path)? else { return Ok(Vec::new()) };
        let shown = String::from_utf8_lossy(path);
        let mut names = Vec::new();
        for name in dir.names(&shown)? {
            if dir.lookup(&name, &shown)?.is_some() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, path: &[u8]) -> Result<Box<dyn Read + '_>> {
        let shown = String::from_utf8_lossy(path);
        match self.find(path)? {
            Some(Found::Leaf(leaf)) => Ok(Box::new(crate::tree::content(leaf.open_path(&shown)?, path)?)),
            _ => Err(Error::NotFoundInRootfs { path: shown.into_owned() }),
        }
    }
}

/// The root of no layers at all.
fn empty_root() -> Seen {
    Seen { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new() }
}
