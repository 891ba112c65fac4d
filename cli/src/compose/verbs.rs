//! `orca compose pause|unpause|kill|top|stats|port|events|attach|wait|volumes`: what is done to a project's containers.

use std::io::Write;

use api::node::{
    AttachStart, Container, KillContainerRequest, ListVolumesRequest, PauseContainerRequest, UnpauseContainerRequest,
    WaitCondition, WaitContainerRequest,
};
use api::types::ContainerPhase;
use clap::Args;
use serde_json::{Value, json};

use super::project::ProjectArgs;
use super::{down, dry_run, making, ps};
use crate::client::{Client, Host};
use crate::container::attach::{self, KeyArgs, ProxyArgs};
use crate::container::{events, stats, verbs};
use crate::error::{Error, Result};
use crate::output::format::{self, Format};
use crate::output::progress;
use crate::output::table::Table;

/// Services of a project.
#[derive(Debug, Args)]
pub struct Services {
    /// Services; none means all
    services: Vec<String>,
}

/// Arguments of `orca compose kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Signal to send
    #[arg(short, long, default_value = "SIGKILL")]
    signal: String,
    /// Remove containers of services that the file no longer has
    #[arg(long)]
    remove_orphans: bool,
    /// Services; none means all
    services: Vec<String>,
}

/// Arguments of `orca compose stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    show: stats::ShowArgs,
    /// Service; none means all
    service: Option<String>,
}

/// One container of a service.
#[derive(Debug, Args)]
pub struct One {
    /// Which container of the service
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    index: u32,
}

/// Arguments of `orca compose port`.
#[derive(Debug, Args)]
pub struct PortArgs {
    #[command(flatten)]
    one: One,
    /// tcp or udp
    #[arg(long, default_value = "tcp", value_parser = ["tcp", "udp"])]
    protocol: String,
    /// Service
    service: String,
    /// Port inside of it
    #[arg(value_name = "PRIVATE_PORT")]
    private_port: u16,
}

/// Arguments of `orca compose events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// JSON lines
    #[arg(long)]
    json: bool,
    /// From this time on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Services; none means all
    services: Vec<String>,
}

/// Arguments of `orca compose attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    one: One,
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
    #[command(flatten)]
    proxy: ProxyArgs,
    /// Service
    service: String,
}

/// Arguments of `orca compose wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Bring the application down when the first container has ended
    #[arg(long)]
    down_project: bool,
    /// Services
    #[arg(required = true)]
    services: Vec<String>,
}

/// Arguments of `orca compose volumes`.
#[derive(Debug, Args)]
pub struct VolumesArgs {
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// table or json
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
    /// Services; none means all
    services: Vec<String>,
}

/// A client and the containers of these services that run.
async fn running(host: &Host, project: &ProjectArgs, services: &[String]) -> Result<(Client, Vec<Container>)> {
    let mut client = Client::connect(host).await?;
    let containers = ps::containers(&mut client, &project.name()?, services, false).await?;
    Ok((client, containers))
}

fn phase(container: &Container) -> ContainerPhase {
    container.status.as_ref().map_or(ContainerPhase::Created, |status| status.phase())
}

/// Does one thing to each container (but not in a dry run), tells of it as Compose does, and of each failure.
async fn each<F>(
    host: &Host,
    client: &mut Client,
    containers: Vec<Container>,
    done: &'static str,
    mut action: F,
) -> Result<()>
where
    F: AsyncFnMut(&mut Client, String) -> Result<()>,
{
    if host.dry_run {
        dry_run::tell(containers.into_iter().map(|container| dry_run::Step::new("Container", container.name, done)));
        return Ok(());
    }
    let mut failures = 0;
    for container in containers {
        match action(client, container.id).await {
            Ok(()) => progress::done("Container", &container.name, done),
            Err(error) => {
                failures += 1;
                eprintln!("orca: {}: {error}", container.name);
            }
        }
    }
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}

