//! Merging a later file over an earlier one, and a service over the one it extends.
//!
//! Mappings merge by key, scalars replace, sequences append; the exceptions are in [`rule`].

pub mod reset;
pub mod unicity;

use crate::error::Error;
use crate::node::{Map, Node, Value};
use crate::path::Path;

enum Rule {
    Plain,
    Replace,
    /// List and mapping forms become `K=V` lists and are appended.
    KeyValues,
    /// As `KeyValues`, without adding what is there already.
    Hosts,
    /// `build: DIR` is `build: {context: DIR}`.
    Build,
    /// List and mapping forms become mappings; the flag says whether names get depends_on's defaults.
    Names {
        dependency: bool,
    },
    Logging,
    IpamConfig,
}

/// How the value at a path merges.
fn rule(path: &[&str]) -> Rule {
    match path {
        ["networks", _, "ipam", "config"] => Rule::IpamConfig,
        ["networks" | "volumes", _, "labels"] => Rule::KeyValues,
        ["services", _, rest @ ..] => match rest {
            [
                "annotations" | "dns" | "dns_opt" | "dns_search" | "env_file" | "label_file" | "environment" | "labels"
                | "sysctls" | "tmpfs",
            ]
            | ["build", "args" | "additional_contexts" | "labels"]
            | ["deploy", "labels"] => Rule::KeyValues,
            ["extra_hosts"] | ["build", "extra_hosts"] => Rule::Hosts,
            ["command" | "entrypoint"] | ["healthcheck", "test"] | ["ulimits", _] => Rule::Replace,
            ["build"] => Rule::Build,
            ["depends_on"] => Rule::Names { dependency: true },
            ["networks" | "models"] => Rule::Names { dependency: false },
            ["logging"] => Rule::Logging,
            _ => Rule::Plain,
        },
        _ => Rule::Plain,
    }
}

/// Merges `later` over `earlier`.
///
/// # Errors
/// [`Error::Unmergeable`] where one is a mapping and the other a list or scalar.
pub fn merge(earlier: Node, later: Node, path: &Path) -> Result<Node, Error> {
    let place = (later.key, later.span);
    let conflict = |earlier: &Node, later: &Node| Error::Unmergeable {
        at: later.span.into(),
        path: path.to_string(),
        earlier: earlier.kind(),
        later: later.kind(),
    };
    let (earlier, later) = match path.matches(rule) {
        Rule::Replace => return Ok(later),
        Rule::KeyValues => return Ok(append(earlier, later)),
        Rule::Hosts => return Ok(append_new(earlier, later)),
        Rule::Build => (build_form(earlier), build_form(later)),
        Rule::Names { dependency } => (names_form(earlier, dependency), names_form(later, dependency)),
        Rule::Logging if !same_driver(&earlier, &later) => return Ok(later),
        Rule::IpamConfig => return ipam_config(earlier, later, path),
        Rule::Plain | Rule::Logging => (earlier, later),
    };
    if later.is_null() {
        return Ok(earlier);
    }
    match (earlier.value, later.value) {
        (Value::Map(into), Value::Map(from)) => {
            let mut merged = Node::new(Value::Map(merge_maps(into, from, path)?), place.1);
            merged.key = place.0;
            Ok(merged)
        }
        (Value::List(mut into), Value::List(from)) => {
            into.extend(from);
            let mut merged = Node::new(Value::List(into), place.1);
            merged.key = place.0;
            Ok(merged)
        }
        (before @ (Value::Map(_) | Value::List(_)), after) => {
            Err(conflict(&Node::new(before, earlier.span), &Node::new(after, later.span)))
        }
        (_, after) => Ok(Node { value: after, ..later }),
    }
}

/// Merges the entries of `from` into `into`.
pub fn merge_maps(mut into: Map, from: Map, path: &Path) -> Result<Map, Error> {
    for (key, node) in from {
        let merged = match into.get_mut(&key) {
            Some(slot) => {
                let earlier = std::mem::replace(slot, Node::new(Value::Null, node.span));
                merge(earlier, node, &path.key(&key))?
            }
            None => node,
        };
        into.insert(key, merged);
    }
    Ok(into)
}

fn append(earlier: Node, later: Node) -> Node {
    let (key, span) = (later.key, later.span);
    let mut items = sequence(earlier);
    items.extend(sequence(later));
    Node { value: Value::List(items), span, key, directive: None }
}

fn append_new(earlier: Node, later: Node) -> Node {
    let (key, span) = (later.key, later.span);
    let mut items = sequence(earlier);
    for item in sequence(later) {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    Node { value: Value::List(items), span, key, directive: None }
}

/// A mapping as sorted `K=V` items, a string as one item.
fn sequence(node: Node) -> Vec<Node> {
    match node.value {
        Value::List(items) => items,
        Value::String(text) => vec![Node::string(text, node.span)],
        Value::Map(map) => {
            let mut items = Vec::with_capacity(map.len());
            for (key, value) in map {
                match (&value.value, value.scalar_text()) {
                    (Value::List(values), _) => {
                        items.extend(
                            values
                                .iter()
                                .filter_map(Node::scalar_text)
                                .map(|text| Node::string(format!("{key}={text}"), value.span)),
                        );
                    }
                    (_, Some(text)) => items.push(Node::string(format!("{key}={text}"), value.key)),
                    (Value::Null, _) => items.push(Node::string(key, value.key)),
                    (_, None) => items.push(value),
                }
            }
            items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            items
        }
        _ => Vec::new(),
    }
}

fn build_form(node: Node) -> Node {
    match node.value {
        Value::String(text) => {
            let mut build = Node::map(node.span);
            build.key = node.key;
            if let Some(map) = build.as_map_mut() {
                map.insert("context".into(), Node::string(text, node.span));
            }
            build
        }
        value => Node { value, ..node },
    }
}

/// Turns `[a, b]` into `{a: …, b: …}`.
pub fn names_form(node: Node, dependency: bool) -> Node {
    let Value::List(items) = node.value else { return node };
    let mut map = Map::new();
    for item in items {
        let span = item.span;
        let Value::String(name) = item.value else { continue };
        let mut value = Node::new(Value::Null, span);
        if dependency {
            value.value = Value::Map(Map::from([
                ("condition".to_owned(), Node::string("service_started", span)),
                ("required".to_owned(), Node::bool(true, span)),
            ]));
        }
        map.insert(name, value);
    }
    Node { value: Value::Map(map), span: node.span, key: node.key, directive: None }
}

fn same_driver(earlier: &Node, later: &Node) -> bool {
    match (earlier.get("driver"), later.get("driver")) {
        (Some(earlier), Some(later)) => earlier == later,
        _ => true,
    }
}

/// Pools merge by subnet: the same subnet merges, another is added.
fn ipam_config(earlier: Node, later: Node, path: &Path) -> Result<Node, Error> {
    let (key, span) = (later.key, later.span);
    let (Value::List(originals), Value::List(overrides)) = (earlier.value, later.value) else {
        return Err(Error::mistyped(&Node::new(Value::Null, span), path, "a list in every file"));
    };
    let mut pools: Vec<Node> = originals;
    for pool in overrides {
        match pools.iter().position(|other| other.get("subnet") == pool.get("subnet")) {
            Some(at) => {
                let original = std::mem::replace(&mut pools[at], Node::new(Value::Null, pool.span));
                pools[at] = merge(original, pool, &path.index(at))?;
            }
            None => pools.push(pool),
        }
    }
    Ok(Node { value: Value::List(pools), span, key, directive: None })
}
