//! Where the kernel keeps a container's limits and counts what it uses, on cgroup v1, hybrid and v2 hosts. (cgroups(7))

mod settings;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use settings::{Setting, settings};

use crate::{Error, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// The cgroup hierarchies of this host: the controllers of each (none: version 2) and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchies {
    unified: bool,
    mounts: Vec<(Vec<String>, PathBuf)>,
}

/// One container's directories.
#[derive(Debug, Clone)]
pub struct Cgroup {
    hierarchies: &'static Hierarchies,
    below: PathBuf,
}

impl Hierarchies {
    /// They don't change while the host runs.
    fn of_host() -> &'static Self {
        static HOST: OnceLock<Hierarchies> = OnceLock::new();
        HOST.get_or_init(|| {
            let unified = rustix::fs::statfs(ROOT).is_ok_and(|stat| stat.f_type == CGROUP2_MAGIC);
            let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
            Self { unified, mounts: mounts(&String::from_utf8_lossy(&mountinfo)) }
        })
    }
}

/// CGROUP2_SUPER_MAGIC of linux/magic.h.
const CGROUP2_MAGIC: rustix::fs::FsWord = 0x6367_7270;

/// The hierarchies in the text of `/proc/self/mountinfo`. (proc(5))
fn mounts(mountinfo: &str) -> Vec<(Vec<String>, PathBuf)> {
    let mut found: Vec<(Vec<String>, PathBuf)> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, kind)) = line.split_once(" - cgroup") else { continue };
        let mut fields = mount.split(' ').skip(3);
        let (Some("/"), Some(point)) = (fields.next(), fields.next()) else { continue };
        let controllers = match kind.strip_prefix("2 ") {
            Some(_) => Vec::new(),
            None => kind.split(' ').nth(2).unwrap_or("").split(',').map(str::to_owned).collect(),
        };
        if !found.iter().any(|(_, known)| known == Path::new(point)) {
            found.push((controllers, PathBuf::from(point)));
        }
    }
    found
}

impl Cgroup {
    /// The directories of this path below each hierarchy's root, existing or not.
    pub fn of(path: &Path) -> Self {
        Self { hierarchies: Hierarchies::of_host(), below: path.strip_prefix("/").unwrap_or(path).to_owned() }
    }

    /// Whether the host has version 2 alone.
    pub fn is_unified(&self) -> bool {
        self.hierarchies.unified
    }

    /// The directory of a controller.
    pub fn directory(&self, controller: &str) -> Option<PathBuf> {
        let wanted = |controllers: &[String]| match self.hierarchies.unified {
            true => controllers.is_empty(),
            false => controllers.iter().any(|name| name == controller),
        };
        let (_, mount) = self.hierarchies.mounts.iter().find(|(controllers, _)| wanted(controllers))?;
        Some(mount.join(&self.below))
    }

    /// Writes limits. Two that bound each other are tried in both orders, as one of them must be written first.
    ///
    /// # Errors
    /// What the kernel refuses, by file.
    pub fn set(&self, settings: &[Setting]) -> Result<()> {
        let write = |setting: &Setting| {
            let Some(dir) = self.directory(setting.controller) else { return Ok(()) };
            let path = dir.join(&setting.file);
            fs::write(&path, &setting.value).map_err(Error::io("write", &path))
        };
        let refused: Vec<&Setting> = settings.iter().filter(|setting| write(setting).is_err()).collect();
        refused.into_iter().try_for_each(write)
    }

    /// Every process in it, as the host numbers them.
    pub fn processes(&self) -> BTreeSet<u32> {
        let mut pids = BTreeSet::new();
        for (_, mount) in &self.hierarchies.mounts {
            collect(&mount.join(&self.below), &mut pids);
            // Each process is in every hierarchy.
            if !pids.is_empty() {
                break;
            }
        }
        pids
    }
}

fn collect(dir: &Path, pids: &mut BTreeSet<u32>) {
    if let Ok(text) = fs::read_to_string(dir.join("cgroup.procs")) {
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
    }
    let children = fs::read_dir(dir).into_iter().flatten().flatten();
    for child in children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect(&child.path(), pids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_in_mountinfo() {
        let text = "25 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            31 25 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n\
            32 25 0:26 /sub /elsewhere rw - cgroup cgroup rw,cpu,cpuacct\n";
        let found = mounts(text);
        assert_eq!(found.len(), 2);
        assert!(found[0].0.contains(&"cpu".to_owned()) && found[0].0.contains(&"cpuacct".to_owned()));
        assert_eq!(found[1], (Vec::new(), PathBuf::from("/sys/fs/cgroup/unified")));
    }
}
