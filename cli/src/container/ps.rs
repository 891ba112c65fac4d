//! `orca ps`.

use api::node::{Container, ListContainersRequest};
use clap::Args;
use model::Timestamp;
use serde_json::{Value, json};

use crate::client::{Client, Host};
use crate::clock;
use crate::error::Result;
use crate::output::format::{self, Format};
use crate::output::human;
use crate::output::table::Table;

/// Arguments of `orca ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten
    #[arg(long)]
    no_trunc: bool,
    /// table or json
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
}

/// Lists containers, the newest first.
pub async fn ps(host: &Host, args: PsArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let request = ListContainersRequest { all: args.all, labels: Default::default() };
    let mut containers = client.node.list_containers(request).await?.into_inner().containers;
    containers.sort_by_key(|container| std::cmp::Reverse(container.created_at));
    let now = clock::now();
    let id = |container: &Container| short(&container.id, args.no_trunc);
    let ids = args.quiet.then(|| containers.iter().map(id).collect());
    let json = || containers.iter().map(|container| row(container, now, args.no_trunc)).collect();
    let table = || {
        let mut table = Table::new(&["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
        for container in &containers {
            table.row([
                id(container),
                image(container),
                human::command(&container.args, args.no_trunc),
                human::ago(Timestamp(container.created_at), now),
                status(container, now),
                human::ports(container),
                container.name.clone(),
            ]);
        }
        table
    };
    format::print(args.format, ids, json, table)
}

/// The image as the user named it.
pub fn image(container: &Container) -> String {
    container.spec.as_ref().map(|spec| spec.image.clone()).unwrap_or_default()
}

/// The STATUS column.
pub fn status(container: &Container, now: Timestamp) -> String {
    container.status.as_ref().map_or_else(|| "Created".into(), |status| human::status(status, now))
}

fn short(id: &str, whole: bool) -> String {
    if whole { id.into() } else { id.chars().take(12).collect() }
}

/// Docker's keys for one container.
pub fn row(container: &Container, now: Timestamp, whole: bool) -> Value {
    let created = Timestamp(container.created_at);
    let networks: Vec<&str> = container.attachments.iter().map(|a| a.network.as_str()).collect();
    let mounts: Vec<&str> =
        container.mounts.iter().map(|m| if m.name.is_empty() { m.source.as_str() } else { m.name.as_str() }).collect();
    let volumes = container.mounts.iter().filter(|mount| mount.kind == "volume").count();
    json!({
        "Command": human::command(&container.args, whole),
        "CreatedAt": clock::docker_time(created),
        "ID": short(&container.id, whole),
        "Image": image(container),
        "Labels": labels(container),
        "LocalVolumes": volumes.to_string(),
        "Mounts": mounts.join(","),
        "Names": container.name,
        "Networks": networks.join(","),
        "Ports": human::ports(container),
        "RunningFor": human::ago(created, now),
        "Size": "0B",
        "State": container.status.as_ref().map_or("created", human::state),
        "Status": status(container, now),
    })
}

/// `KEY=VALUE,…`.
pub fn labels(container: &Container) -> String {
    container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
