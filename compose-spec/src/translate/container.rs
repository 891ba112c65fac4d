//! The part of a service that an agent carries out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{ContainerSpec, Device, DeviceRequest, HostAddress, HostEntry, Ulimit};

use super::fields::Fields;
use super::{build, file_objects, hooks, isolation, mounts, policies, resources};
use crate::error::Error;
use crate::files::Files;
use crate::node::{Map, Node};
use crate::project::Project;
use crate::service::Service;

/// What each container of the service is made from.
pub fn spec(
    project: &Project,
    service: Service,
    fields: &Fields,
    files: &dyn Files,
    errors: &mut Vec<Error>,
) -> ContainerSpec {
    let image = fields.text("image");
    let mut own = Vec::new();
    let is_built = build::spec(project, service, fields, files, &mut own).is_some();
    // A secret that can't be read is told once.
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.extend(own.into_iter().filter(|error| !told.contains(&error.to_string())));
    if image.is_none() && !is_built {
        fields.invalid("image", format!("service {:?} names no image", service.name), errors);
    }
    let (resources, reserved) = resources::all(fields, errors);
    let (devices, mut device_requests) = devices(fields, errors);
    device_requests.extend(resources::device_requests(fields, "gpus", errors).into_iter().map(gpu));
    device_requests.extend(reserved);
    ContainerSpec {
        image: project.image_name(service),
        entrypoint: fields.take("entrypoint").map(|_| fields.texts("entrypoint")),
        command: fields.take("command").map(|_| fields.texts("command")),
        env: fields.strings("environment"),
        working_dir: fields.text("working_dir"),
        user: fields.text("user"),
        group_add: fields.texts("group_add"),
        hostname: fields.text("hostname"),
        domainname: fields.text("domainname"),
        labels: fields.strings("labels"),
        annotations: fields.strings("annotations"),
        tty: fields.flag("tty"),
        exposed: exposed(fields, errors),
        init: fields.flag("init"),
        open_stdin: fields.flag("stdin_open"),
        stop_signal: fields.text("stop_signal"),
        stop_grace_period: fields.duration("stop_grace_period", errors),
        read_only: fields.flag("read_only"),
        privileged: fields.flag("privileged"),
        cap_add: fields.texts("cap_add"),
        cap_drop: fields.texts("cap_drop"),
        security: isolation::security(project, fields, files, errors),
        mounts: mounts::all(project, fields, errors),
        secrets: file_objects::secret_files(project, fields),
        configs: file_objects::config_files(project, fields),
        healthcheck: policies::healthcheck(fields, errors),
        extra_hosts: extra_hosts(fields, errors),
        dns: dns(fields, errors),
        dns_search: fields.texts("dns_search"),
        dns_options: fields.texts("dns_opt"),
        sysctls: fields.strings("sysctls"),
        ulimits: ulimits(fields),
        shm_size: fields.bytes("shm_size").filter(|size| *size > 0),
        devices,
        device_requests,
        resources,
        device_cgroup_rules: fields.texts("device_cgroup_rules"),
        pid: isolation::mode(project, fields, "pid", errors),
        ipc: isolation::mode(project, fields, "ipc", errors),
        uts: isolation::mode(project, fields, "uts", errors),
        userns: isolation::mode(project, fields, "userns_mode", errors),
        cgroupns: isolation::mode(project, fields, "cgroup", errors),
        cgroup_parent: fields.text("cgroup_parent"),
        runtime: fields.text("runtime"),
        oom_score_adj: oom_score_adj(fields, errors),
        restart: policies::restart(fields, errors),
        log: policies::log(fields, errors),
        post_start: hooks::of(fields, "post_start", errors),
        pre_stop: hooks::of(fields, "pre_stop", errors),
    }
}

fn oom_score_adj(fields: &Fields, errors: &mut Vec<Error>) -> Option<i32> {
    let score = fields.integer("oom_score_adj")?;
    if !(-1000..=1000).contains(&score) {
        fields.invalid("oom_score_adj", "expected -1000 to 1000", errors);
    }
    i32::try_from(score).ok()
}

