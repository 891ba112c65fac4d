//! Short forms to long ones: after this stage every attribute has one shape.

pub mod ports;
pub mod volume;

use crate::error::{Error, Warning};
use crate::merge::names_form;
use crate::node::{Map, Node, Span, Value};
use crate::path::Path;

/// Rewrites a schema-checked model. When `lenient`, short forms that don't parse stay as they are, as a variable may stand in
/// them.
///
/// # Errors
/// [`Error::Invalid`] for short forms that don't parse.
pub fn canonical(model: &mut Node, warnings: &mut Vec<Warning>, lenient: bool) -> Result<(), Error> {
    let root = Path::ROOT;
    let Some(top) = model.as_map_mut() else { return Ok(()) };
    if let Some(services) = top.get_mut("services").and_then(Node::as_map_mut) {
        let path = root.key("services");
        for (name, service) in services {
            if let Some(map) = service.as_map_mut() {
                self::service(map, &path.key(name), lenient)?;
            }
        }
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        let path = root.key(section);
        if let Some(resources) = top.get_mut(section).and_then(Node::as_map_mut) {
            for (name, resource) in resources {
                if let Some(map) = resource.as_map_mut() {
                    external(map, &path.key(name), warnings)?;
                }
            }
        }
    }
    Ok(())
}

fn service(service: &mut Map, path: &Path, lenient: bool) -> Result<(), Error> {
    if let Some(build) = service.get_mut("build") {
        self::build(build, &path.key("build"), lenient)?;
    }
    for key in ["networks", "models"] {
        if let Some(node) = service.get_mut(key) {
            replace(node, |node| names_form(node, false));
        }
    }
    if let Some(node) = service.get_mut("depends_on") {
        replace(node, |node| names_form(node, true));
        depends_on(node);
    }
    for key in ["label_file", "dns"] {
        if let Some(node) = service.get_mut(key) {
            string_as_list(node);
        }
    }
    if let Some(dns) = service.get_mut("dns").and_then(Node::as_list_mut) {
        dns.retain(|item| !item.is_null() && item.as_str() != Some(""));
    }
    if let Some(node) = service.get_mut("env_file") {
        string_as_list(node);
        each(
            node,
            |item, _| {
                env_file(item);
                Ok(())
            },
            &path.key("env_file"),
        )?;
    }
    if let Some(node) = service.get_mut("extends") {
        string_as_field(node, "service");
    }
    if let Some(node) = service.get_mut("gpus")
        && node.as_str().is_some()
    {
        let device = object(node.span, [("count", Value::String("all".into()))]);
        node.value = Value::List(vec![device]);
    }
    if let Some(node) = service.get_mut("volumes") {
        each(node, |item, path| attempt(item, path, lenient, volume::canonical), &path.key("volumes"))?;
    }
    if let Some(node) = service.get_mut("devices") {
        each(node, |item, path| attempt(item, path, lenient, device), &path.key("devices"))?;
    }
    for key in ["secrets", "configs"] {
        if let Some(node) = service.get_mut(key) {
            each(
                node,
                |item, _| {
                    string_as_field(item, "source");
                    Ok(())
                },
                &path.key(key),
            )?;
        }
    }
    if let Some(node) = service.get_mut("ports") {
        attempt(node, &path.key("ports"), lenient, ports::canonical)?;
    }
    if let Some(watch) =
        service.get_mut("develop").and_then(|develop| develop.get_mut("watch")).and_then(Node::as_list_mut)
    {
        for trigger in watch {
            for key in ["ignore", "include"] {
                if let Some(node) = trigger.get_mut(key) {
                    string_as_list(node);
                }
            }
        }
    }
    Ok(())
}

fn build(build: &mut Node, path: &Path, lenient: bool) -> Result<(), Error> {
    string_as_field(build, "context");
    let Some(map) = build.as_map_mut() else { return Ok(()) };
    if let Some(node) = map.get_mut("secrets") {
        each(
            node,
            |item, _| {
                string_as_field(item, "source");
                Ok(())
            },
            &path.key("secrets"),
        )?;
    }
    for key in ["provenance", "sbom"] {
        if let Some(node) = map.get_mut(key)
            && let Some(text) = node.scalar_text()
        {
            node.value = Value::String(text);
        }
    }
    if let Some(node) = map.get_mut("additional_contexts") {
        attempt(node, &path.key("additional_contexts"), lenient, |node, path| key_values(node, path, false))?;
    }
    if let Some(node) = map.get_mut("ssh") {
        key_values(node, &path.key("ssh"), true)?;
    }
    Ok(())
}

