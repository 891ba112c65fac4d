//! `orca container inspect`, in Docker's JSON shape.

mod config;
mod host_config;
mod network;

use std::path::Path;

use api::node::{Container, Image, InspectContainerRequest, InspectImageRequest};
use api::types::{ContainerPhase, Health};
use clap::Args;
use model::{ContainerSpec, Timestamp};
use serde_json::{Map, Value as Json, json};

use crate::client::{Client, Host};
use crate::elsewhere;
use crate::error::Result;
use crate::inspect;
use crate::output::human;

/// Arguments of `orca container inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// How much each has written
    #[arg(short, long)]
    size: bool,
    /// Containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Prints an array with one object a container; what is not found is told on standard error.
pub async fn inspect(host: &Host, args: InspectArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let InspectArgs { format, size, containers } = args;
    inspect::each(format.as_deref(), &containers, async |name| find(&mut client, name, size).await).await
}

/// Docker's object for the container of a name.
pub async fn find(client: &mut Client, name: &str, size: bool) -> Result<Json> {
    let (mut client, container) = elsewhere::find(client, name).await?;
    let request = InspectContainerRequest { container, size };
    let container = client.node.inspect_container(request).await?.into_inner();
    // What the image says fills in what the user has not. It may be gone, if a user forced it.
    let image = InspectImageRequest { image: container.image_id.clone() };
    let image = client.node.inspect_image(image).await.map(tonic::Response::into_inner).unwrap_or_default();
    describe(&container, &image)
}

/// Docker's object for one container.
fn describe(container: &Container, image: &Image) -> Result<Json> {
    let spec = match container.spec.clone() {
        Some(spec) => ContainerSpec::try_from(spec)?,
        None => ContainerSpec::default(),
    };
    let args: Vec<&str> = container.args.iter().skip(1).map(String::as_str).collect();
    let directory = Path::new(&container.log_path).parent().unwrap_or(Path::new(""));
    let file = |name: &str| directory.join("files").join(name).display().to_string();
    let mut object = json!({
        "Id": container.id,
        "Created": Timestamp(container.created_at).to_rfc3339(),
        "Path": container.args.first().cloned().unwrap_or_default(),
        "Args": args,
        "State": state(container),
        "Image": container.image_id,
        "ResolvConfPath": file("resolv.conf"),
        "HostnamePath": file("hostname"),
        "HostsPath": file("hosts"),
        "LogPath": container.log_path,
        "Name": format!("/{}", container.name),
        "RestartCount": container.status.as_ref().map_or(0, |status| status.restart_count),
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": container.mount_label,
        "ProcessLabel": container.process_label,
        "AppArmorProfile": container.apparmor_profile,
        "ExecIDs": null,
        "HostConfig": host_config::describe(container, &spec),
        "GraphDriver": {
            "Data": { "UpperDir": directory.join("upper"), "WorkDir": directory.join("work") },
            "Name": "overlay2",
        },
    });
    if let (Some(written), Some(all)) = (container.size_rw, container.size_root_fs) {
        object["SizeRw"] = json!(written);
        object["SizeRootFs"] = json!(all);
    }
    object["Mounts"] = json!(mounts(container, &spec));
    object["Config"] = config::describe(container, &spec, image);
    object["NetworkSettings"] = network::describe(container);
    Ok(object)
}

fn time(at: i64) -> String {
    if at == 0 { "0001-01-01T00:00:00Z".into() } else { Timestamp(at).to_rfc3339() }
}

fn state(container: &Container) -> Json {
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
        let log: Vec<Json> = container.health_log.iter().map(run).collect();
        state["Health"] = json!({ "Status": human::health(&status), "FailingStreak": failing, "Log": log });
    }
    state
}

fn mounts(container: &Container, spec: &ContainerSpec) -> Vec<Json> {
    let mount = |mount: &api::node::MountPoint| {
        let mut object = Map::new();
        object.insert("Type".into(), json!(mount.kind));
        let is_volume = mount.kind == "volume";
        if is_volume {
            object.insert("Name".into(), json!(mount.name));
        }
        object.insert("Source".into(), json!(mount.source));
        object.insert("Destination".into(), json!(mount.target));
        if is_volume {
            object.insert("Driver".into(), json!("local"));
        }
        object.insert("Mode".into(), json!(mode(spec, mount)));
        object.insert("RW".into(), json!(!mount.read_only));
        object.insert("Propagation".into(), json!(propagation(spec, mount)));
        Json::Object(object)
    };
    // Those of memory are in HostConfig.
    container.mounts.iter().filter(|mount| mount.kind != "tmpfs").map(mount).collect()
}

/// The options as `-v` takes them.
fn mode(spec: &ContainerSpec, point: &api::node::MountPoint) -> String {
    let own = spec.mounts.iter().find(|mount| mount.target == point.target);
    own.map_or_else(String::new, |mount| host_config::mode(mount).join(","))
}

/// Only binds propagate; `rprivate` is what they do if nothing else is asked for.
fn propagation(spec: &ContainerSpec, point: &api::node::MountPoint) -> String {
    let own = spec.mounts.iter().find(|mount| mount.target == point.target);
    match own.map(|mount| &mount.source) {
        Some(model::MountSource::Bind { propagation, .. }) => propagation.word().to_owned(),
        _ => String::new(),
    }
}
