//! The short syntax of `ports`: `[[IP:]HOST[-RANGE]:]CONTAINER[-RANGE][/PROTOCOL]`.

use std::net::IpAddr;

use crate::canonical::object;
use crate::error::Error;
use crate::node::{Node, Value};
use crate::path::Path;

/// One container port of a short definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortPort {
    pub host_ip: String,
    /// Empty, a port, or a range that one port is chosen from.
    pub published: String,
    pub target: u16,
    pub protocol: String,
}

/// Most ports that one range may name.
const RANGE_LIMIT: usize = 65_536;

/// Expands a short definition to one item per container port, sorted as text like Docker's.
pub fn parse(spec: &str) -> Result<Vec<ShortPort>, String> {
    let (address, protocol) = match spec.split_once('/') {
        Some((address, "")) => (address, "tcp"),
        Some((address, protocol)) => (address, protocol),
        None => (spec, "tcp"),
    };
    let protocol = protocol.to_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!("invalid proto: {protocol}"));
    }
    let (ip, host, container) = parts(address);
    if container.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let host_ip = ip.trim_start_matches('[').trim_end_matches(']');
    if !host_ip.is_empty() && host_ip.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {host_ip}"));
    }
    let (first, last) = range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    let published = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?),
    };
    if first == 0 {
        return Err(format!("port 0 of the container in {spec:?} is none"));
    }
    let count = usize::from(last - first) + 1;
    if let Some((low, high)) = published
        && usize::from(high - low) + 1 != count
        && first != last
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    let mut ports: Vec<ShortPort> = (0..count.min(RANGE_LIMIT))
        .map(|offset| ShortPort {
            host_ip: host_ip.to_owned(),
            published: match published {
                None => String::new(),
                Some((low, high)) if first == last && low != high => format!("{low}-{high}"),
                Some((low, _)) => (usize::from(low) + offset).to_string(),
            },
            target: first + offset as u16,
            protocol: protocol.clone(),
        })
        .collect();
    ports.sort_by_cached_key(|port| format!("{}/{}", port.target, port.protocol));
    Ok(ports)
}

/// Splits `IP:HOST:CONTAINER` from the right, as an IPv6 address has colons of its own.
fn parts(address: &str) -> (&str, &str, &str) {
    match address.rsplit_once(':') {
        None => ("", "", address),
        Some((rest, container)) => match rest.rsplit_once(':') {
            None => ("", rest, container),
            Some((ip, host)) => (ip, host, container),
        },
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// Rewrites the list `ports`.
pub fn canonical(node: &mut Node, path: &Path) -> Result<(), Error> {
    let Some(items) = node.as_list_mut() else { return Ok(()) };
    let mut ports = Vec::with_capacity(items.len());
    for (index, item) in std::mem::take(items).into_iter().enumerate() {
        let text = match &item.value {
            Value::Map(_) => {
                ports.push(item);
                continue;
            }
            Value::Int(_) | Value::String(_) => item.scalar_text().unwrap_or_default(),
            _ => return Err(Error::mistyped(&item, path.index(index), "a port")),
        };
        let parsed = parse(&text).map_err(|reason| Error::invalid(item.span, path.index(index), reason))?;
        ports.extend(parsed.into_iter().map(|port| long(port, &item)));
        model::check_port_count(ports.len())
            .map_err(|error| Error::invalid(item.span, path.index(index), error.to_string()))?;
    }
    *items = ports;
    Ok(())
}

fn long(port: ShortPort, item: &Node) -> Node {
    let mut node = object(
        item.span,
        [
            ("mode", Value::String("ingress".into())),
            ("target", Value::Int(port.target.into())),
            ("protocol", Value::String(port.protocol)),
        ],
    );
    if let Some(map) = node.as_map_mut() {
        for (key, text) in [("host_ip", port.host_ip), ("published", port.published)] {
            if !text.is_empty() {
                map.insert(key.to_owned(), Node::string(text, item.span));
            }
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(spec: &str) -> Vec<String> {
        parse(spec)
            .unwrap()
            .iter()
            .map(|port| format!("{}|{}|{}|{}", port.host_ip, port.published, port.target, port.protocol))
            .collect()
    }

    #[test]
    fn short_syntax() {
        assert_eq!(short("80"), ["||80|tcp"]);
        assert_eq!(short("127.0.0.1:8080-8081:80-81/udp"), ["127.0.0.1|8080|80|udp", "127.0.0.1|8081|81|udp"]);
        assert_eq!(short("[::1]:8080:80"), ["::1|8080|80|tcp"]);
        assert_eq!(short("8000-9000:80"), ["|8000-9000|80|tcp"]);
        assert_eq!(short("127.0.0.1::80"), ["127.0.0.1||80|tcp"]);
        for spec in ["", "9999999", "80/x", "1-2:1-3", "x:80", "1.2.3:1:2", "5-3"] {
            assert!(parse(spec).is_err(), "{spec}");
        }
    }
}
