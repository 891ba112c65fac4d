//! The container's cgroups, on v1, hybrid and v2 hosts: what the shim does with them itself.
//!
//! libcontainer makes them and sets the limits. Freezing, signalling, reading ([`stats`]), removing ([`removal`]) and the
//! device filter of v2 ([`devices`]) are here, because libcontainer's removal is not recursive on v1, its statistics fail
//! whole when one file is missing, and its filter needs a C library.

mod devices;
mod removal;
mod stats;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::{Result, ShimError};

const ROOT: &str = "/sys/fs/cgroup";
const FREEZE_LIMIT: Duration = Duration::from_secs(2);

/// Which cgroups a host has. (cgroups(7))
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Version 2 only.
    Unified,
    /// Controllers on version 1, perhaps with an empty version 2 hierarchy beside them.
    Hybrid,
}

/// One container's directories in all hierarchies.
#[derive(Debug)]
pub struct Cgroup {
    setup: Setup,
    dirs: Vec<Directory>,
}

#[derive(Debug)]
struct Directory {
    /// Comma-separated as in the mount options; empty for version 2.
    controllers: String,
    path: PathBuf,
}

/// What [`Cgroup::complete`] reads; the rest is skipped unread.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    linux: Linux,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Linux {
    resources: Option<Resources>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    devices: Vec<devices::Rule>,
    memory: Memory,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Memory {
    #[serde(alias = "disableOOMKiller")]
    disable_oom_killer: Option<bool>,
}

impl Setup {
    /// What this host has.
    ///
    /// # Errors
    /// If nothing is mounted at `/sys/fs/cgroup`.
    pub fn of_host() -> Result<Self> {
        let stat = rustix::fs::statfs(ROOT).map_err(ShimError::io("inspect", ROOT))?;
        Ok(if stat.f_type == libc::CGROUP2_SUPER_MAGIC { Self::Unified } else { Self::Hybrid })
    }
}

/// Refuses paths that would name somebody else's cgroup: an empty one means the caller's own to libcontainer.
///
/// # Errors
/// [`ShimError::CgroupPath`].
pub fn check_path(path: &Path) -> Result<()> {
    let mut components = path.components();
    let rooted = components.next() == Some(Component::RootDir);
    let names = components.clone().count();
    if rooted && names > 0 && components.all(|component| matches!(component, Component::Normal(_))) {
        Ok(())
    } else {
        Err(ShimError::CgroupPath(path.to_owned()))
    }
}

/// The cgroup hierarchies in the text of `/proc/self/mountinfo`: controllers (empty for v2) and mount point. (proc(5))
fn hierarchies(mountinfo: &str) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, kind)) = line.split_once(" - cgroup") else { continue };
        let mut fields = mount.split(' ').skip(3);
        let (Some("/"), Some(point)) = (fields.next(), fields.next()) else { continue };
        let controllers =
            if kind.starts_with("2 ") { String::new() } else { kind.split(' ').nth(2).unwrap_or("").to_owned() };
        if !found.iter().any(|(_, known)| known == Path::new(point)) {
            found.push((controllers, PathBuf::from(point)));
        }
    }
    found
}

impl Cgroup {
    /// The directories of `path` in this host's hierarchies, existing or not.
    ///
    /// # Errors
    /// If `path` is refused or the hierarchies can't be found.
    pub fn of(path: &Path) -> Result<Self> {
        check_path(path)?;
        let setup = Setup::of_host()?;
        let mountinfo = fs::read("/proc/self/mountinfo").map_err(ShimError::io("read", "/proc/self/mountinfo"))?;
        let below = path.strip_prefix("/").unwrap_or(path);
        let dirs = hierarchies(&String::from_utf8_lossy(&mountinfo))
            .into_iter()
            .map(|(controllers, point)| Directory { controllers, path: point.join(below) })
            .collect();
        Ok(Self { setup, dirs })
    }

    /// Sets what the configuration `config` says and libcontainer leaves out: on v2 the device filter, on v1 that nothing
    /// is killed for want of memory.
    ///
    /// # Errors
    /// If a device rule makes no sense or the kernel can't.
    pub fn complete(&self, config: &[u8]) -> Result<()> {
        let config: Config = serde_json::from_slice(config)
            .map_err(|source| ShimError::Json { path: "linux.resources of config.json".into(), source })?;
        let resources = config.linux.resources.unwrap_or_default();
        match (self.setup, self.directory("memory")) {
            (Setup::Unified, Some(dir)) => devices::restrict(dir, &resources.devices),
            (Setup::Hybrid, Some(dir)) if resources.memory.disable_oom_killer == Some(true) => {
                let path = dir.join("memory.oom_control");
                fs::write(&path, "1").map_err(ShimError::io("write", &path))
            }
            _ => Ok(()),
        }
    }

