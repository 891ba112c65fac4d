//! What a container has changed: its upper directory against the layers below.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use super::layer::is_mount_point;
use super::node::Node;
use super::pack::{check_depth, failed};
use super::{Root, attributes};
use crate::error::Result;
use crate::rootfs::{Found, MergedDir, MergedRoot, is_whiteout};

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ChangeKind {
    /// It, or something in it, is another than below.
    Modified,
    /// It is not below.
    Added,
    /// It is only below.
    Deleted,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub kind: ChangeKind,
    /// Absolute, in the container.
    pub path: Vec<u8>,
}

/// Tells every difference between `upper` over `lower` (topmost first) and `lower` alone, sorted by name, a directory before
/// what is in it. Of a deleted directory only its own name is told, of an added one everything.
///
/// # Errors
/// [`crate::Error::Io`]; whatever `tell` fails with.
pub fn changes(upper: &Path, lower: &[PathBuf], tell: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
    let root = Node::new(Root::open(upper)?.node(b"")?).map_err(|error| failed(b"/", error))?;
    let below = MergedDir::root(lower)?;
    let mount_points = super::MOUNT_POINTS.iter().map(|path| path.to_vec()).collect();
    let mut diff = Diff { lower: MergedRoot::new(lower.to_vec()), mount_points, told: Vec::new(), tell };
    diff.directory(&root, Some(&below), false, &mut Vec::new(), 0)
}

struct Diff<'a> {
    lower: MergedRoot,
    mount_points: BTreeSet<Vec<u8>>,
    /// Directories above the present one that have been told already; one flag a level.
    told: Vec<bool>,
    tell: &'a mut dyn FnMut(Change) -> Result<()>,
}

impl Diff<'_> {
    /// The children of `dir` against `below`; with `opaque`, what is only below is deleted.
    fn directory(
        &mut self,
        dir: &Node,
        below: Option<&MergedDir>,
        opaque: bool,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<()> {
        check_depth(path, depth)?;
        let mut names: Vec<Vec<u8>> = dir.names(path)?.into_iter().map(|name| name.into_bytes()).collect();
        if let Some(below) = below.filter(|_| opaque) {
            names.extend(below.names(&String::from_utf8_lossy(path))?);
            names.sort_unstable();
            names.dedup();
        }
        for name in names {
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.child(dir, below, name, path, depth)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn child(
        &mut self,
        dir: &Node,
        below: Option<&MergedDir>,
        name: Vec<u8>,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<()> {
        let text = String::from_utf8_lossy(path).into_owned();
        let old = match below {
            Some(below) => below.lookup(&name, &text)?,
            None => None,
        };
        let name = std::ffi::CString::new(name).unwrap_or_default();
        let new = dir.child(&name).map_err(|error| failed(path, error))?;
        let Some(new) = new.filter(|new| !is_whiteout(&new.stat)) else {
            return if old.is_some() { self.say(ChangeKind::Deleted, path) } else { Ok(()) };
        };
        if is_mount_point(&new, path, &self.lower, &self.mount_points)? {
            return Ok(());
        }
        let is_dir = new.kind() == FileType::Directory;
        let opaque = is_dir && attributes::is_opaque(&new.fd).map_err(|error| failed(path, error))?;
        let kind = match &old {
            None => Some(ChangeKind::Added),
            Some(old) => differs(old, &new, &text)?.then_some(ChangeKind::Modified),
        };
        if let Some(kind) = kind {
            self.say(kind, path)?;
        }
        if is_dir {
            self.told.push(kind.is_some());
            let below = match &old {
                Some(Found::Dir(dir)) => Some(dir),
                _ => None,
            };
            self.directory(&new, below, opaque, path, depth + 1)?;
            self.told.pop();
        }
        Ok(())
    }

    /// Tells a change, and before it the directories above that weren't told: they have changed inside.
    fn say(&mut self, kind: ChangeKind, path: &[u8]) -> Result<()> {
        let mut ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        for told in &mut self.told {
            let Some(end) = ends.next() else { break };
            if !std::mem::replace(told, true) {
                (self.tell)(Change { kind: ChangeKind::Modified, path: absolute(&path[..end]) })?;
            }
        }
        (self.tell)(Change { kind, path: absolute(path) })
    }
}

fn absolute(path: &[u8]) -> Vec<u8> {
    [b"/", path].concat()
}

/// Docker's rule: kind, mode, owner, device and capabilities; of what is no directory also size and time.
fn differs(old: &Found, new: &Node, path: &str) -> Result<bool> {
    let (stat, fd): (Stat, OwnedFd) = match old {
        Found::Dir(dir) => {
            let stat = dir.stat(path)?;
            return Ok(differ(&stat, &new.stat));
        }
        Found::Leaf(leaf) => (leaf.stat, leaf.open_path(path)?),
    };
    if differ(&stat, &new.stat) || stat.st_size != new.stat.st_size {
        return Ok(true);
    }
    if (stat.st_mtime, stat.st_mtime_nsec) != (new.stat.st_mtime, new.stat.st_mtime_nsec) {
        return Ok(true);
    }
    if new.kind() != FileType::RegularFile {
        return Ok(false);
    }
    let read = |fd: &OwnedFd| attributes::read(fd).map_err(|error| failed(path.as_bytes(), error));
    Ok(read(&fd)? != read(&new.fd)?)
}

fn differ(old: &Stat, new: &Stat) -> bool {
    (old.st_mode, old.st_uid, old.st_gid, old.st_rdev) != (new.st_mode, new.st_uid, new.st_gid, new.st_rdev)
}
