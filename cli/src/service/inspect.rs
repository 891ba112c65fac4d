//! `orca service inspect`.

use std::time::Duration;

use model::{
    EndpointMode, HealthTest, Healthcheck, HostAddress, Mount, MountSource, NetworkMode, PortSpec, PublishMode,
    RestartCondition, Service, ServiceMode, ServiceSpec, UpdateConfig,
};
use serde_json::{Map, Value as Json, json};

use super::{all, find, pretty, several};
use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::format;

/// Arguments of `orca service inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// For people
    #[arg(long, conflicts_with = "format")]
    pretty: bool,
    /// Services: names or ids
    #[arg(required = true)]
    services: Vec<String>,
}

/// Shows all about services.
pub async fn inspect(host: &Host, args: Args) -> Result<()> {
    format::check(args.format.as_deref())?;
    let mut client = Client::connect(host).await?;
    let services = all(&mut client, None).await?;
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    for name in &args.services {
        match find(&services, name) {
            Ok(service) => found.push(service),
            Err(error) => failed.push(error.to_string()),
        }
    }
    if args.pretty {
        let texts: Vec<String> = found.iter().map(|service| pretty::pretty(service)).collect();
        format::write(&texts.join("\n"))?;
    } else {
        let objects: Vec<Json> = found.iter().map(|service| describe(service)).collect();
        format::print_inspected(args.format.as_deref(), &objects)?;
    }
    several(failed)
}

/// Docker's object.
pub fn describe(service: &Service) -> Json {
    let mut object = json!({
        "ID": service.id.to_string(),
        "Version": { "Index": service.meta.version },
        "CreatedAt": service.meta.created_at.to_rfc3339(),
        "UpdatedAt": service.meta.updated_at.to_rfc3339(),
        "Spec": spec(&service.spec),
        "Endpoint": endpoint(service),
    });
    if let Some(previous) = service.previous_spec() {
        object["PreviousSpec"] = spec(previous);
    }
    if let Some(update) = &service.update {
        let mut status = json!({
            "State": update.state.word(),
            "StartedAt": update.started_at.to_rfc3339(),
            "Message": update.message,
        });
        if update.completed_at.is_set() {
            status["CompletedAt"] = update.completed_at.to_rfc3339().into();
        }
        object["UpdateStatus"] = status;
    }
    if service.spec.mode.is_job() {
        object["JobStatus"] = json!({ "JobIteration": { "Index": service.spec_version } });
    }
    object
}

fn spec(spec: &ServiceSpec) -> Json {
    let mut object = json!({
        "Name": spec.name,
        "Labels": spec.labels,
        "TaskTemplate": template(spec),
        "Mode": mode(spec.mode),
        "EndpointSpec": endpoint_spec(spec),
    });
    for (key, config) in [("UpdateConfig", spec.update), ("RollbackConfig", spec.rollback)] {
        if let Some(config) = config.filter(|_| !spec.mode.is_job()) {
            object[key] = update_config(config);
        }
    }
    object
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn update_config(config: UpdateConfig) -> Json {
    json!({
        "Parallelism": config.parallelism,
        "Delay": nanos(config.delay),
        "FailureAction": config.failure_action.word(),
        "Monitor": nanos(config.monitor),
        "MaxFailureRatio": f64::from(config.max_failure_ratio) / 1e6,
        "Order": config.order.word(),
    })
}

fn mode(mode: ServiceMode) -> Json {
    match mode {
        ServiceMode::Replicated { replicas } => json!({ "Replicated": { "Replicas": replicas } }),
        ServiceMode::Global => json!({ "Global": {} }),
        ServiceMode::ReplicatedJob { max_concurrent, total_completions } => {
            json!({ "ReplicatedJob": { "MaxConcurrent": max_concurrent, "TotalCompletions": total_completions } })
        }
        ServiceMode::GlobalJob => json!({ "GlobalJob": {} }),
    }
}

/// An object of what is there.
fn present(pairs: impl IntoIterator<Item = (&'static str, Option<Json>)>) -> Json {
    let is_empty = |value: &Json| match value {
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::String(text) => text.is_empty(),
        Json::Bool(flag) => !flag,
        _ => false,
    };
    let some = pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.filter(|v| !is_empty(v))?)));
    Json::Object(some.collect::<Map<String, Json>>())
}

