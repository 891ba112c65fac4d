//! Reading a container's use of resources. A file that is missing gives an absent value, never a failure.

use std::fs;
use std::path::Path;

use model::shim::Stats;

use super::{Cgroup, Setup};

/// v1 writes a number near `i64::MAX`, rounded to pages, for "no limit".
const V1_UNLIMITED: u64 = 1 << 62;

impl Cgroup {
    /// What the container uses at `now` (nanoseconds since the epoch).
    #[must_use]
    pub fn stats(&self, now: u64) -> Stats {
        let mut stats = match self.setup {
            Setup::Unified => self.directory("").map(unified).unwrap_or_default(),
            Setup::Hybrid => self.legacy(),
        };
        stats.read_at = now;
        stats
    }

    /// How many of its processes the kernel killed for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        let dir = self.directory("memory")?;
        match self.setup {
            Setup::Unified => keyed(dir, "memory.events", "oom_kill"),
            Setup::Hybrid => keyed(dir, "memory.oom_control", "oom_kill"),
        }
    }

    fn legacy(&self) -> Stats {
        let at = |controller: &str| self.directory(controller).unwrap_or(Path::new("/nonexistent"));
        let (memory, cpu, cpuacct, pids) = (at("memory"), at("cpu"), at("cpuacct"), at("pids"));
        let blkio = fs::read_to_string(at("blkio").join("blkio.throttle.io_service_bytes")).ok();
        // cpuacct.stat counts in USER_HZ, which is 100 on every architecture that Linux has today.
        let ticks = |key| keyed(cpuacct, "cpuacct.stat", key).map(|ticks| ticks * 10_000_000);
        Stats {
            memory_usage: number(memory, "memory.usage_in_bytes"),
            memory_inactive_file: keyed(memory, "memory.stat", "total_inactive_file"),
            memory_limit: number(memory, "memory.limit_in_bytes").filter(|limit| *limit < V1_UNLIMITED),
            oom_kills: self.oom_kills(),
            cpu_total: number(cpuacct, "cpuacct.usage"),
            cpu_user: ticks("user"),
            cpu_system: ticks("system"),
            cpu_throttled_periods: keyed(cpu, "cpu.stat", "nr_throttled"),
            cpu_throttled_time: keyed(cpu, "cpu.stat", "throttled_time"),
            pids: number(pids, "pids.current"),
            pids_limit: number(pids, "pids.max"),
            block_read: blkio.as_deref().map(|text| v1_block_bytes(text, "Read")),
            block_write: blkio.as_deref().map(|text| v1_block_bytes(text, "Write")),
            ..Stats::default()
        }
    }
}

fn unified(dir: &Path) -> Stats {
    let micros = |key| keyed(dir, "cpu.stat", key).map(|micros| micros * 1000);
    let io = fs::read_to_string(dir.join("io.stat")).ok();
    Stats {
        memory_usage: number(dir, "memory.current"),
        memory_inactive_file: keyed(dir, "memory.stat", "inactive_file"),
        memory_limit: number(dir, "memory.max"),
        oom_kills: keyed(dir, "memory.events", "oom_kill"),
        cpu_total: micros("usage_usec"),
        cpu_user: micros("user_usec"),
        cpu_system: micros("system_usec"),
        cpu_throttled_periods: keyed(dir, "cpu.stat", "nr_throttled"),
        cpu_throttled_time: micros("throttled_usec"),
        pids: number(dir, "pids.current"),
        pids_limit: number(dir, "pids.max"),
        block_read: io.as_deref().map(|text| v2_block_bytes(text, "rbytes=")),
        block_write: io.as_deref().map(|text| v2_block_bytes(text, "wbytes=")),
        ..Stats::default()
    }
}

/// A file of one number; `max` is none.
fn number(dir: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
}

/// The number after `key` in a file of `key value` lines.
fn keyed(dir: &Path, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(dir.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Sum over devices of lines like `8:0 Read 4096`.
fn v1_block_bytes(text: &str, operation: &str) -> u64 {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let named = fields.nth(1)? == operation;
            fields.next()?.parse::<u64>().ok().filter(|_| named)
        })
        .fold(0, u64::saturating_add)
}

/// Sum over devices of fields like `rbytes=4096`.
fn v2_block_bytes(text: &str, key: &str) -> u64 {
    text.split_ascii_whitespace()
        .filter_map(|field| field.strip_prefix(key)?.parse::<u64>().ok())
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_bytes_are_summed_over_devices() {
        assert_eq!(v1_block_bytes("8:0 Read 10\n8:0 Write 5\n8:16 Read 7\nTotal 22\n", "Read"), 17);
        assert_eq!(v2_block_bytes("8:0 rbytes=10 wbytes=5 rios=1\n8:16 rbytes=7 wbytes=0\n", "rbytes="), 17);
    }

    #[test]
    fn a_v2_directory_is_read_and_missing_files_are_absent() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("memory.current", "4096\n");
        put("memory.max", "max\n");
        put("cpu.stat", "usage_usec 7\nuser_usec 5\nsystem_usec 2\n");
        let stats = unified(dir.path());
        assert_eq!((stats.memory_usage, stats.memory_limit, stats.cpu_total), (Some(4096), None, Some(7000)));
        assert_eq!((stats.pids, stats.block_read, stats.cpu_throttled_time), (None, None, None));
    }
}
