//! `orca network connect` and `orca network disconnect`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::network::{ConnectRequest, DisconnectRequest};
use model::AttachmentSpec;

use super::{driver_options, refuse};
use crate::client::{Client, Host};
use crate::error::Result;

/// Arguments of `orca network connect`.
#[derive(Debug, clap::Args)]
pub struct ConnectArgs {
    /// A further name there
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// A name of its own for another container: CONTAINER[:ALIAS]
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    link: Vec<String>,
    /// IPv4 address there
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// IPv6 address there
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// A further address there, for the link alone
    #[arg(long, value_name = "ADDRESS")]
    link_local_ip: Vec<IpAddr>,
    /// Option: com.docker.network.endpoint.ifname=NAME, com.docker.network.endpoint.sysctls=KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    driver_opt: Vec<String>,
    /// Which network the way out leads by
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, default_value_t = 0)]
    gw_priority: i64,
    /// Network
    network: String,
    /// Container
    container: String,
}

/// Arguments of `orca network disconnect`.
#[derive(Debug, clap::Args)]
pub struct DisconnectArgs {
    /// A container that is not connected is no failure
    #[arg(short, long)]
    force: bool,
    /// Network
    network: String,
    /// Container
    container: String,
}

/// Adds a container to a network.
pub async fn connect(host: &Host, args: ConnectArgs) -> Result<()> {
    if args.gw_priority != 0 {
        let reason = "the way out leads by the network that was joined first; give priorities with `run --network`";
        return Err(refuse("--gw-priority", &args.gw_priority.to_string(), reason));
    }
    let options = driver_options(&args.driver_opt)
        .map_err(|reason| refuse("--driver-opt", &args.driver_opt.join(","), &reason))?;
    for address in &args.link_local_ip {
        model::check_link_local(*address).map_err(|reason| refuse("--link-local-ip", &address.to_string(), &reason))?;
    }
    let attachment = AttachmentSpec {
        network: args.network,
        aliases: args.alias,
        links: super::links(&args.link).map_err(|reason| refuse("--link", &args.link.join(" "), &reason))?,
        ipv4_address: args.ip.map(Into::into),
        ipv6_address: args.ip6.map(Into::into),
        mac_address: None,
        interface_name: options.interface_name,
        sysctls: options.sysctls,
        link_local: args.link_local_ip,
        local: false,
    };
    let mut client = Client::connect(host).await?;
    let request = ConnectRequest { container: args.container, attachment: Some(attachment.into()) };
    client.networks.connect_network(request).await?;
    Ok(())
}

/// Takes a container off a network.
pub async fn disconnect(host: &Host, args: DisconnectArgs) -> Result<()> {
    let DisconnectArgs { force, network, container } = args;
    let mut client = Client::connect(host).await?;
    client.networks.disconnect_network(DisconnectRequest { network, container, force }).await?;
    Ok(())
}
