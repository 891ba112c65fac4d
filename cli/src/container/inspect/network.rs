//! `NetworkSettings`: where a container can be reached.

use api::node::{Container, NamedAttachment};
use api::types::network_mode::Mode;
use api::types::{AttachmentSpec, PortSpec};
use serde_json::{Map, Value as Json, json};

use crate::output::human;

/// Docker's object, in its order.
pub fn describe(container: &Container) -> Json {
    let is_up = human::is_up(container);
    let first = container.attachments.first().filter(|_| is_up).map(addresses).unwrap_or_default();
    let network = |attachment: &NamedAttachment| (attachment.network.clone(), endpoint(container, attachment));
    let networks: Map<String, Json> = container.attachments.iter().map(network).collect();
    json!({
        "Bridge": "",
        "SandboxID": if is_up { container.id.as_str() } else { "" },
        "SandboxKey": sandbox(container),
        "Ports": if is_up { bindings(container) } else { Map::new() },
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": if first.v4.is_empty() && first.v6.is_empty() { "" } else { container.id.as_str() },
        "Gateway": first.gateway,
        "GlobalIPv6Address": first.v6,
        "GlobalIPv6PrefixLen": first.v6_prefix,
        "IPAddress": first.v4,
        "IPPrefixLen": first.v4_prefix,
        "IPv6Gateway": first.v6_gateway,
        "MacAddress": first.mac,
        "Networks": networks,
    })
}

/// Where a running container's network namespace can be entered.
fn sandbox(container: &Container) -> String {
    let pid = container.status.as_ref().filter(|_| human::is_up(container)).and_then(|status| status.pid);
    pid.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default()
}

#[derive(Default)]
struct Addresses {
    mac: String,
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
        mac: attachment.mac.clone(),
        v4,
        v4_prefix: attachment.prefix,
        v6,
        v6_prefix: attachment.prefix6,
        gateway: attachment.gateway.clone(),
        v6_gateway: attachment.gateway6.clone(),
    }
}

fn endpoint(container: &Container, attachment: &NamedAttachment) -> Json {
    let is_up = human::is_up(container);
    let found = if is_up { addresses(attachment) } else { Addresses::default() };
    let short: String = container.id.chars().take(12).collect();
    let mut names = vec![container.name.clone()];
    names.extend(attachment.aliases.iter().filter(|alias| **alias != container.name).cloned());
    names.push(short);
    let aliases = if attachment.aliases.is_empty() { Json::Null } else { json!(attachment.aliases) };
    json!({
        "IPAMConfig": fixed(container, &attachment.network),
        "Links": links(container, &attachment.network),
        "Aliases": aliases,
        "MacAddress": found.mac,
        "DriverOpts": options(container, &attachment.network),
        "GwPriority": 0,
        "NetworkID": attachment.network_id,
        // A container has one endpoint on a network: the two name it.
        "EndpointID": if is_up { container.id.as_str() } else { "" },
        "Gateway": found.gateway,
        "IPAddress": found.v4,
        "IPPrefixLen": found.v4_prefix,
        "IPv6Gateway": found.v6_gateway,
        "GlobalIPv6Address": found.v6,
        "GlobalIPv6PrefixLen": found.v6_prefix,
        "DNSNames": names,
    })
}

/// How a container was put on a network.
fn asked<'a>(container: &'a Container, network: &'a str) -> impl Iterator<Item = &'a AttachmentSpec> {
    let specs = match container.network.as_ref().and_then(|network| network.mode.as_ref()) {
        Some(Mode::Networks(specs)) => specs.attachments.as_slice(),
        _ => &[],
    };
    specs.iter().filter(move |spec| spec.network == network)
}

/// Addresses that were asked for, null without any.
fn fixed(container: &Container, network: &str) -> Json {
    let Some(spec) = asked(container, network).next() else { return Json::Null };
    let addresses = [("IPv4Address", &spec.ipv4_address), ("IPv6Address", &spec.ipv6_address)];
    let of = addresses.into_iter().filter_map(|(key, address)| Some((key.to_owned(), json!(address.as_ref()?))));
    let mut found: Map<String, Json> = of.collect();
    if !spec.link_local.is_empty() {
        found.insert("LinkLocalIPs".into(), json!(spec.link_local));
    }
    if found.is_empty() { Json::Null } else { Json::Object(found) }
}

/// Options of the endpoint, null without any.
fn options(container: &Container, network: &str) -> Json {
    let Some(spec) = asked(container, network).find(|spec| !spec.sysctls.is_empty()) else { return Json::Null };
    let mut settings: Vec<String> = spec.sysctls.iter().map(|(key, value)| format!("{key}={value}")).collect();
    settings.sort();
    json!({ "com.docker.network.endpoint.sysctls": settings.join(",") })
}

/// `NAME:ALIAS`, null without any.
fn links(container: &Container, network: &str) -> Json {
    let of = asked(container, network).flat_map(|spec| &spec.links);
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

/// Where ports are to be published as it was asked for: no address where none was named.
pub fn asked_bindings(container: &Container) -> Map<String, Json> {
    let mut bindings: Map<String, Json> = Map::new();
    for port in &container.ports {
        let number = match (&port.choose_from, port.published) {
            (Some(range), _) => format!("{}-{}", range.first, range.last),
            (None, published) => published.map(|port| port.to_string()).unwrap_or_default(),
        };
        let binding = json!({ "HostIp": port.host_ip.as_deref().unwrap_or_default(), "HostPort": number });
        let key = format!("{}/{}", port.target, human::protocol(port));
        if let Json::Array(all) = bindings.entry(key).or_insert_with(|| json!([])) {
            all.push(binding);
        }
    }
    bindings
}
