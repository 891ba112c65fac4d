//! `orca compose ps`.

use api::node::{Container, ListContainersRequest};
use clap::Args;
use model::Timestamp;
use serde_json::{Value, json};

use super::project::ProjectArgs;
use crate::client::{Client, Host};
use crate::clock;
use crate::container::ps::{image, row, status};
use crate::error::{Error, Result};
use crate::output::format::{self, Format};
use crate::output::human;
use crate::output::table::Table;

/// Arguments of `orca compose ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Only the services' names
    #[arg(long)]
    services: bool,
    /// Do not shorten
    #[arg(long)]
    no_trunc: bool,
    /// table or json
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
    /// Services; none means all
    only: Vec<String>,
}

/// Lists a project's containers by name.
pub async fn ps(host: &Host, project: &ProjectArgs, args: PsArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let containers = containers(&mut client, &project.name()?, &args.only, args.all).await?;
    let now = clock::now();
    if args.services {
        let names: std::collections::BTreeSet<&str> = containers.iter().map(service).collect();
        return format::write(&names.iter().map(|name| format!("{name}\n")).collect::<String>());
    }
    let ids = args.quiet.then(|| containers.iter().map(|container| container.id.clone()).collect());
    let json = || containers.iter().map(|container| describe(container, now, args.no_trunc)).collect();
    let table = || {
        let mut table = Table::new(&["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]);
        for container in &containers {
            table.row([
                container.name.clone(),
                image(container),
                human::command(&container.args, args.no_trunc),
                service(container).to_owned(),
                human::ago(Timestamp(container.created_at), now),
                status(container, now),
                human::ports(container),
            ]);
        }
        table
    };
    format::print(args.format, ids, json, table)
}

/// The containers of a project, or of some of its services, by name.
pub async fn containers(client: &mut Client, project: &str, only: &[String], all: bool) -> Result<Vec<Container>> {
    let labels = [("com.docker.compose.project".to_owned(), project.to_owned())].into();
    let mut containers =
        client.node.list_containers(ListContainersRequest { all, labels }).await?.into_inner().containers;
    if let Some(unknown) = only.iter().find(|name| !containers.iter().any(|c| service(c) == name.as_str())) {
        return Err(Error::NotFound { kind: "service", name: unknown.clone() });
    }
    containers.retain(|container| only.is_empty() || only.iter().any(|name| name == service(container)));
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(containers)
}

/// The service that a container is of.
pub fn service(container: &Container) -> &str {
    container.labels.get("com.docker.compose.service").map_or("", String::as_str)
}

fn describe(container: &Container, now: Timestamp, whole: bool) -> Value {
    let mut value = row(container, now, whole);
    let state = container.status.clone().unwrap_or_default();
    let publishers: Vec<Value> = container
        .ports
        .iter()
        .map(|port| {
            json!({
                "URL": port.host_ip.clone().unwrap_or_else(|| "0.0.0.0".into()),
                "TargetPort": port.target,
                "PublishedPort": port.published.unwrap_or(0),
                "Protocol": human::protocol(port),
            })
        })
        .collect();
    value["Name"] = json!(container.name);
    value["Project"] = json!(container.labels.get("com.docker.compose.project"));
    value["Service"] = json!(service(container));
    value["ExitCode"] = json!(state.exit_code.unwrap_or(0));
    value["Health"] = json!(human::health(&state));
    value["Publishers"] = json!(publishers);
    value
}
