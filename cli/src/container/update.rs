//! `orca update`.

use api::node::UpdateContainerRequest;
use clap::Args;
use model::{BlockIo, Limits, RestartPolicy};

use super::create::memory_swap;
use super::flags;
use super::lifecycle::each;
use crate::client::Host;
use crate::error::{Error, Result};

/// Arguments of `orca update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Memory limit
    #[arg(short, long, value_name = "BYTES", value_parser = flags::bytes)]
    memory: Option<u64>,
    /// Soft memory limit
    #[arg(long, value_name = "BYTES", value_parser = flags::bytes)]
    memory_reservation: Option<u64>,
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
    /// Memory nodes to use, such as 0-1
    #[arg(long, value_name = "NODES")]
    cpuset_mems: Option<String>,
    /// Relative weight of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// CPUs to run on, such as 0-2,4
    #[arg(long, value_name = "CPUS")]
    cpuset_cpus: Option<String>,
    /// Number of processes and threads; -1 for unlimited
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Restart policy: no, always, unless-stopped, on-failure[:max]
    #[arg(long, value_name = "POLICY", value_parser = flags::restart)]
    restart: Option<RestartPolicy>,
    /// Containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Changes limits of containers.
pub async fn update(host: &Host, args: UpdateArgs) -> Result<()> {
    let limits = Limits {
        nano_cpus: args.cpus,
        cpu_shares: args.cpu_shares,
        cpuset: args.cpuset_cpus,
        memory: args.memory,
        memory_swap: args.memory_swap,
        pids: args.pids_limit,
        cpu_period: args.cpu_period,
        cpu_quota: args.cpu_quota,
        cpu_rt_period: args.cpu_rt_period,
        cpu_rt_runtime: args.cpu_rt_runtime,
        cpuset_mems: args.cpuset_mems,
        block_io: BlockIo { weight: args.blkio_weight.filter(|weight| *weight > 0), ..BlockIo::default() },
        ..Limits::default()
    };
    if limits == Limits::default() && args.memory_reservation.is_none() && args.restart.is_none() {
        return Err(Error::Unsupported {
            what: "an update of nothing".into(),
            instead: "you must provide one or more flags when using this command".into(),
        });
    }
    each(host, &args.containers, "update", async |client, container| {
        let request = UpdateContainerRequest {
            container: container.id,
            limits: Some(limits.clone().into()),
            memory_reservation: args.memory_reservation,
            restart: args.restart.clone().map(Into::into),
        };
        client.node.update_container(request).await?;
        Ok(())
    })
    .await
}
