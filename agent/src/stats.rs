//! What containers use, read from their cgroups and from /proc.
//!
//! A file that is missing counts nothing. Hundreds of containers are read each second: files stay open between two readings,
//! as far as descriptors allow, and one buffer is used again for all of them.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::cgroup::Cgroup;

/// v1 writes a number near `i64::MAX`, rounded to pages, for "no limit".
const V1_UNLIMITED: u64 = 1 << 62;

/// Counters of one container at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// CPU time in nanoseconds.
    pub cpu: u64,
    /// Bytes of memory, file cache included.
    pub memory: u64,
    /// Of them inactive file cache, which `docker stats` does not count.
    pub inactive_file: u64,
    /// `None`: unlimited.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes read from block devices.
    pub block_read: u64,
    /// Bytes written to them.
    pub block_written: u64,
}

/// Counters of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostSample {
    /// CPU time that has passed on all CPUs, in nanoseconds.
    pub cpu: u64,
    /// CPUs.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
}

/// Of the descriptors that this process may have, so large a part is kept open by one reader: one in so many.
const SHARE: u64 = 16;
/// What a file of counters has room in mostly.
const BUFFER: usize = 8 << 10;

/// Reads counters, again and again.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    open: HashMap<PathBuf, Open>,
    /// Counts the readings.
    round: u64,
}

/// A file that stays open.
#[derive(Debug)]
struct Open {
    file: File,
    /// When it was last read.
    round: u64,
}

impl Reader {
    /// A file as text; empty if it can't be read.
    fn text(&mut self, path: &Path) -> &str {
        let length = self.read(path);
        std::str::from_utf8(&self.buffer[..length]).unwrap_or_default()
    }

    /// Reads a file into the buffer. One that is open is read from its start again, which makes the kernel count anew; after
    /// its cgroup or process is gone that fails, and whatever has its name now is opened.
    fn read(&mut self, path: &Path) -> usize {
        if let Some(open) = self.open.get_mut(path) {
            open.round = self.round;
            match fill(&open.file, &mut self.buffer) {
                Ok(length) => return length,
                Err(_) => drop(self.open.remove(path)),
            }
        }
        let Ok(file) = File::open(path) else { return 0 };
        let length = fill(&file, &mut self.buffer).unwrap_or(0);
        if (self.open.len() as u64) < most_open() {
            self.open.insert(path.to_owned(), Open { file, round: self.round });
        }
        length
    }

    /// Ends a reading: files that it had no use for are closed.
    pub fn finish(&mut self) {
        let round = self.round;
        self.open.retain(|_, open| open.round == round);
        self.round += 1;
    }

    fn number(&mut self, dir: &Path, file: &str) -> Option<u64> {
        self.text(&dir.join(file)).trim().parse().ok()
    }

    /// The host now.
    pub fn host(&mut self) -> HostSample {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let memory = keyed(self.text(Path::new("/proc/meminfo")), "MemTotal:").unwrap_or(0) * 1024;
        let (busy, cpus) = host_cpu(self.text(Path::new("/proc/stat")));
        HostSample { cpu: busy.saturating_mul(1_000_000_000 / ticks), cpus, memory }
    }

    /// A container now. `network`: the first process, if the container has interfaces of its own.
    pub fn container(&mut self, cgroup: &Cgroup, network: Option<u32>) -> Sample {
        let mut sample = if cgroup.is_unified() { self.unified(cgroup) } else { self.legacy(cgroup) };
        if let Some(pid) = network {
            (sample.received, sample.sent) = traffic(self.text(&PathBuf::from(format!("/proc/{pid}/net/dev"))));
        }
        sample
    }

    fn unified(&mut self, cgroup: &Cgroup) -> Sample {
        let Some(dir) = cgroup.directory("") else { return Sample::default() };
        let (block_read, block_written) = {
            let io = self.text(&dir.join("io.stat"));
            (v2_block_bytes(io, "rbytes="), v2_block_bytes(io, "wbytes="))
        };
        Sample {
            cpu: keyed(self.text(&dir.join("cpu.stat")), "usage_usec").unwrap_or(0) * 1000,
            memory: self.number(&dir, "memory.current").unwrap_or(0),
            inactive_file: keyed(self.text(&dir.join("memory.stat")), "inactive_file").unwrap_or(0),
            memory_limit: self.number(&dir, "memory.max"),
            pids: self.number(&dir, "pids.current").unwrap_or(0),
            block_read,
            block_written,
            ..Sample::default()
        }
    }

