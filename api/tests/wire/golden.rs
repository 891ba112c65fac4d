//! Bytes of every version, kept as hex text in `tests/golden/NAME-VERSION.hex`, are read back as the same value.
//!
//! A golden file is never changed. After a change of the protocol (a new field, a new variant):
//! 1. give the new field its default in the samples of the old versions, so that their files still read back;
//! 2. add a sample that sets it, and the hex that the failing test prints as a file of the next version;
//! 3. add both at the end of the list below.

use std::fmt::Debug;

use api::types;
use prost::Message;

use crate::samples;

/// The hex of each version, oldest first, and the value that it must be.
fn hold<M, W>(name: &str, versions: Vec<(&str, M)>)
where
    W: Message + Default + From<M>,
    M: TryFrom<W, Error = api::Error> + Clone + PartialEq + Debug,
{
    let last = versions.len();
    for (version, (hex, sample)) in (1..).zip(versions) {
        let file = format!("tests/golden/{name}-{version}.hex");
        let golden = from_hex(hex);
        let now = W::from(sample.clone()).encode_to_vec();
        let advice = format!(
            "Is this a change of the protocol? {file} must stay as it is, for released versions write such bytes: \
             keep field numbers and types, and add a version as tests/wire/golden.rs says. The sample is now\n{}",
            to_hex(&now)
        );
        let value = W::decode(golden.as_slice()).map_err(|error| error.to_string());
        let value = value.and_then(|wire| M::try_from(wire).map_err(|error| error.to_string()));
        match value {
            Ok(value) => assert!(value == sample, "{file} is read as another value: {value:#?}\n{advice}"),
            Err(error) => panic!("{file} cannot be read: {error}\n{advice}"),
        }
        // Older samples may be written in other words today; the newest may not.
        assert!(version != last || now == golden, "{name} is written in other bytes than {file} has.\n{advice}");
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "a golden file has half a byte");
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(32).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn service_specs() {
    let prefixed = model::ServiceSpec { container_prefix: Some("shop_web_".into()), ..samples::service_spec() };
    let mut filled = samples::service_spec();
    filled.container.secrets.iter_mut().for_each(|file| file.template = true);
    filled.container.configs.iter_mut().for_each(|file| file.template = true);
    let versions = vec![
        (include_str!("../golden/service_spec-1.hex"), samples::service_spec()),
        (include_str!("../golden/service_spec-2.hex"), prefixed),
        (include_str!("../golden/service_spec-3.hex"), filled),
    ];
    hold::<model::ServiceSpec, types::ServiceSpec>("service_spec", versions);
}

#[test]
fn tasks() {
    let versions = vec![
        (include_str!("../golden/task-1.hex"), samples::task()),
        (include_str!("../golden/task-2.hex"), model::Task { volumes_since: Some(21), ..samples::task() }),
    ];
    hold::<model::Task, types::Task>("task", versions);
}

#[test]
fn assignments_diffs() {
    let versions = vec![
        (include_str!("../golden/assignments_diff-1.hex"), samples::assignments_diff()),
        (include_str!("../golden/assignments_diff-2.hex"), samples::mesh_diff()),
        (include_str!("../golden/assignments_diff-3.hex"), samples::images_diff()),
    ];
    hold::<model::AssignmentsDiff, types::AssignmentsDiff>("assignments_diff", versions);
}

/// The samples cannot hold every variant of every enum, so their numbers are held here: names in the order of 0, 1, 2.
#[test]
fn enum_numbers() {
    macro_rules! hold_numbers {
        ($($name:ident $prefix:literal $variants:literal)+) => {$(
            let values = (0..).map_while(|number| types::$name::try_from(number).ok());
            let names: Vec<_> = values.filter_map(|value| value.as_str_name().strip_prefix($prefix)).collect();
            assert_eq!(names.join(" "), $variants, "{}: numbers are never reused, new ones come last", stringify!($name));
        )+};
    }
    hold_numbers! {
        NamespaceMode "NAMESPACE_MODE_" "PRIVATE HOST"
        CgroupnsMode "CGROUPNS_MODE_" "DEFAULT PRIVATE HOST"
        SeccompProfile "SECCOMP_PROFILE_" "DEFAULT UNCONFINED"
        Propagation "PROPAGATION_" "RPRIVATE PRIVATE RSHARED SHARED RSLAVE SLAVE"
        Health "HEALTH_" "NONE STARTING HEALTHY UNHEALTHY"
        RestartCondition "RESTART_CONDITION_" "NO ON_FAILURE ALWAYS UNLESS_STOPPED"
        LogDriver "LOG_DRIVER_" "JSON_FILE LOCAL NONE JOURNALD SYSLOG DEFAULT"
        Protocol "PROTOCOL_" "TCP UDP SCTP"
        PublishMode "PUBLISH_MODE_" "INGRESS HOST"
        EndpointMode "ENDPOINT_MODE_" "VIP DNSRR"
        DependencyCondition "DEPENDENCY_CONDITION_" "SERVICE_STARTED SERVICE_HEALTHY SERVICE_COMPLETED_SUCCESSFULLY"
        NodeState "NODE_STATE_" "UNKNOWN READY DOWN"
        ContainerPhase "CONTAINER_PHASE_" "CREATED RUNNING PAUSED RESTARTING EXITED REMOVING DEAD"
    }
}
