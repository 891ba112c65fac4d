//! The limits that `run`, `create` and `update` can all set.

use clap::Args;
use model::{BlockIo, Limits};

use super::flags;

/// What a container may use of CPU, memory, processes and block devices.
#[derive(Debug, Default, Args)]
pub struct LimitArgs {
    /// Memory limit
    #[arg(short, long, value_name = "BYTES", value_parser = flags::bytes)]
    memory: Option<u64>,
    /// Soft memory limit
    #[arg(long, value_name = "BYTES", value_parser = flags::bytes)]
    pub memory_reservation: Option<u64>,
    /// Memory and swap together; -1 for unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = memory_swap, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "NUMBER", value_parser = flags::nano_cpus)]
    cpus: Option<u64>,
    /// Relative CPU weight
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// Microseconds in which the CPU quota may be used up
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Microseconds of CPU time in a period
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// The same period for real-time scheduling
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<u64>,
    /// Microseconds of real-time CPU time in it
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPUs to run on, such as 0-2,4
    #[arg(long, value_name = "CPUS")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use, such as 0-1
    #[arg(long, value_name = "NODES")]
    cpuset_mems: Option<String>,
    /// Relative weight of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Number of processes and threads; -1 for unlimited
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
}

impl LimitArgs {
    /// The limits that are given; none for all others.
    pub fn limits(&self) -> Limits {
        Limits {
            nano_cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpuset: self.cpuset_cpus.clone(),
            memory: self.memory,
            memory_swap: self.memory_swap,
            pids: self.pids_limit,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpu_rt_period: self.cpu_rt_period,
            cpu_rt_runtime: self.cpu_rt_runtime,
            cpuset_mems: self.cpuset_mems.clone(),
            block_io: BlockIo { weight: self.blkio_weight.filter(|weight| *weight > 0), ..BlockIo::default() },
            ..Limits::default()
        }
    }
}

/// `512m`, or -1.
fn memory_swap(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { Ok(i64::try_from(flags::bytes(text)?).unwrap_or(i64::MAX)) }
}
