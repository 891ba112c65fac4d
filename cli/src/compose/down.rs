//! `orca compose down`: ends the application, dependents first, and removes what it made.

use std::time::Duration;

use api::control::RemoveStackRequest;
use api::node::{ListVolumesRequest, RemoveVolumeRequest};
use clap::Args;

use super::project::ProjectArgs;
use super::ps;
use super::view::Watch;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::progress::Progress;

/// Arguments of `orca down`.
#[derive(Debug, Default, Args)]
pub struct DownArgs {
    /// Remove its volumes too: what is in them is lost
    #[arg(short, long)]
    volumes: bool,
    /// Also end services that the file no longer has
    #[arg(long)]
    remove_orphans: bool,
    /// Services; none means all
    services: Vec<String>,
}

/// Brings the application down.
pub async fn down(host: &Host, project: &ProjectArgs, args: DownArgs) -> Result<()> {
    let name = project.name()?;
    let mut client = Client::connect(host).await?;
    let services = services(&mut client, project, &name, &args).await?;
    if !services.is_empty() {
        let request = RemoveStackRequest { stack: name.clone(), services: services.clone() };
        let reply = client.control.remove_stack(request).await?.into_inner();
        wait(&mut client, &name, &services, reply.version).await?;
        wait_for_containers(&mut client, &name, &services).await?;
    }
    if args.volumes && args.services.is_empty() {
        remove_volumes(&mut client, &name).await?;
    }
    Ok(())
}

/// The keys to remove: those named, else those of the file, else (without a file, or with --remove-orphans) all there are.
async fn services(client: &mut Client, project: &ProjectArgs, name: &str, args: &DownArgs) -> Result<Vec<String>> {
    let request = api::control::ListServicesRequest { stack: Some(name.to_owned()) };
    let reply = client.control.list_services(request).await?.into_inner();
    let running: Vec<String> =
        reply.services.into_iter().filter_map(|service| Some(service.spec?.stack?.key)).collect();
    if let Some(unknown) = args.services.iter().find(|key| !running.contains(key)) {
        return Err(Error::NotFound { kind: "service", name: unknown.clone() });
    }
    if !args.services.is_empty() {
        return Ok(args.services.clone());
    }
    if args.remove_orphans || !project.has_file()? {
        return Ok(running);
    }
    let known = project.load_all_profiles()?.all_services();
    let (kept, orphans): (Vec<String>, Vec<String>) = running.into_iter().partition(|key| known.contains(key));
    if !orphans.is_empty() {
        eprintln!(
            "WARNING: services {} are not in the Compose file and go on; end them with --remove-orphans",
            orphans.join(", ")
        );
    }
    Ok(kept)
}

pub async fn wait(client: &mut Client, stack: &str, keys: &[String], since: u64) -> Result<()> {
    let mut watch = Watch::open(client, stack).await?;
    let mut progress = Progress::new();
    loop {
        let view = watch.next().await?;
        let of_these = |id| view.services.iter().any(|s| s.id == id && keys.iter().any(|key| key == s.spec.key()));
        let tasks: Vec<model::Task> = view.tasks.iter().filter(|task| of_these(task.service)).cloned().collect();
        progress.show(&tasks, &view.waiting);
        let gone = keys.iter().all(|key| view.service(key).is_none());
        let all_gone = gone && (!view.services.is_empty() || view.networks == 0);
        if view.version >= since && all_gone {
            progress.finish();
            return Ok(());
        }
    }
}

/// How long a container that has ended may take to go: its files may be many.
const PATIENCE: Duration = Duration::from_secs(60);

/// A task is gone when its process is; its container's files and volumes are free a moment later.
pub async fn wait_for_containers(client: &mut Client, project: &str, keys: &[String]) -> Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = ps::containers(client, project, &[], true).await?;
        let left: Vec<String> = left
            .iter()
            .filter(|container| keys.iter().any(|key| key == ps::service(container)))
            .map(|container| container.name.clone())
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            let names = left.join(", ");
            return Err(Error::NotConverged(format!(
                "containers {names} have ended but are not removed yet; see the daemon's log"
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn remove_volumes(client: &mut Client, project: &str) -> Result<()> {
    let labels = [("com.docker.compose.project".to_owned(), project.to_owned())].into();
    let volumes = client.node.list_volumes(ListVolumesRequest { labels, size: false }).await?.into_inner().volumes;
    for volume in volumes {
        let request = RemoveVolumeRequest { volume: volume.name.clone(), force: false };
        client.node.remove_volume(request).await?;
        eprintln!(" Volume {}  Removed", volume.name);
    }
    Ok(())
}
