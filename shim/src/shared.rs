//! The /dev/shm of another container: a file system of its own, which does not come with the IPC namespace.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use model::shim::SharedShm;
use nix::sched::{CloneFlags, setns};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::error::{Result, ShimError};

const SHM: &str = "/dev/shm";

/// Mounts the /dev/shm of the container of process `shared.pid` at `shared.target`, in the shim's own mount namespace.
///
/// A mount of another namespace can't be bound by its path, so a copy is taken over there and put down here.
///
/// # Errors
/// If the other container is gone or has no /dev/shm.
pub fn mount_shm(shared: &SharedShm) -> Result<()> {
    let path = format!("/proc/{}/ns/mnt", shared.pid);
    let theirs = File::open(&path).map_err(ShimError::io("open", &path))?;
    let own = File::open("/proc/self/ns/mnt").map_err(ShimError::io("open", "/proc/self/ns/mnt"))?;
    std::fs::create_dir_all(&shared.target).map_err(ShimError::io("make", &shared.target))?;
    setns(theirs.as_fd(), CloneFlags::CLONE_NEWNS).map_err(ShimError::system("enter the other mount namespace"))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let tree = open_tree(rustix::fs::CWD, SHM, flags);
    setns(own.as_fd(), CloneFlags::CLONE_NEWNS).map_err(ShimError::system("return to the own mount namespace"))?;
    let tree = tree.map_err(ShimError::io("take the other container's", Path::new(SHM)))?;
    let into = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&tree, "", rustix::fs::CWD, &shared.target, into).map_err(ShimError::io("mount", &shared.target))
}