fn template(spec: &ServiceSpec) -> Json {
    let container = &spec.container;
    let (limits, reservations) = (&container.resources.limits, &container.resources.reservations);
    let generic = reservations
        .generic
        .iter()
        .map(|(kind, count)| json!({ "DiscreteResourceSpec": { "Kind": kind, "Value": count } }));
    let restart = &container.restart;
    let condition = match restart.condition {
        RestartCondition::No => "none",
        RestartCondition::OnFailure => "on-failure",
        RestartCondition::Always | RestartCondition::UnlessStopped => "any",
    };
    let placement = &spec.placement;
    let constraints: Vec<String> = placement.constraints.iter().map(ToString::to_string).collect();
    let spread = |attribute: &model::Attribute| json!({ "Spread": { "SpreadDescriptor": attribute.to_string() } });
    let networks = match &spec.network {
        NetworkMode::Host => vec![json!({ "Target": "host" })],
        network => network
            .attachments()
            .iter()
            .map(|a| present([("Target", Some(json!(a.network))), ("Aliases", Some(json!(a.aliases)))]))
            .collect(),
    };
    present([
        ("ContainerSpec", Some(container_spec(spec))),
        (
            "Resources",
            Some(present([
                (
                    "Limits",
                    Some(present([
                        ("NanoCPUs", limits.nano_cpus.map(Json::from)),
                        ("MemoryBytes", limits.memory.map(Json::from)),
                        ("Pids", limits.pids.map(Json::from)),
                    ])),
                ),
                (
                    "Reservations",
                    Some(present([
                        ("NanoCPUs", Some(reservations.nano_cpus).filter(|n| *n > 0).map(Json::from)),
                        ("MemoryBytes", Some(reservations.memory).filter(|n| *n > 0).map(Json::from)),
                        ("GenericResources", Some(generic.collect())),
                    ])),
                ),
            ])),
        ),
        (
            "RestartPolicy",
            Some(present([
                ("Condition", Some(json!(condition))),
                ("Delay", restart.delay.map(|delay| json!(nanos(delay)))),
                ("MaxAttempts", Some(json!(restart.max_attempts.unwrap_or(0)))),
                ("Window", restart.window.map(|window| json!(nanos(window)))),
            ])),
        ),
        (
            "Placement",
            Some(present([
                ("Constraints", Some(json!(constraints))),
                ("Preferences", Some(placement.preferences.iter().map(spread).collect())),
                ("MaxReplicas", Some(placement.max_replicas).filter(|most| *most > 0).map(Json::from)),
            ])),
        ),
        ("Networks", Some(Json::Array(networks))),
        ("ForceUpdate", Some(json!(spec.force_update))),
        ("Runtime", Some(json!("container"))),
    ])
}

