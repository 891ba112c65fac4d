//! Mounts, and paths that are hidden or read-only.

use std::path::PathBuf;

use model::{IpcMode, MountSource, Propagation};
use oci_spec::runtime::{Mount, MountBuilder};

use super::Facts;
use crate::Result;

/// Docker's size of /dev/shm in bytes.
const SHM_SIZE: u64 = 64 << 20;

/// Something to mount, made ready by a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Absolute path in the container.
    pub target: String,
    /// `bind` or `tmpfs`.
    pub kind: &'static str,
    /// Path on the host, or `tmpfs`.
    pub source: PathBuf,
    /// As mount(8) takes them.
    pub options: Vec<String>,
}

/// Masked and read-only paths; none when all are to be visible.
pub fn hidden_paths(visible: bool) -> (Vec<String>, Vec<String>) {
    if visible {
        return (Vec::new(), Vec::new());
    }
    let owned = |paths: &[&str]| paths.iter().map(ToString::to_string).collect();
    (owned(&model::MASKED_PATHS), owned(&model::READ_ONLY_PATHS))
}

/// Whether mounts made below it are to be seen on the other side, so that the container's root must not be private.
pub fn is_shared(source: &MountSource) -> bool {
    let MountSource::Bind { propagation, .. } = source else { return false };
    matches!(propagation, Propagation::Shared | Propagation::Rshared | Propagation::Slave | Propagation::Rslave)
}

/// The kernel's file systems, then the container's own mounts, a parent before what lies in it. A mount of the user's
/// replaces one of the kernel's at the same place.
pub fn mounts(facts: &Facts<'_>) -> Result<Vec<Mount>> {
    let mut own: Vec<&MountPoint> = facts.mounts.iter().collect();
    own.sort_by_key(|mount| mount.target.split('/').filter(|part| !part.is_empty()).count());
    let replaced = |target: &str| own.iter().any(|mount| mount.target.trim_end_matches('/') == target);
    let mut mounts = Vec::new();
    for (target, kind, source, options) in kernel_mounts(facts) {
        if !replaced(target) {
            mounts.push(mount(target, kind, source, options)?);
        }
    }
    if !replaced(CGROUPS) {
        for (target, kind, source, options) in cgroup_mounts(facts) {
            mounts.push(mount(&target, kind, source, options)?);
        }
    }
    if facts.users.is_some() {
        let options = || ["bind", "nosuid", "noexec"].map(String::from).to_vec();
        for device in facts.devices {
            mounts.push(mount(&device.target, "bind", device.source.clone().into(), options())?);
        }
    }
    for point in own {
        mounts.push(mount(&point.target, point.kind, point.source.clone(), point.options.clone())?);
    }
    Ok(mounts)
}

fn mount(target: &str, kind: &str, source: PathBuf, options: Vec<String>) -> Result<Mount> {
    Ok(MountBuilder::default().destination(target).typ(kind).source(source).options(options).build()?)
}

type KernelMount = (&'static str, &'static str, PathBuf, Vec<String>);

fn kernel_mounts(facts: &Facts<'_>) -> Vec<KernelMount> {
    let access = if facts.spec.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        kernel_mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
        kernel_mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        kernel_mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        kernel_mount("/sys", "sysfs", "sysfs", &format!("nosuid,noexec,nodev,{access}")),
    ];
    mounts.extend(ipc_mounts(facts));
    mounts
}

/// Where programs look for the limits that they are under.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The container's cgroups. A v1 hierarchy mounted anew would be writable whatever its options say: there the container's
/// own directories are bound. They come to be with the container, so that they can't be staged for other users' containers,
/// which see none.
fn cgroup_mounts(facts: &Facts<'_>) -> Vec<(String, &'static str, PathBuf, Vec<String>)> {
    let access = if facts.spec.privileged { "rw" } else { "ro" };
    let options = |text: String| text.split(',').map(String::from).collect();
    let safe = "nosuid,noexec,nodev";
    if facts.host.unified_cgroups {
        return vec![(CGROUPS.into(), "cgroup", "cgroup".into(), options(format!("{safe},relatime,{access}")))];
    }
    let hierarchies = facts.host.cgroup_hierarchies.iter().filter(|_| facts.users.is_none());
    let below = facts.cgroup.strip_prefix("/").unwrap_or(facts.cgroup);
    let bind = |(name, point): (&String, &PathBuf)| {
        (format!("{CGROUPS}/{name}"), "bind", point.join(below), options(format!("bind,{safe},{access}")))
    };
    let binds: Vec<_> = hierarchies.map(bind).collect();
    if binds.is_empty() {
        return binds;
    }
    // With as many files as it needs: nothing can be made in it, though it must be writable until all is mounted.
    let directory = options(format!("{safe},mode=755,size=4k,nr_inodes={}", binds.len() + 1));
    [(CGROUPS.into(), "tmpfs", "tmpfs".into(), directory)].into_iter().chain(binds).collect()
}

fn kernel_mount(target: &'static str, kind: &'static str, source: &str, options: &str) -> KernelMount {
    (target, kind, source.into(), options.split(',').map(String::from).collect())
}

/// Message queues and shared memory, of which the latter is a file system of its own that does not go with the namespace.
fn ipc_mounts(facts: &Facts<'_>) -> Vec<KernelMount> {
    let queues = || kernel_mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
    match facts.spec.ipc {
        IpcMode::None => vec![queues()],
        IpcMode::Private | IpcMode::Shareable => {
            let size = facts.spec.shm_size.unwrap_or(SHM_SIZE);
            let options = format!("nosuid,noexec,nodev,mode=1777,size={size}");
            vec![queues(), kernel_mount("/dev/shm", "tmpfs", "shm", &options)]
        }
        IpcMode::Host => vec![
            // Whatever the host has at /dev/mqueue: the mount shows the queues of the namespace.
            queues(),
            kernel_mount("/dev/shm", "bind", "/dev/shm", "rbind,nosuid,noexec,nodev"),
        ],
        IpcMode::Container(_) => {
            let mut shm = kernel_mount("/dev/shm", "bind", "", "rbind,nosuid,noexec,nodev");
            shm.2 = facts.shm.into();
            vec![queues(), shm]
        }
    }
}
