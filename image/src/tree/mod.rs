//! File trees that somebody else may change meanwhile, as archives: a container's files while it runs.
//!
//! Whoever owns the tree may swap a directory for a link between any two steps. So every path is resolved by the kernel
//! below one directory that was opened once (`openat2`, `RESOLVE_IN_ROOT`), every node is opened without following it and
//! looked at before it is read, and everything is done to descriptors, never to paths.
//!
//! - [`Root`]: a directory that nothing leads out of · [`pack`]: a tree into an archive · [`extract`]: an archive into a tree
//! - [`layer`]: an overlayfs upper directory as an image layer · [`changes`]: what differs from the layers below

mod attributes;
mod changes;
mod extract;
mod ids;
mod layer;
mod node;
mod pack;
mod remove;
mod root;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::archive::Entry;
use crate::error::Result;

pub use changes::{Change, ChangeKind, changes};
pub use extract::{Conflicts, ExtractOptions, Extracted, Owner, Within, extract};
pub use ids::IdMap;
pub use layer::{LayerRules, Packed, layer};
pub use pack::{pack, pack_each};
pub use remove::remove;
pub use root::{PathStat, Root};

/// What a descriptor opened with `O_PATH` is, as an archive's entry named `path`; `None` for a socket.
pub(crate) fn describe(fd: OwnedFd, path: &[u8]) -> Result<Option<Entry>> {
    let failed = |error| pack::failed(path, error);
    let node = node::Node::new(fd).map_err(failed)?;
    node.entry(path, &IdMap::default()).map_err(failed)
}

/// The content of a regular file that was opened with `O_PATH`.
pub(crate) fn content(fd: OwnedFd, path: &[u8]) -> Result<File> {
    let failed = |error| pack::failed(path, error);
    node::Node::new(fd).and_then(|node| node.content()).map_err(failed)
}

/// Files that the runtime puts into every container's own layer to mount on: they are nobody's change.
const MOUNT_POINTS: [&[u8]; 11] = [
    b"dev",
    b"dev/console",
    b"dev/mqueue",
    b"dev/pts",
    b"dev/shm",
    b"etc/hostname",
    b"etc/hosts",
    b"etc/resolv.conf",
    b"proc",
    b"sys",
    b"sys/fs/cgroup",
];
