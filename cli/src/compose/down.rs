//! `orca compose down`: ends the application, dependents first, and removes what it made.

use std::collections::BTreeSet;
use std::time::Duration;

use api::control::RemoveStackRequest;
use api::control::plan_request::Change;
use api::node::{
    Container, ListVolumesRequest, RemoveContainerRequest, RemoveImageRequest, RemoveVolumeRequest,
    StopContainerRequest,
};
use clap::{Args, ValueEnum};

use super::dry_run::{self, Step};
use super::project::ProjectArgs;
use super::view::Watch;
use super::{lifecycle, making, programs, ps};
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::progress::{self, Progress};

/// Arguments of `orca down`.
#[derive(Debug, Default, Args)]
pub struct DownArgs {
    /// Remove its volumes too, those without a name as well: what is in them is lost
    #[arg(short, long)]
    volumes: bool,
    /// Also end services that the file no longer has, and containers of `compose run`
    #[arg(long)]
    remove_orphans: bool,
    /// Remove images: local, those that have no name in the file; all, every one that a service uses
    #[arg(long, value_name = "WHICH", value_enum, hide_possible_values = true)]
    rmi: Option<Images>,
    /// Seconds between the stop signal and SIGKILL
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Services; none means all
    services: Vec<String>,
}

/// Which images go with an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Images {
    /// Those that were built for it and have no name in its file.
    Local,
    /// All that its services use.
    All,
}

/// Brings the application down.
pub async fn down(host: &Host, project: &ProjectArgs, args: DownArgs) -> Result<()> {
    let name = project.name()?;
    let mut client = Client::connect(host).await?;
    let mut split = programs::split(project, &args.services)?;
    let services = match split.only {
        true => Vec::new(),
        false => services(&mut client, project, &name, &args, &split.others).await?,
    };
    let images = match args.rmi {
        Some(which) => images(&mut client, project, &name, &services, which).await?,
        None => BTreeSet::new(),
    };
    let anonymous = match args.volumes {
        true => anonymous_volumes(&mut client, &name, &services).await?,
        false => Vec::new(),
    };
    if host.dry_run {
        return foresee(&mut client, &name, &args, services, anonymous, images, &split).await;
    }
    if args.remove_orphans {
        remove_one_offs(&mut client, &name, &services, &args).await?;
    }
    if args.services.is_empty() {
        split.end_early(&mut client, programs::Verb::Down).await?;
    }
    if !services.is_empty() {
        if let Some(timeout) = args.timeout {
            lifecycle::stop_in_order(&mut client, &name, &services, Some(Duration::from_secs(timeout))).await?;
        }
        let request = RemoveStackRequest { stack: name.clone(), services: services.clone() };
        let reply = client.control.remove_stack(request).await?.into_inner();
        wait(&mut client, &name, &services, reply.version).await?;
        wait_for_containers(&mut client, &name, &services).await?;
    }
    split.end(programs::Verb::Down, false).await?;
    remove_anonymous(&mut client, anonymous).await?;
    if args.volumes && args.services.is_empty() {
        remove_volumes(&mut client, &name).await?;
    }
    remove_images(&mut client, images).await
}

/// Tells what [`down`] would do.
async fn foresee(
    client: &mut Client,
    project: &str,
    args: &DownArgs,
    services: Vec<String>,
    anonymous: Vec<String>,
    images: BTreeSet<String>,
    split: &programs::Split,
) -> Result<()> {
    if args.remove_orphans {
        let found = one_offs(client, project, &services).await?.into_iter();
        dry_run::tell(found.map(|container| Step::new("Container", container.name, "Removed")));
    }
    if !services.is_empty() {
        let request = RemoveStackRequest { stack: project.to_owned(), services };
        dry_run::tell(dry_run::plan(client, Change::RemoveStack(request)).await?);
    }
    split.end(programs::Verb::Down, true).await?;
    let mut gone = anonymous;
    if args.volumes && args.services.is_empty() {
        gone.extend(volumes(client, project).await?.into_iter().map(|volume| volume.name));
    }
    dry_run::tell(gone.into_iter().map(|volume| Step::new("Volume", volume, "Removed")));
    dry_run::tell(images.into_iter().map(|image| Step::new("Image", image, "Removed")));
    Ok(())
}

async fn one_offs(client: &mut Client, project: &str, keys: &[String]) -> Result<Vec<Container>> {
    let mut containers = ps::containers(client, project, &[], true).await?;
    containers.retain(|container| is_one_off(container) && is_of(container, keys));
    Ok(containers)
}

/// Containers of `compose run` go first: they may use what the services have.
async fn remove_one_offs(client: &mut Client, project: &str, keys: &[String], args: &DownArgs) -> Result<()> {
    for container in one_offs(client, project, keys).await? {
        let timeout = args.timeout.map(|seconds| seconds.saturating_mul(1_000_000_000));
        let stop = StopContainerRequest { container: container.id.clone(), timeout, signal: None };
        let remove = RemoveContainerRequest { container: container.id, force: true, volumes: args.volumes };
        for done in
            [client.node.stop_container(stop).await.map(drop), client.node.remove_container(remove).await.map(drop)]
        {
            // With --rm it may go by itself.
            match done {
                Err(status) if status.code() != tonic::Code::NotFound => return Err(status.into()),
                _ => {}
            }
        }
        progress::done("Container", &container.name, "Removed");
    }
    Ok(())
}

