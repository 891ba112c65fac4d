//! `orca attach`, and what `run` and `start` share with it.

use api::node::{AttachInput, AttachStart, Container, WaitCondition, WaitContainerRequest, attach_input};
use api::types::ContainerPhase;
use clap::Args;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::lifecycle::inspect;
use crate::client::{Client, Host};
use crate::elsewhere;
use crate::error::{Error, Result};
use crate::stream::{self, End};
use crate::terminal;

/// Arguments of `orca attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    #[command(flatten)]
    keys: KeyArgs,
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
    #[command(flatten)]
    proxy: ProxyArgs,
    /// Container
    container: String,
}

/// `--detach-keys`.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// Keys that let go of the container: ctrl-p,ctrl-q unless detachKeys of ~/.docker/config.json says otherwise
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
}

/// `--sig-proxy`.
#[derive(Debug, Clone, Args)]
pub struct ProxyArgs {
    /// Pass signals on to the process
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sig_proxy: bool,
}

/// Joins this terminal to a container that runs; its exit code is this command's.
pub async fn attach(host: &Host, args: AttachArgs) -> Result<()> {
    let (mut client, container) = elsewhere::find(&Client::connect(host).await?, &args.container).await?;
    let container = inspect(&mut client, &container).await?;
    let start = AttachStart { container: container.id.clone(), stdin: !args.no_stdin, ..AttachStart::default() };
    to(&mut client, &container, start, &args.keys, args.proxy.sig_proxy).await
}

/// Joins this terminal to a container. Only an input that the container has is passed on.
pub async fn to(
    client: &mut Client,
    container: &Container,
    start: AttachStart,
    keys: &KeyArgs,
    signals: bool,
) -> Result<()> {
    let spec = container.spec.clone().unwrap_or_default();
    let stdin = start.stdin && spec.open_stdin;
    if !start.start_container {
        attachable(container)?;
    }
    if spec.tty && stdin {
        terminal::check_input()?;
    }
    let detach = Some(terminal::detach_keys(keys.detach_keys.as_deref())?);
    let options = stream::Options { stdin, tty: spec.tty, signals, detach, ..stream::Options::default() };
    let size = if spec.tty { terminal::size() } else { None };
    let code = join(client, AttachStart { stdin, size, ..start }, options).await?;
    exit(code)
}

fn attachable(container: &Container) -> Result<()> {
    let name = &container.name;
    match container.status.as_ref().map(api::types::ContainerStatus::phase) {
        Some(ContainerPhase::Running) => Ok(()),
        Some(ContainerPhase::Paused) => {
            Err(Error::NotConverged(format!("cannot attach to {name}: it is paused; unpause it first")))
        }
        Some(ContainerPhase::Restarting) => {
            Err(Error::NotConverged(format!("cannot attach to {name}: it is restarting; wait until it runs")))
        }
        _ => Err(Error::NotConverged(format!("cannot attach to {name}: it does not run; start it first"))),
    }
}

/// The end of a command that was joined to a container: the container's own, or none of its own if the user let go.
pub fn exit(code: Option<i32>) -> Result<()> {
    match code {
        None | Some(0) => Ok(()),
        Some(code) => Err(Error::Exit(u8::try_from(code).unwrap_or(255))),
    }
}

/// Joins this terminal to a container until it ends or the user lets go; its exit code.
pub async fn join(client: &mut Client, start: AttachStart, options: stream::Options) -> Result<Option<i32>> {
    let (inputs, requests) = mpsc::channel::<AttachInput>(8);
    let id = start.container.clone();
    // The channel is new and empty.
    let _ = inputs.try_send(AttachInput { input: Some(attach_input::Input::Start(start)) });
    // Asked for before the start, so that the code of a container that removes itself is not missed.
    let mut waiter = client.node.clone();
    let wait = WaitContainerRequest { container: id, condition: WaitCondition::NextExit.into() };
    let exit = tokio::spawn(async move { waiter.wait_container(wait).await });
    let outputs = client.node.attach(ReceiverStream::new(requests)).await?.into_inner();
    match stream::join(outputs, inputs, options).await? {
        End::Exited(code) => Ok(Some(code)),
        End::Detached => Ok(None),
        End::OutputEnded => match exit.await {
            Ok(reply) => Ok(Some(reply?.into_inner().exit_code)),
            Err(error) => Err(Error::NotConverged(format!("the wait for the container broke off: {error}"))),
        },
    }
}
