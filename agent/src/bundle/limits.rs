//! Limits of the cgroup and of the process.

use std::collections::BTreeSet;

use model::{ContainerSpec, Limits};
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxDeviceCgroup, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

use super::{DeviceNumbers, Host, block_io};
use crate::{Error, Result};

/// Docker's period of CPU quotas in microseconds.
const CPU_PERIOD: u64 = 100_000;
/// Docker's least memory limit in bytes.
const MEMORY_MIN: u64 = 6 << 20;

fn refused(key: &'static str, value: impl ToString, reason: &str) -> Error {
    Error::Spec { key, value: value.to_string(), reason: reason.into() }
}

/// The cgroup's limits.
pub fn resources(
    spec: &ContainerSpec,
    devices: &[LinuxDeviceCgroup],
    host: &Host,
    numbers: &DeviceNumbers,
) -> Result<LinuxResources> {
    let limits = &spec.resources.limits;
    let mut builder = LinuxResourcesBuilder::default().devices(devices.to_vec());
    if let Some(memory) = memory(spec, host)? {
        available("memory", host)?;
        builder = builder.memory(memory);
    }
    if let Some(cpu) = cpu(spec, host)? {
        builder = builder.cpu(cpu);
    }
    if let Some(pids) = limits.pids.filter(|pids| *pids > 0) {
        available("pids", host)?;
        builder = builder.pids(LinuxPidsBuilder::default().limit(pids).build()?);
    }
    let (block_io, unified) = block_io::limits(&limits.block_io, host, numbers)?;
    if let Some(block_io) = block_io {
        builder = builder.block_io(block_io);
    }
    if let Some(unified) = unified {
        builder = builder.unified(unified);
    }
    Ok(builder.build()?)
}

/// Refuses a limit for which the kernel has no controller.
fn available(controller: &'static str, host: &Host) -> Result<()> {
    if host.controllers.contains(controller) {
        return Ok(());
    }
    Err(refused("limit", controller, "this kernel has no such cgroup controller"))
}

fn cpu(spec: &ContainerSpec, host: &Host) -> Result<Option<oci_spec::runtime::LinuxCpu>> {
    let limits = &spec.resources.limits;
    let mut cpu = LinuxCpuBuilder::default();
    let (mut time, mut set) = (false, false);
    if let Some((quota, period)) = quota(limits, host)? {
        time = true;
        cpu = cpu.period(period);
        if let Some(quota) = quota {
            cpu = cpu.quota(quota);
        }
    }
    if let Some(shares) = limits.cpu_shares.filter(|shares| *shares > 0) {
        time = true;
        cpu = cpu.shares(shares);
    }
    if limits.cpu_rt_period.is_some() || limits.cpu_rt_runtime.is_some() {
        if !host.realtime_cpu {
            let value = limits.cpu_rt_runtime.unwrap_or_default();
            return Err(refused("cpu_rt", value, "this kernel does not limit real-time CPU time for cgroups"));
        }
        time = true;
        if let Some(period) = limits.cpu_rt_period {
            cpu = cpu.realtime_period(period);
        }
        if let Some(runtime) = limits.cpu_rt_runtime {
            cpu = cpu.realtime_runtime(runtime);
        }
    }
    if let Some(cpus) = limits.cpuset.as_ref().filter(|cpus| !cpus.is_empty()) {
        set = true;
        cpu = cpu.cpus(checked_set("cpuset", cpus, &host.cpus)?);
    }
    if let Some(nodes) = limits.cpuset_mems.as_ref().filter(|nodes| !nodes.is_empty()) {
        set = true;
        cpu = cpu.mems(checked_set("cpuset_mems", nodes, &host.memory_nodes)?);
    }
    for (wanted, controller) in [(time, "cpu"), (set, "cpuset")] {
        if wanted {
            available(controller, host)?;
        }
    }
    Ok(if time || set { Some(cpu.build()?) } else { None })
}

/// Quota and period in microseconds.
fn quota(limits: &Limits, host: &Host) -> Result<Option<(Option<i64>, u64)>> {
    let period = limits.cpu_period.filter(|period| *period > 0);
    let quota = limits.cpu_quota.filter(|quota| *quota != 0);
    if let Some(nano_cpus) = limits.nano_cpus.filter(|nano_cpus| *nano_cpus > 0) {
        let online = u64::try_from(host.cpus.len()).unwrap_or(u64::MAX);
        if online > 0 && nano_cpus > online.saturating_mul(1_000_000_000) {
            let (value, reason) = (show_cpus(nano_cpus), format!("the node has {online}"));
            return Err(Error::Spec { key: "cpus", value, reason });
        }
        if period.is_some() || quota.is_some() {
            return Err(refused(
                "cpus",
                show_cpus(nano_cpus),
                "it says the same as cpu_period and cpu_quota: give one of them",
            ));
        }
        let quota = u128::from(nano_cpus) * u128::from(CPU_PERIOD) / 1_000_000_000;
        let quota = i64::try_from(quota).ok().filter(|quota| *quota >= 1000);
        let quota = quota.ok_or_else(|| refused("cpus", show_cpus(nano_cpus), "the least is 0.01 CPUs"))?;
        return Ok(Some((Some(quota), CPU_PERIOD)));
    }
    if let Some(period) = period.filter(|period| !(1000..=1_000_000).contains(period)) {
        return Err(refused("cpu_period", period, "it is from 1000 to 1000000 microseconds"));
    }
    if let Some(quota) = quota.filter(|quota| *quota != -1 && *quota < 1000) {
        return Err(refused("cpu_quota", quota, "the least is 1000 microseconds; -1 is no limit"));
    }
    Ok((period.is_some() || quota.is_some()).then(|| (quota, period.unwrap_or(CPU_PERIOD))))
}