fn is_one_off(container: &Container) -> bool {
    container.labels.get("com.docker.compose.oneoff").is_some_and(|value| value == "True")
}

fn is_of(container: &Container, keys: &[String]) -> bool {
    keys.iter().any(|key| key == ps::service(container))
}

/// The anonymous volumes of these services' containers, to be asked for while the containers are there.
pub async fn anonymous_volumes(client: &mut Client, project: &str, keys: &[String]) -> Result<Vec<String>> {
    let containers = ps::containers(client, project, &[], true).await?;
    let ids: BTreeSet<&str> = containers
        .iter()
        .filter(|container| is_of(container, keys) && !is_one_off(container))
        .map(|container| container.id.as_str())
        .collect();
    let volumes = client.node.list_volumes(ListVolumesRequest::default()).await?.into_inner().volumes;
    let theirs = volumes.into_iter().filter(|volume| volume.anonymous);
    let theirs = theirs.filter(|volume| volume.used_by.iter().any(|user| ids.contains(user.as_str())));
    Ok(theirs.map(|volume| volume.name).collect())
}

/// Removes what containers that are gone have left. What others have taken over stays, as with `rm -v`.
pub async fn remove_anonymous(client: &mut Client, volumes: Vec<String>) -> Result<()> {
    for volume in volumes {
        match client.node.remove_volume(RemoveVolumeRequest { volume, force: true }).await {
            Err(status) if status.code() != tonic::Code::FailedPrecondition => return Err(status.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The images to remove, as the file names them; without a file, as their containers do.
async fn images(
    client: &mut Client,
    project: &ProjectArgs,
    name: &str,
    keys: &[String],
    which: Images,
) -> Result<BTreeSet<String>> {
    let mut images = BTreeSet::new();
    if project.has_file()? {
        let project = project.load_all_profiles()?.project;
        for service in project.all_services() {
            if !keys.iter().any(|key| key == service.name) {
                continue;
            }
            match service.image() {
                Some(image) if which == Images::All => drop(images.insert(image.to_owned())),
                Some(_) => {}
                None => drop(images.insert(project.image_name(service))),
            }
        }
        return Ok(images);
    }
    for container in ps::containers(client, name, &[], true).await? {
        let image = container.spec.as_ref().map(|spec| spec.image.clone()).unwrap_or_default();
        let is_local = ['-', '_'].iter().any(|between| image == format!("{name}{between}{}", ps::service(&container)));
        if is_of(&container, keys) && (is_local || which == Images::All) {
            images.insert(image);
        }
    }
    Ok(images)
}

async fn remove_images(client: &mut Client, images: BTreeSet<String>) -> Result<()> {
    for image in images {
        let request = RemoveImageRequest { image: image.clone(), force: false, platform: None };
        match client.node.remove_image(request).await {
            Ok(_) => progress::done("Image", &image, "Removed"),
            Err(status) if status.code() == tonic::Code::NotFound => {}
            Err(status) if status.code() == tonic::Code::FailedPrecondition => {
                eprintln!("WARNING: image {image} stays: {}", status.message());
            }
            Err(status) => return Err(status.into()),
        }
    }
    Ok(())
}

/// The keys to remove: those named, else those of the file, else (without a file, or with --remove-orphans) all there are.
async fn services(
    client: &mut Client,
    project: &ProjectArgs,
    name: &str,
    args: &DownArgs,
    named: &[String],
) -> Result<Vec<String>> {
    let request = api::control::ListServicesRequest { stack: Some(name.to_owned()) };
    let reply = client.control.list_services(request).await?.into_inner();
    // Steps go with their services.
    let running: BTreeSet<String> =
        reply.services.into_iter().filter_map(|service| making::owner(service.spec?)).collect();
    let running: Vec<String> = running.into_iter().collect();
    if let Some(unknown) = named.iter().find(|key| !running.contains(key)) {
        return Err(Error::NotFound { kind: "service", name: unknown.clone() });
    }
    if !named.is_empty() {
        return Ok(named.to_vec());
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
        let named =
            |service: &model::Service| keys.iter().any(|key| key == service.spec.key() || key == service.spec.owner());
        let of_these = |id| view.services.iter().any(|service| service.id == id && named(service));
        let tasks: Vec<model::Task> = view.tasks.iter().filter(|task| of_these(task.service)).cloned().collect();
        progress.show(&tasks, &view.waiting);
        let gone = !view.services.iter().any(named);
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
            .filter(|container| is_of(container, keys) && !is_one_off(container))
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

async fn volumes(client: &mut Client, project: &str) -> Result<Vec<api::node::Volume>> {
    let labels = [("com.docker.compose.project".to_owned(), project.to_owned())].into();
    Ok(client.node.list_volumes(ListVolumesRequest { labels, size: false }).await?.into_inner().volumes)
}

async fn remove_volumes(client: &mut Client, project: &str) -> Result<()> {
    for volume in volumes(client, project).await? {
        let request = RemoveVolumeRequest { volume: volume.name.clone(), force: false };
        client.node.remove_volume(request).await?;
        progress::done("Volume", &volume.name, "Removed");
    }
    Ok(())
}
