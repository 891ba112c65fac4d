//! Sequences in which an item replaces the earlier one with the same identity, in the earlier one's place.

use std::collections::HashMap;

use crate::canonical::volume;
use crate::error::Error;
use crate::node::{Node, Value};
use crate::path::Path;

#[derive(Clone, Copy)]
enum Identity {
    KeyValue,
    Expose,
    Port,
    Volume,
    Device,
    /// The target, by default under this directory.
    Mount(&'static str),
    EnvFile,
}

fn identity(path: &[&str]) -> Option<Identity> {
    match path {
        ["networks", _, "labels"] | ["networks", _, "ipam", "options"] => Some(Identity::KeyValue),
        ["services", _, rest @ ..] => match rest {
            [
                "annotations" | "cap_add" | "cap_drop" | "dns" | "dns_opt" | "dns_search" | "environment" | "labels"
                | "links" | "profiles" | "sysctls" | "tmpfs",
            ]
            | ["build", "args" | "additional_contexts" | "platform" | "tags" | "labels"]
            | ["deploy", "labels"]
            | ["networks", _, "aliases" | "link_local_ips"] => Some(Identity::KeyValue),
            ["devices"] => Some(Identity::Device),
            ["configs"] => Some(Identity::Mount("")),
            ["secrets"] => Some(Identity::Mount("/run/secrets")),
            ["env_file"] => Some(Identity::EnvFile),
            ["expose"] => Some(Identity::Expose),
            ["ports"] => Some(Identity::Port),
            ["volumes"] => Some(Identity::Volume),
            _ => None,
        },
        _ => None,
    }
}

/// Applies the rule to every sequence that has one.
///
/// # Errors
/// [`Error::Invalid`] for an item without identity, such as a volume without target.
pub fn enforce(node: &mut Node, path: &Path) -> Result<(), Error> {
    match &mut node.value {
        Value::Map(map) => {
            for (key, child) in map {
                enforce(child, &path.key(key))?;
            }
        }
        Value::List(items) => {
            let Some(identity) = path.matches(identity) else { return Ok(()) };
            let mut places: HashMap<String, usize> = HashMap::with_capacity(items.len());
            let mut unique: Vec<Node> = Vec::with_capacity(items.len());
            for (index, item) in std::mem::take(items).into_iter().enumerate() {
                let key = key(identity, &item, &path.index(index))?;
                match places.get(&key) {
                    Some(place) => unique[*place] = item,
                    None => {
                        places.insert(key, unique.len());
                        unique.push(item);
                    }
                }
            }
            *items = unique;
        }
        _ => {}
    }
    Ok(())
}

fn key(identity: Identity, item: &Node, path: &Path) -> Result<String, Error> {
    let field = |name: &str| item.get(name).and_then(Node::scalar_text);
    let missing = |name: &str| Error::invalid(item.span, path, format!("is missing {name}"));
    match (identity, &item.value) {
        (Identity::KeyValue, Value::String(text)) => {
            Ok(text.split_once('=').map_or(text.as_str(), |(key, _)| key).to_owned())
        }
        (Identity::KeyValue, _) => Err(Error::mistyped(item, path, "a string")),
        (Identity::Expose, Value::String(text)) => Ok(text.clone()),
        (Identity::Expose, Value::Int(port)) => Ok(port.to_string()),
        (Identity::Expose, _) => Err(Error::mistyped(item, path, "a port or a range of ports")),
        (Identity::Port, Value::Map(_)) => {
            let target = field("target").ok_or_else(|| missing("a target port"))?;
            // As in the reference the number 8080 is not the text "8080", which short forms have.
            let published = item.get("published").map(|node| format!("{:?}", node.value)).unwrap_or_default();
            let host = field("host_ip").unwrap_or_else(|| "0.0.0.0".into());
            let protocol = field("protocol").unwrap_or_else(|| "tcp".into());
            Ok(format!("{host}:{published}:{target}/{protocol}"))
        }
        (Identity::Volume, Value::String(text)) => {
            Ok(volume::parse(text).map_err(|reason| Error::invalid(item.span, path, reason))?.target)
        }
        (Identity::Volume | Identity::Device, Value::Map(_)) => {
            field("target").ok_or_else(|| missing("a mount target"))
        }
        (Identity::Device, Value::String(text)) => {
            let mut parts = text.split(':');
            let source = parts.next().unwrap_or_default();
            Ok(parts.next().unwrap_or(source).to_owned())
        }
        (Identity::Mount(directory), Value::String(text)) => Ok(format!("{directory}/{text}")),
        (Identity::Mount(directory), Value::Map(_)) => {
            Ok(field("target").unwrap_or_else(|| format!("{directory}/{}", field("source").unwrap_or_default())))
        }
        (Identity::EnvFile, Value::Map(_)) => field("path").ok_or_else(|| missing("a path")),
        _ => Ok(item.scalar_text().unwrap_or_else(|| item.kind().to_owned())),
    }
}
