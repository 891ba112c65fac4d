//! `orca compose stop|start|restart`: the same containers, ended and run again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::control::plan_request::Change;
use api::control::{IntentAction, SetIntentRequest};
use api::node::{KillContainerRequest, StopContainerRequest};
use clap::Args;
use model::{ContainerPhase, NetworkMode, Service, Task, TaskState};

use super::converge::Goal;
use super::project::ProjectArgs;
use super::up;
use super::view::{View, Watch};
use super::{dry_run, programs};
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::progress::Progress;

/// Services of a project.
#[derive(Debug, Args)]
pub struct ServicesArgs {
    /// Seconds between the stop signal and SIGKILL
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Services; none means all
    services: Vec<String>,
}

/// Stops services, dependents first.
pub async fn stop(host: &Host, project: &ProjectArgs, args: ServicesArgs) -> Result<()> {
    let name = project.name()?;
    let mut client = Client::connect(host).await?;
    let view = Watch::open(&mut client, &name).await?.next().await?;
    let mut split = programs::split(project, &args.services)?;
    let keys = if split.only { Vec::new() } else { chosen(&view, &split.others)? };
    if host.dry_run {
        stop_foreseen(&mut client, &view, &keys).await?;
    } else {
        if args.services.is_empty() {
            split.end_early(&mut client, programs::Verb::Stop).await?;
        }
        stop_in_order(&mut client, &name, &keys, args.timeout.map(Duration::from_secs)).await?;
    }
    split.end(programs::Verb::Stop, host.dry_run).await
}

/// Stops these services, or all of a project; or tells what that would do.
pub async fn stop_services(client: &mut Client, project: &str, services: &[String], dry_run: bool) -> Result<()> {
    let view = Watch::open(client, project).await?.next().await?;
    let keys = chosen(&view, services)?;
    if dry_run {
        return stop_foreseen(client, &view, &keys).await;
    }
    stop_in_order(client, project, &keys, None).await
}

/// Arguments of `orca compose restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Leave alone the services that want to be restarted with these
    #[arg(long)]
    no_deps: bool,
    #[command(flatten)]
    services: ServicesArgs,
}

/// Arguments of `orca compose start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Wait until every container runs and is healthy
    #[arg(long)]
    wait: bool,
    /// Give up waiting after so many seconds
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u64>,
    /// Services; none means all
    services: Vec<String>,
}

/// Starts services that were stopped or have ended.
pub async fn start(host: &Host, project: &ProjectArgs, args: StartArgs) -> Result<()> {
    let name = project.name()?;
    let mut client = Client::connect(host).await?;
    let view = Watch::open(&mut client, &name).await?.next().await?;
    let keys = chosen(&view, &args.services)?;
    let stopped = |level: &[String]| tasks_where(&view, level, |task| !is_up(task) && !has_passed(&view, task));
    if host.dry_run {
        for level in levels(&view.services, &keys) {
            foresee_intent(&mut client, stopped(&level), IntentAction::Start).await?;
        }
        return Ok(());
    }
    let work = async {
        let mut since = 0;
        for level in levels(&view.services, &keys) {
            since = since.max(set_intent(&mut client, &stopped(&level), IntentAction::Start).await?);
            up::wait(&mut client, &name, &level, Goal::Started, since, None).await?;
        }
        match args.wait {
            true => up::wait(&mut client, &name, &keys, Goal::Serving, since, None).await,
            false => Ok(()),
        }
    };
    up::within(args.wait_timeout.map(Duration::from_secs), work).await
}

/// Restarts services.
pub async fn restart(host: &Host, project: &ProjectArgs, args: RestartArgs) -> Result<()> {
    let RestartArgs { no_deps, services: args } = args;
    let name = project.name()?;
    let mut client = Client::connect(host).await?;
    if host.dry_run {
        let view = Watch::open(&mut client, &name).await?.next().await?;
        let keys = to_restart(&view, &args.services, no_deps)?;
        for level in levels(&view.services, &keys) {
            let tasks = tasks_where(&view, &level, |task| !has_passed(&view, task));
            foresee_intent(&mut client, tasks, IntentAction::Restart).await?;
        }
        return Ok(());
    }
    restart_services(&mut client, &name, &args.services, no_deps, args.timeout.map(Duration::from_secs)).await
}

