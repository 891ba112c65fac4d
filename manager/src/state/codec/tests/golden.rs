//! Bytes of format 1, kept as hex text in `tests/golden`, are read back as the same values by every later version.
//!
//! A golden file is never changed. What is new in a later version (a command, a field) gets a file of its own beside them.

use std::fmt::Write;

use super::samples;
use crate::state::codec::{decode_entry, decode_state, encode_entry, encode_state};
use crate::state::{Entry, invariants};
use model::Timestamp;

const ENTRY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/entry-1.hex"));
const STATE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/state-1.hex"));

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(60) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

const CLUSTER_ENTRY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cluster-entry-1.hex"));
const CLUSTER_STATE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cluster-state-1.hex"));

const LOCK_ENTRY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/lock-entry-1.hex"));
const ROTATION_ENTRY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rotation-entry-1.hex"));
const RECOVERY_ENTRY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/recovery-entry-1.hex"));

/// Equal by text, so that a failure prints what to look at.
fn hold(name: &str, golden: &str, now: &[u8]) {
    let now = to_hex(now);
    assert!(golden == now, "{name} is written in other words than tests/golden/{name}-1.hex has; it is now\n{now}");
}

#[test]
fn an_entry_of_format_1() {
    let entry = Entry { now: Timestamp(22), commands: samples::commands() };
    hold("entry", ENTRY, &encode_entry(&entry));
    assert_eq!(decode_entry(&from_hex(ENTRY)).unwrap(), entry);
}

#[test]
fn a_state_of_format_1() {
    let state = samples::state();
    hold("state", STATE, &encode_state(&state));
    let read = decode_state(&from_hex(STATE)).unwrap();
    assert_eq!(read, state);
    assert_eq!(invariants::check(&read), Ok(()));
}

#[test]
fn an_entry_of_a_cluster_of_format_1() {
    let entry = Entry { now: Timestamp(23), commands: samples::cluster_commands() };
    hold("cluster-entry", CLUSTER_ENTRY, &encode_entry(&entry));
    assert_eq!(decode_entry(&from_hex(CLUSTER_ENTRY)).unwrap(), entry);
}

#[test]
fn an_entry_of_locks_of_format_1() {
    let entry = Entry { now: Timestamp(25), commands: samples::lock_commands() };
    hold("lock-entry", LOCK_ENTRY, &encode_entry(&entry));
    assert_eq!(decode_entry(&from_hex(LOCK_ENTRY)).unwrap(), entry);
}

#[test]
fn an_entry_of_a_rotation_of_format_1() {
    let entry = Entry { now: Timestamp(26), commands: samples::rotation_commands() };
    hold("rotation-entry", ROTATION_ENTRY, &encode_entry(&entry));
    assert_eq!(decode_entry(&from_hex(ROTATION_ENTRY)).unwrap(), entry);
}

#[test]
fn an_entry_of_a_recovery_of_format_1() {
    let entry = Entry { now: Timestamp(24), commands: samples::recovery_commands() };
    hold("recovery-entry", RECOVERY_ENTRY, &encode_entry(&entry));
    assert_eq!(decode_entry(&from_hex(RECOVERY_ENTRY)).unwrap(), entry);
}

#[test]
fn a_state_of_a_cluster_of_format_1() {
    let state = samples::cluster_state();
    hold("cluster-state", CLUSTER_STATE, &encode_state(&state));
    assert_eq!(decode_state(&from_hex(CLUSTER_STATE)).unwrap(), state);
}

const MESH_ENTRY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mesh-entry-1.hex"));
const MESH_STATE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mesh-state-1.hex"));

#[test]
fn what_the_mesh_adds_to_format_1() {
    let entry = Entry { now: Timestamp(24), commands: samples::mesh_commands() };
    hold("mesh-entry", MESH_ENTRY, &encode_entry(&entry));
    assert_eq!(decode_entry(&from_hex(MESH_ENTRY)).unwrap(), entry);
    let state = samples::mesh_state();
    hold("mesh-state", MESH_STATE, &encode_state(&state));
    assert_eq!(decode_state(&from_hex(MESH_STATE)).unwrap(), state);
}

const CONTENTS_ENTRY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/contents-entry-1.hex"));
const CONTENTS_STATE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/contents-state-1.hex"));

#[test]
fn what_secrets_and_configs_by_themselves_add_to_format_1() {
    let entry = Entry { now: Timestamp(27), commands: samples::contents_commands() };
    hold("contents-entry", CONTENTS_ENTRY, &encode_entry(&entry));
    assert_eq!(decode_entry(&from_hex(CONTENTS_ENTRY)).unwrap(), entry);
    let state = samples::contents_state();
    hold("contents-state", CONTENTS_STATE, &encode_state(&state));
    let read = decode_state(&from_hex(CONTENTS_STATE)).unwrap();
    assert_eq!(read, state);
    assert_eq!(invariants::check(&read), Ok(()));
}

const SERVICE_ENTRY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/service-entry-1.hex"));
const SERVICE_STATE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/service-state-1.hex"));

#[test]
fn what_services_by_themselves_add_to_format_1() {
    let entry = Entry { now: Timestamp(26), commands: samples::service_commands() };
    hold("service-entry", SERVICE_ENTRY, &encode_entry(&entry));
    assert_eq!(decode_entry(&from_hex(SERVICE_ENTRY)).unwrap(), entry);
    let state = samples::service_state();
    hold("service-state", SERVICE_STATE, &encode_state(&state));
    let read = decode_state(&from_hex(SERVICE_STATE)).unwrap();
    assert_eq!(read, state);
    assert_eq!(invariants::check(&read), Ok(()));
}
