//! Model to wire to bytes, and back to the same value.

use std::fmt::Debug;

use api::types;
use proptest::prelude::*;
use prost::Message;

use crate::strategies;

fn returns<M, W>(value: M)
where
    W: Message + Default + From<M>,
    M: TryFrom<W, Error = api::Error> + Clone + PartialEq + Debug,
{
    let bytes = W::from(value.clone()).encode_to_vec();
    let decoded = W::decode(bytes.as_slice()).unwrap();
    assert_eq!(M::try_from(decoded).unwrap(), value);
}

macro_rules! round_trips {
    ($($strategy:ident: $name:ident)+) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            $(
                #[test]
                fn $strategy(value in strategies::$strategy()) {
                    returns::<model::$name, types::$name>(value);
                }
            )+
        }
    };
}

round_trips! {
    mount: Mount
    secret_file: SecretFile
    config_file: ConfigFile
    volume_spec: VolumeSpec
    healthcheck: Healthcheck
    resources: Resources
    restart_policy: RestartPolicy
    log_config: LogConfig
    security_options: SecurityOptions
    host_entry: HostEntry
    container_spec: ContainerSpec
    network_spec: NetworkSpec
    network_mode: NetworkMode
    port_spec: PortSpec
    stack_member: StackMember
    service_mode: ServiceMode
    service_spec: ServiceSpec
    secret_spec: SecretSpec
    config_spec: ConfigSpec
    stack: Stack
    cluster: Cluster
    service: Service
    network: Network
    node: Node
    secret: Secret
    config: Config
    container_status: ContainerStatus
    task_status: TaskStatus
    task: Task
    network_assignment: NetworkAssignment
    service_endpoint: ServiceEndpoint
    assignments_diff: AssignmentsDiff
}

#[test]
fn a_duration_beyond_584_years_saturates() {
    let check = model::Healthcheck { interval: Some(std::time::Duration::MAX), ..Default::default() };
    assert_eq!(types::Healthcheck::from(check).interval, Some(u64::MAX));
}

#[test]
fn equal_values_have_equal_bytes() {
    let labels = |keys: &[&str]| keys.iter().map(|key| ((*key).into(), String::new())).collect();
    let forth = types::VolumeSpec { labels: labels(&["a", "b", "c"]), ..Default::default() };
    let back = types::VolumeSpec { labels: labels(&["c", "b", "a"]), ..Default::default() };
    assert_eq!(forth.encode_to_vec(), back.encode_to_vec());
}
