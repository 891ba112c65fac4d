//! `orca image prune`.

use api::image::PruneRequest;
use clap::Args;

use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::{format, human};
use crate::terminal;

/// Arguments of `orca image prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Also images with names that no container uses
    #[arg(short, long)]
    all: bool,
    /// Only some: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Removes images that nothing needs.
pub async fn prune(host: &Host, args: PruneArgs) -> Result<()> {
    let which =
        if args.all { "all images without at least one container associated to them" } else { "all dangling images" };
    if !args.force {
        terminal::confirm_pruning("image", &format!("{which}."), &args.filter)?;
    }
    let mut client = Client::connect(host).await?;
    let reclaimed = prune_now(&mut client, args.all, args.filter).await?;
    format::write(&format!("Total reclaimed space: {}\n", human::size(reclaimed)))
}

/// Removes images and lists them; how many bytes that gave.
pub async fn prune_now(client: &mut Client, all: bool, filters: Vec<String>) -> Result<u64> {
    let reply = client.images.prune(PruneRequest { all, filters }).await?.into_inner();
    let untagged = reply.untagged.iter().map(|name| format!("untagged: {name}"));
    let lines: Vec<String> = untagged.chain(reply.deleted.iter().map(|id| format!("deleted: {id}"))).collect();
    format::write(&format::deleted("Images", &lines))?;
    Ok(reply.reclaimed)
}
