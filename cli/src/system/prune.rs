//! `orca system prune`.

use clap::Args;

use crate::client::{Client, Host};
use crate::clock;
use crate::container::prune::Wanted;
use crate::error::{Error, Result};
use crate::output::{format, human};
use crate::{build, container, image, network, terminal, volume};

/// Arguments of `orca system prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Also images with names that no container uses
    #[arg(short, long)]
    all: bool,
    /// Also anonymous volumes
    #[arg(long)]
    volumes: bool,
    /// Only what fits: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Removes what nobody uses: containers first, as they are what uses the rest.
pub async fn prune(host: &Host, args: PruneArgs) -> Result<()> {
    // Everything is read before anything is removed.
    if args.volumes && args.filter.iter().any(|filter| filter.starts_with("until=")) {
        let reason = "the filter until is not supported with --volumes: volumes are not pruned by age".into();
        return Err(Error::Flag { flag: "--filter", value: "until".into(), reason });
    }
    let containers = Wanted::parse(&args.filter, clock::now())?;
    let networks = network::prune_request(&args.filter)?;
    let volumes = args.volumes.then(|| volume::prune_request(false, &args.filter)).transpose()?;
    if !args.force {
        terminal::confirm_pruning("system", &warning(&args), &args.filter)?;
    }
    let mut client = Client::connect(host).await?;
    let mut reclaimed = container::prune::run(&mut client, &containers).await?;
    network::prune_now(&mut client, networks).await?;
    if let Some(request) = volumes {
        reclaimed += volume::prune_now(&mut client, request).await?;
    }
    // The build cache has no labels: with a filter of these it stays.
    if args.filter.iter().all(|filter| filter.starts_with("until=")) {
        reclaimed += build::prune_cache(&mut client, args.filter.clone()).await?;
    }
    reclaimed += image::prune_now(&mut client, args.all, args.filter).await?;
    format::write(&format!("Total reclaimed space: {}\n", human::size(reclaimed)))
}

/// What is to go, as Docker lists it.
fn warning(args: &PruneArgs) -> String {
    let mut lines = vec!["all stopped containers", "all networks not used by at least one container"];
    if args.volumes {
        lines.push("all anonymous volumes not used by at least one container");
    }
    lines.push(match args.all {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    });
    lines.push("unused build cache");
    lines.iter().fold(String::new(), |text, line| format!("{text}\n  - {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_names_what_goes() {
        let args = |all, volumes| PruneArgs { all, volumes, filter: Vec::new(), force: false };
        let usual = warning(&args(false, false));
        assert!(usual.starts_with("\n  - all stopped containers\n  - all networks"), "{usual}");
        assert!(
            usual.ends_with("  - all dangling images\n  - unused build cache") && !usual.contains("volumes"),
            "{usual}"
        );
        let all = warning(&args(true, true));
        assert!(all.contains("  - all anonymous volumes") && all.contains("  - all images without"), "{all}");
    }
}
