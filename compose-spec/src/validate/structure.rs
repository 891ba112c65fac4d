//! Rules within one resource, checked before anything is resolved; they hold for disabled services too.

use std::net::IpAddr;

use crate::error::{Error, Errors};
use crate::node::{Map, Node};

/// Checks a canonical model.
///
/// # Errors
/// All that is wrong.
pub fn structure(model: &Node) -> Result<(), Errors> {
    let mut errors = Vec::new();
    for (name, volume) in entries(model, "volumes") {
        external_alone(&format!("volumes.{name}"), volume, &mut errors);
    }
    for (name, config) in entries(model, "configs") {
        one_source(&format!("configs.{name}"), config, &["file", "environment", "content"], &mut errors);
    }
    for (name, secret) in entries(model, "secrets") {
        one_source(&format!("secrets.{name}"), secret, &["file", "environment"], &mut errors);
    }
    for (name, service) in entries(model, "services") {
        self::service(&format!("services.{name}"), service, &mut errors);
    }
    Errors(errors).into_result()
}

fn entries<'a>(model: &'a Node, section: &str) -> impl Iterator<Item = (&'a String, &'a Node)> {
    model.get(section).and_then(Node::as_map).into_iter().flat_map(Map::iter)
}

fn external_alone(path: &str, resource: &Node, errors: &mut Vec<Error>) {
    if resource.get("external").and_then(Node::as_bool) != Some(true) {
        return;
    }
    for (key, node) in resource.as_map().into_iter().flat_map(Map::iter) {
        if !matches!(key.as_str(), "name" | "external") && !key.starts_with("x-") {
            errors.push(Error::invalid(
                node.key,
                path,
                format!("conflicting parameters \"external\" and {key:?} specified"),
            ));
        }
    }
}

fn one_source(path: &str, resource: &Node, keys: &[&str], errors: &mut Vec<Error>) {
    let set: Vec<&str> = keys.iter().copied().filter(|key| resource.get(key).is_some()).collect();
    if set.len() > 1 {
        errors.push(Error::invalid(
            resource.key,
            path,
            format!("{} attributes are mutually exclusive", keys.join("|")),
        ));
    }
    if set.is_empty() && resource.get("driver").is_none() && resource.get("external").is_none() {
        errors.push(Error::invalid(resource.key, path, format!("one of {} must be set", keys.join("|"))));
    }
}

fn service(path: &str, service: &Node, errors: &mut Vec<Error>) {
    for (index, port) in list(service, &["ports"]).iter().enumerate() {
        if let Some(ip) = port.get("host_ip") {
            let text = ip.as_str().unwrap_or_default();
            if text.parse::<IpAddr>().is_err() {
                errors.push(Error::invalid(
                    ip.span,
                    format!("{path}.ports[{index}].host_ip"),
                    format!("invalid ip address: {text}"),
                ));
            }
        }
    }
    for key in ["secrets", "configs"] {
        for (index, item) in list(service, &[key]).iter().enumerate().filter(|(_, item)| item.get("source").is_none()) {
            errors.push(Error::invalid(item.span, format!("{path}.{key}[{index}]"), "source is missing"));
        }
    }
    for (index, mount) in list(service, &["volumes"]).iter().enumerate() {
        self::mount(&format!("{path}.volumes[{index}]"), mount, errors);
    }
    for (index, watch) in list(service, &["develop", "watch"]).iter().enumerate() {
        if let Some(watched) = watch.get("path").filter(|node| node.as_str() == Some("")) {
            errors.push(Error::invalid(
                watched.span,
                format!("{path}.develop.watch[{index}].path"),
                "value can't be blank",
            ));
        }
    }
    for keys in [&["gpus"][..], &["deploy", "resources", "reservations", "devices"]] {
        for (index, request) in list(service, keys).iter().enumerate() {
            if request.get("count").is_some() && request.get("device_ids").is_some() {
                let place = format!("{path}.{}[{index}]", keys.join("."));
                errors.push(Error::invalid(
                    request.span,
                    place,
                    "\"count\" and \"device_ids\" attributes are exclusive",
                ));
            }
        }
    }
}

fn mount(path: &str, mount: &Node, errors: &mut Vec<Error>) {
    if mount.get("type").and_then(Node::as_str) == Some("bind") && mount.get("source").is_none() {
        let reason = "invalid mount config for type \"bind\": field Source must not be empty";
        errors.push(Error::invalid(mount.span, path, reason));
    }
    if let Some(mode) = mount.at(&["tmpfs", "mode"]).filter(|mode| mode.as_str().is_some()) {
        errors.push(Error::mistyped(mode, format!("{path}.tmpfs.mode"), "an integer such as 0o1777"));
    }
}

fn list<'a>(service: &'a Node, keys: &[&str]) -> &'a [Node] {
    service.at(keys).and_then(Node::as_list).unwrap_or_default()
}
