//! What is refused, in which words, and what is never shown.

use api::{control, dispatcher, types};
use prost::Message;

use crate::samples;

fn task(change: impl FnOnce(&mut types::Task)) -> String {
    let mut wire = types::Task::from(samples::task());
    change(&mut wire);
    model::Task::try_from(wire).unwrap_err().to_string()
}

fn service(change: impl FnOnce(&mut types::ServiceSpec)) -> String {
    let mut wire = types::ServiceSpec::from(samples::service_spec());
    change(&mut wire);
    model::ServiceSpec::try_from(wire).unwrap_err().to_string()
}

fn container(change: impl FnOnce(&mut types::ContainerSpec)) -> String {
    service(|spec| change(spec.container.as_mut().unwrap()))
}

#[test]
fn errors_name_the_field_and_the_value() {
    use types::network_mode::Mode;
    let cases = [
        (task(|task| task.id = "me".into()), "task.id cannot be \"me\""),
        (task(|task| task.node = Some(String::new())), "task.node cannot be \"\""),
        (task(|task| task.desired = 65), "task.desired cannot be \"65\""),
        (task(|task| task.desired = 65_536 + 512), "task.desired cannot be \"66048\""),
        (task(|task| task.status.as_mut().unwrap().state = 1), "task_status.state cannot be \"1\""),
        (task(|task| task.spec = None), "no task.spec"),
        (task(|task| task.spec.as_mut().unwrap().container = None), "no task_spec.container"),
        (service(|spec| spec.network = None), "no service.network"),
        (service(|spec| spec.network = Some(types::NetworkMode { mode: None })), "no network.mode"),
        (
            service(|spec| spec.network.as_mut().unwrap().mode = Some(Mode::Host(false))),
            "network.host cannot be \"false\"",
        ),
        (service(|spec| spec.mode = Some(types::ServiceMode { mode: None })), "no service.mode"),
        (service(|spec| spec.ports[0].target = 70_000), "port.target cannot be \"70000\""),
        (service(|spec| spec.ports[0].host_ip = Some("localhost".into())), "port.host_ip cannot be \"localhost\""),
        (service(|spec| spec.ports[0].protocol = 3), "port.protocol cannot be \"3\""),
        (service(|spec| spec.endpoint_mode = -1), "service.endpoint_mode cannot be \"-1\""),
        (container(|spec| spec.pid = 2), "container.pid cannot be \"2\""),
        (container(|spec| spec.dns = vec!["dns".into()]), "container.dns cannot be \"dns\""),
        (container(|spec| spec.mounts[0].source = None), "no mount.source"),
        (container(|spec| spec.extra_hosts[0].address = "host-gateway".into()), "host_entry.address cannot be"),
        (container(|spec| spec.secrets[0].file = None), "no secret_file.file"),
        (
            container(|spec| {
                spec.healthcheck.as_mut().unwrap().test = Some(types::healthcheck::Test::Disabled(false));
            }),
            "healthcheck.disabled cannot be \"false\"",
        ),
    ];
    for (error, words) in cases {
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    }
}

#[test]
fn a_prefix_and_a_subnet_have_bounds() {
    let refused = |base: &str, prefix| model::AddressPool::try_from(types::AddressPool { base: base.into(), prefix });
    assert!(refused("10.0.0.0/8", 24).is_ok());
    assert!(refused("10.0.0.0/8", 256 + 24).unwrap_err().to_string().contains("address_pool.prefix"));
    assert!(refused("10.0.0.0/33", 24).unwrap_err().to_string().contains("address_pool.base"));
}

#[test]
fn an_object_that_comes_twice_is_refused() {
    let mut wire = types::AssignmentsDiff::from(samples::assignments_diff());
    wire.tasks.push(wire.tasks[0].clone());
    let error = model::AssignmentsDiff::try_from(wire).unwrap_err().to_string();
    assert!(error.contains("assignments.tasks") && error.contains("twice"), "{error}");
}

#[test]
fn parts_that_say_nothing_may_be_absent() {
    let container = types::ContainerSpec { image: "a".into(), ..Default::default() };
    let expected = model::ContainerSpec { image: "a".into(), ..Default::default() };
    assert_eq!(model::ContainerSpec::try_from(container).unwrap(), expected);
}

#[test]
fn a_long_value_is_quoted_in_part() {
    let error = task(|task| task.service = "x".repeat(1 << 20));
    assert!(error.len() < 200, "{} bytes", error.len());
}

#[test]
fn a_refusal_is_an_invalid_argument() {
    let error = model::Vip::try_from(types::Vip::default()).unwrap_err();
    assert_eq!(tonic::Status::from(error).code(), tonic::Code::InvalidArgument);
}

#[test]
fn debug_hides_secrets_in_every_message() {
    let data = b"hunter2".to_vec();
    let secret = types::SecretSpec { name: "password".into(), data: data.clone(), ..Default::default() };
    let stack = types::Stack { secrets: vec![secret], ..Default::default() };
    let request = control::ApplyStackRequest { stack: Some(stack), ..Default::default() };
    let diff = types::AssignmentsDiff { secrets: [("id".into(), data.clone())].into(), ..Default::default() };
    let assignments = dispatcher::Assignments { diff: Some(diff), ..Default::default() };
    let bytes = format!("{data:?}");
    for shown in [format!("{request:?}"), format!("{assignments:?}")] {
        assert!(shown.contains("<7 bytes>"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }
    assert!(request.encoded_len() > data.len());
}
