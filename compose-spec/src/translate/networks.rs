//! `networks`, `network_mode` and `ports`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{
    AttachmentSpec, EndpointOptions, IpSubnet, Ipam, LinkOptions, NetworkMode, NetworkSpec, PortRange, PortSpec,
    Protocol, PublishMode, ServiceSpec, Stack,
};

use super::fields::Fields;
use crate::error::Error;
use crate::node::{Map, Node};
use crate::project::Project;

/// Declares the networks in use.
pub fn declare(project: &Project, stack: &mut Stack, errors: &mut Vec<Error>) {
    for (key, node) in &project.networks {
        let fields = Fields::new(node, format!("networks.{key}"));
        let name = fields.text("name").unwrap_or_else(|| key.clone());
        if fields.flag("external") {
            // What an external network is like was said where it was made.
            for key in
                ["driver", "driver_opts", "ipam", "internal", "attachable", "labels", "enable_ipv4", "enable_ipv6"]
            {
                fields.take(key);
            }
            stack.external_networks.push(name);
        } else {
            stack.networks.push(network(project, key, name, &fields, errors));
        }
        fields.finish(errors);
    }
}

fn network(project: &Project, key: &str, name: String, fields: &Fields, errors: &mut Vec<Error>) -> NetworkSpec {
    let driver = match fields.text("driver").as_deref() {
        None | Some("bridge" | "overlay" | "default") => String::new(),
        Some(driver @ ("macvlan" | "ipvlan")) => driver.into(),
        Some(_) => {
            let hint = "only macvlan, ipvlan, and bridge and overlay, which are the same here";
            fields.refuse("driver", Some(hint), errors);
            String::new()
        }
    };
    let options = fields.strings("driver_opts");
    match LinkOptions::parse(&driver, &options) {
        Err(error) => fields.invalid("driver_opts", error.to_string(), errors),
        Ok(LinkOptions { host_binding: Some(_), .. }) => {
            let reason = "of a project's networks the address is said with each port: ports: [\"ADDRESS:PORT:PORT\"]";
            fields.invalid("driver_opts", reason, errors);
        }
        Ok(_) => {}
    }
    let no_ipv4 = fields.take("enable_ipv4").and_then(Node::as_bool) == Some(false);
    let mut ipam = Ipam { no_ipv4, ipv6: fields.flag("enable_ipv6"), ..Ipam::default() };
    if ipam.no_ipv4 && !ipam.ipv6 {
        fields.invalid("enable_ipv4", "a network without IPv4 needs enable_ipv6: true", errors);
    }
    let mut labels = fields.strings("labels");
    labels.insert("com.docker.compose.project".into(), project.name.clone());
    labels.insert("com.docker.compose.network".into(), key.to_owned());
    NetworkSpec {
        name,
        labels,
        stack: Some(project.name.clone()),
        internal: fields.flag("internal"),
        // As in Docker, where whatever runs on the node may join a project's networks.
        attachable: fields.take("attachable").and_then(Node::as_bool).unwrap_or(true),
        subnets: subnets(fields, &mut ipam, errors),
        driver,
        options,
        ipam,
    }
}

fn subnets(fields: &Fields, ipam: &mut Ipam, errors: &mut Vec<Error>) -> Vec<IpSubnet> {
    let mut subnets: Vec<IpSubnet> = Vec::new();
    let Some(config) = fields.nested("ipam") else { return subnets };
    if config.text("driver").is_some_and(|driver| driver != "default") {
        config.refuse("driver", Some("only default"), errors);
    }
    if config.take("options").is_some() {
        config.refuse("options", Some("the default driver has none"), errors);
    }
    for (index, node) in config.list("config").iter().enumerate() {
        let pool = Fields::new(node, format!("{}[{index}]", config.path("config")));
        if let Some(subnet) = self::pool(&pool, ipam, errors) {
            if subnets.iter().any(|other| other.is_ipv4() == subnet.is_ipv4()) {
                pool.invalid("subnet", format!("{subnet} comes second: a network has one subnet of a family"), errors);
            }
            subnets.push(subnet);
        }
        pool.finish(errors);
    }
    config.finish(errors);
    subnets
}

