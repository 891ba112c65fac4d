//! `orca compose exec`.

use clap::Args;

use super::project::ProjectArgs;
use super::{dry_run, ps};
use crate::client::{Client, Host};
use crate::container::attach::KeyArgs;
use crate::container::exec::{Exec, ProcessArgs, run};
use crate::error::{Error, Result};
use crate::terminal;

/// Arguments of `orca compose exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Run in the background
    #[arg(short, long)]
    detach: bool,
    /// Which container of the service
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    index: u32,
    /// No terminal
    #[arg(short = 'T', long = "no-tty")]
    no_tty: bool,
    /// Pass standard input on; so by default
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    interactive: bool,
    /// Allocate a terminal; so by default on a terminal
    #[arg(short, long)]
    tty: bool,
    #[command(flatten)]
    process: ProcessArgs,
    /// Service
    service: String,
    /// Program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs a program in a container of a service.
pub async fn exec(host: &Host, project: &ProjectArgs, args: ExecArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let containers = ps::containers(&mut client, &project.name()?, std::slice::from_ref(&args.service), false).await;
    let containers = containers.map_err(|error| match error {
        Error::NotFound { .. } => Error::NotConverged(format!("service {:?} is not running", args.service)),
        other => other,
    })?;
    let number = |container: &api::node::Container| container.task.as_ref().map_or(0, |task| task.slot);
    let container = containers
        .into_iter()
        .filter(|container| !ps::is_step(container) && (args.index == 0 || number(container) == args.index))
        .min_by_key(number)
        .ok_or_else(|| Error::NotConverged(format!("service {:?} has no container {}", args.service, args.index)))?;
    if host.dry_run {
        let command = args.command.join(" ");
        dry_run::tell([dry_run::Step::new("Command", format!("{command:?} in {}", container.name), "Executed")]);
        return Ok(());
    }
    let interactive_terminal = terminal::stdin_is_terminal() && terminal::stdout_is_terminal();
    let exec = Exec {
        container: container.id,
        command: args.command,
        process: args.process,
        detach: args.detach,
        stdin: args.interactive && !args.detach,
        keys: KeyArgs { detach_keys: None },
        tty: !args.no_tty && !args.detach && (args.tty || interactive_terminal),
    };
    run(&mut client, exec).await
}
