//! `orca exec` and the streams that `orca compose exec` shares with it.

use api::node::{ExecInput, ExecStart, exec_input};
use clap::Args;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::attach::KeyArgs;
use super::flags;
use crate::client::{Client, Host};
use crate::elsewhere;
use crate::error::{Error, Result};
use crate::stream::{self, End};
use crate::terminal;

/// Arguments of `orca exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Run in the background
    #[arg(short, long)]
    detach: bool,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Allocate a terminal
    #[arg(short, long)]
    tty: bool,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    process: ProcessArgs,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<std::path::PathBuf>,
    /// Container
    container: String,
    /// Program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// How a further process of a container is run.
#[derive(Debug, Clone, Args)]
pub struct ProcessArgs {
    /// Set a variable
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// User and group
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// All capabilities
    #[arg(long)]
    pub privileged: bool,
}

/// A process to run in a container.
#[derive(Debug)]
pub struct Exec {
    /// Name or id.
    pub container: String,
    /// Program and its arguments.
    pub command: Vec<String>,
    /// How.
    pub process: ProcessArgs,
    /// Do not wait for it.
    pub detach: bool,
    /// Pass standard input on.
    pub stdin: bool,
    /// With a terminal.
    pub tty: bool,
    /// Keys that let go of it.
    pub keys: KeyArgs,
}

/// Runs `orca exec`.
pub async fn exec(host: &Host, args: ExecArgs) -> Result<()> {
    if args.tty && args.interactive {
        terminal::check_input()?;
    }
    let mut process = args.process;
    process.env.splice(0..0, flags::env_files(&args.env_file)?);
    let (mut client, container) = elsewhere::find(&Client::connect(host).await?, &args.container).await?;
    let exec = Exec {
        container,
        command: args.command,
        process,
        detach: args.detach,
        stdin: args.interactive,
        tty: args.tty,
        keys: args.keys,
    };
    run(&mut client, exec).await
}

/// Runs a process in a container and stays with it; its exit code is this command's.
pub async fn run(client: &mut Client, exec: Exec) -> Result<()> {
    let env = flags::environment(&exec.process.env, |key| std::env::var(key).ok()).map_err(|reason| Error::Flag {
        flag: "--env",
        value: exec.process.env.join(" "),
        reason,
    })?;
    let detach = Some(terminal::detach_keys(exec.keys.detach_keys.as_deref())?);
    let start = ExecStart {
        container: exec.container,
        args: exec.command,
        env,
        user: exec.process.user,
        working_dir: exec.process.workdir,
        tty: exec.tty,
        stdin: exec.stdin,
        privileged: exec.process.privileged,
        detach: exec.detach,
        size: if exec.tty { terminal::size() } else { None },
    };
    let (inputs, requests) = mpsc::channel::<ExecInput>(8);
    // The channel is new and empty.
    let _ = inputs.try_send(ExecInput { input: Some(exec_input::Input::Start(start)) });
    let outputs = client.node.exec(ReceiverStream::new(requests)).await?.into_inner();
    if exec.detach {
        return Ok(());
    }
    let options =
        stream::Options { stdin: exec.stdin, tty: exec.tty, signals: true, detach, ..stream::Options::default() };
    match stream::join(outputs, inputs, options).await? {
        End::Exited(0) | End::Detached => Ok(()),
        End::Exited(code) => Err(Error::Exit(u8::try_from(code).unwrap_or(255))),
        End::OutputEnded => Err(Error::NotConverged("the process went away without an exit code".into())),
    }
}