/// Freezes services.
pub async fn pause(host: &Host, project: &ProjectArgs, args: Services) -> Result<()> {
    let (mut client, mut containers) = running(host, project, &args.services).await?;
    containers.retain(|container| phase(container) == ContainerPhase::Running);
    each(host, &mut client, containers, "Paused", async |client, container| {
        client.node.pause_container(PauseContainerRequest { container }).await?;
        Ok(())
    })
    .await
}

/// Thaws services.
pub async fn unpause(host: &Host, project: &ProjectArgs, args: Services) -> Result<()> {
    let (mut client, mut containers) = running(host, project, &args.services).await?;
    containers.retain(|container| phase(container) == ContainerPhase::Paused);
    each(host, &mut client, containers, "Unpaused", async |client, container| {
        client.node.unpause_container(UnpauseContainerRequest { container }).await?;
        Ok(())
    })
    .await
}

/// Sends services a signal.
pub async fn kill(host: &Host, project: &ProjectArgs, args: KillArgs) -> Result<()> {
    let (mut client, mut containers) = running(host, project, &args.services).await?;
    if args.services.is_empty() {
        project.keep_declared(&mut containers)?;
    }
    if args.remove_orphans {
        let loaded = project.load_all_profiles()?;
        match host.dry_run {
            true => making::orphans_foreseen(&mut client, &loaded, true).await?,
            false => making::orphans(&mut client, &loaded, true).await?,
        }
    }
    if containers.is_empty() {
        eprintln!("no container to kill");
    }
    each(host, &mut client, containers, "Killed", async |client, container| {
        let signal = args.signal.clone();
        client.node.kill_container(KillContainerRequest { container, signal }).await?;
        Ok(())
    })
    .await
}

/// Prints the processes of services.
pub async fn top(host: &Host, project: &ProjectArgs, args: Services) -> Result<()> {
    let (mut client, containers) = running(host, project, &args.services).await?;
    let mut text = String::new();
    for container in containers {
        let processes = verbs::processes(&mut client, container.id, Vec::new()).await?;
        text.push_str(&format!("{}\n{processes}\n", container.name));
    }
    format::write(&text)
}

/// Shows what services use.
pub async fn stats(host: &Host, project: &ProjectArgs, args: StatsArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let only: Vec<String> = args.service.into_iter().collect();
    let containers = ps::containers(&mut client, &project.name()?, &only, args.show.all).await?;
    if containers.is_empty() {
        return Ok(());
    }
    stats::follow(&mut client, containers.into_iter().map(|container| container.id).collect(), &args.show).await
}

/// The container of a service that runs, by its number.
async fn one(host: &Host, project: &ProjectArgs, service: &str, index: u32) -> Result<(Client, Container)> {
    let (client, containers) = running(host, project, &[service.to_owned()]).await.map_err(|error| match error {
        Error::NotFound { .. } => Error::NotConverged(format!("service {service:?} is not running")),
        other => other,
    })?;
    let number = |container: &Container| container.task.as_ref().map_or(0, |task| task.slot);
    let found = containers.into_iter().filter(|container| !ps::is_step(container));
    let found = found.filter(|container| index == 0 || number(container) == index).min_by_key(number);
    let found = found.ok_or_else(|| Error::NotConverged(format!("service {service:?} has no container {index}")))?;
    Ok((client, found))
}

/// Prints where a port of a service is published.
pub async fn port(host: &Host, project: &ProjectArgs, args: PortArgs) -> Result<()> {
    let (_, container) = one(host, project, &args.service, args.one.index).await?;
    let all = verbs::ports(&container, Some(&format!("{}/{}", args.private_port, args.protocol)))?;
    // As Compose, which prints the first alone.
    format::write(all.split_inclusive('\n').next().unwrap_or_default())
}

