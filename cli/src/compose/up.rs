//! `orca compose up`: makes the application what the Compose file says, and stays with it unless detached.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::control::{ApplyStackRequest, Recreate};
use api::node::{GetNodeRequest, PreflightRequest};
use clap::Args;
use model::{NetworkMode, NodeId, Stack};

use super::converge::{Goal, Verdict, judge};
use super::foreground;
use super::project::{Loaded, ProjectArgs};
use super::view::Watch;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::progress::Progress;

/// Arguments of `orca up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Run in the background
    #[arg(short, long)]
    detach: bool,
    /// Wait until every container runs and is healthy; implies --detach
    #[arg(long)]
    wait: bool,
    /// Give up waiting after so many seconds
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u64>,
    /// Pull images before: always, missing, never, or as each service's pull_policy says
    #[arg(long, value_enum, default_value_t, value_name = "POLICY", hide_possible_values = true)]
    pull: super::pull::PullFlag,
    /// Do not show how pulls come along
    #[arg(long)]
    quiet_pull: bool,
    /// Number of containers of a service
    #[arg(long, value_name = "SERVICE=NUMBER", value_parser = scale)]
    scale: Vec<(String, u32)>,
    /// Leave alone the services that these depend on
    #[arg(long)]
    no_deps: bool,
    /// Make new containers even if nothing has changed
    #[arg(long, conflicts_with = "no_recreate")]
    force_recreate: bool,
    /// Keep containers even if something has changed
    #[arg(long)]
    no_recreate: bool,
    /// Remove containers of services that the file no longer has
    #[arg(long)]
    remove_orphans: bool,
    /// Stop everything when a container ends
    #[arg(long, conflicts_with = "detach")]
    abort_on_container_exit: bool,
    /// End with the exit code of this service's container; implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE", conflicts_with = "detach")]
    exit_code_from: Option<String>,
    /// Seconds between the stop signal and SIGKILL when the application is stopped
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Show the logs without the containers' names
    #[arg(long)]
    no_log_prefix: bool,
    /// Show the logs without colour
    #[arg(long)]
    no_color: bool,
    /// Show when each line was written
    #[arg(long)]
    timestamps: bool,
    /// Services; none means all
    services: Vec<String>,
}

/// Arguments of `orca compose scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// Leave alone the services that these depend on
    #[arg(long)]
    no_deps: bool,
    /// Number of containers of each service
    #[arg(required = true, value_name = "SERVICE=NUMBER", value_parser = scale)]
    scale: Vec<(String, u32)>,
}

/// Changes the number of containers of services.
pub async fn scale_services(host: &Host, project: &ProjectArgs, args: ScaleArgs) -> Result<()> {
    let services: Vec<String> = args.scale.iter().map(|(service, _)| service.clone()).collect();
    let loaded = project.load(&services)?;
    let mut stack = loaded.stack(&services, args.no_deps, &args.scale)?;
    let mut client = Client::connect_or_start(host).await?;
    pin(&mut client, &mut stack).await?;
    preflight(&mut client, &stack).await?;
    let keys: Vec<String> = stack.services.iter().map(|service| service.key().to_owned()).collect();
    let request = ApplyStackRequest {
        stack: Some(stack.clone().into()),
        recreate: Recreate::Never.into(),
        remove_orphans: false,
        start_stopped: true,
        keep_replicas: keys.iter().filter(|key| !services.contains(key)).cloned().collect(),
    };
    let since = client.control.apply_stack(request).await?.into_inner().version;
    wait(&mut client, &stack.name, &keys, Goal::Started, since, None).await
}

fn scale(text: &str) -> Result<(String, u32), String> {
    let (service, number) = text.split_once('=').ok_or("expected SERVICE=NUMBER")?;
    let number = number.parse().map_err(|_| format!("{number:?} is not a number of containers"))?;
    Ok((service.to_owned(), number))
}

/// Brings the application up.
pub async fn up(host: &Host, project: &ProjectArgs, args: UpArgs) -> Result<()> {
    let loaded = project.load(&args.services)?;
    let mut stack = loaded.stack(&args.services, args.no_deps, &args.scale)?;
    if let Some(service) = &args.exit_code_from
        && !stack.services.iter().any(|spec| spec.key() == service)
    {
        return Err(Error::NotFound { kind: "service", name: service.clone() });
    }
    let mut client = Client::connect_or_start(host).await?;
    pin(&mut client, &mut stack).await?;
    localize(&mut client, &mut stack).await?;
    let keys: BTreeSet<&str> = stack.services.iter().map(|service| service.key()).collect();
    super::pull::ensure(&client, &loaded, &keys, args.pull, args.quiet_pull).await?;
    preflight(&mut client, &stack).await?;
    let keys: Vec<String> = stack.services.iter().map(|service| service.key().to_owned()).collect();
    let started_at = crate::clock::now();
    let since = apply(&mut client, &stack, &args, &loaded).await?;
    let detached = args.detach || args.wait;
    let goal = if args.wait { Goal::Serving } else { Goal::Started };
    let patience = args.wait_timeout.map(Duration::from_secs);
    // In the foreground the logs tell of a container that fails, so only the start is awaited.
    wait(&mut client, &stack.name, &keys, goal, since, patience).await?;
    if detached {
        return Ok(());
    }
    let options = foreground::Options {
        abort_on_exit: args.abort_on_container_exit || args.exit_code_from.is_some(),
        exit_code_from: args.exit_code_from,
        prefix: !args.no_log_prefix,
        colour: !args.no_color,
        timestamps: args.timestamps,
        timeout: args.timeout.map(Duration::from_secs),
        started_at,
    };
    foreground::stay(&mut client, &stack, options).await
}

