//! `orca network inspect`.

use api::network::{Endpoint, InspectRequest, Network};
use api::types::AddressRange;
use model::Timestamp;
use serde_json::{Map, Value, json};

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::inspect;

/// Arguments of `orca network inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also tasks on other nodes, of which there are none
    #[arg(short, long)]
    verbose: bool,
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// Networks
    #[arg(required = true)]
    networks: Vec<String>,
}

/// Prints an array with one object a network, in Docker's shape.
pub async fn inspect(host: &Host, args: Args) -> Result<()> {
    let mut client = Client::connect_or_start(host).await?;
    inspect::each(args.format.as_deref(), &args.networks, async |name| find(&mut client, name).await).await
}

/// Docker's object for the network of a name.
pub async fn find(client: &mut Client, name: &str) -> Result<Value> {
    let request = InspectRequest { network: name.to_owned() };
    let mut networks = [client.networks.inspect_network(request).await?.into_inner()];
    super::complete(client, &mut networks).await?;
    networks.iter().find_map(describe).ok_or_else(|| Error::NotFound { kind: "network", name: name.to_owned() })
}

fn describe(network: &Network) -> Option<Value> {
    let plain = network.network.as_ref()?;
    let containers: Map<String, Value> =
        network.endpoints.iter().map(|endpoint| (endpoint.container.clone(), member(endpoint))).collect();
    let pools: Vec<Value> = plain.pools.iter().map(pool).collect();
    Some(json!({
        "Name": plain.name,
        "Id": plain.id,
        "Created": Timestamp(plain.created_at).to_rfc3339(),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": super::has_family(plain, false),
        "EnableIPv6": super::has_family(plain, true),
        "IPAM": { "Driver": "default", "Options": {}, "Config": pools },
        "Internal": plain.internal,
        "Attachable": plain.attachable,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": containers,
        "Options": plain.options,
        "Labels": plain.labels,
    }))
}

fn pool(pool: &AddressRange) -> Value {
    let mut value = json!({ "Subnet": pool.subnet, "Gateway": pool.gateway });
    if let Some(range) = &pool.range {
        value["IPRange"] = json!(range);
    }
    if !pool.auxiliary.is_empty() {
        value["AuxiliaryAddresses"] = json!(pool.auxiliary);
    }
    value
}

fn member(endpoint: &Endpoint) -> Value {
    let address = |v6: bool| endpoint.addresses.iter().find(|address| address.contains(':') == v6);
    json!({
        "Name": endpoint.name,
        // A container has one endpoint on a network: the two name it.
        "EndpointID": endpoint.container,
        "MacAddress": endpoint.mac,
        "IPv4Address": address(false).cloned().unwrap_or_default(),
        "IPv6Address": address(true).cloned().unwrap_or_default(),
    })
}
