//! `orca network create`.

use api::network::CreateRequest;

use super::refuse;
use crate::client::{Client, Host};
use crate::container::flags;
use crate::error::Result;
use crate::output::format;

/// Arguments of `orca network create`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Driver: bridge, macvlan or ipvlan
    #[arg(short, long, default_value = "bridge")]
    driver: String,
    /// Subnet, as 10.7.0.0/24; chosen if none is given
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<String>,
    /// The node's address in the subnet
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<String>,
    /// Part of the subnet that containers get addresses from
    #[arg(long, value_name = "SUBNET")]
    ip_range: Vec<String>,
    /// An address that belongs to something else: NAME=ADDRESS
    #[arg(long, value_name = "NAME=ADDRESS")]
    aux_address: Vec<String>,
    /// No way out
    #[arg(long)]
    internal: bool,
    /// Standalone containers may join, as they always may here
    #[arg(long)]
    attachable: bool,
    /// With IPv6
    #[arg(long)]
    ipv6: bool,
    /// With IPv4, unless false
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    ipv4: Option<bool>,
    /// Label: KEY[=VALUE]
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    label: Vec<String>,
    /// Option of the driver: KEY=VALUE
    #[arg(short, long, value_name = "KEY=VALUE")]
    opt: Vec<String>,
    /// Who gives addresses out: default
    #[arg(long, value_name = "DRIVER", default_value = "default")]
    ipam_driver: String,
    /// Where the network is: local
    #[arg(long, default_value = "local")]
    scope: String,
    /// Name
    network: String,
}

impl Args {
    /// What changes nothing here is refused by its name.
    fn check(&self) -> Result<()> {
        if self.ipam_driver != "default" {
            return Err(refuse("--ipam-driver", &self.ipam_driver, "only default gives addresses out"));
        }
        if self.scope != "local" {
            return Err(refuse("--scope", &self.scope, "only local; networks of stacks span nodes by themselves"));
        }
        Ok(())
    }
}

/// Makes a network and prints its id.
pub async fn create(host: &Host, args: Args) -> Result<()> {
    args.check()?;
    if let Some(text) = args.aux_address.iter().find(|text| !text.contains('=')) {
        return Err(refuse("--aux-address", text, "expected NAME=ADDRESS"));
    }
    let mut client = Client::connect_or_start(host).await?;
    let request = CreateRequest {
        name: args.network,
        driver: args.driver,
        options: flags::labels(&args.opt),
        labels: flags::labels(&args.label),
        internal: args.internal,
        attachable: args.attachable,
        ipv6: args.ipv6,
        ipv4: args.ipv4,
        subnets: args.subnet,
        ranges: args.ip_range,
        gateways: args.gateway,
        auxiliary: flags::labels(&args.aux_address),
    };
    let reply = client.networks.create_network(request).await?.into_inner();
    for warning in reply.warnings {
        eprintln!("WARNING: {warning}");
    }
    format::write(&format!("{}\n", reply.id))
}
