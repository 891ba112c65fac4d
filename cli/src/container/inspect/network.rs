//! `NetworkSettings`: where a container can be reached.

use api::node::{Container, NamedAttachment};
use api::types::{ContainerPhase, PortSpec};
use serde_json::{Map, Value as Json, json};

use crate::output::human;

/// Docker's object, in its order.
pub fn describe(container: &Container) -> Json {
    let first = container.attachments.first().map(addresses).unwrap_or_default();
    let network = |attachment: &NamedAttachment| (attachment.network.clone(), endpoint(container, attachment));
    let networks: Map<String, Json> = container.attachments.iter().map(network).collect();
    let runs = container.status.as_ref().is_some_and(|status| status.phase() == ContainerPhase::Running);
    json!({
        "Bridge": "",
        "SandboxID": if runs { container.id.as_str() } else { "" },
        "SandboxKey": "",
        "Ports": if runs { bindings(container) } else { Map::new() },
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": "",
        "Gateway": first.gateway,
        "GlobalIPv6Address": first.v6,
        "GlobalIPv6PrefixLen": first.v6_prefix,
        "IPAddress": first.v4,
        "IPPrefixLen": first.v4_prefix,
        "IPv6Gateway": first.v6_gateway,
        "MacAddress": container.attachments.first().map(|own| own.mac.clone()).unwrap_or_default(),
        "Networks": networks,
    })
}

#[derive(Default)]
struct Addresses {
    v4: String,
    v4_prefix: u32,
    v6: String,
    v6_prefix: u32,
    gateway: String,
    v6_gateway: String,
}

fn addresses(attachment: &NamedAttachment) -> Addresses {
    let is_v6 = |address: &&String| address.contains(':');
    let v4 = attachment.addresses.iter().find(|address| !is_v6(address)).cloned().unwrap_or_default();
    let v6 = attachment.addresses.iter().find(is_v6).cloned().unwrap_or_default();
    Addresses {
        v4,
        v4_prefix: attachment.prefix,
        v6,
        v6_prefix: attachment.prefix6,
        gateway: attachment.gateway.clone(),
        v6_gateway: attachment.gateway6.clone(),
    }
}

fn endpoint(container: &Container, attachment: &NamedAttachment) -> Json {
    let found = addresses(attachment);
    let short: String = container.id.chars().take(12).collect();
    let mut names = vec![container.name.clone()];
    names.extend(attachment.aliases.iter().filter(|alias| **alias != container.name).cloned());
    names.push(short);
    let aliases = if attachment.aliases.is_empty() { Json::Null } else { json!(attachment.aliases) };
    json!({
        "IPAMConfig": null,
        "Links": links(container, &attachment.network),
        "Aliases": aliases,
        "MacAddress": attachment.mac,
        "DriverOpts": null,
        "GwPriority": 0,
        "NetworkID": attachment.network_id,
        "EndpointID": "",
        "Gateway": found.gateway,
        "IPAddress": found.v4,
        "IPPrefixLen": found.v4_prefix,
        "IPv6Gateway": found.v6_gateway,
        "GlobalIPv6Address": found.v6,
        "GlobalIPv6PrefixLen": found.v6_prefix,
        "DNSNames": names,
    })
}

/// `NAME:ALIAS`, null without any.
fn links(container: &Container, network: &str) -> Json {
    use api::types::network_mode::Mode;
    let Some(Mode::Networks(specs)) = container.network.as_ref().and_then(|network| network.mode.as_ref()) else {
        return Json::Null;
    };
    let of = specs.attachments.iter().filter(|spec| spec.network == network).flat_map(|spec| &spec.links);
    let mut all: Vec<String> = of.map(|(alias, name)| format!("{name}:{alias}")).collect();
    all.sort();
    if all.is_empty() { Json::Null } else { json!(all) }
}

/// `80/tcp` with where it is published; null where it is not.
pub fn bindings(container: &Container) -> Map<String, Json> {
    let mut bindings: Map<String, Json> =
        human::exposed(container).into_iter().map(|port| (port, Json::Null)).collect();
    for port in &container.ports {
        let key = format!("{}/{}", port.target, human::protocol(port));
        let entry = bindings.entry(key).or_insert(Json::Null);
        let hosts = published(container, port);
        match entry {
            Json::Array(all) => all.extend(hosts),
            other if !hosts.is_empty() => *other = Json::Array(hosts),
            _ => {}
        }
    }
    bindings
}

fn published(container: &Container, port: &PortSpec) -> Vec<Json> {
    let Some(published) = port.published else { return Vec::new() };
    let at = |ip: String| json!({ "HostIp": ip, "HostPort": published.to_string() });
    human::host_addresses(container, port).into_iter().map(at).collect()
}
