//! `orca swarm join|join-token|leave`.

use std::net::SocketAddr;

use api::control::JoinTokenRequest;
use api::swarm::{GetSwarmRequest, JoinRequest, LeaveRequest};
use model::{Availability, JoinToken, NodeRole};

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;

/// Swarm's port.
const PORT: u16 = 2377;

/// Arguments of `orca swarm join`.
#[derive(Debug, clap::Args)]
pub struct JoinArgs {
    /// What `orca swarm join-token` prints on a manager
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    token: String,
    /// Where other nodes reach this one
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "", hide_default_value = true)]
    advertise_addr: String,
    /// Where this node listens for others as a manager
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "0.0.0.0:2377")]
    listen_addr: String,
    /// Whether this node takes tasks: active, pause, drain
    #[arg(long, value_name = "WORD", default_value = "active")]
    availability: Availability,
    /// Where other nodes' packets for containers reach this one, if not at the address that is advertised
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    data_path_addr: String,
    /// Remove this node's own projects, which the cluster does not know (volumes stay)
    #[arg(long)]
    discard: bool,
    /// Where a manager listens; several are tried in turn
    #[arg(required = true, value_name = "HOST[:PORT]")]
    managers: Vec<String>,
}

/// Arguments of `orca swarm join-token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// Print the token only
    #[arg(short, long)]
    quiet: bool,
    /// Make a new one; the one before lets nobody in any more
    #[arg(long)]
    rotate: bool,
    /// worker or manager
    role: NodeRole,
}

/// Arguments of `orca swarm leave`.
#[derive(Debug, clap::Args)]
pub struct LeaveArgs {
    /// Even if this is a manager, or no manager can be told
    #[arg(short, long)]
    force: bool,
}

/// The addresses that names mean.
async fn resolve(managers: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for text in managers {
        if text.parse::<SocketAddr>().is_ok() || text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
            found.push(text.clone());
            continue;
        }
        let (name, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let port = if port.is_empty() { Some(PORT) } else { port.parse().ok() };
        let refused = |reason: String| Error::Flag { flag: "the manager's address", value: text.clone(), reason };
        let port = port.ok_or_else(|| refused("expected HOST[:PORT]".into()))?;
        let addresses = ::image::registry::lookup(name).await.map_err(|error| refused(error.to_string()))?;
        found.extend(addresses.into_iter().map(|address| SocketAddr::new(address, port).to_string()));
    }
    Ok(found)
}

/// Makes this node one of a cluster.
pub async fn join(host: &Host, args: JoinArgs) -> Result<()> {
    // Told before anything is started or asked.
    let token: Result<JoinToken, _> = args.token.parse();
    token.map_err(|error| Error::Flag { flag: "--token", value: shorten(&args.token), reason: error.to_string() })?;
    let request = JoinRequest {
        token: args.token,
        managers: resolve(&args.managers).await?,
        listen_address: args.listen_addr,
        advertise_address: args.advertise_addr,
        availability: api::types::Availability::from(args.availability).into(),
        discard: args.discard,
        data_path_address: args.data_path_addr,
    };
    let mut client = Client::connect_or_start(host).await?;
    let reply = client.swarm.join(request).await?.into_inner();
    let role = if reply.role == i32::from(api::types::NodeRole::Manager) { "manager" } else { "worker" };
    format::write(&format!("This node joined a swarm as a {role}.\n"))
}

/// The beginning of a token, which holds nothing secret.
fn shorten(token: &str) -> String {
    let begin: String = token.chars().take(20).collect();
    if begin.len() < token.len() { begin + "…" } else { begin }
}

/// Shows the token of a role.
pub async fn token(host: &Host, args: TokenArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let role = args.role;
    let request = JoinTokenRequest { role: api::types::NodeRole::from(role).into(), rotate: args.rotate };
    let token = client.control.join_token(request).await?.into_inner().token;
    if args.quiet {
        return format::write(&format!("{token}\n"));
    }
    let swarm = client.swarm.get_swarm(GetSwarmRequest {}).await?.into_inner();
    let own = swarm.managers.iter().find(|manager| manager.starts_with(&swarm.address)).or(swarm.managers.first());
    let rotated = if args.rotate { format!("Successfully rotated {role} join token.\n\n") } else { String::new() };
    format::write(&format!(
        "{rotated}To add a {role} to this swarm, run the following command:\n\n    orca swarm join --token {token} {}\n\n",
        own.map_or("", String::as_str)
    ))
}

/// Makes this node a lone one again.
pub async fn leave(host: &Host, args: LeaveArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    client.swarm.leave(LeaveRequest { force: args.force }).await?;
    format::write("Node left the swarm.\n")
}