    fn legacy(&mut self, cgroup: &Cgroup) -> Sample {
        let at = |controller: &str| cgroup.directory(controller).unwrap_or_else(|| PathBuf::from("/nonexistent"));
        let (memory, cpuacct, pids, blkio) = (at("memory"), at("cpuacct"), at("pids"), at("blkio"));
        let (block_read, block_written) = {
            let io = self.text(&blkio.join("blkio.throttle.io_service_bytes"));
            (v1_block_bytes(io, "Read"), v1_block_bytes(io, "Write"))
        };
        Sample {
            cpu: self.number(&cpuacct, "cpuacct.usage").unwrap_or(0),
            memory: self.number(&memory, "memory.usage_in_bytes").unwrap_or(0),
            inactive_file: keyed(self.text(&memory.join("memory.stat")), "total_inactive_file").unwrap_or(0),
            memory_limit: self.number(&memory, "memory.limit_in_bytes").filter(|limit| *limit < V1_UNLIMITED),
            pids: self.number(&pids, "pids.current").unwrap_or(0),
            block_read,
            block_written,
            ..Sample::default()
        }
    }
}

/// The whole of a file, from its start; how long it is.
fn fill(file: &File, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    buffer.resize(buffer.len().max(BUFFER), 0);
    let mut length = 0;
    loop {
        match file.read_at(&mut buffer[length..], length as u64)? {
            0 => return Ok(length),
            count => length += count,
        }
        if length == buffer.len() {
            buffer.resize(length * 2, 0);
        }
    }
}

fn most_open() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX) / SHARE
}

/// The number after `key` in lines of `key value`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key).filter(|rest| rest.starts_with(' ')))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

/// Ticks of all CPUs together, and how many CPUs there are, in the text of /proc/stat. (proc(5))
fn host_cpu(text: &str) -> (u64, u32) {
    let mut ticks = 0;
    let mut cpus = 0;
    for line in text.lines().take_while(|line| line.starts_with("cpu")) {
        match line.strip_prefix("cpu ") {
            // The first eight; guests are in the first two already.
            Some(all) => ticks = all.split_ascii_whitespace().take(8).filter_map(|n| n.parse::<u64>().ok()).sum(),
            None => cpus += 1,
        }
    }
    (ticks, cpus)
}

/// Bytes received and sent on all interfaces but the loopback, in the text of /proc/net/dev.
fn traffic(text: &str) -> (u64, u64) {
    let lines = text.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() != "lo");
    lines.fold((0, 0), |(received, sent), (_, counters)| {
        let mut counters = counters.split_ascii_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
        (received + counters.next().unwrap_or(0), sent + counters.nth(7).unwrap_or(0))
    })
}

/// Sum over devices of lines like `8:0 Read 4096`.
fn v1_block_bytes(text: &str, operation: &str) -> u64 {
    let of_line = |line: &str| {
        let mut fields = line.split(' ');
        let named = fields.nth(1)? == operation;
        fields.next()?.parse::<u64>().ok().filter(|_| named)
    };
    text.lines().filter_map(of_line).fold(0, u64::saturating_add)
}

/// Sum over devices of fields like `rbytes=4096`.
fn v2_block_bytes(text: &str, key: &str) -> u64 {
    let of_field = |field: &str| field.strip_prefix(key)?.parse::<u64>().ok();
    text.split_ascii_whitespace().filter_map(of_field).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_kernel() {
        assert_eq!(keyed("cache 1\ntotal_inactive_file 77\n", "total_inactive_file"), Some(77));
        assert_eq!(keyed("inactive_filex 1\n", "inactive_file"), None);
        assert_eq!(host_cpu("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1\ncpu1 1 1\nintr 5\n"), (36, 2));
        let dev = "Inter-| Receive | Transmit\n face |bytes\n    lo: 9 9 0 0 0 0 0 0 9 9\n  eth0: 100 1 0 0 0 0 0 0 50 1 0\n eth1:5 1 0 0 0 0 0 0 7 1\n";
        assert_eq!(traffic(dev), (105, 57));
        assert_eq!(v1_block_bytes("8:0 Read 10\n8:0 Write 5\n8:16 Read 7\nTotal 22\n", "Read"), 17);
        assert_eq!(v2_block_bytes("8:0 rbytes=10 wbytes=5 rios=1\n8:16 rbytes=7 wbytes=0\n", "rbytes="), 17);
    }

    #[test]
    fn what_is_kept_open_is_read_anew_and_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cpuacct.usage");
        let mut reader = Reader::default();
        let number = |reader: &mut Reader| reader.number(dir.path(), "cpuacct.usage");
        std::fs::write(&path, "1\n").unwrap();
        assert_eq!(number(&mut reader), Some(1));
        std::fs::write(&path, "22\n").unwrap();
        assert_eq!(number(&mut reader), Some(22));
        let large = "x".repeat(3 * BUFFER);
        std::fs::write(&path, &large).unwrap();
        assert_eq!(reader.text(&path), large);
        std::fs::write(&path, "3").unwrap();
        assert_eq!(number(&mut reader), Some(3), "nothing is left of what was longer");
        reader.finish();
        assert_eq!(reader.open.len(), 1);
        reader.finish();
        assert_eq!(reader.open.len(), 0, "not read since");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(number(&mut reader), None);
    }

    #[test]
    fn the_host_is_read() {
        let host = Reader::default().host();
        assert!(host.cpu > 0 && host.cpus > 0 && host.memory > 0);
    }
}
