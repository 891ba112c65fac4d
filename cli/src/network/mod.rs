//! `orca network ls|create|inspect|rm|prune|connect|disconnect`.

mod attachment;
mod create;
mod describe;
mod list;
mod member;
mod remove;

pub use describe::find;
pub use remove::{prune_now, prune_request};

use std::collections::BTreeMap;

use api::network::{ListRequest, Network};
use api::types::LocalNetwork;
use clap::Subcommand;

use crate::client::{Client, Host};
use crate::error::{Error, Result};

use attachment::driver_options;
pub use attachment::{First, attachments, links};

/// What to do with networks.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List networks
    #[command(alias = "list")]
    Ls(list::Args),
    /// Make a network
    Create(Box<create::Args>),
    /// Show all about networks
    Inspect(describe::Args),
    /// Remove networks
    #[command(alias = "remove")]
    Rm(remove::RemoveArgs),
    /// Remove the node's own networks that no container is on
    Prune(remove::PruneArgs),
    /// Add a container to a network, at once if it runs
    Connect(member::ConnectArgs),
    /// Take a container off a network, at once if it runs
    Disconnect(member::DisconnectArgs),
}

/// Carries a verb out.
pub async fn run(host: &Host, verb: Verb) -> Result<()> {
    match verb {
        Verb::Ls(args) => list::list(host, args).await,
        Verb::Create(args) => create::create(host, *args).await,
        Verb::Inspect(args) => describe::inspect(host, args).await,
        Verb::Rm(args) => remove::remove(host, args).await,
        Verb::Prune(args) => remove::prune(host, args).await,
        Verb::Connect(args) => member::connect(host, args).await,
        Verb::Disconnect(args) => member::disconnect(host, args).await,
    }
}

/// Whether a network has a subnet of a family; host and none, which have none, count as IPv4, as in Docker.
fn has_family(network: &LocalNetwork, v6: bool) -> bool {
    let has = |v6: bool| network.pools.iter().any(|pool| pool.subnet.contains(':') == v6);
    if v6 { has(true) } else { has(false) || !has(true) }
}

/// All networks by name, those of projects with their labels, which the managers keep.
async fn all(client: &mut Client) -> Result<Vec<Network>> {
    let mut networks = client.networks.list_networks(ListRequest {}).await?.into_inner().networks;
    complete(client, &mut networks).await?;
    let name = |network: &Network| network.network.as_ref().map(|network| network.name.clone());
    networks.sort_by_key(name);
    Ok(networks)
}

/// Adds what the managers know of projects' networks.
async fn complete(client: &mut Client, networks: &mut [Network]) -> Result<()> {
    if networks.iter().all(|network| network.stack.is_none()) {
        return Ok(());
    }
    let known = client.control.list_networks(api::control::ListNetworksRequest::default()).await?.into_inner().networks;
    let known: BTreeMap<_, _> = known.into_iter().map(|network| (network.id.clone(), network)).collect();
    for network in networks.iter_mut().filter(|network| network.stack.is_some()) {
        let Some(plain) = &mut network.network else { continue };
        let Some(spec) = known.get(&plain.id) else { continue };
        plain.created_at = spec.meta.as_ref().map(|meta| meta.created_at).unwrap_or_default();
        plain.labels = spec.spec.as_ref().map(|spec| spec.labels.clone()).unwrap_or_default();
        network.stack = spec.spec.as_ref().and_then(|spec| spec.stack.clone()).or(Some(String::new()));
    }
    Ok(())
}

/// Refuses a flag that changes nothing here.
fn refuse(flag: &'static str, value: &str, reason: &str) -> Error {
    Error::Flag { flag, value: value.into(), reason: reason.into() }
}
