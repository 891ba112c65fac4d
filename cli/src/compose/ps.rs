//! `orca compose ps`.

use api::node::{Container, ListContainersRequest};
use clap::Args;
use model::Timestamp;
use serde_json::{Value as Json, json};

use super::project::ProjectArgs;
use crate::client::{Client, Host};
use crate::clock;
use crate::container::ps::row;
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::output::format::{self, Format, Listing};
use crate::output::human;
use template::Value;

/// Arguments of `orca compose ps`.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// Only containers that fit: status=STATE
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Only containers in this state
    #[arg(long, value_name = "STATE")]
    status: Vec<String>,
    /// Also containers of services that the file does not have; so by default
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    orphans: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Only the services' names
    #[arg(long)]
    services: bool,
    /// Do not shorten
    #[arg(long)]
    no_trunc: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
    /// Services; none means all
    only: Vec<String>,
}

const STATES: &[&str] = &["paused", "restarting", "removing", "running", "dead", "created", "exited"];

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.ContainerContext",
    columns: "{{.Name}}\t{{.Image}}\t{{.Command}}\t{{.Service}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}",
    headers: &[("ID", "CONTAINER ID"), ("RunningFor", "CREATED")],
};

/// Lists a project's containers by name.
pub async fn ps(host: &Host, project: &ProjectArgs, args: PsArgs) -> Result<()> {
    let mut filters = Filters::parse(&args.filter, &["status"])?;
    for status in &args.status {
        filters.add("status", status).map_err(|reason| Error::Flag {
            flag: "--status",
            value: status.clone(),
            reason,
        })?;
    }
    filters.only("status", STATES)?;
    let mut client = Client::connect(host).await?;
    let all = args.all || filters.has("status");
    let mut containers = containers(&mut client, &project.name()?, &args.only, all).await?;
    containers.retain(|container| {
        let state = container.status.as_ref().map_or("created", human::state);
        filters.any("status", |wanted| wanted == state)
    });
    if !args.orphans && args.only.is_empty() {
        project.keep_declared(&mut containers)?;
    }
    let now = clock::now();
    if args.services {
        let names: std::collections::BTreeSet<&str> = containers.iter().map(service).collect();
        return format::write(&names.iter().map(|name| format!("{name}\n")).collect::<String>());
    }
    if args.quiet {
        return format::write(&containers.iter().map(|container| format!("{}\n", container.id)).collect::<String>());
    }
    let row = |container: &Container| {
        let labels = container.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Value::row(&describe(container, now, args.no_trunc), labels)
    };
    LISTING.print(&args.format, &containers.iter().map(row).collect::<Vec<_>>())
}

/// The containers of a project, or of some of its services, by name.
pub async fn containers(client: &mut Client, project: &str, only: &[String], all: bool) -> Result<Vec<Container>> {
    let labels = [("com.docker.compose.project".to_owned(), project.to_owned())].into();
    let mut containers =
        client.node.list_containers(ListContainersRequest { all, labels, size: false }).await?.into_inner().containers;
    if let Some(unknown) = only.iter().find(|name| !containers.iter().any(|c| service(c) == name.as_str())) {
        return Err(Error::NotFound { kind: "service", name: unknown.clone() });
    }
    containers.retain(|container| only.is_empty() || only.iter().any(|name| name == service(container)));
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(containers)
}

/// Whether a container is a step of its service's `pre_start`.
pub fn is_step(container: &Container) -> bool {
    container.labels.contains_key("com.docker.compose.hook")
}

/// The service that a container is of.
pub fn service(container: &Container) -> &str {
    container.labels.get("com.docker.compose.service").map_or("", String::as_str)
}

fn describe(container: &Container, now: Timestamp, whole: bool) -> Json {
    let mut value = row(container, now, whole);
    let state = container.status.clone().unwrap_or_default();
    let publishers: Vec<Json> = container
        .ports
        .iter()
        .flat_map(|port| human::host_addresses(container, port).into_iter().map(move |ip| (port, ip)))
        .map(|(port, ip)| {
            json!({
                "URL": ip,
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
