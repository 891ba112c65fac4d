//! `orca builder prune` and `orca buildx du`: what builds have kept.

use api::image::{BuildCacheEntry, ListBuildCacheRequest, PruneBuildCacheRequest};
use clap::Args;
use model::Timestamp;

use crate::client::{Client, Host};
use crate::clock;
use crate::container::flags;
use crate::error::Result;
use crate::output::format;
use crate::output::human;
use crate::output::table::Table;
use crate::terminal;

/// Arguments of `orca builder prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// All of it; so in any case, as nothing is kept twice
    #[arg(short, long)]
    all: bool,
    /// Ask nothing
    #[arg(short, long)]
    force: bool,
    /// Only what fits: until=TIME, id=ID, description=TEXT
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Keep so many bytes of what was used last
    #[arg(long, value_name = "BYTES", value_parser = flags::bytes)]
    keep_storage: Option<u64>,
}

/// Arguments of `orca buildx du`.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// Every record with all that is known of it
    #[arg(long)]
    verbose: bool,
}

/// Forgets what builds have kept.
pub async fn prune(host: &Host, args: PruneArgs) -> Result<()> {
    if !args.force {
        terminal::confirm_pruning("build cache", "all build cache", &args.filter)?;
    }
    let mut client = Client::connect(host).await?;
    let request = PruneBuildCacheRequest { filters: args.filter, keep: args.keep_storage };
    let entries = client.images.prune_build_cache(request).await?.into_inner().entries;
    let total: u64 = entries.iter().map(|entry| entry.size).sum();
    let mut text = table(&entries).render();
    text.push_str(&format!("Total:\t{}\n", human::size(total)));
    format::write(&text)
}

/// Forgets what builds have kept, as far as it fits; how many bytes that were.
pub async fn prune_cache(client: &mut Client, filters: Vec<String>) -> Result<u64> {
    let request = PruneBuildCacheRequest { filters, keep: Some(0) };
    let entries = client.images.prune_build_cache(request).await?.into_inner().entries;
    Ok(entries.iter().map(|entry| entry.size).sum())
}

/// Lists what builds have kept.
pub async fn usage(host: &Host, args: UsageArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let entries = entries(&mut client).await?;
    let total: u64 = entries.iter().map(|entry| entry.size).sum();
    let mut text = match args.verbose {
        false => table(&entries).render(),
        true => entries.iter().map(verbose).collect(),
    };
    text.push_str(&format!("Reclaimable:\t{0}\nTotal:\t\t{0}\n", human::size(total)));
    format::write(&text)
}

/// What builds have kept.
pub async fn entries(client: &mut Client) -> Result<Vec<BuildCacheEntry>> {
    Ok(client.images.list_build_cache(ListBuildCacheRequest {}).await?.into_inner().entries)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1_000_000_000))
}

fn table(entries: &[BuildCacheEntry]) -> Table {
    let mut table = Table::new(&["ID", "RECLAIMABLE", "SIZE", "LAST ACCESSED"]);
    let now = clock::now();
    for entry in entries {
        let id = entry.id.chars().take(25).collect();
        table.row([id, "true".to_owned(), human::size(entry.size), human::ago(at(entry.used_at), now)]);
    }
    table
}

fn verbose(entry: &BuildCacheEntry) -> String {
    let BuildCacheEntry { id, description, size, created_at, used_at } = entry;
    format!(
        "ID:\t\t{id}\nCreated at:\t{}\nMutable:\tfalse\nReclaimable:\ttrue\nShared:\t\tfalse\nSize:\t\t{}\nDescription:\t{description}\nLast used:\t{}\nType:\t\tregular\n\n",
        at(*created_at).to_rfc3339(),
        human::size(*size),
        at(*used_at).to_rfc3339()
    )
}
