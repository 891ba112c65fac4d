//! `orca node promote|demote|update|rm`.

use api::control::{RemoveNodeRequest, UpdateNodeRequest};
use model::{Availability, Node, NodeRole, NodeSpec};

use super::{Nodes, several};
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;

/// Nodes by name.
#[derive(Debug, clap::Args)]
pub struct Names {
    /// Nodes: ids, host names, or self
    #[arg(required = true)]
    nodes: Vec<String>,
}

/// Arguments of `orca node rm`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// Even if it is up; it is shut out then
    #[arg(short, long)]
    force: bool,
    /// Nodes: ids or host names
    #[arg(required = true)]
    nodes: Vec<String>,
}

/// Arguments of `orca node update`.
#[derive(Debug, clap::Args)]
pub struct UpdateArgs {
    /// active: takes tasks; pause: keeps those that it has; drain: gives them to others
    #[arg(long, value_name = "WORD")]
    availability: Option<Availability>,
    /// Add or change a label
    #[arg(long, value_name = "KEY=VALUE")]
    label_add: Vec<String>,
    /// Remove a label
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    /// worker or manager
    #[arg(long, value_name = "ROLE")]
    role: Option<NodeRole>,
    /// The node: its id, host name, or self
    node: String,
}

/// How often a change is made again that somebody else's came before.
const TRIES: u32 = 5;

/// Changes a node; a change of somebody else's in between is no failure.
async fn change(client: &mut Client, name: &str, edit: impl Fn(&Node) -> Option<NodeSpec>) -> Result<bool> {
    let mut tries = 0;
    loop {
        let nodes = Nodes::ask(client).await?;
        let node = nodes.find(name)?;
        let Some(spec) = edit(node) else { return Ok(false) };
        let request = UpdateNodeRequest { node: node.id.to_string(), spec: Some(spec.into()), seen: node.meta.version };
        match client.control.update_node(request).await {
            Ok(_) => return Ok(true),
            Err(status) if status.code() == tonic::Code::Aborted && tries < TRIES => tries += 1,
            Err(status) => return Err(status.into()),
        }
    }
}

/// Promotes or demotes.
pub async fn set_role(host: &Host, args: Names, role: NodeRole) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut failed = Vec::new();
    for name in &args.nodes {
        let edit = |node: &Node| (node.spec.role != role).then(|| NodeSpec { role, ..node.spec.clone() });
        match change(&mut client, name, edit).await {
            Ok(true) if role == NodeRole::Manager => {
                format::write(&format!("Node {name} promoted to a manager in the swarm.\n"))?;
            }
            Ok(true) => format::write(&format!("Manager {name} demoted in the swarm.\n"))?,
            Ok(false) => format::write(&format!("Node {name} is already a {role}.\n"))?,
            Err(error) => failed.push(error.to_string()),
        }
    }
    several(failed)
}

/// Changes availability, labels and role.
pub async fn update(host: &Host, args: UpdateArgs) -> Result<()> {
    let mut added = Vec::new();
    for label in &args.label_add {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        if key.is_empty() {
            let reason = "expected KEY=VALUE".into();
            return Err(Error::Flag { flag: "--label-add", value: label.clone(), reason });
        }
        added.push((key.to_owned(), value.to_owned()));
    }
    let mut client = Client::connect(host).await?;
    if !args.label_rm.is_empty() {
        let nodes = Nodes::ask(&mut client).await?;
        let node = nodes.find(&args.node)?;
        if let Some(missing) = args.label_rm.iter().find(|key| !node.spec.labels.contains_key(*key)) {
            let reason = "the node has no such label".into();
            return Err(Error::Flag { flag: "--label-rm", value: missing.clone(), reason });
        }
    }
    let edit = |node: &Node| {
        let mut spec = node.spec.clone();
        spec.availability = args.availability.unwrap_or(spec.availability);
        spec.role = args.role.unwrap_or(spec.role);
        spec.labels.retain(|key, _| !args.label_rm.contains(key));
        spec.labels.extend(added.iter().cloned());
        Some(spec)
    };
    change(&mut client, &args.node, edit).await?;
    format::write(&format!("{}\n", args.node))
}

/// Removes nodes.
pub async fn remove(host: &Host, args: RemoveArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let nodes = Nodes::ask(&mut client).await?;
    let mut failed = Vec::new();
    for name in &args.nodes {
        let removed = match nodes.find(name) {
            Ok(node) => {
                let request = RemoveNodeRequest { node: node.id.to_string(), force: args.force };
                client.control.remove_node(request).await.map(drop).map_err(Error::from)
            }
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => format::write(&format!("{name}\n"))?,
            Err(error) => failed.push(error.to_string()),
        }
    }
    several(failed)
}
