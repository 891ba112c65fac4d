//! `orca service ls`.

use api::control::ListTasksRequest;
use model::{PortSpec, PublishMode, Service, ServiceMode, Task, TaskState};
use serde_json::{Value as Json, json};

use super::all;
use crate::client::{Client, Host};
use crate::error::Result;
use crate::filter::Filters;
use crate::output::format::{self, Format, Listing};
use crate::registry::shown;
use template::Value;

/// How services are listed.
#[derive(Debug, Clone, clap::Args)]
pub struct ListFlags {
    /// Only some: id=, label=, mode=, name=
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// Only ids
    #[arg(short, long)]
    pub quiet: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    pub format: Format,
}

/// Arguments of `orca service ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    flags: ListFlags,
}

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.serviceContext",
    columns: "{{.ID}}\t{{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}\t{{.Ports}}",
    headers: &[],
};

/// Lists the cluster's services.
pub async fn list(host: &Host, args: Args) -> Result<()> {
    let mut client = Client::connect(host).await?;
    print(&mut client, None, &args.flags).await
}

/// Prints the services of a stack, or of all.
pub async fn print(client: &mut Client, stack: Option<String>, flags: &ListFlags) -> Result<()> {
    let filters = Filters::parse(&flags.filter, &["id", "label", "mode", "name"])?;
    filters.only("mode", &["replicated", "global", "replicated-job", "global-job"])?;
    let services = all(client, stack.clone()).await?;
    let tasks = client.control.list_tasks(ListTasksRequest { stack, services: Vec::new() }).await?.into_inner().tasks;
    let tasks: Result<Vec<Task>, api::Error> = tasks.into_iter().map(Task::try_from).collect();
    let tasks = tasks?;
    let fits = |service: &&Service| {
        let spec = &service.spec;
        filters.any("id", |wanted| service.id.to_string().starts_with(wanted))
            && filters.any("name", |wanted| spec.name.starts_with(wanted))
            && filters.any("mode", |wanted| spec.mode.word() == wanted)
            && filters.fits_labels(&spec.labels)
    };
    let rows: Vec<Value> = services
        .iter()
        .filter(fits)
        .map(|service| Value::row(&row(service, &tasks, flags.quiet), service.spec.labels.clone()))
        .collect();
    if flags.quiet && matches!(flags.format, Format::Table | Format::Columns(_)) {
        return LISTING.print(&Format::Template("{{.ID}}".into()), &rows);
    }
    LISTING.print(&flags.format, &rows)
}

fn row(service: &Service, tasks: &[Task], whole: bool) -> Json {
    let length = if whole { usize::MAX } else { 12 };
    json!({
        "ID": service.id.to_string().chars().take(length).collect::<String>(),
        "Image": shown(&service.spec.container.image),
        "Mode": service.spec.mode.word().replace("-job", " job"),
        "Name": service.spec.name,
        "Ports": ports(service),
        "Replicas": replicas(service, tasks),
    })
}

/// `2/3`, with what limits them, or what of a job is done.
fn replicas(service: &Service, tasks: &[Task]) -> String {
    let own = || tasks.iter().filter(|task| task.service == service.id && task.is_live());
    let running = own().filter(|task| task.status.state == TaskState::Running).count();
    let current = |task: &&Task| task.spec_version == service.spec_version;
    let done = own().filter(current).filter(|task| task.status.state == TaskState::Complete).count();
    let most = service.spec.placement.max_replicas;
    match service.spec.mode {
        ServiceMode::Replicated { replicas } if most > 0 => format!("{running}/{replicas} (max {most} per node)"),
        ServiceMode::Replicated { replicas } => format!("{running}/{replicas}"),
        ServiceMode::Global => format!("{running}/{}", own().filter(current).count()),
        ServiceMode::ReplicatedJob { max_concurrent, total_completions } => {
            let wanted = max_concurrent.min(total_completions.saturating_sub(u32::try_from(done).unwrap_or(u32::MAX)));
            format!("{running}/{wanted} ({done}/{total_completions} completed)")
        }
        ServiceMode::GlobalJob => {
            let all = own().filter(current).count();
            format!("{running}/{} ({done}/{all} completed)", all - done)
        }
    }
}

/// `*:8080->80/tcp` of ports that every node answers on.
fn ports(service: &Service) -> String {
    let given = if service.endpoint.ports.is_empty() { &service.spec.ports } else { &service.endpoint.ports };
    let shown = given.iter().filter(|port| port.mode == PublishMode::Ingress);
    shown.map(port).collect::<Vec<_>>().join(", ")
}

fn port(port: &PortSpec) -> String {
    let published = port.published.map_or_else(|| "0".to_owned(), |published| published.to_string());
    format!("*:{published}->{}/{}", port.target, port.protocol)
}