/// One subnet, and how its addresses are given out.
fn pool(pool: &Fields, ipam: &mut Ipam, errors: &mut Vec<Error>) -> Option<IpSubnet> {
    let subnet: Option<IpSubnet> = parsed(pool, "subnet", errors);
    let range: Option<IpSubnet> = parsed(pool, "ip_range", errors);
    let gateway: Option<IpAddr> = parsed(pool, "gateway", errors);
    let auxiliary = pool.strings("aux_addresses");
    let Some(subnet) = subnet else {
        let key = if range.is_some() {
            "ip_range"
        } else if gateway.is_some() {
            "gateway"
        } else {
            "aux_addresses"
        };
        if range.is_some() || gateway.is_some() || !auxiliary.is_empty() {
            pool.invalid(key, "it needs a subnet beside it", errors);
        }
        return None;
    };
    match (subnet.is_ipv4(), ipam.no_ipv4, ipam.ipv6) {
        (true, true, _) => pool.invalid("subnet", format!("{subnet} is IPv4, and enable_ipv4 is false"), errors),
        (false, _, false) => pool.invalid("subnet", format!("{subnet} is IPv6: set enable_ipv6: true"), errors),
        _ => {}
    }
    // The first and the last address are nobody's.
    let usable =
        |address: IpAddr| subnet.offset_of(address).is_some_and(|offset| offset != 0 && offset + 1 != subnet.size());
    match range {
        Some(range) if subnet.contains(range.network()) && range.prefix() >= subnet.prefix() => ipam.ranges.push(range),
        Some(range) => pool.invalid("ip_range", format!("{range} lies outside of {subnet}"), errors),
        None => {}
    }
    match gateway {
        Some(gateway) if usable(gateway) => ipam.gateways.push(gateway),
        Some(gateway) => pool.invalid("gateway", format!("{gateway} is not a usable address of {subnet}"), errors),
        None => {}
    }
    for (name, text) in auxiliary {
        match text.parse::<IpAddr>().ok().filter(|address| usable(*address)) {
            Some(address) if Some(address) != gateway => {
                ipam.auxiliary.insert(name, address);
            }
            Some(_) => pool.invalid("aux_addresses", format!("{name}: {text} is the gateway"), errors),
            None => {
                pool.invalid("aux_addresses", format!("{name}: {text:?} is not a usable address of {subnet}"), errors)
            }
        }
    }
    Some(subnet)
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    fields: &Fields,
    key: &'static str,
    errors: &mut Vec<Error>,
) -> Option<T> {
    let text = fields.text(key)?;
    text.parse().map_err(|error| fields.invalid(key, format!("{text:?}: {error}"), errors)).ok()
}

