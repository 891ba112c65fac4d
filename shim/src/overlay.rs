//! Mounting a snapshot with overlayfs.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use model::shim::Snapshot;
use nix::mount::{MsFlags, mount};
use rustix::fs::{Mode, OFlags};

use crate::error::{Result, ShimError};

/// overlayfs' own limit (OVL_MAX_STACK).
const MAX_LAYERS: usize = 500;

/// Mounts `snapshot` at `target`, which is made if it isn't there.
///
/// mount(2) takes one page of options, too little for the paths of many layers, and commas and colons in them would need
/// escaping. So every directory is opened and named by its number below `/proc/self/fd`: `lowerdir=5:6:7`.
///
/// # Errors
/// If there are no or too many layers, one is missing, or the kernel refuses.
pub fn mount_snapshot(snapshot: &Snapshot, target: &Path) -> Result<()> {
    if snapshot.lower.is_empty() || snapshot.lower.len() > MAX_LAYERS {
        return Err(ShimError::Layers(snapshot.lower.len()));
    }
    std::fs::create_dir_all(target).map_err(ShimError::io("make", target))?;
    let lower = snapshot.lower.iter().map(|path| open_directory(path)).collect::<Result<Vec<_>>>()?;
    let upper = open_directory(&snapshot.upper)?;
    let work = open_directory(&snapshot.work)?;
    let target_fd = open_directory(target)?;
    let layers: Vec<String> = lower.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
    // Layers must say all there is to know of their files: these are read without a mount, and made into images.
    let mut options = format!(
        "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off",
        layers.join(":"),
        upper.as_raw_fd(),
        work.as_raw_fd()
    );
    if snapshot.volatile {
        // Left by an earlier run; overlayfs refuses such a layer until somebody has said that it may be used.
        let _ = std::fs::remove_dir_all(snapshot.work.join("work/incompat/volatile"));
        options.push_str(",volatile");
    }
    std::env::set_current_dir("/proc/self/fd").map_err(ShimError::io("enter", "/proc/self/fd"))?;
    let number = target_fd.as_raw_fd().to_string();
    let mounted = mount(Some("overlay"), number.as_str(), Some("overlay"), MsFlags::empty(), Some(options.as_str()));
    std::env::set_current_dir("/").map_err(ShimError::io("enter", "/"))?;
    mounted.map_err(|errno| ShimError::Overlay { path: target.to_owned(), source: errno.into() })
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(ShimError::io("open layer", path))
}
