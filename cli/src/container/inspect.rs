//! `orca inspect` of containers, in Docker's JSON shape.

use api::node::{Container, InspectContainerRequest};
use api::types::{ContainerPhase, Health};
use clap::Args;
use model::{ContainerSpec, Timestamp};
use serde_json::{Map, Value, json};

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;
use crate::output::human;

/// Arguments of `orca inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json
    #[arg(short, long, default_value = "json", value_parser = format::parse)]
    format: format::Format,
    /// Containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Prints an array with one object a container; what is not found is told on standard error.
pub async fn inspect(host: &Host, args: InspectArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut found = Vec::new();
    let mut failures = 0;
    for name in args.containers {
        match client.node.inspect_container(InspectContainerRequest { container: name }).await {
            Ok(reply) => found.push(describe(reply.into_inner())?),
            Err(status) => {
                failures += 1;
                eprintln!("orca: {}", Error::from(status));
            }
        }
    }
    format::print_json(&Value::Array(found))?;
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}

/// Docker's object for one container.
fn describe(container: Container) -> Result<Value> {
    let spec = match container.spec.clone() {
        Some(spec) => ContainerSpec::try_from(spec)?,
        None => ContainerSpec::default(),
    };
    let args: Vec<&str> = container.args.iter().skip(1).map(String::as_str).collect();
    Ok(json!({
        "Id": container.id,
        "Created": Timestamp(container.created_at).to_rfc3339(),
        "Path": container.args.first(),
        "Args": args,
        "State": state(&container),
        "Image": container.image_id,
        "LogPath": container.log_path,
        "Name": format!("/{}", container.name),
        "RestartCount": container.status.as_ref().map_or(0, |status| status.restart_count),
        "Driver": "overlay2",
        "Platform": "linux",
        "HostConfig": host_config(&container, &spec),
        "Mounts": mounts(&container),
        "Config": config(&container, &spec),
        "NetworkSettings": network_settings(&container),
    }))
}

fn time(at: i64) -> String {
    if at == 0 { "0001-01-01T00:00:00Z".into() } else { Timestamp(at).to_rfc3339() }
}

fn state(container: &Container) -> Value {
    let status = container.status.clone().unwrap_or_default();
    let phase = status.phase();
    let mut state = json!({
        "Status": human::state(&status),
        "Running": matches!(phase, ContainerPhase::Running | ContainerPhase::Paused | ContainerPhase::Restarting),
        "Paused": phase == ContainerPhase::Paused,
        "Restarting": phase == ContainerPhase::Restarting,
        "OOMKilled": status.oom_killed,
        "Dead": phase == ContainerPhase::Dead,
        "Pid": status.pid.unwrap_or(0),
        "ExitCode": status.exit_code.unwrap_or(0),
        "Error": container.error.clone().unwrap_or_default(),
        "StartedAt": time(status.started_at),
        "FinishedAt": time(status.finished_at),
    });
    if status.health() != Health::None {
        let run = |run: &api::node::HealthRun| json!({ "Start": time(run.start), "End": time(run.end), "ExitCode": run.exit_code, "Output": run.output });
        let failing = container.health_log.iter().rev().take_while(|run| run.exit_code != 0).count();
        let log: Vec<Value> = container.health_log.iter().map(run).collect();
        state["Health"] = json!({ "Status": human::health(&status), "FailingStreak": failing, "Log": log });
    }
    state
}

fn host_config(container: &Container, spec: &ContainerSpec) -> Value {
    let limits = &spec.resources.limits;
    let bindings: Map<String, Value> = container.ports.iter().map(port_binding).collect();
    let condition = match spec.restart.condition {
        model::RestartCondition::No => "no",
        model::RestartCondition::OnFailure => "on-failure",
        model::RestartCondition::Always => "always",
        model::RestartCondition::UnlessStopped => "unless-stopped",
    };
    json!({
        "AutoRemove": container.auto_remove,
        "CapAdd": spec.cap_add,
        "CapDrop": spec.cap_drop,
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "CpusetCpus": limits.cpuset.clone().unwrap_or_default(),
        "Dns": spec.dns,
        "DnsOptions": spec.dns_options,
        "DnsSearch": spec.dns_search,
        "GroupAdd": spec.group_add,
        "LogConfig": { "Type": spec.log.driver, "Config": spec.log.options },
        "Memory": limits.memory.unwrap_or(0),
        "MemoryReservation": spec.resources.reservations.memory,
        "MemorySwap": limits.memory_swap.unwrap_or(0),
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "OomScoreAdj": spec.oom_score_adj.unwrap_or(0),
        "PidsLimit": limits.pids,
        "PortBindings": bindings,
        "Privileged": spec.privileged,
        "ReadonlyRootfs": spec.read_only,
        "RestartPolicy": { "Name": condition, "MaximumRetryCount": spec.restart.max_attempts.unwrap_or(0) },
        "ShmSize": spec.shm_size.unwrap_or(64 << 20),
        "Sysctls": spec.sysctls,
    })
}

fn port_binding(port: &api::types::PortSpec) -> (String, Value) {
    let host = port.published.map(|published| {
        let ip = port.host_ip.clone().unwrap_or_else(|| "0.0.0.0".into());
        json!([{ "HostIp": ip, "HostPort": published.to_string() }])
    });
    (format!("{}/{}", port.target, human::protocol(port)), host.unwrap_or(Value::Null))
}

fn mounts(container: &Container) -> Vec<Value> {
    let mount = |mount: &api::node::MountPoint| {
        json!({
            "Type": mount.kind,
            "Name": mount.name,
            "Source": mount.source,
            "Destination": mount.target,
            "Driver": if mount.kind == "volume" { "local" } else { "" },
            "Mode": if mount.read_only { "ro" } else { "" },
            "RW": !mount.read_only,
            "Propagation": "",
        })
    };
    container.mounts.iter().map(mount).collect()
}

fn config(container: &Container, spec: &ContainerSpec) -> Value {
    let env: Vec<String> = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let exposed: Map<String, Value> =
        container.ports.iter().map(|port| (format!("{}/{}", port.target, human::protocol(port)), json!({}))).collect();
    let short: String = container.id.chars().take(12).collect();
    json!({
        "Hostname": spec.hostname.clone().unwrap_or(short),
        "Domainname": spec.domainname.clone().unwrap_or_default(),
        "User": spec.user.clone().unwrap_or_default(),
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "Env": env,
        "Cmd": spec.command,
        "Image": spec.image,
        "ExposedPorts": exposed,
        "WorkingDir": spec.working_dir.clone().unwrap_or_default(),
        "Entrypoint": spec.entrypoint,
        "Labels": container.labels,
        "StopSignal": spec.stop_signal.clone().unwrap_or_else(|| "SIGTERM".into()),
    })
}

fn network_settings(container: &Container) -> Value {
    let network = |attachment: &api::node::NamedAttachment| {
        let value = json!({
            "NetworkID": attachment.network_id,
            "IPAddress": attachment.addresses.first().cloned().unwrap_or_default(),
            "IPPrefixLen": attachment.prefix,
            "Gateway": attachment.gateway,
            "MacAddress": attachment.mac,
            "Aliases": attachment.aliases,
        });
        (attachment.network.clone(), value)
    };
    let networks: Map<String, Value> = container.attachments.iter().map(network).collect();
    let ports: Map<String, Value> = container.ports.iter().map(port_binding).collect();
    let first = container.attachments.first().and_then(|a| a.addresses.first().cloned()).unwrap_or_default();
    json!({ "IPAddress": first, "Ports": ports, "Networks": networks })
}
