//! `orca compose up`: makes the application what the Compose file says, and stays with it unless detached.

use std::collections::BTreeSet;
use std::time::Duration;

use api::control::plan_request::Change;
use api::control::{ApplyStackRequest, Recreate};
use clap::Args;
use model::Stack;

use super::converge::{Goal, Verdict, judge};
use super::making::{Anew, Making, pin, preflight, unstarted};
use super::project::{Loaded, ProjectArgs};
use super::view::Watch;
use super::watch::{Rebuilding, Watching};
use super::{dry_run, foreground};
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
    #[command(flatten)]
    making: Making,
    /// Leave alone the services that these depend on
    #[arg(long)]
    no_deps: bool,
    /// Make new containers of what the named services depend on even if nothing has changed
    #[arg(long, conflicts_with = "no_recreate")]
    always_recreate_deps: bool,
    /// Make new containers with new anonymous volumes; those of the old ones stay, and belong to nobody
    #[arg(short = 'V', long, conflicts_with = "no_recreate")]
    renew_anon_volumes: bool,
    /// Make the containers, and start none
    #[arg(long, conflicts_with_all = ["wait", "abort_on_container_exit", "abort_on_container_failure", "exit_code_from"])]
    no_start: bool,
    /// Stop everything when a container ends
    #[arg(long, conflicts_with_all = ["detach", "wait"])]
    abort_on_container_exit: bool,
    /// Stop everything when a container ends with another code than 0
    #[arg(long, conflicts_with_all = ["detach", "wait", "abort_on_container_exit"])]
    abort_on_container_failure: bool,
    /// End with the exit code of this service's container; implies --abort-on-container-exit unless --abort-on-container-failure is given
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "wait"])]
    exit_code_from: Option<String>,
    /// Seconds between the stop signal and SIGKILL when the application is stopped
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Show the output of this service alone, even if its `attach` is false
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "wait", "attach_dependencies"])]
    attach: Vec<String>,
    /// Show the output of what the named services depend on, too
    #[arg(long, conflicts_with_all = ["detach", "wait"])]
    attach_dependencies: bool,
    /// Do not show the output of this service
    #[arg(long, value_name = "SERVICE")]
    no_attach: Vec<String>,
    /// Bring what changes here into the containers, as `develop.watch` says
    #[arg(short, long, conflicts_with_all = ["detach", "wait", "no_start"])]
    watch: bool,
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
        no_start: false,
        keep_replicas: stack
            .services
            .iter()
            .filter(|spec| !services.iter().any(|key| key == spec.owner()))
            .map(|spec| spec.key().to_owned())
            .collect(),
        ..ApplyStackRequest::default()
    };
    if host.dry_run {
        dry_run::tell(dry_run::plan(&mut client, Change::ApplyStack(request)).await?);
        return Ok(());
    }
    let since = client.control.apply_stack(request).await?.into_inner().version;
    wait(&mut client, &stack.name, &keys, Goal::Started, since, None).await
}

/// `SERVICE=NUMBER`.
pub fn scale(text: &str) -> Result<(String, u32), String> {
    let (service, number) = text.split_once('=').ok_or("expected SERVICE=NUMBER")?;
    let number = number.parse().map_err(|_| format!("{number:?} is not a number of containers"))?;
    Ok((service.to_owned(), number))
}

