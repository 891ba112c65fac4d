//! A tree into an archive.

use std::collections::HashMap;
use std::io::Write;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::node::Node;
use super::{IdMap, Packed, Root};
use crate::archive::{Kind, TarWriter};
use crate::error::{Error, Result};

/// The deepest tree, in directories: each costs a descriptor while it is read.
const DEPTH_LIMIT: usize = 512;
/// Files with several names that are remembered; further ones are stored once a name, which is whole, only larger.
const LINKS_LIMIT: usize = 200_000;

/// Writes what is at `path` below `root` as an archive whose first entry is named `name`; a directory's entries begin with
/// that name. `.` stands for what is in a directory; without a name there is no entry for the directory itself. The last component of `path` is not followed, unless it ends with a
/// slash or a dot.
///
/// # Errors
/// [`Error::NoSuchPath`], [`Error::Io`], [`Error::LimitExceeded`].
pub fn pack(root: &Root, path: &[u8], name: &[u8], ids: &IdMap, out: impl Write) -> Result<Packed> {
    let node = Node::new(root.node(path)?).map_err(|error| failed(path, error))?;
    let mut packer = Packer::new(ids, out);
    packer.tree(&node, &mut name.to_vec(), 0)?;
    packer.finish()
}

/// Writes these files, symlinks and directories, each without what is in it, as an archive: what is at a path below `root`
/// under its name there. What has gone meanwhile is left out, as is what is neither of the three.
///
/// # Errors
/// [`Error::Io`].
pub fn pack_each<'p>(
    root: &Root,
    entries: impl IntoIterator<Item = (&'p [u8], &'p [u8])>,
    ids: &IdMap,
    out: impl Write,
) -> Result<Packed> {
    let mut packer = Packer::new(ids, out);
    for (path, name) in entries {
        let node = match root.node(path) {
            Err(Error::NoSuchPath { .. }) => continue,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotADirectory => continue,
            node => Node::new(node?).map_err(|error| failed(path, error))?,
        };
        if matches!(node.kind(), FileType::RegularFile | FileType::Symlink | FileType::Directory) {
            packer.put(&node, name)?;
        }
    }
    packer.finish()
}

/// Writes nodes one after the other.
pub(super) struct Packer<'a, W> {
    pub(super) tar: TarWriter<W>,
    ids: &'a IdMap,
    /// Files with several names: device and inode, and the first name.
    links: HashMap<(u64, u64), Vec<u8>>,
    pub(super) packed: Packed,
    /// No file is younger.
    pub(super) newest: Option<i64>,
}

impl<'a, W: Write> Packer<'a, W> {
    pub(super) fn new(ids: &'a IdMap, out: W) -> Packer<'a, W> {
        Packer { tar: TarWriter::new(out), ids, links: HashMap::new(), packed: Packed::default(), newest: None }
    }

    pub(super) fn finish(self) -> Result<Packed> {
        self.tar.finish()?;
        Ok(self.packed)
    }

    fn tree(&mut self, node: &Node, path: &mut Vec<u8>, depth: usize) -> Result<()> {
        if !path.is_empty() {
            self.put(node, path)?;
        }
        if node.kind() != FileType::Directory {
            return Ok(());
        }
        check_depth(path, depth)?;
        for name in node.names(path)? {
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            // What is gone by now was not there when the directory is looked at again.
            if let Some(child) = node.child(&name).map_err(|error| failed(path, error))? {
                self.tree(&child, path, depth + 1)?;
            }
            path.truncate(length);
        }
        Ok(())
    }

    /// Writes one node, without what is in it.
    pub(super) fn put(&mut self, node: &Node, path: &[u8]) -> Result<()> {
        let failed = |error| failed(path, error);
        let Some(mut entry) = node.entry(path, self.ids).map_err(failed)? else {
            self.packed.sockets += 1;
            return Ok(());
        };
        self.packed.entries += 1;
        if let Some(newest) = self.newest {
            entry.mtime.0 = entry.mtime.0.min(newest);
        }
        if let Some(identity) = node.identity() {
            if let Some(first) = self.links.get(&identity) {
                entry.kind = Kind::HardLink(first.clone());
                entry.xattrs.clear();
                return self.tar.entry(&entry);
            }
            if self.links.len() < LINKS_LIMIT {
                self.links.insert(identity, path.to_vec());
            }
        }
        let Kind::File(size) = entry.kind else { return self.tar.entry(&entry) };
        let mut content = node.content().map_err(failed)?;
        self.tar.entry(&entry)?;
        self.packed.bytes += size;
        self.tar.content(path, &mut content, size)
    }
}

pub(super) fn check_depth(path: &[u8], depth: usize) -> Result<()> {
    if depth < DEPTH_LIMIT {
        return Ok(());
    }
    let start = String::from_utf8_lossy(&path[..path.len().min(64)]).into_owned();
    Err(Error::Rootfs { path: start, reason: format!("it is deeper than {DEPTH_LIMIT} directories") })
}

pub(super) fn failed(path: &[u8], error: Errno) -> Error {
    Error::io("read", String::from_utf8_lossy(path), error)
}
