//! What this node is like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use model::NodeDescription;

use super::apparmor;
use crate::bundle::{Host, capabilities, parse_set};

/// CGROUP2_SUPER_MAGIC (statfs(2)).
const CGROUP2_MAGIC: i128 = 0x6367_7270;
/// CAP_* that this process could give (proc_pid_status(5)).
const BOUNDING_SET: &str = "CapBnd:";

/// Looks at the node, whose runtimes are these programs. What can't be read is taken for absent.
pub fn host(runtimes: &BTreeMap<String, PathBuf>) -> Host {
    let unified = rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|fs| i128::from(fs.f_type) == CGROUP2_MAGIC);
    let swap_v1 = Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bounding = status.lines().find_map(|line| line.strip_prefix(BOUNDING_SET));
    let bits = bounding.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let score = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let names = rustix::system::uname();
    Host {
        unified_cgroups: unified,
        swap_accounting: unified || swap_v1,
        architecture: std::env::consts::ARCH.into(),
        kernel: kernel_version(&names.release().to_string_lossy()),
        capabilities: capabilities::from_bits(bits),
        oom_score_adj: score.trim().parse().unwrap_or(0),
        hostname: names.nodename().to_string_lossy().into_owned(),
        controllers: controllers(unified),
        cgroup_hierarchies: match unified {
            true => BTreeMap::new(),
            false => hierarchies(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()),
        },
        realtime_cpu: Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists(),
        io_weight: io_weight(unified),
        cpus: online("/sys/devices/system/cpu/online"),
        memory_nodes: online("/sys/devices/system/node/online"),
        apparmor: apparmor::is_active(),
        default_profile: false,
        selinux: crate::mounts::has_selinux(),
        runtimes: runtimes.keys().cloned().collect(),
        users: None,
        idmapped_binds: false,
        cdi: super::cdi::DIRECTORIES.map(PathBuf::from).to_vec(),
    }
}

/// v1: the controllers that are mounted; v2: those that its root has.
fn controllers(unified: bool) -> BTreeSet<String> {
    if unified {
        let text = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        return text.split_ascii_whitespace().map(str::to_owned).collect();
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hierarchies = mounts.lines().filter_map(|line| line.split_once(" - cgroup ")?.1.split(' ').nth(1));
    hierarchies.flat_map(|options| options.split(',')).map(str::to_owned).collect()
}

/// The controllers of v1 in whose hierarchies every container has a cgroup.
const CONTROLLERS: [&str; 12] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

/// The hierarchies in the text of `/proc/self/mountinfo`, by what they are looked for: `cpu`, `cpuacct` and `cpu,cpuacct`.
fn hierarchies(mountinfo: &str) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for line in mountinfo.lines() {
        let Some((mount, kind)) = line.split_once(" - cgroup ") else { continue };
        let mut fields = mount.split(' ').skip(3);
        let (Some("/"), Some(point)) = (fields.next(), fields.next()) else { continue };
        let options = kind.split(' ').nth(1).unwrap_or_default();
        let own: Vec<&str> = options.split(',').filter(|option| CONTROLLERS.contains(option)).collect();
        let names = own.iter().map(ToString::to_string).chain((own.len() > 1).then(|| own.join(",")));
        for name in names {
            found.entry(name).or_insert_with(|| PathBuf::from(point));
        }
    }
    found
}

/// The file of a weight is in every cgroup but the root.
fn io_weight(unified: bool) -> Option<String> {
    let (root, files) = match unified {
        true => ("/sys/fs/cgroup", ["io.bfq.weight", "io.weight"]),
        false => ("/sys/fs/cgroup/blkio", ["blkio.weight", "blkio.bfq.weight"]),
    };
    let groups: Vec<PathBuf> = fs::read_dir(root).ok()?.flatten().map(|entry| entry.path()).collect();
    let known = files.into_iter().find(|file| groups.iter().any(|group| group.join(file).exists()));
    known.map(str::to_owned)
}

fn online(path: &str) -> BTreeSet<u32> {
    // A machine without nodes has one.
    fs::read_to_string(path).ok().and_then(|text| parse_set(&text)).unwrap_or_else(|| BTreeSet::from([0]))
}

fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What the node says of itself to managers.
pub fn describe(host: &Host) -> NodeDescription {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = rustix::system::sysinfo();
    NodeDescription {
        hostname: host.hostname.clone(),
        architecture: host.architecture.clone(),
        os: "linux".into(),
        engine_version: env!("CARGO_PKG_VERSION").into(),
        nano_cpus: u64::try_from(cpus).unwrap_or(1).saturating_mul(1_000_000_000),
        memory: info.totalram.saturating_mul(u64::from(info.mem_unit)),
        ..NodeDescription::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_by_every_name() {
        let text = "24 23 0:2 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            25 24 0:3 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            26 24 0:4 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            27 24 0:5 / /sys/fs/cgroup/misc rw - cgroup cgroup rw,misc\n\
            28 24 0:6 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            29 24 0:7 /docker/x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
            30 24 0:8 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found: Vec<_> =
            hierarchies(text).into_iter().map(|(name, at)| format!("{name} {}", at.display())).collect();
        let both = "/sys/fs/cgroup/cpu,cpuacct";
        let wanted = [
            format!("cpu {both}"),
            format!("cpu,cpuacct {both}"),
            format!("cpuacct {both}"),
            "memory /sys/fs/cgroup/memory".to_owned(),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn versions_of_kernels() {
        assert_eq!(kernel_version("6.18.3-cloud"), (6, 18));
        assert_eq!(kernel_version("5.10.0"), (5, 10));
        assert_eq!(kernel_version(""), (0, 0));
    }
}