/// How the service's containers are connected; the network with the default route first.
pub fn mode(project: &Project, fields: &Fields, errors: &mut Vec<Error>) -> NetworkMode {
    let networks = fields.take("networks").and_then(Node::as_map);
    let links = links(fields);
    let mac = mac_address(fields, errors);
    if mac.is_some() && fields.text("network_mode").is_some_and(|mode| mode != "bridge") {
        fields.invalid("mac_address", "it needs networks of one's own, not those of network_mode", errors);
    }
    if !links.is_empty() && fields.text("network_mode").is_some_and(|mode| mode != "bridge") {
        fields.invalid("links", "links need networks of one's own, not those of network_mode", errors);
    }
    match fields.text("network_mode").as_deref() {
        None => {}
        Some("none") => return NetworkMode::None,
        Some("host") => return NetworkMode::Host,
        Some("bridge") => {
            let node = AttachmentSpec {
                network: "bridge".into(),
                local: true,
                links,
                mac_address: mac,
                ..AttachmentSpec::default()
            };
            return NetworkMode::Networks(vec![node]);
        }
        Some(text) => match text.split_once(':') {
            Some(("service", key)) => return NetworkMode::Service(key.to_owned()),
            Some(("container", name)) => return NetworkMode::Container(name.to_owned()),
            _ => {
                let hint = "only none, host, bridge, service:NAME and container:NAME; for others use networks";
                fields.refuse("network_mode", Some(hint), errors);
                return NetworkMode::None;
            }
        },
    }
    let mut attachments: Vec<_> = networks
        .into_iter()
        .flat_map(Map::iter)
        .map(|(key, node)| {
            attachment(project, key, Fields::new(node, format!("{}.{key}", fields.path("networks"))), errors)
        })
        .collect();
    attachments.sort_by(|a, b| a.0.cmp(&b.0));
    // As Compose: the service's address is that of its network with the highest priority.
    if let (Some(mac), Some((_, first))) =
        (mac, attachments.iter_mut().min_by_key(|((_, priority, key), _)| (*priority, key.clone())))
    {
        if first.mac_address.is_some_and(|other| other != mac) {
            let reason = format!("network {} gives the service another one there", first.network);
            fields.invalid("mac_address", reason, errors);
        }
        first.mac_address = Some(mac);
    }
    let linked = |(_, attachment): (Order, AttachmentSpec)| AttachmentSpec { links: links.clone(), ..attachment };
    NetworkMode::Networks(attachments.into_iter().map(linked).collect())
}

/// Names that the service alone has for others; a link without an alias says only what every service of the network knows.
fn links(fields: &Fields) -> BTreeMap<String, String> {
    let texts = fields.texts("links").into_iter().chain(fields.texts("external_links"));
    let links = texts.filter_map(|text| text.split_once(':').map(|(name, alias)| (alias.to_owned(), name.to_owned())));
    links.filter(|(alias, name)| alias != name).collect()
}

/// Order: gateway priority, then priority, then name, as Docker chooses the default route.
type Order = (Reverse<i64>, Reverse<i64>, String);

fn attachment(project: &Project, key: &str, fields: Fields, errors: &mut Vec<Error>) -> (Order, AttachmentSpec) {
    let network = project.networks.get(key).and_then(|node| node.get("name")).and_then(Node::as_str).unwrap_or(key);
    let gateway = fields.integer("gw_priority").unwrap_or(0);
    let priority = fields.integer("priority").unwrap_or(0);
    let options = endpoint_options(&fields, errors);
    let mut address = |field: &'static str, fits: fn(&IpAddr) -> bool| {
        let text = fields.text(field)?;
        let ip = text.parse().ok().filter(fits);
        if ip.is_none() {
            fields.invalid(field, format!("{text:?} is not an address of its family"), errors);
        }
        ip
    };
    let spec = AttachmentSpec {
        network: network.to_owned(),
        ipv4_address: address("ipv4_address", IpAddr::is_ipv4),
        ipv6_address: address("ipv6_address", IpAddr::is_ipv6),
        aliases: fields.texts("aliases"),
        links: BTreeMap::new(),
        mac_address: mac_address(&fields, errors),
        interface_name: options.interface_name,
        sysctls: options.sysctls,
        link_local: link_local(&fields, errors),
        local: false,
    };
    fields.finish(errors);
    ((Reverse(gateway), Reverse(priority), key.to_owned()), spec)
}

/// `interface_name` and `driver_opts` of a service on a network.
fn endpoint_options(fields: &Fields, errors: &mut Vec<Error>) -> EndpointOptions {
    let mut options = EndpointOptions::default();
    for (key, value) in fields.strings("driver_opts") {
        if !EndpointOptions::has(&key) {
            let hint = "the options are com.docker.network.endpoint.ifname and com.docker.network.endpoint.sysctls";
            fields.refuse(&format!("driver_opts.{key}"), Some(hint), errors);
        } else if let Err(reason) = options.set(&key, &value) {
            fields.invalid("driver_opts", reason, errors);
        }
    }
    if let Some(name) = fields.text("interface_name") {
        if options.interface_name.as_ref().is_some_and(|other| *other != name) {
            fields.invalid("interface_name", "driver_opts give the device another name", errors);
        }
        options.interface_name = Some(name);
    }
    options
}

