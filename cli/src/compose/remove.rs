//! `orca compose rm`: services that do not run go, with their containers.

use api::control::RemoveStackRequest;
use api::control::plan_request::Change;
use clap::Args;

use super::project::ProjectArgs;
use super::{down, dry_run, lifecycle, ps};
use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::human;
use crate::terminal;

/// Arguments of `orca compose rm`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Stop them first
    #[arg(short, long)]
    stop: bool,
    /// Remove their anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
    /// Services; none means all
    services: Vec<String>,
}

/// Removes services of which no container runs; `up` makes them anew.
pub async fn remove(host: &Host, project: &ProjectArgs, args: RemoveArgs) -> Result<()> {
    let name = project.name()?;
    let mut client = Client::connect(host).await?;
    if args.stop {
        lifecycle::stop_services(&mut client, &name, &args.services, host.dry_run).await?;
    }
    let mut containers = ps::containers(&mut client, &name, &args.services, true).await?;
    containers.retain(|container| container.task.is_some());
    let mut keys: Vec<String> = containers.iter().map(|container| ps::service(container).to_owned()).collect();
    keys.sort_unstable();
    keys.dedup();
    let would_run = |container| human::is_up(container) && !(host.dry_run && args.stop);
    keys.retain(|key| !containers.iter().any(|container| ps::service(container) == key && would_run(container)));
    if keys.is_empty() {
        eprintln!("No stopped containers");
        return Ok(());
    }
    if host.dry_run {
        let anonymous = match args.volumes {
            true => down::anonymous_volumes(&mut client, &name, &keys).await?,
            false => Vec::new(),
        };
        let request = RemoveStackRequest { stack: name, services: keys };
        let steps = dry_run::plan(&mut client, Change::RemoveStack(request)).await?;
        // They were stopped before.
        dry_run::tell(steps.into_iter().filter(|step| !step.is_stop()));
        dry_run::tell(anonymous.into_iter().map(|volume| dry_run::Step::new("Volume", volume, "Removed")));
        return Ok(());
    }
    if !args.force && !terminal::confirm(&format!("Going to remove {}", keys.join(", ")))? {
        return Ok(());
    }
    let anonymous = match args.volumes {
        true => down::anonymous_volumes(&mut client, &name, &keys).await?,
        false => Vec::new(),
    };
    let request = RemoveStackRequest { stack: name.clone(), services: keys.clone() };
    let version = client.control.remove_stack(request).await?.into_inner().version;
    down::wait(&mut client, &name, &keys, version).await?;
    down::wait_for_containers(&mut client, &name, &keys).await?;
    down::remove_anonymous(&mut client, anonymous).await
}
