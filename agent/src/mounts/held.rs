//! File systems that the agent itself mounts: volumes that are more than directories, images, parts of volumes.
//!
//! Each is mounted when the first container needs it and unmounted when the last one has ended. Who needs what is known from
//! the containers that run, so a daemon that was killed leaves nothing that the next one does not find: it holds what
//! running containers hold and unmounts the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::ContainerId;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::locks::Locks;
use crate::{Error, Result};

/// Mounts and those who hold them.
#[derive(Debug)]
pub struct HeldMounts {
    root: PathBuf,
    /// Never locked while anything is mounted: a server that does not answer holds up only those who want what is its own.
    holders: Mutex<BTreeMap<PathBuf, BTreeSet<String>>>,
    /// Held while something is mounted at a point or unmounted there; points are as the table of mounts has them.
    changing: Locks<PathBuf, Mutex<()>>,
}

impl HeldMounts {
    /// Mounts of images and parts of volumes are made in `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root, holders: Mutex::default(), changing: Locks::default() }
    }

    fn holders(&self) -> MutexGuard<'_, BTreeMap<PathBuf, BTreeSet<String>>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an image is mounted.
    pub fn image_point(&self, id: &str) -> PathBuf {
        self.root.join(format!("image-{}", id.trim_start_matches("sha256:")))
    }

    /// Where a container's part of a volume or image is mounted; `index` is the mount's number in its spec.
    pub fn part_point(&self, container: ContainerId, index: usize) -> PathBuf {
        self.root.join(format!("{container}-{index}"))
    }

    /// Has `point` mounted for `holder`: with `make` unless it is mounted already.
    ///
    /// # Errors
    /// Whatever `make` fails with; nobody holds it then.
    pub fn hold(&self, point: &Path, holder: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let changing = self.changing.of(listed(point));
        let _alone = changing.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is mounted is not looked into: its server may not answer.
        if !is_mounted(point)? {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(point);
            made.map_err(Error::io("make", point))?;
            make(point)?;
        }
        self.adopt(point, holder);
        Ok(())
    }

    /// Notes that a container of an earlier daemon's holds `point`, if it is mounted.
    pub fn adopt(&self, point: &Path, holder: &str) {
        self.holders().entry(point.to_path_buf()).or_default().insert(holder.to_owned());
    }

    /// Lets go of everything that `holder` has, and unmounts what nobody else has.
    pub fn release(&self, holder: &str) {
        let of_holder = |(point, by): (&PathBuf, &BTreeSet<String>)| by.contains(holder).then(|| point.clone());
        let points: Vec<PathBuf> = self.holders().iter().filter_map(of_holder).collect();
        for point in points {
            let changing = self.changing.of(listed(&point));
            let _alone = changing.lock().unwrap_or_else(PoisonError::into_inner);
            if self.let_go(&point, holder) {
                self.unmount(&point);
            }
        }
    }

    /// Whether nobody holds the point any more.
    fn let_go(&self, point: &Path, holder: &str) -> bool {
        let mut holders = self.holders();
        let Some(by) = holders.get_mut(point) else { return false };
        by.remove(holder);
        let last = by.is_empty();
        if last {
            holders.remove(point);
        }
        last
    }

    /// Unmounts what an earlier daemon has left mounted here or below `volumes`, and nobody holds.
    pub fn settle(&self, volumes: &Path) {
        for root in [self.root.as_path(), volumes] {
            for point in mounted_at(root).unwrap_or_default().into_iter().rev().filter(|point| *point != real(root)) {
                let changing = self.changing.of(point.clone());
                // Where it is being mounted there will be a holder in a moment.
                let Ok(_alone) = changing.try_lock() else { continue };
                if !self.holders().keys().any(|held| listed(held) == point) {
                    self.unmount(&point);
                }
            }
        }
    }

    fn unmount(&self, point: &Path) {
        // Containers have mounts of their own; a lazy unmount ends ours however busy the file system is.
        if let Err(errno) = umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            tracing::warn!(point = %point.display(), %errno, "a volume's file system stays mounted");
            return;
        }
        if point.starts_with(real(&self.root)) || point.starts_with(&self.root) {
            // Only an empty one goes: never what might still be mounted there.
            let _ = fs::remove_dir(point);
        }
    }
}

/// Unmounts everything at or below `dir`.
///
/// # Errors
/// If something stays mounted: removing the directory would remove what is on it.
pub fn unmount_all(dir: &Path) -> Result<()> {
    for point in mounted_at(dir)?.into_iter().rev() {
        umount2(&point, MntFlags::MNT_DETACH).map_err(Error::io("unmount", &point))?;
    }
    match mounted_at(dir)?.first() {
        None => Ok(()),
        Some(point) => Err(Error::io("unmount", point)(std::io::Error::from(std::io::ErrorKind::ResourceBusy))),
    }
}

/// What is mounted at `dir` or below it, in the order of mounting.
fn mounted_at(dir: &Path) -> Result<Vec<PathBuf>> {
    let dir = real(dir);
    Ok(mount_points()?.into_iter().filter(|point| point.starts_with(&dir)).collect())
}

/// Whether anything is mounted at this very place.
pub fn is_mounted(point: &Path) -> Result<bool> {
    let point = listed(point);
    Ok(mount_points()?.contains(&point))
}

/// Where things are mounted, in the order of mounting (proc_pid_mountinfo(5)).
fn mount_points() -> Result<Vec<PathBuf>> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    Ok(text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape).collect())
}

/// A mount point as the table of mounts has it. Only what is above it is looked up: what is mounted there may be of a server
/// that does not answer.
fn listed(point: &Path) -> PathBuf {
    match (point.parent(), point.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => point.to_path_buf(),
    }
}

/// A directory that is nobody's mount point, as the table of mounts has it.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Octal escapes of space, tab, newline and backslash.
fn unescape(field: &str) -> PathBuf {
    let mut text = field.to_owned();
    for (escape, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(escape, plain);
    }
    text.into()
}

/// Mounts the layers of an image, topmost first, to be read.
///
/// # Errors
/// If the kernel refuses, or there are more layers than one page of options names.
pub fn mount_layers(layers: &[PathBuf], point: &Path) -> Result<()> {
    let open = |path: &PathBuf| -> Result<OwnedFd> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(Error::io("open", path))
    };
    let fds = layers.iter().map(open).collect::<Result<Vec<_>>>()?;
    let failed = Error::io("mount the image at", point);
    if let [only] = fds.as_slice() {
        attach(only, point)?;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        return mount(None::<&str>, point, None::<&str>, flags, None::<&str>).map_err(failed);
    }
    let names: Vec<String> = fds.iter().map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd())).collect();
    let options = format!("lowerdir={}", names.join(":"));
    mount(Some("overlay"), point, Some("overlay"), MsFlags::MS_RDONLY, Some(options.as_str())).map_err(failed)
}

/// Mounts at `point` what `dir` is open on, whatever its path leads to by now.
///
/// # Errors
/// If the kernel refuses.
pub fn attach(dir: &OwnedFd, point: &Path) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(dir, "", flags).map_err(Error::io("copy the mount for", point))?;
    move_mount(&tree, "", rustix::fs::CWD, point, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(Error::io("mount on", point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_with_odd_names() {
        assert_eq!(unescape("/a\\040b\\134c"), Path::new("/a b\\c"));
    }
}
