//! Limits of block devices.

use std::collections::{BTreeMap, HashMap};

use model::{BlockIo, ContainerSpec, DeviceRate};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxBlockIoBuilder, LinuxThrottleDevice, LinuxThrottleDeviceBuilder, LinuxWeightDevice,
    LinuxWeightDeviceBuilder,
};

use super::Host;
use crate::{Error, Result};

/// Major and minor number of block devices, by path.
pub type DeviceNumbers = BTreeMap<String, (i64, i64)>;

fn refused(key: &'static str, value: impl ToString, reason: &str) -> Error {
    Error::Spec { key, value: value.to_string(), reason: reason.into() }
}

/// Every device that a limit names.
pub fn devices(block_io: &BlockIo) -> impl Iterator<Item = &str> {
    let BlockIo { weight: _, weight_devices, read_bps, write_bps, read_iops, write_iops } = block_io;
    let all = [weight_devices, read_bps, write_bps, read_iops, write_iops];
    all.into_iter().flatten().map(|device| device.path.as_str())
}

/// Numbers for a check of everything else, before a shell has looked at the devices.
pub fn unknown_numbers(spec: &ContainerSpec) -> DeviceNumbers {
    devices(&spec.resources.limits.block_io).map(|path| (path.to_owned(), (0, 0))).collect()
}

/// The limits, and what must be written into files of cgroup v2 as it stands.
pub type Limits = (Option<LinuxBlockIo>, Option<HashMap<String, String>>);

/// The limits; the weight of v2 stands apart, because the runtime's own translation of v1's scale is wrong.
pub fn limits(block_io: &BlockIo, host: &Host, numbers: &DeviceNumbers) -> Result<Limits> {
    if *block_io == BlockIo::default() {
        return Ok((None, None));
    }
    let controller = if host.unified_cgroups { "io" } else { "blkio" };
    if !host.controllers.contains(controller) {
        return Err(refused("block I/O limit", controller, "this kernel has no such cgroup controller"));
    }
    let weight = weight(block_io, host)?;
    let mut builder = LinuxBlockIoBuilder::default()
        .throttle_read_bps_device(throttles(&block_io.read_bps, numbers)?)
        .throttle_write_bps_device(throttles(&block_io.write_bps, numbers)?)
        .throttle_read_iops_device(throttles(&block_io.read_iops, numbers)?)
        .throttle_write_iops_device(throttles(&block_io.write_iops, numbers)?)
        .weight_device(weights(&block_io.weight_devices, host, numbers)?);
    let mut unified = None;
    match (weight, host.unified_cgroups, &host.io_weight) {
        (Some(weight), true, Some(file)) => {
            // 10 to 1000 on v1 is 1 to 10000 on v2, except for BFQ's own file, which has v1's scale up to 1000.
            let scaled = 1 + (u32::from(weight) - 10) * 9999 / 990;
            let value = if file.contains("bfq") { u32::from(weight) } else { scaled };
            unified = Some(HashMap::from([(file.clone(), value.to_string())]));
        }
        (Some(weight), ..) => builder = builder.weight(weight),
        (None, ..) => {}
    }
    Ok((Some(builder.build()?), unified))
}

fn weight(block_io: &BlockIo, host: &Host) -> Result<Option<u16>> {
    match block_io.weight.filter(|weight| *weight > 0) {
        Some(weight) if !(10..=1000).contains(&weight) => Err(refused("blkio weight", weight, "it is from 10 to 1000")),
        Some(weight) if host.io_weight.is_none() => {
            Err(refused("blkio weight", weight, "this kernel has no scheduler that heeds weights (BFQ)"))
        }
        weight => Ok(weight),
    }
}

fn number(path: &str, numbers: &DeviceNumbers) -> Result<(i64, i64)> {
    numbers.get(path).copied().ok_or_else(|| refused("block device", path, "it is not there"))
}

fn throttles(rates: &[DeviceRate], numbers: &DeviceNumbers) -> Result<Vec<LinuxThrottleDevice>> {
    let throttle = |limit: &DeviceRate| {
        let (major, minor) = number(&limit.path, numbers)?;
        if limit.rate == 0 {
            return Err(refused("block I/O limit", &limit.path, "its rate must not be 0"));
        }
        Ok(LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(limit.rate).build()?)
    };
    rates.iter().map(throttle).collect()
}

fn weights(weights: &[DeviceRate], host: &Host, numbers: &DeviceNumbers) -> Result<Vec<LinuxWeightDevice>> {
    let weight = |limit: &DeviceRate| {
        let (major, minor) = number(&limit.path, numbers)?;
        let weight = u16::try_from(limit.rate).ok().filter(|weight| (10..=1000).contains(weight));
        let weight = weight.ok_or_else(|| refused("blkio weight of a device", limit.rate, "it is from 10 to 1000"))?;
        if host.io_weight.is_none() {
            return Err(refused("blkio weight of a device", weight, "this kernel has no scheduler that heeds weights"));
        }
        Ok(LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(weight).build()?)
    };
    weights.iter().map(weight).collect()
}
