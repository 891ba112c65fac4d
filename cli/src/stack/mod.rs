//! `orca stack deploy|rm|ps`: a Compose file on the whole cluster.

use std::path::PathBuf;

use api::control::{
    ApplyStackRequest, GetClusterRequest, ListServicesRequest, ListTasksRequest, Recreate, RemoveStackRequest,
};
use clap::Subcommand;
use model::{Node, RestartCondition, ServiceSpec, Task};

use crate::client::{Client, Host};
use crate::clock;
use crate::compose::{Goal, ProjectArgs, wait, wait_until_gone};
use crate::error::{Error, Result};
use crate::node::task_row;
use crate::output::format::{self, Format, Listing};
use crate::registry::{ResolveImage, pin_images};
use template::Value;

/// What to do with stacks.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the services of a Compose file on the cluster's nodes
    #[command(alias = "up")]
    Deploy(DeployArgs),
    /// List the tasks of a stack
    Ps(PsArgs),
    /// Remove stacks
    #[command(alias = "down", alias = "remove")]
    Rm(RemoveArgs),
}

/// Arguments of `orca stack deploy`.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    /// Compose file; - for standard input
    #[arg(short, long, value_name = "FILE", required = true)]
    compose_file: Vec<PathBuf>,
    /// Do not wait until the services run
    #[arg(short, long)]
    detach: bool,
    /// Remove services that the file no longer has
    #[arg(long)]
    prune: bool,
    /// When images get the digests that their names mean now: always, changed, never
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", hide_possible_values = true)]
    resolve_image: ResolveImage,
    /// The stack's name
    stack: String,
}

/// Arguments of `orca stack ps`.
#[derive(Debug, clap::Args)]
pub struct PsArgs {
    /// Whole ids and errors
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
    /// The stack's name
    stack: String,
}

/// Arguments of `orca stack rm`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// Do not wait until the services are gone
    #[arg(short, long)]
    detach: bool,
    /// Names of stacks
    #[arg(required = true)]
    stacks: Vec<String>,
}

/// Carries a verb out.
pub async fn run(host: &Host, verb: Verb) -> Result<()> {
    match verb {
        Verb::Deploy(args) => deploy(host, args).await,
        Verb::Ps(args) => ps(host, args).await,
        Verb::Rm(args) => remove(host, args).await,
    }
}

/// Declares the stack, and waits until it runs. Its images come from whatever node has them, else from their registries.
async fn deploy(host: &Host, args: DeployArgs) -> Result<()> {
    let loaded = ProjectArgs::of_stack(args.compose_file, &args.stack).load(&[])?;
    let mut stack = loaded.stack(&[], false, &[])?;
    for service in &mut stack.services {
        service.name = format!("{}_{}", args.stack, service.key());
        // As in Swarm, tasks of a stack are kept running unless its file says how.
        if !loaded.says_restart(service.key()) {
            service.container.restart.condition = RestartCondition::Always;
        }
    }
    let mut client = Client::connect(host).await?;
    let before = specs(&mut client, &args.stack).await?;
    pin_images(&mut client, &mut stack.services, &before, args.resolve_image).await?;
    let keys: Vec<String> = stack.services.iter().map(|service| service.key().to_owned()).collect();
    let request = ApplyStackRequest {
        stack: Some(stack.into()),
        recreate: Recreate::Changed.into(),
        remove_orphans: args.prune,
        start_stopped: true,
        ..ApplyStackRequest::default()
    };
    let since = client.control.apply_stack(request).await?.into_inner().version;
    if args.detach {
        return Ok(());
    }
    wait(&mut client, &args.stack, &keys, Goal::Started, since, None).await
}

/// The services of a stack as they are declared.
async fn specs(client: &mut Client, stack: &str) -> Result<Vec<ServiceSpec>> {
    let request = ListServicesRequest { stack: Some(stack.to_owned()) };
    let services = client.control.list_services(request).await?.into_inner().services;
    let specs = services.into_iter().filter_map(|service| service.spec);
    Ok(specs.map(ServiceSpec::try_from).collect::<Result<_, api::Error>>()?)
}

async fn services(client: &mut Client, stack: &str) -> Result<Vec<(String, String)>> {
    let request = ListServicesRequest { stack: Some(stack.to_owned()) };
    let services = client.control.list_services(request).await?.into_inner().services;
    let services: Vec<(String, String)> =
        services.into_iter().filter_map(|service| Some((service.spec?.stack?.key, service.id))).collect();
    if services.is_empty() {
        return Err(Error::NotFound { kind: "stack", name: stack.to_owned() });
    }
    Ok(services)
}

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.taskContext",
    columns: "{{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}\t{{.Ports}}",
    headers: &[("DesiredState", "DESIRED STATE"), ("CurrentState", "CURRENT STATE")],
};

async fn ps(host: &Host, args: PsArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    services(&mut client, &args.stack).await?;
    let nodes = client.control.get_cluster(GetClusterRequest {}).await?.into_inner().nodes;
    let nodes: Result<Vec<Node>, api::Error> = nodes.into_iter().map(Node::try_from).collect();
    let nodes = nodes?;
    let request = ListTasksRequest { stack: Some(args.stack), services: Vec::new() };
    let tasks = client.control.list_tasks(request).await?.into_inner().tasks;
    let tasks: Result<Vec<Task>, api::Error> = tasks.into_iter().map(Task::try_from).collect();
    let mut tasks = tasks?;
    tasks.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    let name = |task: &Task| {
        let node = nodes.iter().find(|node| Some(node.id) == task.node);
        node.map(|node| node.description.hostname.clone()).unwrap_or_default()
    };
    let now = clock::now();
    let row = |task: &Task| Value::row(&task_row(task, &name(task), args.no_trunc, now), Default::default());
    let rows: Vec<Value> = tasks.iter().map(row).collect();
    if args.quiet && matches!(args.format, Format::Table | Format::Columns(_)) {
        return LISTING.print(&Format::Template("{{.ID}}".into()), &rows);
    }
    LISTING.print(&args.format, &rows)
}

async fn remove(host: &Host, args: RemoveArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    for stack in args.stacks {
        let keys: Vec<String> = services(&mut client, &stack).await?.into_iter().map(|(key, _)| key).collect();
        let request = RemoveStackRequest { stack: stack.clone(), services: Vec::new() };
        let since = client.control.remove_stack(request).await?.into_inner().version;
        if !args.detach {
            wait_until_gone(&mut client, &stack, &keys, since).await?;
        }
    }
    Ok(())
}
