//! `orca swarm init`.

use api::control::UnlockKeyChange;
use api::swarm::InitRequest;
use model::{Availability, ClusterSpec, IpSubnet};

use super::settings::{self, Settings};
use super::unlock;
use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::format;

/// Arguments of `orca swarm init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where other nodes reach this one
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "", hide_default_value = true)]
    advertise_addr: String,
    /// Where this node listens for others [default: 0.0.0.0:2377]
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    listen_addr: Option<String>,
    /// Whether this node takes tasks: active, pause, drain
    #[arg(long, value_name = "WORD", default_value = "active")]
    availability: Availability,
    /// Where subnets of networks come from
    #[arg(long, value_name = "SUBNET", value_delimiter = ',')]
    default_addr_pool: Vec<IpSubnet>,
    /// Prefix length of those subnets
    #[arg(long, value_name = "LENGTH", default_value_t = 24)]
    default_addr_pool_mask_length: u8,
    /// Where other nodes' packets for containers reach this one, if not at the address that is advertised
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    data_path_addr: String,
    /// UDP port of all nodes for each other's packets between containers, 1024 to 49151
    #[arg(long, value_name = "PORT", default_value_t = model::MESH_PORT.into())]
    data_path_port: u32,
    /// The other managers are lost: go on with this manager alone and the state that it has, maybe at another address
    #[arg(
        long,
        conflicts_with_all = ["availability", "default_addr_pool", "default_addr_pool_mask_length", "cert_expiry", "dispatcher_heartbeat", "data_path_addr", "data_path_port"]
    )]
    force_new_cluster: bool,
    /// Lock managers: each needs the unlock key when it starts
    #[arg(long, conflicts_with = "force_new_cluster")]
    autolock: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Where a node listens if nobody says.
const LISTEN: &str = "0.0.0.0:2377";

/// Opens this node to others.
pub async fn init(host: &Host, args: Args) -> Result<()> {
    let pools = settings::pools(&args.default_addr_pool, args.default_addr_pool_mask_length)?;
    let force = args.force_new_cluster;
    let mut client = Client::connect_or_start(host).await?;
    let request = InitRequest {
        // A cluster that goes on listens where it did.
        listen_address: args.listen_addr.unwrap_or_else(|| if args.force_new_cluster { "" } else { LISTEN }.into()),
        advertise_address: args.advertise_addr,
        availability: api::types::Availability::from(args.availability).into(),
        spec: Some(args.settings.apply(ClusterSpec::default()).into()),
        data_path_address: args.data_path_addr,
        data_path_port: args.data_path_port,
        address_pools: pools.into_iter().map(Into::into).collect(),
        force_new_cluster: args.force_new_cluster,
    };
    let reply = client.swarm.init(request).await?.into_inner();
    let node = &reply.node;
    let done = match force {
        true => format!("Swarm goes on: current node ({node}) is now its only manager."),
        false => format!("Swarm initialized: current node ({node}) is now a manager."),
    };
    format::write(&format!(
        "{done}\n\n\
         To add a worker to this swarm, run the following command:\n\n    \
         orca swarm join --token {} {}\n\n\
         To add a manager to this swarm, run 'orca swarm join-token manager' and follow the instructions.\n\n",
        reply.worker_token, reply.address
    ))?;
    if args.autolock {
        let key = unlock::change_key(&mut client, UnlockKeyChange::On).await?;
        format::write(&unlock::instructions(&key))?;
    }
    Ok(())
}
