//! What this node is like.

use std::fs;
use std::path::Path;

use model::NodeDescription;

use crate::bundle::{Host, capabilities};

/// CGROUP2_SUPER_MAGIC (statfs(2)).
const CGROUP2_MAGIC: i128 = 0x6367_7270;
/// CAP_* that this process could give (proc_pid_status(5)).
const BOUNDING_SET: &str = "CapBnd:";

/// Looks at the node. What can't be read is taken for absent.
pub fn host() -> Host {
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
    }
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_kernels() {
        assert_eq!(kernel_version("6.18.3-cloud"), (6, 18));
        assert_eq!(kernel_version("5.10.0"), (5, 10));
        assert_eq!(kernel_version(""), (0, 0));
    }
}
