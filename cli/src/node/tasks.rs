//! `orca node ps`.

use std::time::Duration;

use api::control::ListTasksRequest;
use model::{Task, TaskState, Timestamp};
use serde_json::{Value as Json, json};

use super::{Nodes, capital, several};
use crate::client::{Client, Host};
use crate::clock;
use crate::error::Result;
use crate::filter::Filters;
use crate::output::format::{self, Format, Listing};
use crate::output::human;
use crate::registry;
use template::Value;

/// Arguments of `orca node ps`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only some: desired-state=running|shutdown|accepted, id=, name=
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not show ids as names
    #[arg(long)]
    no_resolve: bool,
    /// Whole ids and errors
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
    /// Nodes: ids, host names; none means self
    nodes: Vec<String>,
}

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.taskContext",
    columns: "{{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{{.Ports}}",
    headers: &[("DesiredState", "DESIRED STATE"), ("CurrentState", "CURRENT STATE")],
};

/// Lists the tasks on nodes.
pub async fn list(host: &Host, args: Args) -> Result<()> {
    let filters = Filters::parse(&args.filter, &["desired-state", "id", "name"])?;
    filters.only("desired-state", &["running", "shutdown", "accepted"])?;
    let mut client = Client::connect(host).await?;
    let nodes = Nodes::ask(&mut client).await?;
    let names = if args.nodes.is_empty() { vec!["self".to_owned()] } else { args.nodes };
    let (mut wanted, mut failed) = (Vec::new(), Vec::new());
    for name in &names {
        match nodes.find(name) {
            Ok(node) => wanted.push(node),
            Err(error) => failed.push(error.to_string()),
        }
    }
    let tasks = client.control.list_tasks(ListTasksRequest::default()).await?.into_inner().tasks;
    let tasks: Result<Vec<Task>, api::Error> = tasks.into_iter().map(Task::try_from).collect();
    let mut rows = Vec::new();
    for task in tasks? {
        let Some(node) = wanted.iter().find(|node| task.node == Some(node.id)) else { continue };
        let fits = filters.any("id", |wanted| task.id.to_string().starts_with(wanted))
            && filters.matches("name", &task.name)
            && filters.any("desired-state", |wanted| desired(&task) == wanted);
        if fits {
            let node = if args.no_resolve { node.id.to_string() } else { node.description.hostname.clone() };
            rows.push(row(&task, &node, args.no_trunc, clock::now()));
        }
    }
    rows.sort_by(|a, b| a["Name"].as_str().cmp(&b["Name"].as_str()));
    let rows: Vec<Value> = rows.iter().map(|row| Value::row(row, Default::default())).collect();
    if args.quiet && matches!(args.format, Format::Table | Format::Columns(_)) {
        LISTING.print(&Format::Template("{{.ID}}".into()), &rows)?;
    } else {
        LISTING.print(&args.format, &rows)?;
    }
    several(failed)
}

fn desired(task: &Task) -> &'static str {
    match task.desired {
        TaskState::Ready => "accepted",
        state if state <= TaskState::Running => "running",
        _ => "shutdown",
    }
}

/// Docker's keys for one task.
pub fn row(task: &Task, node: &str, whole: bool, now: Timestamp) -> Json {
    let image = &task.spec.container.image;
    let length = if whole { usize::MAX } else { 12 };
    let error = task.status.error.clone().unwrap_or_default();
    let error =
        if whole || error.chars().count() <= 30 { error } else { error.chars().take(29).chain(['…']).collect() };
    let state = capital(&task.status.state.to_string().to_lowercase());
    let since: Duration = now.since(task.status.at);
    json!({
        "CurrentState": format!("{state} {} ago", human::duration(since)),
        "DesiredState": capital(desired(task)),
        "Error": if error.is_empty() { error } else { format!("\"{error}\"") },
        "ID": task.id.to_string().chars().take(length).collect::<String>(),
        "Image": if whole { image.as_str() } else { registry::shown(image) },
        "Name": task.name,
        "Node": node,
        "Ports": "",
    })
}