fn link_local(fields: &Fields, errors: &mut Vec<Error>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for text in fields.texts("link_local_ips") {
        let address = text.parse::<IpAddr>().map_err(|_| format!("{text:?} is no address"));
        match address.and_then(|address| model::check_link_local(address).map(|()| address)) {
            Ok(address) => addresses.push(address),
            Err(reason) => fields.invalid("link_local_ips", reason, errors),
        }
    }
    addresses
}

fn mac_address(fields: &Fields, errors: &mut Vec<Error>) -> Option<model::MacAddress> {
    let text = fields.text("mac_address")?;
    text.parse().map_err(|error| fields.invalid("mac_address", format!("{error}"), errors)).ok()
}

/// A published port leads by way of the host, as packets of containers on a device of its own do not.
pub fn check_way_in(spec: &ServiceSpec, stack: &Stack, fields: &Fields, errors: &mut Vec<Error>) {
    let attachments = spec.network.attachments();
    let network = |name: &str| stack.networks.iter().find(|network| network.name == name);
    let is_elsewhere = |on: &AttachmentSpec| network(&on.network).is_some_and(NetworkSpec::is_elsewhere);
    if !spec.ports.is_empty() && !attachments.is_empty() && attachments.iter().all(is_elsewhere) {
        let reason =
            "on macvlan and ipvlan networks alone containers are reached at addresses of their own: leave ports out";
        fields.invalid("ports", reason, errors);
    }
}

/// The published ports.
pub fn ports(fields: &Fields, errors: &mut Vec<Error>) -> Vec<PortSpec> {
    let mut ports = Vec::new();
    for (index, node) in fields.list("ports").iter().enumerate() {
        let port = Fields::new(node, format!("{}[{index}]", fields.path("ports")));
        ports.extend(self::port(&port, errors));
        port.finish(errors);
    }
    if !ports.is_empty() && fields.text("network_mode").is_some_and(|mode| mode != "bridge") {
        fields.invalid("ports", "ports can't be published with network_mode none, host, service or container", errors);
    }
    ports
}

/// `8000-8010`: one port of them is chosen.
fn range(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (0 < first && first <= last).then_some(PortRange { first, last })
}

fn port(fields: &Fields, errors: &mut Vec<Error>) -> Option<PortSpec> {
    // Names for people and tools; nothing acts on them.
    fields.take("name");
    fields.take("app_protocol");
    if fields.take("x-orca-source").is_some() {
        let reason = "clients keep their own address: there is no way to hide it yet";
        fields.refuse("x-orca-source", Some(reason), errors);
    }
    let target = fields.integer("target").and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let Some(target) = target else {
        fields.invalid("target", "not a port: 1 to 65535", errors);
        return None;
    };
    let (published, choose_from) = match fields.text("published").as_deref() {
        None | Some("" | "0") => (None, None),
        Some(text) => match (text.parse(), range(text)) {
            (Ok(port), _) => (Some(port), None),
            (Err(_), Some(range)) => (None, Some(range)),
            (Err(_), None) => {
                fields.invalid("published", format!("{text:?} is neither a port nor a range of ports"), errors);
                (None, None)
            }
        },
    };
    let protocol = match fields.text("protocol").as_deref() {
        None | Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        Some("sctp") => Protocol::Sctp,
        Some(_) => {
            fields.refuse("protocol", Some("only tcp, udp and sctp"), errors);
            return None;
        }
    };
    let mode = match fields.text("mode").as_deref() {
        None | Some("ingress") => PublishMode::Ingress,
        Some("host") => PublishMode::Host,
        Some(other) => {
            fields.invalid("mode", format!("{other:?} is neither ingress nor host"), errors);
            return None;
        }
    };
    let host_ip = fields.text("host_ip").and_then(|ip| ip.parse().ok());
    Some(PortSpec { host_ip, published, target, protocol, mode, choose_from })
}
