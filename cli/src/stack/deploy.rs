//! `orca stack deploy|config`.

use std::path::PathBuf;

use api::control::{ApplyStackRequest, Recreate};
use model::{RestartCondition, ServiceId, ServiceSpec};

use crate::client::{Client, Host};
use crate::compose::{ProjectArgs, canonical};
use crate::error::Result;
use crate::output::format;
use crate::registry::{ResolveImage, pin_images};
use crate::service;

/// Arguments of `orca stack deploy`.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    /// Compose file, later ones over earlier ones; - for standard input
    #[arg(short, long, value_name = "FILE", required = true)]
    compose_file: Vec<PathBuf>,
    #[command(flatten)]
    wait: service::WaitFlags,
    /// Remove services that the file no longer has
    #[arg(long)]
    prune: bool,
    /// When images get the digests that their names mean now: always, changed, never
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", hide_possible_values = true)]
    resolve_image: ResolveImage,
    /// The stack's name
    stack: String,
}

/// Arguments of `orca stack config`.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// Compose file, later ones over earlier ones; - for standard input
    #[arg(short, long, value_name = "FILE", required = true)]
    compose_file: Vec<PathBuf>,
    /// Leave variables as they are
    #[arg(long)]
    skip_interpolation: bool,
}

/// Declares the stack, and waits until it runs. Its images come from whatever node has them, else from their registries.
pub async fn deploy(host: &Host, args: DeployArgs) -> Result<()> {
    let loaded = ProjectArgs::of_stack(args.compose_file, &args.stack).load(&[])?;
    let mut stack = loaded.cluster_stack()?;
    for service in &mut stack.services {
        service.name = format!("{}_{}", args.stack, service.key());
        // As in Swarm, tasks of a stack are kept running unless its file says how.
        if service.step_of.is_none() && !loaded.says_restart(service.key()) {
            service.container.restart.condition = match service.mode.is_job() {
                true => RestartCondition::OnFailure,
                false => RestartCondition::Always,
            };
        }
    }
    let mut client = Client::connect_or_start(host).await?;
    let before = service::all(&mut client, Some(args.stack.clone())).await?;
    let before: Vec<ServiceSpec> = before.into_iter().map(|service| service.spec).collect();
    pin_images(&mut client, &mut stack.services, &before, args.resolve_image).await?;
    let names: Vec<String> = stack.services.iter().map(|service| service.name.clone()).collect();
    let request = ApplyStackRequest {
        stack: Some(stack.into()),
        recreate: Recreate::Changed.into(),
        remove_orphans: args.prune,
        start_stopped: true,
        ..ApplyStackRequest::default()
    };
    let reply = client.control.apply_stack(request).await?.into_inner();
    for (word, keys) in [("Creating", &reply.created), ("Updating", &reply.updated), ("Removing", &reply.removed)] {
        for key in keys {
            format::write(&format!("{word} service {}_{key}\n", args.stack))?;
        }
    }
    if !args.wait.waits() {
        return Ok(());
    }
    let services = service::all(&mut client, Some(args.stack)).await?;
    let declared = services.iter().filter(|service| names.contains(&service.spec.name));
    let ids: Vec<ServiceId> = declared.map(|service| service.id).collect();
    service::wait_of(&mut client, &ids, reply.version, false, &args.wait).await
}

/// Shows the file as it is after everything in it was worked out.
pub fn config(args: ConfigArgs) -> Result<()> {
    format::write(&canonical(args.compose_file, args.skip_interpolation)?)
}
