//! `orca swarm ca`.

use std::time::Duration;

use api::control::{GetClusterRequest, RotateAuthorityRequest, UpdateClusterRequest};
use model::{Cluster, ClusterIdentity, ClusterSpec, Node, NodeState};

use super::settings::duration;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;

/// How often it is looked how far a rotation is.
const LOOK: Duration = Duration::from_millis(100);

/// Arguments of `orca swarm ca`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Have a new CA take over, and every node get a certificate of it; nothing stands still meanwhile
    #[arg(long)]
    rotate: bool,
    /// Do not wait until every node has one
    #[arg(short, long, requires = "rotate")]
    detach: bool,
    /// Do not tell how far it is
    #[arg(short, long, requires = "rotate")]
    quiet: bool,
    /// How long certificates of nodes are valid from now on, such as 2160h
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "rotate")]
    cert_expiry: Option<Duration>,
}

/// Prints the CA's certificate, of the new one after a rotation.
pub async fn authority(host: &Host, args: Args) -> Result<()> {
    let mut client = Client::connect(host).await?;
    if !args.rotate {
        return format::write(&ask(&mut client).await?.1.ca);
    }
    if let Some(certificate_expiry) = args.cert_expiry {
        let spec = ask(&mut client).await?.0.spec;
        let spec = ClusterSpec { certificate_expiry, ..spec };
        client.control.update_cluster(UpdateClusterRequest { spec: Some(spec.into()) }).await?;
    }
    client.control.rotate_authority(RotateAuthorityRequest {}).await?;
    if args.detach {
        return Ok(());
    }
    let mut told = String::new();
    loop {
        let (_, identity, nodes) = ask(&mut client).await?;
        let Some(next) = &identity.next else { return format::write(&identity.ca) };
        let digest = api::identity::digest_of_pem(&next.ca)?;
        let missing = missing(&nodes, &digest);
        if !args.quiet && missing != told && !missing.is_empty() {
            eprintln!("waiting for: {missing}");
            told = missing;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn ask(client: &mut Client) -> Result<(Cluster, ClusterIdentity, Vec<Node>)> {
    let reply = client.control.get_cluster(GetClusterRequest {}).await?.into_inner();
    let cluster = reply.cluster.map(Cluster::try_from).transpose()?;
    let found = cluster.and_then(|cluster| Some((cluster.identity.clone()?, cluster)));
    let (identity, cluster) = found.ok_or_else(|| {
        Error::NotConverged(
            "this node is not part of a cluster: use `orca swarm init` or `orca swarm join` first".into(),
        )
    })?;
    let nodes: Result<Vec<Node>, api::Error> = reply.nodes.into_iter().map(Node::try_from).collect();
    Ok((cluster, identity, nodes?))
}

/// The nodes without a certificate of the next CA, and what is to be done about those that are down.
fn missing(nodes: &[Node], digest: &[u8]) -> String {
    let late = nodes.iter().filter(|node| !node.key.is_empty() && node.description.authority != digest);
    let mut names: Vec<String> = late
        .map(|node| match node.state {
            NodeState::Down => {
                format!("{} (down: it has to come back, or to go with `orca node rm`)", node.description.hostname)
            }
            _ => node.description.hostname.clone(),
        })
        .collect();
    names.sort();
    names.join(", ")
}
