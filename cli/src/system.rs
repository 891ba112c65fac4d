//! `orca system reset`.

use std::io::Write;

use api::node::ResetRequest;
use clap::Args;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::terminal;

/// Arguments of `orca system reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Removes all that Orca has on this node, after asking.
pub async fn reset(host: &Host, args: ResetArgs) -> Result<()> {
    if !args.force && !confirmed()? {
        return Err(Error::NotConverged("nothing was removed".into()));
    }
    let mut client = Client::connect(host).await?;
    let left = client.node.reset(ResetRequest {}).await?.into_inner().left_behind;
    if left.is_empty() {
        eprintln!("Everything is removed, and the daemon has ended.");
        return Ok(());
    }
    Err(Error::Several(format!("these could not be removed:\n{}", left.join("\n"))))
}

fn confirmed() -> Result<bool> {
    if !terminal::stdin_is_terminal() {
        return Err(Error::Unsupported { what: "asking without a terminal".into(), instead: "use --force".into() });
    }
    eprint!(
        "This removes every container, network, volume and image of this node, and its desired state. Go on? [y/N] "
    );
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.map_err(|source| Error::Terminal { action: "read the answer", source })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
