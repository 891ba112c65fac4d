//! Limits of the cgroup and of the process.

use model::ContainerSpec;
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxDeviceCgroup, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

use super::Host;
use crate::{Error, Result};

/// Docker's period of CPU quotas in microseconds.
const CPU_PERIOD: u64 = 100_000;
/// Docker's least memory limit in bytes.
const MEMORY_MIN: u64 = 6 << 20;

fn refused(key: &'static str, value: impl ToString, reason: &str) -> Error {
    Error::Spec { key, value: value.to_string(), reason: reason.into() }
}

/// The cgroup's limits.
pub fn resources(spec: &ContainerSpec, devices: &[LinuxDeviceCgroup], host: &Host) -> Result<LinuxResources> {
    let limits = &spec.resources.limits;
    let mut builder = LinuxResourcesBuilder::default().devices(devices.to_vec());
    if let Some(memory) = memory(spec, host)? {
        builder = builder.memory(memory);
    }
    if limits.nano_cpus.is_some() || limits.cpu_shares.is_some() || limits.cpuset.is_some() {
        builder = builder.cpu(cpu(spec)?);
    }
    if let Some(pids) = limits.pids.filter(|pids| *pids > 0) {
        builder = builder.pids(LinuxPidsBuilder::default().limit(pids).build()?);
    }
    Ok(builder.build()?)
}

fn cpu(spec: &ContainerSpec) -> Result<oci_spec::runtime::LinuxCpu> {
    let limits = &spec.resources.limits;
    let mut cpu = LinuxCpuBuilder::default();
    if let Some(nano_cpus) = limits.nano_cpus.filter(|nano_cpus| *nano_cpus > 0) {
        let quota = u128::from(nano_cpus) * u128::from(CPU_PERIOD) / 1_000_000_000;
        let quota = i64::try_from(quota).ok().filter(|quota| *quota >= 1000);
        let quota = quota.ok_or_else(|| refused("cpus", nano_cpus, "the least is 0.01 CPUs"))?;
        cpu = cpu.quota(quota).period(CPU_PERIOD);
    }
    if let Some(shares) = limits.cpu_shares.filter(|shares| *shares > 0) {
        cpu = cpu.shares(shares);
    }
    if let Some(cpus) = limits.cpuset.as_ref().filter(|cpus| !cpus.is_empty()) {
        cpu = cpu.cpus(cpus.clone());
    }
    Ok(cpu.build()?)
}

fn memory(spec: &ContainerSpec, host: &Host) -> Result<Option<oci_spec::runtime::LinuxMemory>> {
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
