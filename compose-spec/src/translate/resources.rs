//! Limits and reservations, which Compose lets users say in two places.

use model::{Limits, Reservations, Resources};

use super::fields::Fields;
use crate::error::Error;
use crate::node::Node;

const NANO: f64 = 1e9;
/// Microseconds that `cpu_quota` is a share of, unless `cpu_period` says otherwise (cgroups).
const DEFAULT_PERIOD: i64 = 100_000;

/// The service's limits and reservations. Where both places say something they say the same.
pub fn all(fields: &Fields, errors: &mut Vec<Error>) -> Resources {
    let mut limits = Limits {
        nano_cpus: nano_cpus(fields, "cpus", errors).or_else(|| quota(fields, errors)),
        cpu_shares: fields.integer("cpu_shares").and_then(|shares| u64::try_from(shares).ok()),
        cpuset: fields.text("cpuset"),
        memory: fields.bytes("mem_limit"),
        memory_swap: fields.text("memswap_limit").and_then(|text| text.parse().ok()),
        pids: fields.integer("pids_limit"),
    };
    let mut reservations = Reservations { nano_cpus: 0, memory: fields.bytes("mem_reservation").unwrap_or(0) };
    let deploy = fields.nested("deploy").and_then(|deploy| deploy.nested("resources"));
    if let Some(resources) = deploy {
        if let Some(section) = resources.nested("limits") {
            limits.nano_cpus = nano_cpus(&section, "cpus", errors).or(limits.nano_cpus);
            limits.memory = section.bytes("memory").or(limits.memory);
            limits.pids = section.integer("pids").or(limits.pids);
            section.finish(errors);
        }
        if let Some(section) = resources.nested("reservations") {
            reservations.nano_cpus = nano_cpus(&section, "cpus", errors).unwrap_or(0);
            reservations.memory = section.bytes("memory").unwrap_or(reservations.memory);
            section.finish(errors);
        }
        resources.finish(errors);
    }
    if limits.memory.is_some_and(|limit| reservations.memory > limit) {
        fields.invalid("deploy", "the memory reservation is larger than the limit", errors);
    }
    Resources { limits, reservations }
}

fn nano_cpus(fields: &Fields, key: &'static str, errors: &mut Vec<Error>) -> Option<u64> {
    let cpus = fields.take(key).and_then(Node::as_float)?;
    if !(0.0..=1_000_000.0).contains(&cpus) {
        fields.invalid(key, "not a number of CPUs", errors);
        return None;
    }
    Some((cpus * NANO).round() as u64)
}

fn quota(fields: &Fields, errors: &mut Vec<Error>) -> Option<u64> {
    let period = fields.integer("cpu_period").unwrap_or(DEFAULT_PERIOD);
    let quota = fields.integer("cpu_quota").filter(|quota| *quota > 0)?;
    if period <= 0 {
        fields.invalid("cpu_period", "must be positive", errors);
        return None;
    }
    Some((quota as f64 / period as f64 * NANO).round() as u64)
}
