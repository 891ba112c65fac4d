//! `orca compose cp|export|commit`: the files of a service's containers.

use std::path::PathBuf;

use api::node::Container;
use clap::Args;

use super::dry_run::{self, Step};
use super::project::ProjectArgs;
use super::ps;
use crate::client::{Client, Host};
use crate::container::commit::{CommitOptions, commit_one};
use crate::container::copy::{self, CopyOptions, container_path};
use crate::container::export::export_to;
use crate::error::{Error, Result};

/// Arguments of `orca compose cp`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    #[command(flatten)]
    options: CopyOptions,
    /// Copy to all containers of the service; so by default
    #[arg(long)]
    all: bool,
    /// Only this container of the service
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    index: u32,
    /// SERVICE:PATH, a path here, or - for a tar on standard input
    source: String,
    /// SERVICE:PATH, a path here, or - for a tar on standard output
    target: String,
}

/// Arguments of `orca compose export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Which container of the service
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    index: u32,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Service
    service: String,
}

/// Arguments of `orca compose commit`.
#[derive(Debug, Args)]
pub struct CommitArgs {
    #[command(flatten)]
    options: CommitOptions,
    /// Which container of the service
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    index: u32,
    /// Service
    service: String,
    /// Name of the image
    reference: Option<String>,
}

/// The service's containers by number; only one of them if it is asked for.
async fn containers(client: &mut Client, project: &ProjectArgs, service: &str, index: u32) -> Result<Vec<Container>> {
    let number = |container: &Container| container.task.as_ref().map_or(0, |task| task.slot);
    let mut found = ps::containers(client, &project.name()?, &[service.to_owned()], true).await?;
    found.retain(|container| !ps::is_step(container) && (index == 0 || number(container) == index));
    found.sort_by_key(number);
    if found.is_empty() {
        return Err(match index {
            0 => Error::NotConverged(format!("no container found for service {service:?}")),
            _ => Error::NotConverged(format!("service {service:?} has no container {index}")),
        });
    }
    Ok(found)
}

async fn first(client: &mut Client, project: &ProjectArgs, service: &str, index: u32) -> Result<Container> {
    let found = containers(client, project, service, index).await?;
    found.into_iter().next().ok_or(Error::NotFound { kind: "container", name: service.to_owned() })
}

/// Copies between this machine and a service: to all of its containers, from one.
pub async fn copy(host: &Host, project: &ProjectArgs, args: CopyArgs) -> Result<()> {
    let CopyArgs { options, all: _, index, source, target } = args;
    let mut client = Client::connect(host).await?;
    match (container_path(&source), container_path(&target)) {
        (Some((service, path)), None) => {
            let container = first(&mut client, project, service, index).await?;
            if host.dry_run {
                dry_run::tell([Step::new("File", format!("{}:{path} to {target}", container.name), "Copied")]);
                return Ok(());
            }
            copy::from(&mut client, options, &container.id, path, &target).await.map(drop)
        }
        (None, Some((service, path))) => {
            let found = containers(&mut client, project, service, index).await?;
            if source == "-" && found.len() > 1 {
                return Err(Error::Unsupported {
                    what: "a tar on standard input for several containers".into(),
                    instead: "it can be read only once: choose one with --index".into(),
                });
            }
            for container in found {
                if host.dry_run {
                    dry_run::tell([Step::new("File", format!("{source} to {}:{path}", container.name), "Copied")]);
                    continue;
                }
                copy::to(&mut client, options, &source, &container.id, path).await?;
            }
            Ok(())
        }
        (Some(_), Some(_)) => Err(Error::Unsupported {
            what: "copying between services".into(),
            instead: "copy to this machine first".into(),
        }),
        (None, None) => {
            let reason = "one of source and destination must be SERVICE:PATH".into();
            Err(Error::Flag { flag: "the source", value: source, reason })
        }
    }
}

/// Writes the files of a service's container as a tar.
pub async fn export(host: &Host, project: &ProjectArgs, args: ExportArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let container = first(&mut client, project, &args.service, args.index).await?;
    if host.dry_run {
        dry_run::tell([Step::new("Container", container.name, "Exported")]);
        return Ok(());
    }
    export_to(&mut client, container.id, args.output.as_deref()).await
}

/// Makes an image of a service's container.
pub async fn commit(host: &Host, project: &ProjectArgs, args: CommitArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let container = first(&mut client, project, &args.service, args.index).await?;
    if host.dry_run {
        dry_run::tell([Step::new("Container", container.name, "Committed")]);
        return Ok(());
    }
    commit_one(&mut client, container.id, args.reference, args.options).await
}