/// Rewrites a short form; a lenient attempt that fails changes nothing.
fn attempt(
    node: &mut Node,
    path: &Path,
    lenient: bool,
    change: impl FnOnce(&mut Node, &Path) -> Result<(), Error>,
) -> Result<(), Error> {
    if !lenient {
        return change(node, path);
    }
    let before = node.clone();
    if change(node, path).is_err() {
        *node = before;
    }
    Ok(())
}

/// `[K=V]` to `{K: V}`; a bare `default` is allowed for ssh.
fn key_values(node: &mut Node, path: &Path, ssh: bool) -> Result<(), Error> {
    let Value::List(items) = &node.value else { return Ok(()) };
    let mut map = Map::new();
    for (index, item) in items.iter().enumerate() {
        let text = item.as_str().unwrap_or_default();
        match text.split_once('=') {
            Some((key, value)) => map.insert(key.to_owned(), Node::string(value, item.span)),
            None if ssh && text == "default" => map.insert(text.to_owned(), Node::new(Value::Null, item.span)),
            None => {
                return Err(Error::invalid(
                    item.span,
                    path.index(index),
                    format!("invalid value {text:?}, expected key=value"),
                ));
            }
        };
    }
    node.value = Value::Map(map);
    Ok(())
}

fn depends_on(node: &mut Node) {
    for dependency in node.as_map_mut().into_iter().flat_map(Map::values_mut) {
        let span = dependency.span;
        if let Some(map) = dependency.as_map_mut() {
            map.entry("condition".into()).or_insert_with(|| Node::string("service_started", span));
            map.entry("required".into()).or_insert_with(|| Node::bool(true, span));
        }
    }
}

fn env_file(item: &mut Node) {
    string_as_field(item, "path");
    let span = item.span;
    if let Some(map) = item.as_map_mut() {
        map.entry("required".into()).or_insert_with(|| Node::bool(true, span));
    }
}

fn device(item: &mut Node, path: &Path) -> Result<(), Error> {
    let Some(text) = item.as_str() else { return Ok(()) };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, target] => (source, target, "rwm"),
        [source, target, permissions] => (source, target, permissions),
        _ => {
            return Err(Error::invalid(
                item.span,
                path,
                format!("confusing device mapping, please use long syntax: {text}"),
            ));
        }
    };
    let target = if target.is_empty() { source } else { target };
    let fields = [("source", source), ("target", target), ("permissions", permissions)];
    *item = object(item.span, fields.map(|(key, text)| (key, Value::String(text.to_owned()))));
    Ok(())
}

/// `external: {name: X}` is the old form of `external: true` and `name: X`.
fn external(map: &mut Map, path: &Path, warnings: &mut Vec<Warning>) -> Result<(), Error> {
    let Some(external) = map.get_mut("external") else { return Ok(()) };
    let Value::Map(old) = &external.value else { return Ok(()) };
    let (span, name) = (external.span, old.get("name").cloned());
    external.value = Value::Bool(true);
    let Some(name) = name else { return Ok(()) };
    warnings
        .push(Warning::new(span, format!("{path}: external.name is deprecated. Please set name and external: true")));
    match map.get("name") {
        Some(other) if *other != name => {
            Err(Error::invalid(name.key, path, "name and external.name conflict; only use name"))
        }
        Some(_) => Ok(()),
        None => {
            map.insert("name".into(), name);
            Ok(())
        }
    }
}

/// A mapping made here, at `span`.
pub(crate) fn object<const N: usize>(span: Span, fields: [(&str, Value); N]) -> Node {
    let map = fields.into_iter().map(|(key, value)| (key.to_owned(), Node::new(value, span))).collect();
    Node::new(Value::Map(map), span)
}

fn each(
    node: &mut Node,
    mut change: impl FnMut(&mut Node, &Path) -> Result<(), Error>,
    path: &Path,
) -> Result<(), Error> {
    for (index, item) in node.as_list_mut().into_iter().flatten().enumerate() {
        change(item, &path.index(index))?;
    }
    Ok(())
}

fn replace(node: &mut Node, change: impl FnOnce(Node) -> Node) {
    let empty = Node::new(Value::Null, node.span);
    *node = change(std::mem::replace(node, empty));
}

fn string_as_list(node: &mut Node) {
    if node.as_str().is_some() {
        let item = node.clone();
        node.value = Value::List(vec![item]);
    }
}

fn string_as_field(node: &mut Node, key: &str) {
    if let Some(text) = node.as_str() {
        let value = Value::String(text.to_owned());
        node.value = object(node.span, [(key, value)]).value;
    }
}