/// As its user wrote it: `1.5`.
fn show_cpus(nano_cpus: u64) -> String {
    let fraction = format!("{:09}", nano_cpus % 1_000_000_000);
    format!("{}.{fraction}", nano_cpus / 1_000_000_000).trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A list such as `0-2,4` of what the node has.
fn checked_set(key: &'static str, text: &str, online: &BTreeSet<u32>) -> Result<String> {
    let wanted = parse_set(text).ok_or_else(|| refused(key, text, "it is not a list such as 0-2,4"))?;
    if !wanted.is_subset(online) {
        let reason = format!("the node has {}", show_set(online));
        return Err(Error::Spec { key, value: text.into(), reason });
    }
    Ok(text.to_owned())
}

/// The numbers of a list such as `0-2,4`. (cpuset(7), "List format")
pub fn parse_set(text: &str) -> Option<BTreeSet<u32>> {
    /// More than any machine has.
    const MOST: u32 = 8192;
    let mut set = BTreeSet::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > MOST {
            return None;
        }
        set.extend(first..=last);
    }
    Some(set)
}

fn show_set(set: &BTreeSet<u32>) -> String {
    set.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn memory(spec: &ContainerSpec, host: &Host) -> Result<Option<oci_spec::runtime::LinuxMemory>> {
    let limits = &spec.resources.limits;
    let mut memory = memory_limit(spec, host)?;
    if let Some(swappiness) = limits.memory_swappiness {
        if host.unified_cgroups {
            return Err(refused("memory_swappiness", swappiness, "cgroup v2 has no such thing"));
        }
        if swappiness > 100 {
            return Err(refused("memory_swappiness", swappiness, "it is from 0 to 100"));
        }
        memory.get_or_insert_default().set_swappiness(Some(swappiness));
    }
    if limits.oom_kill_disable {
        if host.unified_cgroups {
            return Err(refused("oom_kill_disable", true, "cgroup v2 has no such thing"));
        }
        memory.get_or_insert_default().set_disable_oom_killer(Some(true));
    }
    Ok(memory)
}

fn memory_limit(spec: &ContainerSpec, host: &Host) -> Result<Option<oci_spec::runtime::LinuxMemory>> {
    let limits = &spec.resources.limits;
    let reserved = spec.resources.reservations.memory;
    let Some(limit) = limits.memory.filter(|limit| *limit > 0) else {
        if let Some(swap) = limits.memory_swap.filter(|swap| *swap > 0) {
            return Err(refused("memory_swap", swap, "set a memory limit too"));
        }
        let only_reserved = LinuxMemoryBuilder::default().reservation(i64::try_from(reserved).unwrap_or(i64::MAX));
        return Ok(if reserved == 0 { None } else { Some(only_reserved.build()?) });
    };
    if limit < MEMORY_MIN {
        return Err(refused("memory", limit, "the least is 6 MiB"));
    }
    let bytes = i64::try_from(limit).map_err(|_| refused("memory", limit, "it is too large"))?;
    let mut memory = LinuxMemoryBuilder::default().limit(bytes);
    if reserved > limit {
        return Err(refused("memory reservation", reserved, "it exceeds the memory limit"));
    }
    if reserved > 0 {
        memory = memory.reservation(i64::try_from(reserved).unwrap_or(bytes));
    }
    // As Docker: without a word about swap there is as much swap as memory.
    match limits.memory_swap.filter(|swap| *swap != 0) {
        Some(swap) if swap > 0 && swap < bytes => {
            return Err(refused(
                "memory_swap",
                swap,
                "it counts memory and swap together, so it can't be less than memory",
            ));
        }
        Some(swap) if !host.swap_accounting => {
            return Err(refused("memory_swap", swap, "this kernel does not count swap; boot it with swapaccount=1"));
        }
        Some(swap) => memory = memory.swap(swap),
        None if host.swap_accounting => memory = memory.swap(bytes.saturating_mul(2)),
        None => {}
    }
    Ok(Some(memory.build()?))
}

/// The process's limits; those that the spec does not name are the daemon's own.
pub fn process_limits(spec: &ContainerSpec) -> Result<Vec<PosixRlimit>> {
    let limit = |(name, limit): (&String, &model::Ulimit)| {
        let kind = kind(name).ok_or_else(|| refused("ulimit", name, "there is none of that name"))?;
        let bound = |value: i64| match value {
            -1 => Ok(u64::MAX),
            value => u64::try_from(value).map_err(|_| refused("ulimit", name, "a limit is -1 or not negative")),
        };
        let (soft, hard) = (bound(limit.soft)?, bound(limit.hard)?);
        if soft > hard {
            return Err(refused("ulimit", name, "its soft limit exceeds its hard limit"));
        }
        Ok(PosixRlimitBuilder::default().typ(kind).soft(soft).hard(hard).build()?)
    };
    spec.ulimits.iter().map(limit).collect()
}

fn kind(name: &str) -> Option<PosixRlimitType> {
    Some(match name {
        "as" => PosixRlimitType::RlimitAs,
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}
