//! `orca info`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use api::image::{GetRegistriesReply, GetRegistriesRequest};
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
    let told = match client.images.get_registries(GetRegistriesRequest {}).await {
        // A daemon of an earlier release.
        Err(status) if status.code() == tonic::Code::Unimplemented => GetRegistriesReply::default(),
        reply => reply?.into_inner(),
    };
    registries(&mut object, &told);
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
        "NFd": node.open_files,
        "OomKillDisable": node.cgroup_version == "1",
        "NGoroutines": node.running_tasks,
        "SystemTime": clock::now().to_rfc3339(),
        "LoggingDriver": if node.logging_driver.is_empty() { "json-file" } else { &node.logging_driver },
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": node.cgroup_version,
        "NEventsListener": 0,
        "KernelVersion": node.kernel_version,
        "OperatingSystem": node.operating_system,
        "OSVersion": "",
        "OSType": description.os,
        "Architecture": description.architecture,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {},
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
        "InitBinary": "orca",
        "ContainerdCommit": { "ID": "" },
        "RuncCommit": { "ID": "" },
        "InitCommit": { "ID": "" },
        "SecurityOptions": node.security_options,
        "FirewallBackend": { "Driver": "nftables" },
        "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
        "Warnings": null,
        "ClientInfo": { "Debug": false, "Version": env!("CARGO_PKG_VERSION"), "Context": context, "Plugins": [], "Warnings": null },
    })
}

/// What the daemon was told of registries, and of the proxies on the way to them.
fn registries(object: &mut Json, told: &GetRegistriesReply) {
    let index = |name: &str, mirrors: &[String], secure: bool, official: bool| json!({ "Name": name, "Mirrors": mirrors, "Secure": secure, "Official": official });
    let mut indexes = serde_json::Map::new();
    indexes.insert("docker.io".into(), index("docker.io", &told.mirrors, true, true));
    let (networks, hosts): (Vec<&String>, Vec<&String>) = told.insecure.iter().partition(|text| text.contains('/'));
    indexes.extend(hosts.into_iter().map(|host| (host.clone(), index(host, &[], false, false))));
    let own = ["::1/128", "127.0.0.0/8"].into_iter();
    let networks: Vec<&str> = own.chain(networks.into_iter().map(String::as_str)).collect();
    object["RegistryConfig"] =
        json!({ "IndexConfigs": indexes, "InsecureRegistryCIDRs": networks, "Mirrors": told.mirrors });
    object["HttpProxy"] = told.http_proxy.clone().into();
    object["HttpsProxy"] = told.https_proxy.clone().into();
    object["NoProxy"] = told.no_proxy.clone().into();
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

fn texts(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

fn words(list: &Json) -> String {
    texts(list).join(" ")
}

/// The hosts that may be asked without TLS, and then the networks.
fn insecure(config: &Json) -> Vec<String> {
    let indexes = config["IndexConfigs"].as_object();
    let hosts = indexes.into_iter().flatten().filter(|(_, index)| index["Secure"] == false);
    hosts.map(|(host, _)| host.clone()).chain(texts(&config["InsecureRegistryCIDRs"])).collect()
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
    line(" Plugins:", String::new());
    for kind in ["Volume", "Network", "Log"] {
        line(&format!("  {kind}: "), words(&object["Plugins"][kind]));
    }
    swarm::lines(&object["Swarm"], &mut line);
    line(
        " Runtimes: ",
        object["Runtimes"].as_object().into_iter().flat_map(|all| all.keys()).cloned().collect::<Vec<_>>().join(" "),
    );
    line(" Default Runtime: ", get("/DefaultRuntime"));
    line(" Init Binary: ", get("/InitBinary"));
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
    line(" Debug Mode: ", get("/Debug"));
    for (words, key) in
        [(" HTTP Proxy: ", "/HttpProxy"), (" HTTPS Proxy: ", "/HttpsProxy"), (" No Proxy: ", "/NoProxy")]
    {
        if !get(key).is_empty() {
            line(words, get(key));
        }
    }
    line(" Experimental: ", get("/ExperimentalBuild"));
    line(" Insecure Registries:", String::new());
    for registry in insecure(&object["RegistryConfig"]) {
        line("  ", registry);
    }
    let mirrors = texts(&object["RegistryConfig"]["Mirrors"]);
    if !mirrors.is_empty() {
        line(" Registry Mirrors:", String::new());
        mirrors.into_iter().for_each(|mirror| line("  ", mirror));
    }
    line(" Live Restore Enabled: ", get("/LiveRestoreEnabled"));
    text
}
