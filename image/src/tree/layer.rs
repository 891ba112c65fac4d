//! An overlayfs upper directory as an image layer: overlayfs's whiteouts and opaque directories turned into those of the
//! OCI image specification ("Layer").

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::node::Node;
use super::pack::{Packer, check_depth, failed};
use super::{IdMap, MOUNT_POINTS, Root, attributes};
use crate::archive::{Entry, Kind};
use crate::error::{Error, Result};
use crate::rootfs::{MergedRoot, is_whiteout};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What went into an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Packed {
    /// Entries, whiteouts included.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Sockets that were left out: archives don't have them.
    pub sockets: u64,
}

/// What a layer leaves out and levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerRules {
    /// Paths that are there only because something was mounted on them, without slashes at their ends.
    pub mount_points: Vec<Vec<u8>>,
    /// No file is younger than so many seconds since the epoch.
    pub newest: Option<i64>,
}

/// Writes the upper directory of a container over `lower` (topmost first) as a layer. Mount points that the runtime itself
/// has made are no part of it.
///
/// # Errors
/// [`Error::InvalidEntry`] for a device that no image may have or a name that means a whiteout; [`Error::Io`].
pub fn layer(upper: &Path, lower: &[PathBuf], ids: &IdMap, rules: &LayerRules, out: impl Write) -> Result<Packed> {
    let root = Node::new(Root::open(upper)?.node(b"")?).map_err(|error| failed(b"/", error))?;
    let mut packer = Packer::new(ids, out);
    packer.newest = rules.newest;
    let mut own: BTreeSet<Vec<u8>> = MOUNT_POINTS.iter().map(|path| path.to_vec()).collect();
    for path in &rules.mount_points {
        let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|part| !part.is_empty()).collect();
        own.extend((1..=parts.len()).map(|depth| parts[..depth].join(&b'/')));
    }
    let mut writer = Layer { packer, lower: MergedRoot::new(lower.to_vec()), mount_points: own };
    writer.contents(&root, &mut Vec::new(), 0)?;
    writer.packer.finish()
}

/// Whether a node of an upper directory is there only because the runtime needed something to mount on.
pub(super) fn is_mount_point(node: &Node, path: &[u8], lower: &MergedRoot, known: &BTreeSet<Vec<u8>>) -> Result<bool> {
    if !known.contains(path) {
        return Ok(false);
    }
    let empty = match node.kind() {
        FileType::RegularFile => node.stat.st_size == 0,
        FileType::Directory => {
            let own = |name: &std::ffi::CStr| [path, b"/", name.to_bytes()].concat();
            node.names(path)?.iter().all(|name| known.contains(&own(name)))
        }
        _ => false,
    };
    Ok(empty && lower.metadata(&String::from_utf8_lossy(path))?.is_none())
}

struct Layer<'a, W> {
    packer: Packer<'a, W>,
    lower: MergedRoot,
    mount_points: BTreeSet<Vec<u8>>,
}

impl<W: Write> Layer<'_, W> {
    fn contents(&mut self, dir: &Node, path: &mut Vec<u8>, depth: usize) -> Result<()> {
        check_depth(path, depth)?;
        for name in dir.names(path)? {
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            if let Some(node) = dir.child(&name).map_err(|error| failed(path, error))? {
                self.node(&node, path, depth)?;
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, path: &mut Vec<u8>, depth: usize) -> Result<()> {
        let start = path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        if is_whiteout(&node.stat) {
            let whiteout = [&path[..start], WHITEOUT, &path[start..]].concat();
            return self.marker(whiteout);
        }
        if path[start..].starts_with(WHITEOUT) {
            return Err(Error::entry(path, "names that begin with .wh. mean deletions in a layer: rename it"));
        }
        if is_mount_point(node, path, &self.lower, &self.mount_points)? {
            return Ok(());
        }
        let refused = node.entry(path, &IdMap::default()).map_err(|error| failed(path, error))?;
        if refused.is_some_and(|entry| entry.kind.is_refused_device()) {
            return Err(Error::entry(path, "it is a device node, which an image may not have: remove it"));
        }
        self.packer.put(node, path)?;
        if node.kind() != FileType::Directory {
            return Ok(());
        }
        if attributes::is_opaque(&node.fd).map_err(|error| failed(path, error))? {
            self.marker([path.as_slice(), b"/", OPAQUE].concat())?;
        }
        self.contents(node, path, depth + 1)
    }

    /// An empty file whose name says what is deleted.
    fn marker(&mut self, path: Vec<u8>) -> Result<()> {
        self.packer.packed.entries += 1;
        let entry = Entry { path, kind: Kind::File(0), mode: 0, uid: 0, gid: 0, mtime: (0, 0), xattrs: Vec::new() };
        self.packer.tar.entry(&entry)
    }
}
