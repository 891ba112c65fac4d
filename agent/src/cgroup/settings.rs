//! Which files of a cgroup hold which limits. Pure. (cgroups(7), Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst)

use oci_spec::runtime::LinuxResources;

/// A file and what is written into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Whose it is with version 1.
    pub controller: &'static str,
    /// In the cgroup's directory.
    pub file: String,
    /// A number, or what the file has in place of one.
    pub value: String,
}

/// Docker's period of CPU quotas in microseconds.
const PERIOD: u64 = 100_000;

/// The files of these limits; `io_weight` is the file that holds the weight of block I/O, where the kernel has one.
pub fn settings(resources: &LinuxResources, unified: bool, io_weight: Option<&str>) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut put = |controller, file: &str, value: String| found.push(Setting { controller, file: file.into(), value });
    if let Some(cpu) = resources.cpu() {
        if cpu.quota().is_some() || cpu.period().is_some() {
            let period = cpu.period().unwrap_or(PERIOD);
            match cpu.quota().filter(|quota| *quota >= 0) {
                Some(quota) if unified => put("cpu", "cpu.max", format!("{quota} {period}")),
                None if unified => put("cpu", "cpu.max", format!("max {period}")),
                quota => {
                    put("cpu", "cpu.cfs_period_us", period.to_string());
                    put("cpu", "cpu.cfs_quota_us", quota.unwrap_or(-1).to_string());
                }
            }
        }
        // Version 2 has none; there it was refused.
        if let Some(period) = cpu.realtime_period().filter(|_| !unified) {
            put("cpu", "cpu.rt_period_us", period.to_string());
        }
        if let Some(runtime) = cpu.realtime_runtime().filter(|_| !unified) {
            put("cpu", "cpu.rt_runtime_us", runtime.to_string());
        }
        if let Some(shares) = cpu.shares() {
            match unified {
                true => put("cpu", "cpu.weight", weight(shares).to_string()),
                false => put("cpu", "cpu.shares", shares.to_string()),
            }
        }
        if let Some(cpus) = cpu.cpus() {
            put("cpuset", "cpuset.cpus", cpus.clone());
        }
        if let Some(nodes) = cpu.mems() {
            put("cpuset", "cpuset.mems", nodes.clone());
        }
    }
    if let Some(memory) = resources.memory() {
        let bytes = |value: i64| if value < 0 && unified { "max".to_owned() } else { value.to_string() };
        let limit = memory.limit();
        if let Some(limit) = limit {
            put("memory", if unified { "memory.max" } else { "memory.limit_in_bytes" }, bytes(limit));
        }
        if let Some(swap) = memory.swap() {
            match unified {
                // It counts swap alone.
                true => {
                    put("memory", "memory.swap.max", bytes(if swap < 0 { swap } else { swap - limit.unwrap_or(0) }))
                }
                false => put("memory", "memory.memsw.limit_in_bytes", bytes(swap)),
            }
        }
        if let Some(reserved) = memory.reservation() {
            put("memory", if unified { "memory.low" } else { "memory.soft_limit_in_bytes" }, bytes(reserved));
        }
    }
    if let Some(pids) = resources.pids() {
        let limit = pids.limit();
        put("pids", "pids.max", if limit > 0 { limit.to_string() } else { "max".into() });
    }
    if let (Some(weight), Some(file)) = (resources.block_io().as_ref().and_then(|io| io.weight()), io_weight) {
        put("blkio", file, weight.to_string());
    }
    for (file, value) in resources.unified().iter().flatten() {
        put("io", file, value.clone());
    }
    found
}

/// Version 1's 2 to 262,144 as version 2's 1 to 10,000, in the way that every runtime has agreed on.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::{
        LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources,
        LinuxResourcesBuilder,
    };

    use super::*;

    fn resources() -> LinuxResources {
        let cpu = LinuxCpuBuilder::default().quota(50_000i64).period(100_000u64).shares(1024u64).cpus("0-1").mems("0");
        let cpu = cpu.realtime_runtime(5i64).build();
        let block_io = LinuxBlockIoBuilder::default().weight(300u16).build().unwrap();
        let memory = LinuxMemoryBuilder::default().limit(100i64).swap(150i64).reservation(50i64).build();
        let pids = LinuxPidsBuilder::default().limit(7i64).build();
        let resources = LinuxResourcesBuilder::default();
        resources.cpu(cpu.unwrap()).memory(memory.unwrap()).pids(pids.unwrap()).block_io(block_io).build().unwrap()
    }

    fn lines(unified: bool) -> Vec<String> {
        let weight = (!unified).then_some("blkio.bfq.weight");
        settings(&resources(), unified, weight)
            .iter()
            .map(|setting| format!("{}={}", setting.file, setting.value))
            .collect()
    }

    #[test]
    fn files_of_both_versions() {
        assert_eq!(
            lines(false),
            [
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=50000",
                "cpu.rt_runtime_us=5",
                "cpu.shares=1024",
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "memory.limit_in_bytes=100",
                "memory.memsw.limit_in_bytes=150",
                "memory.soft_limit_in_bytes=50",
                "pids.max=7",
                "blkio.bfq.weight=300"
            ]
        );
        assert_eq!(
            lines(true),
            [
                "cpu.max=50000 100000",
                "cpu.weight=39",
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "memory.max=100",
                "memory.swap.max=50",
                "memory.low=50",
                "pids.max=7"
            ]
        );
        let period = LinuxCpuBuilder::default().period(50_000u64).build().unwrap();
        let period = LinuxResourcesBuilder::default().cpu(period).build().unwrap();
        assert_eq!(settings(&period, true, None)[0].value, "max 50000");
        assert_eq!((weight(2), weight(262_144)), (1, 10_000));
    }
}
