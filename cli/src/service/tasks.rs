//! `orca service ps`.

use std::collections::BTreeMap;

use api::control::{GetClusterRequest, ListTasksRequest};
use model::{Node, Place, Service, Task, TaskState};
use serde_json::{Value as Json, json};

use super::{all, find, several};
use crate::client::{Client, Host};
use crate::clock;
use crate::error::Result;
use crate::filter::Filters;
use crate::node::task_row;
use crate::output::format::{self, Format, Listing};
use template::Value;

/// How tasks are listed.
#[derive(Debug, Clone, clap::Args)]
pub struct TaskFlags {
    /// Only some: desired-state=running|shutdown|accepted, id=, name=, node=
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// Do not show ids as names
    #[arg(long)]
    pub no_resolve: bool,
    /// Whole ids and errors
    #[arg(long)]
    pub no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    pub quiet: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    pub format: Format,
}

/// Arguments of `orca service ps`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    flags: TaskFlags,
    /// Services: names or ids
    #[arg(required = true)]
    services: Vec<String>,
}

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.taskContext",
    columns: "{{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{{.Ports}}",
    headers: &[("DesiredState", "DESIRED STATE"), ("CurrentState", "CURRENT STATE")],
};

/// Lists the tasks of services.
pub async fn list(host: &Host, args: Args) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let services = all(&mut client, None).await?;
    let (mut wanted, mut failed) = (Vec::new(), Vec::new());
    for name in &args.services {
        match find(&services, name) {
            Ok(service) => wanted.push(service.clone()),
            Err(error) => failed.push(error.to_string()),
        }
    }
    if !wanted.is_empty() {
        show(&mut client, &wanted, &args.flags).await?;
    }
    several(failed)
}

/// Shows the tasks of these services, each with its history.
pub async fn show(client: &mut Client, services: &[Service], flags: &TaskFlags) -> Result<()> {
    let filters = Filters::parse(&flags.filter, &["desired-state", "id", "name", "node"])?;
    filters.only("desired-state", &["running", "shutdown", "accepted"])?;
    let nodes = client.control.get_cluster(GetClusterRequest {}).await?.into_inner().nodes;
    let nodes: Result<Vec<Node>, api::Error> = nodes.into_iter().map(Node::try_from).collect();
    let nodes = nodes?;
    let ids = services.iter().map(|service| service.id.to_string()).collect();
    let reply = client.control.list_tasks(ListTasksRequest { stack: None, services: ids }).await?.into_inner();
    let tasks: Result<Vec<Task>, api::Error> = reply.tasks.into_iter().map(Task::try_from).collect();
    let node_name = |task: &Task| {
        let node = nodes.iter().find(|node| Some(node.id) == task.node);
        match (node, task.node) {
            (Some(node), _) if !flags.no_resolve => node.description.hostname.clone(),
            (_, Some(id)) => id.to_string(),
            _ => String::new(),
        }
    };
    let name = |task: &Task| {
        let service = services.iter().find(|service| service.id == task.service);
        service.map_or_else(|| task.name.clone(), |service| short_name(service, task))
    };
    let fits = |task: &&Task| {
        let node =
            |wanted: &str| task.node.is_some_and(|id| id.to_string().starts_with(wanted)) || node_name(task) == wanted;
        filters.any("id", |wanted| task.id.to_string().starts_with(wanted))
            && filters.any("name", |wanted| name(task).starts_with(wanted) || task.name.starts_with(wanted))
            && filters.any("node", node)
            && filters.any("desired-state", |wanted| desired(task) == wanted)
    };
    let tasks = tasks?;
    let mut shown: Vec<&Task> = tasks.iter().filter(fits).collect();
    let newest_first = |task: &Task| (!task.is_live(), std::cmp::Reverse(task.meta.created_at), task.id);
    shown.sort_by_cached_key(|task| (name(task), task.place(), newest_first(task)));
    let now = clock::now();
    let mut seen: BTreeMap<(model::ServiceId, Place), ()> = BTreeMap::new();
    let rows = shown.into_iter().map(|task| {
        let mut row = task_row(task, &node_name(task), flags.no_trunc || flags.quiet, now);
        if let Some(reason) = reply.waiting.get(&task.id.to_string()).filter(|_| task.status.error.is_none()) {
            row["Error"] = error(reason, flags.no_trunc);
        }
        let earlier = seen.insert((task.service, task.place()), ()).is_some();
        let quoted = !matches!(flags.format, Format::Json | Format::Template(_));
        row["Name"] = if earlier && quoted { format!(" \\_ {}", name(task)).into() } else { name(task).into() };
        Value::row(&row, Default::default())
    });
    let rows: Vec<Value> = rows.collect();
    if flags.quiet && matches!(flags.format, Format::Table | Format::Columns(_)) {
        return LISTING.print(&Format::Template("{{.ID}}".into()), &rows);
    }
    LISTING.print(&flags.format, &rows)
}

/// Docker's name of a task: the service's, and its slot or node.
pub fn short_name(service: &Service, task: &Task) -> String {
    match (service.spec.rolls(), task.bound) {
        (false, _) => task.name.clone(),
        (true, Some(node)) => format!("{}.{node}", service.spec.name),
        (true, None) => format!("{}.{}", service.spec.name, task.slot),
    }
}

fn error(reason: &str, whole: bool) -> Json {
    let cut = |text: &str| text.chars().take(29).chain(['…']).collect::<String>();
    let text = if whole || reason.chars().count() <= 30 { reason.to_owned() } else { cut(reason) };
    json!(format!("\"{text}\""))
}

fn desired(task: &Task) -> &'static str {
    match task.desired {
        TaskState::Ready => "accepted",
        state if state <= TaskState::Running => "running",
        _ => "shutdown",
    }
}