fn to_restart(view: &View, services: &[String], no_deps: bool) -> Result<Vec<String>> {
    let mut keys = chosen(view, services)?;
    if !no_deps {
        with_dependents(view, &mut keys);
    }
    Ok(keys)
}

/// Restarts these services of a project, or all; unless `no_deps`, also those that want to be restarted with them.
pub async fn restart_services(
    client: &mut Client,
    project: &str,
    services: &[String],
    no_deps: bool,
    timeout: Option<Duration>,
) -> Result<()> {
    let mut watch = Watch::open(client, project).await?;
    let view = watch.next().await?;
    let keys = to_restart(&view, services, no_deps)?;
    if let Some(timeout) = timeout {
        hurry(client, &view, &keys, timeout).await?;
    }
    let mut progress = Progress::new();
    // Whom others depend on first: their namespaces may be shared.
    for level in levels(&view.services, &keys) {
        let tasks = tasks_where(&view, &level, |task| !has_passed(&view, task));
        if tasks.is_empty() {
            continue;
        }
        let since = set_intent(client, &tasks, IntentAction::Restart).await?;
        loop {
            let view = watch.next().await?;
            progress.show(&view.tasks, &view.waiting);
            let done = |service: &Service| view.current_tasks(service).iter().all(|task| has_restarted(task));
            if view.version >= since && level.iter().filter_map(|key| view.service(key)).all(done) {
                break;
            }
        }
    }
    progress.finish();
    Ok(())
}

/// Adds the services that are to be restarted with these: `depends_on.SERVICE.restart`. Who shares the network of one is
/// restarted by its node, once there is a new one to share.
fn with_dependents(view: &View, keys: &mut Vec<String>) {
    let wants = |service: &Service, keys: &[String]| {
        let shares = |key: &String| matches!(&service.spec.network, NetworkMode::Service(owner) if owner == key);
        let mut wanted = service.spec.depends_on.iter().filter(|(_, dependency)| dependency.restart);
        wanted.any(|(key, _)| keys.contains(key) && !shares(key))
    };
    while let Some(more) = view.services.iter().find(|s| !keys.iter().any(|key| key == s.spec.key()) && wants(s, keys))
    {
        keys.push(more.spec.key().to_owned());
    }
}

fn has_restarted(task: &Task) -> bool {
    if task.status.state.is_terminal() {
        return true;
    }
    task.status.container.as_ref().is_some_and(|container| {
        container.restarts_done >= task.intent.restarts && container.phase == ContainerPhase::Running
    })
}

/// The keys asked for, or all; an unknown one is an error.
fn chosen(view: &View, services: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = services.iter().find(|key| view.service(key).is_none()) {
        return Err(Error::NotFound { kind: "service", name: unknown.clone() });
    }
    let named = |service: &&Service| services.is_empty() || services.iter().any(|key| key == service.spec.owner());
    Ok(view.services.iter().filter(named).map(|service| service.spec.key().to_owned()).collect())
}

/// Whether the task is a step that has done its part.
fn has_passed(view: &View, task: &Task) -> bool {
    let is_step = |service: &Service| service.id == task.service && service.spec.step_of.is_some();
    task.status.state == TaskState::Complete && view.services.iter().any(is_step)
}

/// Whether the task's container runs or is about to.
fn is_up(task: &Task) -> bool {
    !task.status.state.is_terminal() && !task.intent.stopped
}

fn tasks_where(view: &View, keys: &[String], wanted: impl Fn(&Task) -> bool) -> Vec<String> {
    let services = keys.iter().filter_map(|key| view.service(key));
    let tasks = services.flat_map(|service| view.current_tasks(service));
    tasks.filter(|task| wanted(task)).map(|task| task.id.to_string()).collect()
}

async fn set_intent(client: &mut Client, tasks: &[String], action: IntentAction) -> Result<u64> {
    if tasks.is_empty() {
        return Ok(0);
    }
    let request = SetIntentRequest { tasks: tasks.to_vec(), action: action.into() };
    Ok(client.control.set_intent(request).await?.into_inner().version)
}

