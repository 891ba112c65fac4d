//! `HostConfig`: how a container is run, as its user asked.

use api::node::Container;
use api::types::network_mode::Mode;
use model::{
    CgroupnsMode, ContainerSpec, DeviceRate, DeviceRequest, MountSource, Propagation, Recursive, RestartCondition,
    SeccompProfile,
};
use serde_json::{Map, Value as Json, json};

use super::network::asked_bindings;

/// Docker's object, in its order.
pub fn describe(container: &Container, spec: &ContainerSpec) -> Json {
    let mut object = Map::new();
    let mut set = |fields: Json| {
        if let Json::Object(fields) = fields {
            object.extend(fields);
        }
    };
    set(json!({
        "Binds": binds(spec),
        "ContainerIDFile": "",
        "LogConfig": { "Type": spec.log.driver, "Config": spec.log.options },
        "NetworkMode": network_mode(container),
        "PortBindings": asked_bindings(container),
        "RestartPolicy": restart(spec),
        "AutoRemove": container.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": null,
        "ConsoleSize": [0, 0],
    }));
    set(optional("Annotations", json!(spec.annotations), spec.annotations.is_empty()));
    set(json!({
        "CapAdd": listed(&capabilities(&spec.cap_add)),
        "CapDrop": listed(&capabilities(&spec.cap_drop)),
        "CgroupnsMode": if spec.cgroupns == CgroupnsMode::Host { "host" } else { "private" },
        "Dns": spec.dns,
        "DnsOptions": spec.dns_options,
        "DnsSearch": spec.dns_search,
        "ExtraHosts": listed(&extra_hosts(spec)),
        "GroupAdd": listed(&spec.group_add),
        "IpcMode": spec.ipc.to_string(),
        "Cgroup": "",
        "Links": null,
        "OomScoreAdj": spec.oom_score_adj.unwrap_or(0),
        "PidMode": spec.pid.to_string(),
        "Privileged": spec.privileged,
        "PublishAllPorts": false,
        "ReadonlyRootfs": spec.read_only,
        "SecurityOpt": listed(&security(spec)),
    }));
    let tmpfs = tmpfs(spec);
    set(optional("Tmpfs", json!(tmpfs), tmpfs.is_empty()));
    set(
        json!({ "UTSMode": spec.uts.to_string(), "UsernsMode": spec.userns.to_string(), "ShmSize": spec.shm_size.unwrap_or(64 << 20) }),
    );
    set(optional("Sysctls", json!(spec.sysctls), spec.sysctls.is_empty()));
    set(resources(spec));
    set(optional("Init", json!(true), !spec.init));
    let (masked, read_only) = if spec.privileged || spec.security.systempaths_unconfined {
        (json!(null), json!(null))
    } else {
        (json!(model::MASKED_PATHS), json!(model::READ_ONLY_PATHS))
    };
    set(json!({ "MaskedPaths": masked, "ReadonlyPaths": read_only }));
    Json::Object(object)
}

fn resources(spec: &ContainerSpec) -> Json {
    let limits = &spec.resources.limits;
    let block = &limits.block_io;
    let ulimits: Vec<Json> = spec
        .ulimits
        .iter()
        .map(|(name, limit)| json!({ "Name": name, "Hard": limit.hard, "Soft": limit.soft }))
        .collect();
    let devices: Vec<Json> = spec
        .devices
        .iter()
        .map(|device| {
            json!({
                "PathOnHost": device.source,
                "PathInContainer": device.target,
                "CgroupPermissions": device.permissions,
            })
        })
        .collect();
    let requests: Vec<Json> = spec.device_requests.iter().map(device_request).collect();
    json!({
        "Runtime": spec.runtime.as_deref().unwrap_or("orca"),
        "Isolation": "",
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "Memory": limits.memory.unwrap_or(0),
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "CgroupParent": spec.cgroup_parent.as_deref().unwrap_or_default(),
        "BlkioWeight": block.weight.unwrap_or(0),
        "BlkioWeightDevice": rates(&block.weight_devices, "Weight"),
        "BlkioDeviceReadBps": rates(&block.read_bps, "Rate"),
        "BlkioDeviceWriteBps": rates(&block.write_bps, "Rate"),
        "BlkioDeviceReadIOps": rates(&block.read_iops, "Rate"),
        "BlkioDeviceWriteIOps": rates(&block.write_iops, "Rate"),
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": limits.cpu_quota.unwrap_or(0),
        "CpuRealtimePeriod": limits.cpu_rt_period.unwrap_or(0),
        "CpuRealtimeRuntime": limits.cpu_rt_runtime.unwrap_or(0),
        "CpusetCpus": limits.cpuset.clone().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.clone().unwrap_or_default(),
        "Devices": devices,
        "DeviceCgroupRules": listed(&spec.device_cgroup_rules),
        "DeviceRequests": if requests.is_empty() { Json::Null } else { json!(requests) },
        "MemoryReservation": spec.resources.reservations.memory,
        "MemorySwap": limits.memory_swap.unwrap_or_else(|| swap(limits.memory)),
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids,
        "Ulimits": ulimits,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    })
}

/// Docker gives as much swap as memory where nothing is said.
fn swap(memory: Option<u64>) -> i64 {
    memory.and_then(|bytes| i64::try_from(bytes).ok()?.checked_mul(2)).unwrap_or(0)
}

