//! `orca info`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use api::node::{GetNodeReply, GetNodeRequest};
use clap::Args;
use serde_json::{Value as Json, json};

use super::swarm;
use crate::client::{Client, Host};
use crate::clock;
use crate::error::Result;
use crate::output::{format, human};

/// Arguments of `orca info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
}

/// Shows the node as a whole.
pub async fn info(host: &Host, args: InfoArgs) -> Result<()> {
    format::check(args.format.as_deref())?;
    let mut client = Client::connect(host).await?;
    let node = client.node.get_node(GetNodeRequest {}).await?.into_inner();
    let mut object = describe(&node, &host.context);
    object["Swarm"] = swarm::describe(&mut client).await?;
    format::print_one(args.format.as_deref(), "system.dockerInfo", &object, || people(&object))
}

/// Docker's object, as far as Orca has what it tells.
fn describe(node: &GetNodeReply, context: &str) -> Json {
    let description = node.description.clone().unwrap_or_default();
    let paused = node.containers_paused;
    json!({
        "ID": node.id,
        "Containers": node.containers_total,
        "ContainersRunning": node.containers_running.saturating_sub(paused),
        "ContainersPaused": paused,
        "ContainersStopped": node.containers_total.saturating_sub(node.containers_running),
        "Images": node.images,
        "Driver": "overlay2",
        "DriverStatus": [],
        "Plugins": { "Volume": ["local"], "Network": ["bridge", "host", "ipvlan", "macvlan", "none"], "Authorization": null, "Log": ["journald", "json-file", "local", "none", "syslog"] },
        "MemoryLimit": true,
        "SwapLimit": true,
        "CpuCfsPeriod": true,
        "CpuCfsQuota": true,
        "CPUShares": true,
        "CPUSet": true,
        "PidsLimit": true,
        "IPv4Forwarding": true,
        "Debug": false,
        "OomKillDisable": false,
        "SystemTime": clock::now().to_rfc3339(),
        "LoggingDriver": if node.logging_driver.is_empty() { "json-file" } else { &node.logging_driver },
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": node.cgroup_version,
        "KernelVersion": node.kernel_version,
        "OperatingSystem": node.operating_system,
        "OSType": description.os,
        "Architecture": description.architecture,
        "NCPU": description.nano_cpus / 1_000_000_000,
        "MemTotal": description.memory,
        "GenericResources": null,
        "DockerRootDir": node.data_dir,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": description.hostname,
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": description.engine_version,
        "Runtimes": runtimes(&node.runtimes),
        "DefaultRuntime": "orca",
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "",
        "SecurityOptions": node.security_options,
        "Warnings": null,
        "ClientInfo": { "Debug": false, "Version": env!("CARGO_PKG_VERSION"), "Context": context, "Plugins": [], "Warnings": null },
    })
}

/// The programs by name, with the one that is built in.
fn runtimes(programs: &BTreeMap<String, String>) -> Json {
    let all = programs.iter().map(|(name, path)| (name.as_str(), path.as_str())).chain([("orca", "orca")]);
    all.collect::<BTreeMap<_, _>>().into_iter().map(|(name, path)| (name.to_owned(), json!({ "path": path }))).collect()
}

/// `name=seccomp,profile=builtin` as Docker shows it.
fn security_option(line: &mut impl FnMut(&str, String), option: &str) {
    for (key, value) in option.split(',').filter_map(|part| part.split_once('=')) {
        match key {
            "name" => line("  ", value.to_owned()),
            "profile" => line("   Profile: ", value.to_owned()),
            other => line(&format!("   {other}: "), value.to_owned()),
        }
    }
}

fn people(object: &Json) -> String {
    let get = |path: &str| match object.pointer(path) {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let memory = human::binary_size(object["MemTotal"].as_u64().unwrap_or(0));
    let mut text = String::new();
    let mut line = |words: &str, value: String| {
        let _ = writeln!(text, "{words}{value}");
    };
    line("Client: Orca", String::new());
    line(" Version:    ", get("/ClientInfo/Version"));
    line(" Context:    ", get("/ClientInfo/Context"));
    line(" Debug Mode: ", get("/ClientInfo/Debug"));
    line("", String::new());
    line("Server:", String::new());
    line(" Containers: ", get("/Containers"));
    line("  Running: ", get("/ContainersRunning"));
    line("  Paused: ", get("/ContainersPaused"));
    line("  Stopped: ", get("/ContainersStopped"));
    line(" Images: ", get("/Images"));
    line(" Server Version: ", get("/ServerVersion"));
    line(" Storage Driver: ", get("/Driver"));
    line(" Logging Driver: ", get("/LoggingDriver"));
    line(" Cgroup Driver: ", get("/CgroupDriver"));
    line(" Cgroup Version: ", get("/CgroupVersion"));
    swarm::lines(&object["Swarm"], &mut line);
    line(" Security Options:", String::new());
    for option in object["SecurityOptions"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        security_option(&mut line, option);
    }
    line(" Kernel Version: ", get("/KernelVersion"));
    line(" Operating System: ", get("/OperatingSystem"));
    line(" OSType: ", get("/OSType"));
    line(" Architecture: ", get("/Architecture"));
    line(" CPUs: ", get("/NCPU"));
    line(" Total Memory: ", memory);
    line(" Name: ", get("/Name"));
    line(" ID: ", get("/ID"));
    line(" Docker Root Dir: ", get("/DockerRootDir"));
    text
}
