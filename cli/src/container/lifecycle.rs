//! `orca start|stop|restart|kill|rm|wait`.
//!
//! A container of a service is steered through its task, so that the cluster knows what the user wants of it.

use std::io::Write;
use std::time::Duration;

use api::control::{IntentAction, SetIntentRequest};
use api::node::{
    AttachStart, Container, InspectContainerRequest, KillContainerRequest, RemoveContainerRequest,
    RestartContainerRequest, StartContainerRequest, StopContainerRequest, WaitCondition, WaitContainerRequest,
};
use api::types::ContainerPhase;
use clap::Args;

use super::attach::{self, KeyArgs};
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::human::is_up;

/// Containers by name.
#[derive(Debug, Args)]
pub struct Names {
    /// Containers
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Names {
    /// What was given.
    pub fn names(&self) -> &[String] {
        &self.containers
    }
}

/// Containers by name, and how they are asked to end.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Seconds between the signal and SIGKILL; -1 for no end
    #[arg(short, long, alias = "time", value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// Signal to send
    #[arg(short, long)]
    signal: Option<String>,
    /// Containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Arguments of `orca start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Join the container's output and signals to this terminal
    #[arg(short, long)]
    attach: bool,
    /// Join its input too
    #[arg(short, long)]
    interactive: bool,
    #[command(flatten)]
    keys: KeyArgs,
    /// Containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Arguments of `orca kill`.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Signal to send
    #[arg(short, long, default_value = "SIGKILL")]
    signal: String,
    /// Containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Arguments of `orca rm`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// End containers that run
    #[arg(short, long)]
    force: bool,
    /// Remove their anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
    /// Containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Does one thing to each container, prints the names of those that it worked for, and tells each failure.
pub async fn each<F>(host: &Host, names: &[String], verb: &str, mut action: F) -> Result<()>
where
    F: AsyncFnMut(&mut Client, Container) -> Result<()>,
{
    let mut client = Client::connect(host).await?;
    let mut failures = 0;
    for name in names {
        let result = async {
            let container = inspect(&mut client, name).await?;
            action(&mut client, container).await
        };
        match result.await {
            Ok(()) => {
                let _ = writeln!(std::io::stdout(), "{name}");
            }
            Err(error) => {
                failures += 1;
                eprintln!("orca: cannot {verb} {name}: {error}");
            }
        }
    }
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}

/// One container.
pub async fn inspect(client: &mut Client, name: &str) -> Result<Container> {
    let request = InspectContainerRequest { container: name.into(), size: false };
    Ok(client.node.inspect_container(request).await?.into_inner())
}

fn phase(container: &Container) -> ContainerPhase {
    container.status.as_ref().map_or(ContainerPhase::Created, |status| status.phase())
}

/// `orca start`.
pub async fn start(host: &Host, args: StartArgs) -> Result<()> {
    if args.attach || args.interactive {
        return start_joined(host, &args).await;
    }
    each(host, &args.containers, "start", async |client, container| {
        if is_up(&container) && phase(&container) != ContainerPhase::Paused {
            return Ok(());
        }
        match task_of(&container) {
            Some(task) => intent(client, task, IntentAction::Start, &container, is_up).await,
            None => {
                client.node.start_container(StartContainerRequest { container: container.id }).await?;
                Ok(())
            }
        }
    })
    .await
}

/// Starts one container and stays with it to its end.
async fn start_joined(host: &Host, args: &StartArgs) -> Result<()> {
    let [name] = &args.containers[..] else {
        return Err(Error::Unsupported {
            what: "attaching to several containers at once".into(),
            instead: "start them without --attach and --interactive, then `orca attach` to one".into(),
        });
    };
    let mut client = Client::connect(host).await?;
    let container = inspect(&mut client, name).await?;
    let mut start = AttachStart { container: container.id.clone(), stdin: args.interactive, ..AttachStart::default() };
    match task_of(&container) {
        Some(task) if !is_up(&container) => {
            intent(&mut client, task, IntentAction::Start, &container, is_up).await?;
        }
        Some(_) => {}
        None => start.start_container = !is_up(&container),
    }
    let container = inspect(&mut client, name).await?;
    attach::to(&mut client, &container, start, &args.keys, true).await
}

/// Nanoseconds of a `--timeout`; none of these ends with the signal alone.
fn grace(seconds: Option<i64>) -> Option<u64> {
    seconds.map(|seconds| u64::try_from(seconds).map_or(u64::MAX, |seconds| nanos(Duration::from_secs(seconds))))
}

/// `orca stop`.
pub async fn stop(host: &Host, args: StopArgs) -> Result<()> {
    let timeout = grace(args.timeout);
    let as_usual = timeout.is_none() && args.signal.is_none();
    each(host, &args.containers, "stop", async |client, container| {
        let stop = StopContainerRequest { container: container.id.clone(), timeout, signal: args.signal.clone() };
        match task_of(&container) {
            // An intent carries neither signal nor time: the container is ended with these first.
            Some(task) if !as_usual => {
                client.node.stop_container(stop).await?;
                set_intent(client, task, IntentAction::Stop).await
            }
            Some(task) => {
                set_intent(client, task, IntentAction::Stop).await?;
                client.node.stop_container(stop).await?;
                Ok(())
            }
            None => {
                client.node.stop_container(stop).await?;
                Ok(())
            }
        }
    })
    .await
}

/// `orca restart`.
pub async fn restart(host: &Host, args: StopArgs) -> Result<()> {
    let timeout = grace(args.timeout);
    let as_usual = timeout.is_none() && args.signal.is_none();
    each(host, &args.containers, "restart", async |client, container| match task_of(&container) {
        // One that runs keeps its intent, which carries neither signal nor time.
        Some(task) if as_usual || !is_up(&container) => {
            let before = container.status.as_ref().map_or(0, |status| status.started_at);
            let again =
                |now: &Container| is_up(now) && now.status.as_ref().is_some_and(|status| status.started_at != before);
            intent(client, task, IntentAction::Restart, &container, again).await
        }
        _ => {
            let signal = args.signal.clone();
            client.node.restart_container(RestartContainerRequest { container: container.id, timeout, signal }).await?;
            Ok(())
        }
    })
    .await
}

/// `orca kill`.
pub async fn kill(host: &Host, args: KillArgs) -> Result<()> {
    each(host, &args.containers, "kill", async |client, container| {
        let kill = KillContainerRequest { container: container.id, signal: args.signal.clone() };
        client.node.kill_container(kill).await?;
        Ok(())
    })
    .await
}

/// `orca rm`.
pub async fn remove(host: &Host, args: RemoveArgs) -> Result<()> {
    let names = if args.force { existing(host, &args.containers).await? } else { args.containers };
    each(host, &names, "remove", async |client, container| {
        if let Some(service) = container.task.as_ref().and_then(|_| owner(&container)) {
            return Err(Error::Unsupported {
                what: format!("removing a container of {service}"),
                instead: "the service would make a new one; use `orca down`, or scale the service down".into(),
            });
        }
        let remove = RemoveContainerRequest { container: container.id, force: args.force, volumes: args.volumes };
        client.node.remove_container(remove).await?;
        Ok(())
    })
    .await
}

/// As in Docker it is no failure of `rm --force` that there is nothing to remove.
async fn existing(host: &Host, names: &[String]) -> Result<Vec<String>> {
    let mut client = Client::connect(host).await?;
    let mut found = Vec::new();
    for name in names {
        match client.node.inspect_container(InspectContainerRequest { container: name.clone(), size: false }).await {
            Err(status) if status.code() == tonic::Code::NotFound => eprintln!("orca: {}", status.message()),
            _ => found.push(name.clone()),
        }
    }
    Ok(found)
}

/// `orca wait`: prints the exit codes, in the order of the names.
pub async fn wait(host: &Host, args: Names) -> Result<()> {
    let client = Client::connect(host).await?;
    let waits: Vec<_> = args
        .containers
        .into_iter()
        .map(|container| {
            let mut node = client.node.clone();
            let wait = WaitContainerRequest { container, condition: WaitCondition::NotRunning.into() };
            // All at once: a container that removes itself would be gone when its turn comes.
            tokio::spawn(async move { node.wait_container(wait).await })
        })
        .collect();
    let mut failures = 0;
    for wait in waits {
        match wait.await {
            Ok(Ok(reply)) => {
                let _ = writeln!(std::io::stdout(), "{}", reply.into_inner().exit_code);
            }
            Ok(Err(status)) => {
                failures += 1;
                eprintln!("orca: {}", Error::from(status));
            }
            Err(error) => return Err(Error::NotConverged(format!("the wait broke off: {error}"))),
        }
    }
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}

fn owner(container: &Container) -> Option<String> {
    let project = container.labels.get("com.docker.compose.project")?;
    let service = container.labels.get("com.docker.compose.service")?;
    Some(format!("service {service} of project {project}"))
}

fn task_of(container: &Container) -> Option<String> {
    container.task.as_ref().map(|task| task.task.clone())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

async fn set_intent(client: &mut Client, task: String, action: IntentAction) -> Result<()> {
    client.control.set_intent(SetIntentRequest { tasks: vec![task], action: action.into() }).await?;
    Ok(())
}

/// How long a container may take to do what its task is told; the daemon's own deadlines are shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the task, then waits until the container is as it should be.
async fn intent(
    client: &mut Client,
    task: String,
    action: IntentAction,
    container: &Container,
    done: impl Fn(&Container) -> bool,
) -> Result<()> {
    set_intent(client, task, action).await?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let now = inspect(client, &container.id).await?;
        if done(&now) {
            return Ok(());
        }
        if let Some(error) = now.error.filter(|error| !error.is_empty()) {
            return Err(Error::NotConverged(error));
        }
        if tokio::time::Instant::now() > deadline {
            let waited = PATIENCE.as_secs();
            return Err(Error::NotConverged(format!(
                "not done after {waited} s; see `orca inspect {}`",
                container.name
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
