//! `orca system reset`.

use std::collections::BTreeSet;
use std::time::Duration;

use api::control::{ListServicesRequest, RemoveServiceRequest, RemoveStackRequest};
use api::node::ResetRequest;
use api::swarm::{GetSwarmRequest, LeaveRequest};
use clap::Args;
use tonic::Code;

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
    const QUESTION: &str =
        "This removes every container, network, volume and image of this node, and its desired state. Go on?";
    if !args.force && !terminal::confirm(QUESTION)? {
        return Err(Error::NotConverged("nothing was removed".into()));
    }
    let mut client = Client::connect(host).await?;
    leave(&mut client).await?;
    remove_services(&mut client).await?;
    let left = client.node.reset(ResetRequest {}).await?.into_inner().left_behind;
    if left.is_empty() {
        eprintln!("Everything is removed, and the daemon has ended.");
        return Ok(());
    }
    Err(Error::Several(format!("these could not be removed:\n{}", left.join("\n"))))
}

/// A node's own end is not the cluster's: it leaves first, and what the cluster runs goes on elsewhere.
async fn leave(client: &mut Client) -> Result<()> {
    let swarm = client.swarm.get_swarm(GetSwarmRequest {}).await?.into_inner();
    if !swarm.cluster.is_empty() {
        client.swarm.leave(LeaveRequest { force: true }).await?;
    }
    Ok(())
}

/// Desired state first, or the manager would have made anew what the node removes.
async fn remove_services(client: &mut Client) -> Result<()> {
    loop {
        let services = client.control.list_services(ListServicesRequest { stack: None }).await?.into_inner().services;
        if services.is_empty() {
            return Ok(());
        }
        let mut stacks = BTreeSet::new();
        for service in services.into_iter().filter(|service| !service.removing) {
            match service.spec.and_then(|spec| spec.stack) {
                Some(member) => _ = stacks.insert(member.stack),
                None => withdraw(client, service.id, service.meta.map_or(0, |meta| meta.version)).await?,
            }
        }
        for stack in stacks {
            client.control.remove_stack(RemoveStackRequest { stack, services: Vec::new() }).await?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A service that is of no stack; one that has just changed is asked for again, one that is gone is not missed.
async fn withdraw(client: &mut Client, service: String, seen: u64) -> Result<()> {
    match client.control.remove_service(RemoveServiceRequest { service, seen }).await {
        Err(status) if !matches!(status.code(), Code::Aborted | Code::NotFound) => Err(status.into()),
        _ => Ok(()),
    }
}