/// Joins this terminal to a container of a service.
pub async fn attach(host: &Host, project: &ProjectArgs, args: AttachArgs) -> Result<()> {
    let (mut client, container) = one(host, project, &args.service, args.one.index).await?;
    let start = AttachStart { container: container.id.clone(), stdin: !args.no_stdin, ..AttachStart::default() };
    attach::to(&mut client, &container, start, &args.keys, args.proxy.sig_proxy).await
}

/// Prints what happens to a project's containers.
pub async fn events(host: &Host, project: &ProjectArgs, args: EventsArgs) -> Result<()> {
    let name = project.name()?;
    let filters = ["type=container".to_owned(), format!("label=com.docker.compose.project={name}")];
    let request = events::request(args.since.as_deref(), args.until.as_deref(), &filters)?;
    let mut client = Client::connect(host).await?;
    let mut stream = client.node.events(request).await?.into_inner();
    while let Some(mut event) = stream.message().await? {
        let service = event.attributes.get("com.docker.compose.service").cloned().unwrap_or_default();
        if !args.services.is_empty() && !args.services.contains(&service) {
            continue;
        }
        // As Compose: its own labels say nothing to its users.
        event.attributes.retain(|key, _| !key.starts_with("com.docker.compose."));
        format::write(&if args.json { compose_json(&event, &service) } else { events::line(&event) })?;
    }
    Ok(())
}

fn compose_json(event: &api::node::Event, service: &str) -> String {
    let time = model::Timestamp(event.at).to_rfc3339();
    let value = json!({
        "action": event.action,
        "attributes": event.attributes,
        "id": event.id,
        "service": service,
        "time": time,
        "type": event.r#type,
    });
    format!("{value}\n")
}

/// Waits for containers of services to end; the command's code is the first one's.
pub async fn wait(host: &Host, project: &ProjectArgs, args: WaitArgs) -> Result<()> {
    let (client, mut containers) = running(host, project, &args.services).await?;
    containers.retain(|container| !ps::is_step(container));
    if host.dry_run {
        return match args.down_project {
            true => down::down(host, project, down::DownArgs::default()).await,
            false => Ok(()),
        };
    }
    let mut waits = tokio::task::JoinSet::new();
    for container in containers {
        let mut node = client.node.clone();
        let wait = WaitContainerRequest { container: container.id, condition: WaitCondition::NotRunning.into() };
        waits.spawn(async move { (container.name, node.wait_container(wait).await) });
    }
    let mut first = None;
    while let Some(Ok((name, reply))) = waits.join_next().await {
        let code = reply?.into_inner().exit_code;
        let _ = writeln!(std::io::stdout(), "container {name:?} exited with status code {code}");
        first.get_or_insert(code);
        if args.down_project {
            down::down(host, project, down::DownArgs::default()).await?;
            break;
        }
    }
    attach::exit(first)
}

/// Lists a project's volumes.
pub async fn volumes(host: &Host, project: &ProjectArgs, args: VolumesArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let name = project.name()?;
    let labels = [("com.docker.compose.project".to_owned(), name.clone())].into();
    let mut volumes = client.node.list_volumes(ListVolumesRequest { labels, size: false }).await?.into_inner().volumes;
    if !args.services.is_empty() {
        let used = ps::containers(&mut client, &name, &args.services, true).await?;
        let names: Vec<&str> = used.iter().flat_map(|c| &c.mounts).map(|mount| mount.name.as_str()).collect();
        volumes.retain(|volume| names.contains(&volume.name.as_str()));
    }
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let quiet = args.quiet.then(|| volumes.iter().map(|volume| volume.name.clone()).collect());
    let rows = || {
        let row = |volume: &api::node::Volume| -> Value {
            json!({ "Driver": volume.driver, "Mountpoint": volume.mountpoint, "Name": volume.name, "Scope": "local" })
        };
        volumes.iter().map(row).collect()
    };
    let table = || {
        let mut table = Table::new(&["VOLUME NAME", "DRIVER"]);
        volumes.iter().for_each(|volume| table.row([volume.name.clone(), volume.driver.clone()]));
        table
    };
    format::print(args.format, quiet, rows, table)
}