/// Brings the application up.
pub async fn up(host: &Host, project: &ProjectArgs, args: UpArgs) -> Result<()> {
    let loaded = project.load(&args.services)?;
    let args = UpArgs { services: loaded.project.expand(&args.services), ..args };
    let before = async |part: Stack, provider: &compose_spec::Provider| match args.no_start {
        true => unstarted(part, provider).await,
        false => args.making.bring(&mut Client::connect_or_start(host).await?, &loaded, part, provider).await,
    };
    let stack = loaded.provided(&args.services, args.no_deps, &args.making.scale, host.dry_run, before).await?;
    if let Some(service) = &args.exit_code_from
        && !stack.services.iter().any(|spec| spec.key() == service)
    {
        return Err(Error::NotFound { kind: "service", name: service.clone() });
    }
    let shown = shown(&args, &loaded, &stack)?;
    let watching = if args.watch { Some(Watching::begin(&loaded)?) } else { None };
    let mut client = Client::connect_or_start(host).await?;
    let anew =
        Anew { services: &args.services, dependencies: args.always_recreate_deps, volumes: args.renew_anon_volumes };
    if host.dry_run {
        return args.making.foresee(&mut client, &loaded, stack, !args.no_start, &anew).await;
    }
    let made = args.making.make(&mut client, &loaded, stack, !args.no_start, &anew).await?;
    let goal = match (args.no_start, args.wait) {
        (true, _) => Goal::Created,
        (_, true) => Goal::Serving,
        _ => Goal::Started,
    };
    let patience = args.wait_timeout.map(Duration::from_secs);
    // In the foreground the logs tell of a container that fails, so only the start is awaited.
    wait(&mut client, &made.stack.name, &made.keys, goal, made.since, patience).await?;
    if args.detach || args.wait || args.no_start {
        return Ok(());
    }
    let options = foreground::Options {
        abort: match (args.abort_on_container_failure, args.abort_on_container_exit || args.exit_code_from.is_some()) {
            (true, _) => Some(foreground::Abort::OnFailure),
            (_, true) => Some(foreground::Abort::OnExit),
            _ => None,
        },
        exit_code_from: args.exit_code_from,
        prefix: !args.no_log_prefix,
        colour: !args.no_color,
        timestamps: args.timestamps,
        timeout: args.timeout.map(Duration::from_secs),
        started_at: made.at,
        shown,
    };
    let Some(watching) = watching else { return foreground::stay(&mut client, &made.stack, options).await };
    let mut beside = client.clone();
    let quiet_build = args.making.quiet_build();
    tokio::select! {
        ended = foreground::stay(&mut client, &made.stack, options) => ended,
        failed = watching.follow(&mut beside, &loaded, Rebuilding { quiet: quiet_build, prune: true }) => failed,
    }
}

/// Brings the application up and does not stay with it.
pub async fn start(client: &mut Client, loaded: &Loaded, services: &[String], quiet_build: bool) -> Result<()> {
    let making = Making::silent(quiet_build);
    let mut beside = client.clone();
    let before =
        async |part: Stack, provider: &compose_spec::Provider| making.bring(&mut beside, loaded, part, provider).await;
    let stack = loaded.provided(services, false, &[], false, before).await?;
    let anew = Anew { services, ..Anew::default() };
    let made = making.make(client, loaded, stack, true, &anew).await?;
    wait(client, &made.stack.name, &made.keys, Goal::Started, made.since, None).await
}

/// Tells what [`start`] would do.
pub async fn foresee(client: &mut Client, loaded: &Loaded, services: &[String]) -> Result<()> {
    let nobody = async |_: Stack, _: &compose_spec::Provider| Ok(());
    let stack = loaded.provided(services, false, &[], true, nobody).await?;
    Making::silent(true).foresee(client, loaded, stack, true, &Anew { services, ..Anew::default() }).await
}

/// The services whose output is shown, that of their steps with it: those asked for; else those named (or all) but for `attach: false`.
fn shown(args: &UpArgs, loaded: &Loaded, stack: &Stack) -> Result<BTreeSet<String>> {
    let keys: BTreeSet<String> = stack.services.iter().map(|service| service.owner().to_owned()).collect();
    if let Some(other) = args.attach.iter().find(|service| !keys.contains(*service)) {
        let reason = "it is none of the services that are brought up".into();
        return Err(Error::Flag { flag: "--attach", value: other.clone(), reason });
    }
    let mut shown = keys;
    if !args.attach.is_empty() {
        shown.retain(|key| args.attach.contains(key));
    } else {
        let silent = loaded.silent_services();
        let named = |key: &String| args.services.is_empty() || args.attach_dependencies || args.services.contains(key);
        shown.retain(|key| named(key) && !silent.contains(key));
    }
    shown.retain(|key| !args.no_attach.contains(key));
    Ok(shown)
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
    let result = within(patience, converge).await;
    progress.finish();
    result
}

/// Gives up when this takes longer.
pub async fn within(patience: Option<Duration>, work: impl Future<Output = Result<()>>) -> Result<()> {
    let Some(patience) = patience else { return work.await };
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        let seconds = patience.as_secs();
        Err(Error::NotConverged(format!("the application was not ready within {seconds} s; see `orca ps -a`")))
    })
}