    /// The directory of a v1 controller, or of v2.
    fn directory(&self, controller: &str) -> Option<&Path> {
        let wanted = |dir: &&Directory| match self.setup {
            Setup::Unified => dir.controllers.is_empty(),
            Setup::Hybrid => dir.controllers.split(',').any(|name| name == controller),
        };
        self.dirs.iter().find(wanted).map(|dir| dir.path.as_path())
    }

    /// The `cgroup.procs` files that a process must write itself into to be a member.
    pub fn membership_files(&self) -> impl Iterator<Item = PathBuf> {
        self.dirs.iter().filter(|dir| dir.path.is_dir()).map(|dir| dir.path.join("cgroup.procs"))
    }

    /// Every process in it, this one excepted.
    #[must_use]
    pub fn processes(&self) -> BTreeSet<i32> {
        let mut pids = BTreeSet::new();
        for dir in &self.dirs {
            collect_processes(&dir.path, &mut pids);
        }
        pids.remove(&rustix::process::getpid().as_raw_nonzero().get());
        pids.remove(&0);
        pids
    }

    /// Sends `signal` to every process in it.
    pub fn signal(&self, signal: i32) {
        for pid in self.processes() {
            send(pid, signal);
        }
    }

    /// Freezes or thaws all its processes and waits until it is so.
    ///
    /// # Errors
    /// If the host can't, or a process does not freeze within two seconds (it is thawed again then).
    pub fn set_frozen(&self, frozen: bool) -> Result<()> {
        let action = if frozen { "pause" } else { "resume" };
        let dir = self.directory("freezer").ok_or(ShimError::NoController { action, controller: "freezer" })?;
        let (file, value, state, reached) = match (self.setup, frozen) {
            (Setup::Unified, true) => ("cgroup.freeze", "1", "cgroup.events", "frozen 1"),
            (Setup::Unified, false) => ("cgroup.freeze", "0", "cgroup.events", "frozen 0"),
            (Setup::Hybrid, true) => ("freezer.state", "FROZEN", "freezer.state", "FROZEN"),
            (Setup::Hybrid, false) => ("freezer.state", "THAWED", "freezer.state", "THAWED"),
        };
        let path = dir.join(file);
        let deadline = Instant::now() + FREEZE_LIMIT;
        loop {
            fs::write(&path, value).map_err(ShimError::io("write", &path))?;
            if fs::read_to_string(dir.join(state)).is_ok_and(|text| text.lines().any(|line| line == reached)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                if frozen {
                    self.set_frozen(false)?;
                }
                return Err(ShimError::Io { action, path, source: io::ErrorKind::TimedOut.into() });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn collect_processes(dir: &Path, pids: &mut BTreeSet<i32>) {
    if let Ok(text) = fs::read_to_string(dir.join("cgroup.procs")) {
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    for child in children(dir) {
        collect_processes(&child, pids);
    }
}

fn children(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

/// Sends a signal; a process that is gone already is what was wanted.
pub(crate) fn send(pid: i32, signal: i32) {
    // SAFETY: kill(2) takes plain integers and touches no memory of ours.
    unsafe { libc::kill(pid, signal) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_container_paths_pass() {
        for good in ["/orca-n/c", "/orca"] {
            assert!(check_path(Path::new(good)).is_ok(), "{good}");
        }
        for bad in ["", "/", "orca/c", "/orca/../c", "/.."] {
            assert!(check_path(Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn hierarchies_are_found_in_mountinfo() {
        let text = "25 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            31 25 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\
            32 25 0:26 /sub /elsewhere rw - cgroup cgroup rw,cpu,cpuacct\n";
        assert_eq!(
            hierarchies(text),
            vec![
                ("rw,cpu,cpuacct".to_owned(), PathBuf::from("/sys/fs/cgroup/cpu,cpuacct")),
                (String::new(), PathBuf::from("/sys/fs/cgroup/unified")),
            ]
        );
    }
}