pub(super) fn extra_hosts(fields: &Fields, errors: &mut Vec<Error>) -> Vec<HostEntry> {
    let mut entries = Vec::new();
    for line in fields.texts("extra_hosts") {
        let (host, address) = line.split_once('=').unwrap_or((&line, ""));
        let address = match (address, address.parse::<IpAddr>()) {
            ("host-gateway", _) => HostAddress::HostGateway,
            (_, Ok(ip)) => HostAddress::Ip(ip),
            (_, Err(_)) => {
                fields.invalid("extra_hosts", format!("invalid IP address {address:?} for host {host}"), errors);
                continue;
            }
        };
        entries.push(HostEntry { host: host.to_owned(), address });
    }
    entries
}

fn dns(fields: &Fields, errors: &mut Vec<Error>) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for server in fields.texts("dns") {
        match server.parse() {
            Ok(ip) => servers.push(ip),
            Err(_) => fields.invalid("dns", format!("{server:?} is not an IP address"), errors),
        }
    }
    servers
}

pub(super) fn ulimits(fields: &Fields) -> BTreeMap<String, Ulimit> {
    let map = fields.take("ulimits").and_then(Node::as_map);
    let limit = |node: &Node| {
        let both = node.as_int();
        let part = |key: &str| both.or_else(|| node.get(key).and_then(Node::as_int)).unwrap_or(0);
        Ulimit { soft: part("soft"), hard: part("hard") }
    };
    map.into_iter().flat_map(Map::iter).map(|(name, node)| (name.clone(), limit(node))).collect()
}

/// `gpus` are GPUs, whatever else they must be able to do.
fn gpu(mut request: DeviceRequest) -> DeviceRequest {
    if !request.capabilities.iter().any(|capability| capability == "gpu") {
        request.capabilities.push("gpu".into());
    }
    request
}

fn devices(fields: &Fields, errors: &mut Vec<Error>) -> (Vec<Device>, Vec<DeviceRequest>) {
    let (mut devices, mut requests) = (Vec::new(), Vec::new());
    for (index, node) in fields.list("devices").iter().enumerate() {
        let device = Fields::new(node, format!("{}[{index}]", fields.path("devices")));
        let source = device.text("source").unwrap_or_default();
        let request = DeviceRequest::cdi(&source);
        if request.is_none() && !source.starts_with('/') {
            device.refuse(
                "source",
                Some("give a path such as /dev/fuse, or a CDI device: vendor.com/class=name"),
                errors,
            );
        }
        let target = device.text("target").unwrap_or_else(|| source.clone());
        let permissions = device.text("permissions").unwrap_or_else(|| "rwm".into());
        if permissions.is_empty() || !permissions.chars().all(|c| "rwm".contains(c)) {
            device.invalid("permissions", format!("{permissions:?} is not made of r, w and m"), errors);
        }
        device.finish(errors);
        match request {
            Some(request) => requests.push(request),
            None => devices.push(Device { source, target, permissions }),
        }
    }
    (devices, requests)
}

/// `expose`: `3000`, `8000-8010/udp`.
fn exposed(fields: &Fields, errors: &mut Vec<Error>) -> Vec<String> {
    let mut exposed = Vec::new();
    // Many ranges may mean the same ports.
    let mut seen = std::collections::BTreeSet::new();
    for text in fields.texts("expose") {
        let (range, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u16>(), last.parse::<u16>(), protocol) {
            (Ok(first @ 1..), Ok(last), "tcp" | "udp" | "sctp") if first <= last => {
                let new = (first..=last).filter(|port| seen.insert((*port, protocol.to_owned())));
                exposed.extend(new.map(|port| format!("{port}/{protocol}")));
            }
            _ => fields.invalid("expose", format!("{text:?} is no port: expected PORT[-PORT][/PROTOCOL]"), errors),
        }
    }
    exposed
}
