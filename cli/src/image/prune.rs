//! `orca image prune`.

use std::io::{BufRead, Write};

use api::image::PruneRequest;
use clap::Args;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::{format, human};

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
    if !args.force && !confirmed(which, &args.filter)? {
        return Err(Error::NotConverged("image prune has been cancelled".into()));
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

fn confirmed(which: &str, filters: &[String]) -> Result<bool> {
    let failed = |source| Error::Terminal { action: "ask for confirmation", source };
    let mut question = format!("WARNING! This will remove {which}.\n");
    if !filters.is_empty() {
        question.push_str("\n  Items to be pruned will be filtered with:\n");
        question.extend(filters.iter().map(|filter| format!("  - {filter}\n")));
    }
    question.push_str("Are you sure you want to continue? [y/N] ");
    std::io::stdout().write_all(question.as_bytes()).and_then(|()| std::io::stdout().flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
