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
    let reply = client.images.prune(PruneRequest { all: args.all, filters: args.filter }).await?.into_inner();
    let mut text = String::new();
    if !reply.untagged.is_empty() || !reply.deleted.is_empty() {
        text.push_str("Deleted Images:\n");
        text.extend(reply.untagged.iter().map(|name| format!("untagged: {name}\n")));
        text.extend(reply.deleted.iter().map(|id| format!("deleted: {id}\n")));
        text.push('\n');
    }
    text.push_str(&format!("Total reclaimed space: {}\n", human::size(reply.reclaimed)));
    format::write(&text)
}
