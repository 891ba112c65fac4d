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

pub use changes::{Change, ChangeKind, changes};
pub use extract::{Conflicts, ExtractOptions, Extracted, Owner, Within, extract};
pub use ids::IdMap;
pub use layer::{Packed, layer};
pub use pack::{pack, pack_each};
pub use remove::remove;
pub use root::{PathStat, Root};

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
