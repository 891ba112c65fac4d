//! Mounting a snapshot with overlayfs.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use model::shim::Snapshot;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MoveMountFlags, move_mount};

use crate::error::{Result, ShimError};
use crate::users::Namespace;

/// overlayfs' own limit (OVL_MAX_STACK).
const MAX_LAYERS: usize = 500;

/// Mounts `snapshot` at `target`, which is made if it isn't there. The layers have the container's own ids: where those are
/// not the host's, they are shown through idmapped mounts. With `label` every file has that one.
///
/// mount(2) takes one page of options, too little for the paths of many layers, and commas and colons in them would need
/// escaping. So every directory is opened and named by its number below `/proc/self/fd`: `lowerdir=5:6:7`.
///
/// # Errors
/// If there are no or too many layers, one is missing, or the kernel refuses.
pub fn mount_snapshot(
    snapshot: &Snapshot,
    target: &Path,
    label: Option<&str>,
    users: Option<&Namespace<'_>>,
) -> Result<()> {
    if snapshot.lower.is_empty() || snapshot.lower.len() > MAX_LAYERS {
        return Err(ShimError::Layers(snapshot.lower.len()));
    }
    std::fs::create_dir_all(target).map_err(ShimError::io("make", target))?;
    if snapshot.volatile {
        // Left by an earlier run; overlayfs refuses such a layer until somebody has said that it may be used.
        let _ = std::fs::remove_dir_all(snapshot.work.join("work/incompat/volatile"));
    }
    let Some(users) = users else {
        return Layers {
            lower: snapshot.lower.iter().map(|path| open_directory(path)).collect::<Result<_>>()?,
            upper: open_directory(&snapshot.upper)?,
            work: open_directory(&snapshot.work)?,
        }
        .mount(target, label, snapshot.volatile);
    };
    let place = users.stage().join("layers");
    std::fs::create_dir_all(&place).map_err(ShimError::io("make", &place))?;
    let layers = Layers::idmapped(snapshot, users, &place)?;
    // overlayfs makes its own files as whoever has mounted it.
    let mounted = users.as_root(|| layers.mount(target, label, snapshot.volatile));
    // overlayfs has mounts of its own of them.
    for _ in 0..=snapshot.lower.len() {
        umount2(&place, MntFlags::MNT_DETACH).map_err(ShimError::io("unmount a layer at", &place))?;
    }
    mounted
}

/// Open directories.
struct Layers {
    lower: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
}

impl Layers {
    /// Idmapped mounts of the layers, one over the other at `place`: before Linux 6.15 overlayfs takes none that is mounted
    /// nowhere.
    fn idmapped(snapshot: &Snapshot, users: &Namespace<'_>, place: &Path) -> Result<Self> {
        let mapped = |path: &Path| {
            let tree = users.idmapped(path)?;
            move_mount(&tree, "", rustix::fs::CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(ShimError::io("mount a layer at", place))?;
            Ok(tree)
        };
        let lower = snapshot.lower.iter().map(|path| mapped(path)).collect::<Result<_>>()?;
        // Both must be of one mount.
        let own = snapshot.upper.parent().filter(|own| snapshot.work.parent() == Some(own));
        let own = mapped(own.ok_or_else(|| ShimError::Contradiction {
            key: "snapshot",
            spec: snapshot.upper.display().to_string(),
            config: snapshot.work.display().to_string(),
        })?)?;
        let within = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&own, name, flags, Mode::empty()).map_err(ShimError::io("open layer", path))
        };
        Ok(Self { lower, upper: within(&snapshot.upper)?, work: within(&snapshot.work)? })
    }

    fn mount(&self, target: &Path, label: Option<&str>, volatile: bool) -> Result<()> {
        let target_fd = open_directory(target)?;
        let lower: Vec<String> = self.lower.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
        // Layers must say all there is to know of their files: these are read without a mount, and made into images.
        let mut options = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off",
            lower.join(":"),
            self.upper.as_raw_fd(),
            self.work.as_raw_fd()
        );
        if volatile {
            options.push_str(",volatile");
        }
        if let Some(label) = label {
            // A label has commas of its own.
            options.push_str(&format!(",context=\"{label}\""));
        }
        std::env::set_current_dir("/proc/self/fd").map_err(ShimError::io("enter", "/proc/self/fd"))?;
        let number = target_fd.as_raw_fd().to_string();
        let flags = MsFlags::empty();
        let mounted = mount(Some("overlay"), number.as_str(), Some("overlay"), flags, Some(options.as_str()));
        std::env::set_current_dir("/").map_err(ShimError::io("enter", "/"))?;
        mounted.map_err(|errno| ShimError::Overlay { path: target.to_owned(), source: errno.into() })
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(ShimError::io("open layer", path))
}