/// Tells what an intent would lead to.
async fn foresee_intent(client: &mut Client, tasks: Vec<String>, action: IntentAction) -> Result<()> {
    if !tasks.is_empty() {
        let change = Change::SetIntent(SetIntentRequest { tasks, action: action.into() });
        dry_run::tell(dry_run::plan(client, change).await?);
    }
    Ok(())
}

/// Tells what stopping these services would do.
async fn stop_foreseen(client: &mut Client, view: &View, keys: &[String]) -> Result<()> {
    for level in levels(&view.services, keys).into_iter().rev() {
        foresee_intent(client, tasks_where(view, &level, is_up), IntentAction::Stop).await?;
    }
    Ok(())
}

/// Stops the services of these keys, each once nothing that depends on it runs.
pub async fn stop_in_order(client: &mut Client, stack: &str, keys: &[String], timeout: Option<Duration>) -> Result<()> {
    let mut watch = Watch::open(client, stack).await?;
    let mut view = watch.next().await?;
    let mut progress = Progress::new();
    for level in levels(&view.services, keys).into_iter().rev() {
        let tasks = tasks_where(&view, &level, is_up);
        let since = set_intent(client, &tasks, IntentAction::Stop).await?;
        if let Some(timeout) = timeout {
            hurry(client, &view, &level, timeout).await?;
        }
        loop {
            progress.show(&view.tasks, &view.waiting);
            let stopped = |service: &Service| view.tasks_of(service).iter().all(|task| rests(task));
            if view.version >= since && level.iter().filter_map(|key| view.service(key)).all(stopped) {
                break;
            }
            view = watch.next().await?;
        }
    }
    progress.finish();
    Ok(())
}

/// Whether no process of the task runs or will.
fn rests(task: &Task) -> bool {
    if task.status.state.is_terminal() || task.desired > TaskState::Running {
        return true;
    }
    let phase = task.status.container.as_ref().map(|container| container.phase);
    task.intent.stopped
        && !matches!(phase, Some(ContainerPhase::Running | ContainerPhase::Paused | ContainerPhase::Restarting))
}

/// Gives containers less (or more) time than their spec says.
async fn hurry(client: &mut Client, view: &View, keys: &[String], timeout: Duration) -> Result<()> {
    for container in running(view, keys) {
        let timeout = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        client.node.stop_container(StopContainerRequest { container, timeout, signal: None }).await?;
    }
    Ok(())
}

/// Ends containers at once.
pub async fn kill(client: &mut Client, view: &View, keys: &[String]) {
    for container in running(view, keys) {
        // One that has just ended by itself is what is wanted.
        let _ = client.node.kill_container(KillContainerRequest { container, signal: "SIGKILL".into() }).await;
    }
}

fn running(view: &View, keys: &[String]) -> Vec<String> {
    let services = keys.iter().filter_map(|key| view.service(key));
    let containers =
        services.flat_map(|service| view.tasks_of(service)).filter_map(|task| task.status.container.as_ref());
    let runs =
        containers.filter(|container| matches!(container.phase, ContainerPhase::Running | ContainerPhase::Paused));
    runs.map(|container| container.id.to_string()).collect()
}

/// The keys in levels: each level depends only on those before it. What is left of a cycle comes last.
fn levels(services: &[Service], keys: &[String]) -> Vec<Vec<String>> {
    let mut left: BTreeMap<&str, &Service> = services
        .iter()
        .filter(|service| keys.iter().any(|key| key == service.spec.key()))
        .map(|service| (service.spec.key(), service))
        .collect();
    let mut levels = Vec::new();
    while !left.is_empty() {
        let waits = |service: &Service| service.spec.depends_on.keys().any(|key| left.contains_key(key.as_str()));
        let mut level: BTreeSet<&str> =
            left.iter().filter(|(_, service)| !waits(service)).map(|(key, _)| *key).collect();
        if level.is_empty() {
            level = left.keys().copied().collect();
        }
        left.retain(|key, _| !level.contains(key));
        levels.push(level.into_iter().map(str::to_owned).collect());
    }
    levels
}