fn optional(name: &str, value: Json, leave_out: bool) -> Json {
    if leave_out { Json::Null } else { json!({ name: value }) }
}

/// Docker has null for no list.
/// As Docker's. CDI devices have a driver and names and nothing else.
fn device_request(request: &DeviceRequest) -> Json {
    let listed_twice = |items: &[String]| if items.is_empty() { Json::Null } else { json!([items]) };
    json!({
        "Driver": request.driver,
        "Count": request.count,
        "DeviceIDs": listed(&request.device_ids),
        "Capabilities": listed_twice(&request.capabilities),
        "Options": request.options,
    })
}

/// By their whole names, as Docker writes them.
fn capabilities(names: &[String]) -> Vec<String> {
    let whole = |name: &String| {
        let name = name.to_ascii_uppercase();
        if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
    };
    names.iter().map(whole).collect()
}

fn listed(items: &[String]) -> Json {
    if items.is_empty() { Json::Null } else { json!(items) }
}

fn rates(rates: &[DeviceRate], number: &str) -> Json {
    rates.iter().map(|rate| json!({ "Path": rate.path, number: rate.rate })).collect()
}

fn binds(spec: &ContainerSpec) -> Json {
    let bind = |mount: &model::Mount| {
        let source = match &mount.source {
            MountSource::Bind { path, .. } => path,
            MountSource::Volume { name: Some(name), .. } => name,
            _ => return None,
        };
        let mode = mode(mount).join(",");
        Some(format!("{source}:{}{}{mode}", mount.target, if mode.is_empty() { "" } else { ":" }))
    };
    listed(&spec.mounts.iter().filter_map(bind).collect::<Vec<_>>())
}

/// The options of a bind or volume as `-v` takes them, but for those that hold anyway.
pub fn mode(mount: &model::Mount) -> Vec<String> {
    let mut words: Vec<String> = mount.read_only.then(|| "ro".to_owned()).into_iter().collect();
    match &mount.source {
        MountSource::Bind { propagation, recursive, relabel, .. } => {
            words.extend(relabel.map(|relabel| relabel.letter().to_owned()));
            words.extend((*recursive == Recursive::Disabled).then(|| "bind".to_owned()));
            let propagation = (*propagation != Propagation::Rprivate).then(|| propagation.word().to_owned());
            words.extend(propagation);
        }
        MountSource::Volume { no_copy: true, .. } => words.push("nocopy".into()),
        _ => {}
    }
    words
}

fn tmpfs(spec: &ContainerSpec) -> Map<String, Json> {
    let options = |mount: &model::Mount| match &mount.source {
        MountSource::Tmpfs { size, mode, options } => {
            let size = size.map(|bytes| format!("size={bytes}"));
            let mode = mode.map(|bits| format!("mode={bits:o}"));
            let read_only = mount.read_only.then(|| "ro".to_owned());
            let words = [read_only, size, mode].into_iter().flatten().chain(options.iter().cloned());
            Some(words.collect::<Vec<_>>().join(","))
        }
        _ => None,
    };
    spec.mounts.iter().filter_map(|mount| Some((mount.target.clone(), json!(options(mount)?)))).collect()
}

fn restart(spec: &ContainerSpec) -> Json {
    let name = match spec.restart.condition {
        RestartCondition::No => "no",
        RestartCondition::OnFailure => "on-failure",
        RestartCondition::Always => "always",
        RestartCondition::UnlessStopped => "unless-stopped",
    };
    json!({ "Name": name, "MaximumRetryCount": spec.restart.max_attempts.unwrap_or(0) })
}

fn network_mode(container: &Container) -> String {
    match container.network.as_ref().and_then(|network| network.mode.as_ref()) {
        Some(Mode::None(_)) => "none".into(),
        Some(Mode::Host(_)) => "host".into(),
        Some(Mode::Container(other) | Mode::Service(other)) => format!("container:{other}"),
        Some(Mode::Networks(list)) => match list.attachments.first() {
            Some(first) => container
                .attachments
                .iter()
                .find(|own| own.network_id == first.network || own.network == first.network)
                .map_or_else(|| first.network.clone(), |own| own.network.clone()),
            None => "bridge".into(),
        },
        None => "bridge".into(),
    }
}

fn extra_hosts(spec: &ContainerSpec) -> Vec<String> {
    let line = |entry: &model::HostEntry| match &entry.address {
        model::HostAddress::Ip(address) => format!("{}:{address}", entry.host),
        model::HostAddress::HostGateway => format!("{}:host-gateway", entry.host),
    };
    spec.extra_hosts.iter().map(line).collect()
}

fn security(spec: &ContainerSpec) -> Vec<String> {
    let options = &spec.security;
    let seccomp = match &options.seccomp {
        SeccompProfile::Default => None,
        SeccompProfile::Unconfined => Some("seccomp=unconfined".to_owned()),
        SeccompProfile::Custom(profile) => Some(format!("seccomp={profile}")),
    };
    let privileges = options.no_new_privileges.then(|| "no-new-privileges".to_owned());
    let paths = options.systempaths_unconfined.then(|| "systempaths=unconfined".to_owned());
    let apparmor = options.apparmor.iter().map(|profile| format!("apparmor={profile}"));
    let labels = options.labels.iter().map(|label| format!("label={label}"));
    seccomp.into_iter().chain(privileges).chain(paths).chain(apparmor).chain(labels).collect()
}
