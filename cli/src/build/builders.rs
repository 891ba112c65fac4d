//! `orca builder …` and `orca buildx …`: there is one builder, the daemon itself.

use clap::{Args, Subcommand};

use super::args::{BuildArgs, build};
use super::cache;
use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::format;
use crate::output::table::Table;

/// The verbs of `orca builder`.
#[derive(Debug, Subcommand)]
pub enum BuilderVerb {
    /// Make an image from a Dockerfile
    Build(Box<BuildArgs>),
    /// Forget what builds have kept
    Prune(cache::PruneArgs),
}

/// The verbs of `orca buildx`.
#[derive(Debug, Subcommand)]
pub enum BuildxVerb {
    /// Make an image from a Dockerfile
    #[command(alias = "b")]
    Build(Box<BuildArgs>),
    /// Show how much disk builds have kept
    Du(cache::UsageArgs),
    /// Show the builder
    Inspect(InspectArgs),
    /// List builders: the daemon itself
    Ls,
    /// Forget what builds have kept
    Prune(cache::PruneArgs),
    /// Show the version
    Version,
}

/// Arguments of `orca buildx inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Its name: default
    name: Option<String>,
}

/// Carries out `orca builder`.
pub async fn builder(host: &Host, verb: BuilderVerb) -> Result<()> {
    match verb {
        BuilderVerb::Build(args) => build(host, *args).await,
        BuilderVerb::Prune(args) => cache::prune(host, args).await,
    }
}

/// Carries out `orca buildx`.
pub async fn buildx(host: &Host, verb: BuildxVerb) -> Result<()> {
    let platform = image::manifest::Platform::host();
    match verb {
        BuildxVerb::Build(args) => build(host, *args).await,
        BuildxVerb::Du(args) => cache::usage(host, args).await,
        BuildxVerb::Prune(args) => cache::prune(host, args).await,
        BuildxVerb::Version => format::write(&format!("orca {}\n", env!("CARGO_PKG_VERSION"))),
        BuildxVerb::Inspect(InspectArgs { name: Some(name) }) if name != "default" => {
            Err(crate::error::Error::NotFound { kind: "builder", name })
        }
        BuildxVerb::Inspect(_) => {
            Client::connect(host).await?;
            format::write(&format!(
                "Name:   default\nDriver: orca\n\nNodes:\nName:      default\nEndpoint:  {}\nStatus:    running\nPlatforms: {platform}\n",
                host.address
            ))
        }
        BuildxVerb::Ls => {
            let status = if Client::connect(host).await.is_ok() { "running" } else { "inactive" };
            let mut table = Table::new(&["NAME/NODE", "DRIVER/ENDPOINT", "STATUS", "PLATFORMS"]);
            table.row(["default*".to_owned(), "orca".to_owned(), String::new(), String::new()]);
            table.row([" \\_ default".to_owned(), host.address.clone(), status.to_owned(), platform.to_string()]);
            format::write(&table.render())
        }
    }
}