/// A project belongs to the node where `up` runs, so that binds and `./` mean what they say.
pub async fn pin(client: &mut Client, stack: &mut Stack) -> Result<()> {
    let node = client.node.get_node(GetNodeRequest {}).await?.into_inner();
    let node: NodeId =
        node.id.parse().map_err(|error| Error::Start { action: "tell its node id", reason: format!("{error}") })?;
    for service in &mut stack.services {
        service.placement.node = Some(node);
    }
    Ok(())
}

/// External networks are the node's own where it has one of that name: the managers need not know it.
async fn localize(client: &mut Client, stack: &mut Stack) -> Result<()> {
    if stack.external_networks.is_empty() {
        return Ok(());
    }
    let networks = client.networks.list_networks(api::network::ListRequest {}).await?.into_inner().networks;
    let own = networks
        .into_iter()
        .filter(|network| network.stack.is_none() && ["bridge", "macvlan"].contains(&network.driver.as_str()));
    let own: BTreeSet<String> = own.filter_map(|network| Some(network.network?.name)).collect();
    stack.external_networks.retain(|name| !own.contains(name));
    for service in &mut stack.services {
        let key = service.key().to_owned();
        let NetworkMode::Networks(attachments) = &mut service.network else { continue };
        for attachment in attachments.iter_mut().filter(|attachment| own.contains(&attachment.network)) {
            if !stack.networks.iter().any(|network| network.name == attachment.network) {
                attachment.local = true;
                // Managers give a service its name on their networks; on this one its containers bear it.
                attachment.aliases.push(key.clone());
            }
        }
    }
    Ok(())
}

/// Asks the node what would fail, so that nothing is begun that cannot be finished.
async fn preflight(client: &mut Client, stack: &Stack) -> Result<()> {
    let services = stack.services.iter().cloned().map(Into::into).collect();
    let problems = client.node.preflight(PreflightRequest { services }).await?.into_inner().problems;
    if problems.is_empty() { Ok(()) } else { Err(Error::NotConverged(problems.join("\n"))) }
}

async fn apply(client: &mut Client, stack: &Stack, args: &UpArgs, loaded: &Loaded) -> Result<u64> {
    let recreate = match (args.force_recreate, args.no_recreate) {
        (true, _) => Recreate::Force,
        (_, true) => Recreate::Never,
        _ => Recreate::Changed,
    };
    let request = ApplyStackRequest {
        stack: Some(stack.clone().into()),
        recreate: recreate.into(),
        remove_orphans: args.remove_orphans,
        start_stopped: true,
        keep_replicas: Vec::new(),
    };
    let reply = client.control.apply_stack(request).await?.into_inner();
    if !args.remove_orphans {
        warn_of_orphans(client, loaded).await?;
    }
    Ok(reply.version)
}

/// Names services that run but that the file no longer has.
async fn warn_of_orphans(client: &mut Client, loaded: &Loaded) -> Result<()> {
    let request = api::control::ListServicesRequest { stack: Some(loaded.name().to_owned()) };
    let services = client.control.list_services(request).await?.into_inner().services;
    let known = loaded.all_services();
    let orphans: BTreeMap<String, ()> = services
        .into_iter()
        .filter(|service| !service.removing)
        .filter_map(|service| service.spec?.stack)
        .filter(|member| !known.contains(&member.key))
        .map(|member| (member.key, ()))
        .collect();
    if !orphans.is_empty() {
        let names: Vec<&str> = orphans.keys().map(String::as_str).collect();
        eprintln!(
            "WARNING: services {} are no longer in the Compose file; remove them with --remove-orphans",
            names.join(", ")
        );
    }
    Ok(())
}

/// Shows progress until the goal is reached.
pub async fn wait(
    client: &mut Client,
    stack: &str,
    keys: &[String],
    goal: Goal,
    since: u64,
    patience: Option<Duration>,
) -> Result<()> {
    let mut watch = Watch::open(client, stack).await?;
    let mut progress = Progress::new();
    let converge = async {
        loop {
            let view = watch.next().await?;
            progress.show(&view.tasks, &view.waiting);
            match judge(&view, keys, goal, since) {
                Verdict::Pending => {}
                Verdict::Reached => return Ok(()),
                Verdict::Failed(reason) => return Err(Error::NotConverged(reason)),
            }
        }
    };
    let result = match patience {
        None => converge.await,
        Some(patience) => tokio::time::timeout(patience, converge).await.unwrap_or_else(|_| {
            let seconds = patience.as_secs();
            Err(Error::NotConverged(format!("the application was not ready within {seconds} s; see `orca ps -a`")))
        }),
    };
    progress.finish();
    result
}
