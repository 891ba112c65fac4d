//! The namespaces that a container joins, among those of all others.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{Result, ShimError};

/// Unmounts the directories in which namespaces are bound, in the shim's own mount namespace, and binds those that this
/// container joins again at their places. What the shim and the runtime do with the table of mounts then costs the same
/// whatever runs beside it.
///
/// # Errors
/// A namespace that is not there, or what the kernel refuses.
pub fn forget_others<'a>(dirs: &[PathBuf], joined: impl Iterator<Item = &'a Path>) -> Result<()> {
    let is_in = |path: &Path| dirs.iter().position(|dir| path.parent() == Some(dir));
    let mut kept = Vec::new();
    for (path, dir) in joined.filter_map(|path| Some((path, is_in(path)?))) {
        kept.push((path, dir, File::open(path).map_err(ShimError::io("open", path))?));
    }
    for (index, dir) in dirs.iter().enumerate() {
        match umount2(dir, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // It is not mounted: the namespaces of a node that was begun by an older daemon.
            Err(nix::Error::EINVAL | nix::Error::ENOENT) => continue,
            Err(errno) => return Err(ShimError::io("unmount", dir)(errno)),
        }
        for (path, _, namespace) in kept.iter().filter(|(_, place, _)| *place == index) {
            let source = format!("/proc/self/fd/{}", namespace.as_raw_fd());
            mount(Some(source.as_str()), *path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .map_err(|errno| ShimError::io("bind a namespace to", path)(errno))?;
        }
    }
    Ok(())
}
