//! Limits and reservations, which Compose lets users say in two places.

use std::collections::BTreeMap;

use model::{BlockIo, DeviceRate, DeviceRequest, Limits, Reservations, Resources};

use super::fields::Fields;
use crate::error::Error;
use crate::node::Node;

const NANO: f64 = 1e9;

/// The service's limits and reservations, and the devices among the latter. Where both places say something they say the same.
pub fn all(fields: &Fields, errors: &mut Vec<Error>) -> (Resources, Vec<DeviceRequest>) {
    let mut limits = Limits {
        nano_cpus: nano_cpus(fields, "cpus", errors).filter(|cpus| *cpus > 0),
        cpu_shares: unsigned(fields, "cpu_shares", errors),
        cpuset: fields.text("cpuset"),
        memory: fields.bytes("mem_limit"),
        memory_swap: fields.text("memswap_limit").and_then(|text| text.parse().ok()),
        pids: fields.integer("pids_limit"),
        cpu_period: unsigned(fields, "cpu_period", errors),
        cpu_quota: fields.integer("cpu_quota").filter(|quota| *quota != 0),
        cpu_rt_period: unsigned(fields, "cpu_rt_period", errors),
        cpu_rt_runtime: fields.integer("cpu_rt_runtime").filter(|runtime| *runtime != 0),
        cpuset_mems: None,
        memory_swappiness: fields.bytes("mem_swappiness"),
        oom_kill_disable: fields.flag("oom_kill_disable"),
        block_io: block_io(fields, errors),
    };
    let mut reservations =
        Reservations { memory: fields.bytes("mem_reservation").unwrap_or(0), ..Reservations::default() };
    let mut requests = Vec::new();
    let deploy = fields.nested("deploy").and_then(|deploy| deploy.nested("resources"));
    if let Some(resources) = deploy {
        if let Some(section) = resources.nested("limits") {
            limits.nano_cpus = nano_cpus(&section, "cpus", errors).filter(|cpus| *cpus > 0).or(limits.nano_cpus);
            limits.memory = section.bytes("memory").or(limits.memory);
            limits.pids = section.integer("pids").or(limits.pids);
            section.finish(errors);
        }
        if let Some(section) = resources.nested("reservations") {
            reservations.nano_cpus = nano_cpus(&section, "cpus", errors).unwrap_or(0);
            reservations.memory = section.bytes("memory").unwrap_or(reservations.memory);
            requests = device_requests(&section, "devices", errors);
            reservations.generic = generic_resources(&section, errors);
            section.finish(errors);
        }
        resources.finish(errors);
    }
    if limits.memory.is_some_and(|limit| reservations.memory > limit) {
        fields.invalid("deploy", "the memory reservation is larger than the limit", errors);
    }
    (Resources { limits, reservations }, requests)
}

/// So many of each kind.
fn generic_resources(section: &Fields, errors: &mut Vec<Error>) -> BTreeMap<String, u64> {
    let mut generic = BTreeMap::new();
    for (index, node) in section.list("generic_resources").iter().enumerate() {
        let resource = Fields::new(node, format!("{}[{index}]", section.path("generic_resources")));
        match resource.nested("discrete_resource_spec") {
            Some(spec) => {
                let count = spec.integer("value").and_then(|value| u64::try_from(value).ok());
                match (spec.text("kind").filter(|kind| !kind.is_empty()), count) {
                    (Some(kind), Some(count)) => drop(generic.insert(kind, count)),
                    (None, _) => spec.invalid("kind", "say of what", errors),
                    (_, None) => spec.invalid("value", "expected a number", errors),
                }
                spec.finish(errors);
            }
            None => resource.invalid("discrete_resource_spec", "say how many of what", errors),
        }
        resource.finish(errors);
    }
    generic
}

/// Requests for devices that the node chooses.
pub fn device_requests(fields: &Fields, key: &'static str, errors: &mut Vec<Error>) -> Vec<DeviceRequest> {
    let mut requests = Vec::new();
    for (index, node) in fields.list(key).iter().enumerate() {
        let request = Fields::new(node, format!("{}[{index}]", fields.path(key)));
        requests.push(DeviceRequest {
            driver: request.text("driver").unwrap_or_default(),
            count: request.integer("count").unwrap_or(0),
            device_ids: request.texts("device_ids"),
            capabilities: request.texts("capabilities"),
            options: request.strings("options"),
        });
        request.finish(errors);
    }
    requests
}

fn nano_cpus(fields: &Fields, key: &'static str, errors: &mut Vec<Error>) -> Option<u64> {
    let cpus = fields.take(key).and_then(Node::as_float)?;
    if !(0.0..=1_000_000.0).contains(&cpus) {
        fields.invalid(key, "not a number of CPUs", errors);
        return None;
    }
    Some((cpus * NANO).round() as u64)
}

/// A number of which 0 means that there is none.
fn unsigned(fields: &Fields, key: &'static str, errors: &mut Vec<Error>) -> Option<u64> {
    let number = fields.integer(key)?;
    match u64::try_from(number) {
        Ok(number) => Some(number).filter(|number| *number > 0),
        Err(_) => {
            fields.invalid(key, "must not be negative", errors);
            None
        }
    }
}

fn block_io(fields: &Fields, errors: &mut Vec<Error>) -> BlockIo {
    let Some(section) = fields.nested("blkio_config") else { return BlockIo::default() };
    let block_io = BlockIo {
        weight: section.integer("weight").filter(|weight| *weight != 0).and_then(|weight| u16::try_from(weight).ok()),
        weight_devices: rates(&section, "weight_device", "weight", errors),
        read_bps: rates(&section, "device_read_bps", "rate", errors),
        write_bps: rates(&section, "device_write_bps", "rate", errors),
        read_iops: rates(&section, "device_read_iops", "rate", errors),
        write_iops: rates(&section, "device_write_iops", "rate", errors),
    };
    if section.integer("weight").is_some_and(|weight| !(0..=1000).contains(&weight)) {
        section.invalid("weight", "it is from 10 to 1000", errors);
    }
    section.finish(errors);
    block_io
}

fn rates(section: &Fields, key: &'static str, number: &'static str, errors: &mut Vec<Error>) -> Vec<DeviceRate> {
    let mut rates = Vec::new();
    for (index, node) in section.list(key).iter().enumerate() {
        let device = Fields::new(node, format!("{}[{index}]", section.path(key)));
        let path = device.text("path").unwrap_or_default();
        // Rates are sizes, and so stand as text; weights are numbers.
        let rate = device.bytes(number).or_else(|| device.integer(number).and_then(|rate| u64::try_from(rate).ok()));
        if rate.is_none() {
            device.invalid(number, "expected a number", errors);
        }
        device.finish(errors);
        rates.push(DeviceRate { path, rate: rate.unwrap_or_default() });
    }
    rates
}
