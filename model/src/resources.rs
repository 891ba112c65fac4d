//! Limits, reservations, restart policy, log configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a container may use, and what the scheduler keeps for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Hard limits.
    pub limits: Limits,
    /// Kept free for it by the scheduler; `memory` is also a soft limit.
    pub reservations: Reservations,
}

/// Hard limits; `None` is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Billionths of a CPU.
    pub nano_cpus: Option<u64>,
    /// Relative weight, 1024 by default.
    pub cpu_shares: Option<u64>,
    /// CPUs that it may run on, such as `0-2,4`.
    pub cpuset: Option<String>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; -1 is unlimited swap.
    pub memory_swap: Option<i64>,
    /// Processes and threads; -1 or 0 is unlimited.
    pub pids: Option<i64>,
    /// Microseconds in which `cpu_quota` may be used up; not together with `nano_cpus`.
    pub cpu_period: Option<u64>,
    /// Microseconds of CPU time in a period; -1 is unlimited.
    pub cpu_quota: Option<i64>,
    /// The same for real-time scheduling (cgroup v1).
    pub cpu_rt_period: Option<u64>,
    /// Microseconds of real-time CPU time in such a period.
    pub cpu_rt_runtime: Option<i64>,
    /// Memory nodes that it may use, such as `0-1`.
    pub cpuset_mems: Option<String>,
    /// How readily its memory is swapped out, 0 to 100 (cgroup v1).
    pub memory_swappiness: Option<u64>,
    /// Make it wait instead of killing it when it is out of memory (cgroup v1).
    pub oom_kill_disable: bool,
    /// Block devices.
    pub block_io: BlockIo,
}

impl Limits {
    /// Takes over what `change` gives. Nothing of the limits may be forgotten here, so they are taken apart.
    pub fn update(&mut self, change: Self) {
        let Self {
            nano_cpus,
            cpu_shares,
            cpuset,
            memory,
            memory_swap,
            pids,
            cpu_period,
            cpu_quota,
            cpu_rt_period,
            cpu_rt_runtime,
            cpuset_mems,
            memory_swappiness,
            oom_kill_disable,
            block_io,
        } = change;
        given(&mut self.nano_cpus, nano_cpus);
        given(&mut self.cpu_shares, cpu_shares);
        given(&mut self.cpuset, cpuset);
        given(&mut self.memory, memory);
        given(&mut self.memory_swap, memory_swap);
        given(&mut self.pids, pids);
        given(&mut self.cpu_period, cpu_period);
        given(&mut self.cpu_quota, cpu_quota);
        given(&mut self.cpu_rt_period, cpu_rt_period);
        given(&mut self.cpu_rt_runtime, cpu_rt_runtime);
        given(&mut self.cpuset_mems, cpuset_mems);
        given(&mut self.memory_swappiness, memory_swappiness);
        // Rates of devices stay as they are.
        given(&mut self.block_io.weight, block_io.weight);
        self.oom_kill_disable |= oom_kill_disable;
    }
}

fn given<T>(present: &mut Option<T>, change: Option<T>) {
    if change.is_some() {
        *present = change;
    }
}

/// Limits of block devices, by path on the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockIo {
    /// Relative weight, 10 to 1000.
    pub weight: Option<u16>,
    /// Weights on one device.
    pub weight_devices: Vec<DeviceRate>,
    /// Bytes a second that may be read.
    pub read_bps: Vec<DeviceRate>,
    /// Bytes a second that may be written.
    pub write_bps: Vec<DeviceRate>,
    /// Reads a second.
    pub read_iops: Vec<DeviceRate>,
    /// Writes a second.
    pub write_iops: Vec<DeviceRate>,
}

/// A number for one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// Path on the node.
    pub path: String,
    /// Bytes or operations a second, or a weight.
    pub rate: u64,
}

/// What the scheduler counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reservations {
    /// Billionths of a CPU.
    pub nano_cpus: u64,
    /// Bytes.
    pub memory: u64,
    /// So many of each kind of things that nodes are said to have (`--node-generic-resource`).
    pub generic: BTreeMap<String, u64>,
}

/// What the agent does when the container's process ends by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    /// In which case to run it again.
    pub condition: RestartCondition,
    /// How often at most; `None` is without end.
    pub max_attempts: Option<u64>,
    /// Wait before a restart; `None`: Docker's back-off from 100 ms, doubled up to 1 min.
    pub delay: Option<Duration>,
    /// A run that lasted this long counts as a success, and attempts start anew; `None`: 10 s.
    pub window: Option<Duration>,
}

/// In which case a container runs again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// Never.
    #[default]
    No,
    /// When it ended with a code other than zero.
    OnFailure,
    /// Whatever its code; and when the daemon starts, even if a user had stopped it.
    Always,
    /// Whatever its code, but not after a user has stopped it.
    UnlessStopped,
}
