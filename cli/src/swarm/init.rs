//! `orca swarm init`.

use api::swarm::InitRequest;
use model::{Availability, ClusterSpec, IpSubnet};

use super::settings::{self, Settings};
use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::format;

/// Arguments of `orca swarm init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where other nodes reach this one
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "", hide_default_value = true)]
    advertise_addr: String,
    /// Where this node listens for others
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "0.0.0.0:2377")]
    listen_addr: String,
    /// Whether this node takes tasks: active, pause, drain
    #[arg(long, value_name = "WORD", default_value = "active")]
    availability: Availability,
    /// Where subnets of networks come from
    #[arg(long, value_name = "SUBNET", value_delimiter = ',')]
    default_addr_pool: Vec<IpSubnet>,
    /// Prefix length of those subnets
    #[arg(long, value_name = "LENGTH", default_value_t = 24)]
    default_addr_pool_mask_length: u8,
    #[command(flatten)]
    settings: Settings,
}

/// Opens this node to others.
pub async fn init(host: &Host, args: Args) -> Result<()> {
    let pools = settings::pools(&args.default_addr_pool, args.default_addr_pool_mask_length)?;
    let mut client = Client::connect_or_start(host).await?;
    let request = InitRequest {
        listen_address: args.listen_addr,
        advertise_address: args.advertise_addr,
        availability: api::types::Availability::from(args.availability).into(),
        spec: Some(args.settings.apply(ClusterSpec::default()).into()),
        address_pools: pools.into_iter().map(Into::into).collect(),
    };
    let reply = client.swarm.init(request).await?.into_inner();
    format::write(&format!(
        "Swarm initialized: current node ({}) is now a manager.\n\n\
         To add a worker to this swarm, run the following command:\n\n    \
         orca swarm join --token {} {}\n\n\
         To add a manager to this swarm, run 'orca swarm join-token manager' and follow the instructions.\n\n",
        reply.node, reply.worker_token, reply.address
    ))
}