fn container_spec(spec: &ServiceSpec) -> Json {
    let container = &spec.container;
    let env: Vec<String> = container.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let host = |entry: &model::HostEntry| match &entry.address {
        HostAddress::Ip(ip) => format!("{ip} {}", entry.host),
        HostAddress::HostGateway => format!("host-gateway {}", entry.host),
    };
    let file =
        |file: &model::FileTarget| json!({ "Name": file.path, "UID": file.uid, "GID": file.gid, "Mode": file.mode });
    let ulimits =
        container.ulimits.iter().map(|(name, limit)| json!({ "Name": name, "Hard": limit.hard, "Soft": limit.soft }));
    let secrets = container.secrets.iter().map(|s| json!({ "File": file(&s.file), "SecretName": s.secret }));
    let configs = container.configs.iter().map(|c| json!({ "File": file(&c.file), "ConfigName": c.config }));
    present([
        ("Image", Some(json!(container.image))),
        ("Labels", Some(json!(container.labels))),
        ("Command", container.entrypoint.as_ref().map(|words| json!(words))),
        ("Args", container.command.as_ref().map(|words| json!(words))),
        ("Hostname", container.hostname.as_ref().map(|name| json!(name))),
        ("Env", Some(json!(env))),
        ("Dir", container.working_dir.as_ref().map(|dir| json!(dir))),
        ("User", container.user.as_ref().map(|user| json!(user))),
        ("Groups", Some(json!(container.group_add))),
        ("TTY", Some(json!(container.tty))),
        ("ReadOnly", Some(json!(container.read_only))),
        ("Mounts", Some(container.mounts.iter().map(mount).collect())),
        ("StopSignal", container.stop_signal.as_ref().map(|signal| json!(signal))),
        ("StopGracePeriod", container.stop_grace_period.map(|grace| json!(nanos(grace)))),
        ("Healthcheck", container.healthcheck.as_ref().map(healthcheck)),
        ("Hosts", Some(json!(container.extra_hosts.iter().map(host).collect::<Vec<_>>()))),
        (
            "DNSConfig",
            Some(present([
                ("Nameservers", Some(json!(container.dns))),
                ("Search", Some(json!(container.dns_search))),
                ("Options", Some(json!(container.dns_options))),
            ])),
        ),
        ("Secrets", Some(secrets.collect())),
        ("Configs", Some(configs.collect())),
        ("Init", Some(json!(container.init))),
        ("Sysctls", Some(json!(container.sysctls))),
        ("CapabilityAdd", Some(json!(container.cap_add))),
        ("CapabilityDrop", Some(json!(container.cap_drop))),
        ("Ulimits", Some(ulimits.collect())),
        ("OomScoreAdj", container.oom_score_adj.map(Json::from)),
        ("Isolation", Some(json!("default"))),
    ])
}

fn healthcheck(check: &Healthcheck) -> Json {
    let test = check.test.as_ref().map(|test| match test {
        HealthTest::Disabled => vec!["NONE".to_owned()],
        HealthTest::Shell(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
        HealthTest::Exec(words) => std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect(),
    });
    let time = |duration: Option<Duration>| duration.map(|duration| json!(nanos(duration)));
    present([
        ("Test", test.map(|words| json!(words))),
        ("Interval", time(check.interval)),
        ("Timeout", time(check.timeout)),
        ("StartPeriod", time(check.start_period)),
        ("StartInterval", time(check.start_interval)),
        ("Retries", check.retries.map(Json::from)),
    ])
}

fn mount(mount: &Mount) -> Json {
    let (kind, source) = match &mount.source {
        MountSource::Volume { name, .. } => ("volume", name.clone().unwrap_or_default()),
        MountSource::Bind { path, .. } => ("bind", path.clone()),
        MountSource::Tmpfs { .. } => ("tmpfs", String::new()),
        MountSource::Image { image, .. } => ("image", image.clone()),
        MountSource::VolumesOf { container } => ("volumes-from", container.clone()),
    };
    present([
        ("Type", Some(json!(kind))),
        ("Source", Some(json!(source))),
        ("Target", Some(json!(mount.target))),
        ("ReadOnly", Some(json!(mount.read_only))),
    ])
}

fn port(port: &PortSpec) -> Json {
    let mode = if port.mode == PublishMode::Host { "host" } else { "ingress" };
    present([
        ("Protocol", Some(json!(port.protocol.to_string()))),
        ("TargetPort", Some(json!(port.target))),
        ("PublishedPort", port.published.map(Json::from)),
        ("PublishMode", Some(json!(mode))),
    ])
}

fn endpoint_spec(spec: &ServiceSpec) -> Json {
    let mode = if spec.endpoint_mode == EndpointMode::Vip { "vip" } else { "dnsrr" };
    present([("Mode", Some(json!(mode))), ("Ports", Some(spec.ports.iter().map(port).collect()))])
}

fn endpoint(service: &Service) -> Json {
    let vips = service.endpoint.vips.iter().map(|vip| {
        let length = if vip.address.is_ipv4() { 32 } else { 128 };
        json!({ "NetworkID": vip.network.to_string(), "Addr": format!("{}/{length}", vip.address) })
    });
    present([
        ("Spec", Some(endpoint_spec(&service.spec))),
        ("Ports", Some(service.endpoint.ports.iter().map(port).collect())),
        ("VirtualIPs", Some(vips.collect())),
    ])
}
