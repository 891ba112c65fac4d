//! Limits of CPU, memory, processes and block devices.

use super::{all, or_default, wires};
use crate::{Error, types};

/// Both directions from one list of what is the same on both sides. A field that is missing from it does not compile.
macro_rules! limits {
    ($($same:ident),*) => {
        impl From<model::Limits> for types::Limits {
            fn from(limits: model::Limits) -> Self {
                let model::Limits { $($same,)* block_io } = limits;
                let block_io = (block_io != model::BlockIo::default()).then(|| block_io.into());
                Self { $($same,)* block_io }
            }
        }

        impl TryFrom<types::Limits> for model::Limits {
            type Error = Error;

            fn try_from(limits: types::Limits) -> Result<Self, Error> {
                let types::Limits { $($same,)* block_io } = limits;
                Ok(Self { $($same,)* block_io: or_default(block_io)? })
            }
        }
    };
}

limits!(
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
    oom_kill_disable
);

impl From<model::BlockIo> for types::BlockIo {
    fn from(block_io: model::BlockIo) -> Self {
        let model::BlockIo { weight, weight_devices, read_bps, write_bps, read_iops, write_iops } = block_io;
        Self {
            weight: weight.map(u32::from),
            weight_devices: wires(weight_devices),
            read_bps: wires(read_bps),
            write_bps: wires(write_bps),
            read_iops: wires(read_iops),
            write_iops: wires(write_iops),
        }
    }
}

impl TryFrom<types::BlockIo> for model::BlockIo {
    type Error = Error;

    fn try_from(block_io: types::BlockIo) -> Result<Self, Error> {
        let types::BlockIo { weight, weight_devices, read_bps, write_bps, read_iops, write_iops } = block_io;
        let narrow = |weight: u32| u16::try_from(weight).map_err(|_| Error::invalid("block_io.weight", weight));
        Ok(Self {
            weight: weight.map(narrow).transpose()?,
            weight_devices: all(weight_devices)?,
            read_bps: all(read_bps)?,
            write_bps: all(write_bps)?,
            read_iops: all(read_iops)?,
            write_iops: all(write_iops)?,
        })
    }
}
