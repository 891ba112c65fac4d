//! `orca node ls|inspect|ps|promote|demote|update|rm`.

mod change;
mod inspect;
mod list;
mod tasks;

pub use tasks::row as task_row;

use api::control::{GetClusterReply, GetClusterRequest};
use clap::Subcommand;
use model::{Node, NodeRole};

use crate::client::{Client, Host};
use crate::error::{Error, Result};

/// What to do with nodes.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make managers workers
    Demote(change::Names),
    /// Show all about nodes
    Inspect(inspect::Args),
    /// List nodes
    #[command(alias = "list")]
    Ls(list::Args),
    /// Make workers managers
    Promote(change::Names),
    /// List tasks on nodes
    Ps(tasks::Args),
    /// Remove nodes from the cluster
    #[command(alias = "remove")]
    Rm(change::RemoveArgs),
    /// Change a node
    Update(change::UpdateArgs),
}

/// Carries a verb out.
pub async fn run(host: &Host, verb: Verb) -> Result<()> {
    match verb {
        Verb::Demote(args) => change::set_role(host, args, NodeRole::Worker).await,
        Verb::Inspect(args) => inspect::inspect(host, args).await,
        Verb::Ls(args) => list::list(host, args).await,
        Verb::Promote(args) => change::set_role(host, args, NodeRole::Manager).await,
        Verb::Ps(args) => tasks::list(host, args).await,
        Verb::Rm(args) => change::remove(host, args).await,
        Verb::Update(args) => change::update(host, args).await,
    }
}

/// The nodes of the cluster, and what else its leader says.
struct Nodes {
    nodes: Vec<Node>,
    leader: String,
    unreachable: Vec<String>,
    /// The node that was asked.
    own: String,
}

impl Nodes {
    async fn ask(client: &mut Client) -> Result<Self> {
        let reply = client.control.get_cluster(GetClusterRequest {}).await?.into_inner();
        let GetClusterReply { cluster, nodes, leader, unreachable, .. } = reply;
        if cluster.is_none_or(|cluster| cluster.identity.is_none()) {
            return Err(Error::NotConverged(
                "this node is not part of a cluster: use `orca swarm init` or `orca swarm join` first".into(),
            ));
        }
        let nodes: Result<Vec<Node>, api::Error> = nodes.into_iter().map(Node::try_from).collect();
        let own = client.swarm.get_swarm(api::swarm::GetSwarmRequest {}).await?.into_inner().node;
        Ok(Self { nodes: nodes?, leader, unreachable, own })
    }

    /// The node of this name: its id, the beginning of one, its host name, or `self`.
    fn find(&self, name: &str) -> Result<&Node> {
        let id = |node: &&Node| node.id.to_string() == if name == "self" { self.own.as_str() } else { name };
        if let Some(node) = self.nodes.iter().find(id) {
            return Ok(node);
        }
        let named: Vec<&Node> = self.nodes.iter().filter(|node| node.description.hostname == name).collect();
        let begun = || self.nodes.iter().filter(|node| node.id.to_string().starts_with(name)).collect::<Vec<_>>();
        let found = if named.is_empty() && !name.is_empty() { begun() } else { named };
        match found.as_slice() {
            [] => Err(Error::NotFound { kind: "node", name: name.into() }),
            [node] => Ok(node),
            several => Err(Error::NotConverged(format!(
                "node {name} is ambiguous ({} nodes are meant): give the id",
                several.len()
            ))),
        }
    }

    /// Docker's word for a manager's state; empty for a worker.
    fn manager_status(&self, node: &Node) -> &'static str {
        let id = node.id.to_string();
        match (&node.manager, self.unreachable.contains(&id)) {
            (None, _) => "",
            (Some(_), _) if id == self.leader => "Leader",
            (Some(_), true) => "Unreachable",
            (Some(_), false) => "Reachable",
        }
    }
}

/// `ready` with a capital letter.
fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

fn state(node: &Node) -> &'static str {
    match node.state {
        model::NodeState::Unknown => "unknown",
        model::NodeState::Ready => "ready",
        model::NodeState::Down => "down",
    }
}

/// Says the first error after all names were tried.
fn several(failed: Vec<String>) -> Result<()> {
    if failed.is_empty() { Ok(()) } else { Err(Error::Several(failed.join("\n"))) }
}
