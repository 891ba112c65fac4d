//! `env_file` and `label_file`: their variables go under what the service itself says.

use std::collections::BTreeMap;
use std::path::Path;

use crate::dotenv::{self, Variables};
use crate::error::Error;
use crate::files::{Files, join};
use crate::node::{Map, Node, Value};

/// How much to read.
pub struct Reading<'a> {
    /// What paths that stayed relative are relative to.
    pub directory: &'a Path,
    /// Whether env files are read at all.
    pub env_files: bool,
}

/// Folds the env files of a service into its environment, and its label files into its labels. Like Docker Compose it
/// then drops `env_file`, and keeps `label_file`.
///
/// # Errors
/// [`Error::Read`] for a required file that isn't there, [`Error::EnvFile`] for one that doesn't parse.
pub fn resolve(
    service: &mut Map,
    env: &BTreeMap<String, String>,
    reading: &Reading,
    files: &dyn Files,
) -> Result<(), Error> {
    if reading.env_files {
        let own = service.get_mut("environment").and_then(Node::as_map_mut).into_iter().flatten();
        for (name, node) in own.filter(|(_, node)| node.is_null()) {
            if let Some(value) = env.get(name) {
                node.value = Value::String(value.clone());
            }
        }
    }
    let mut variables = Variables::new();
    if let Some(list) = service.get("env_file").and_then(Node::as_list).filter(|_| reading.env_files) {
        let own = service.get("environment").and_then(Node::as_map);
        let lookup = |name: &str| {
            env.get(name)
                .cloned()
                .or_else(|| own.and_then(|own| own.get(name)).and_then(Node::as_str).map(str::to_owned))
        };
        for file in list {
            env_file(file, reading, &lookup, files, &mut variables)?;
        }
    }
    let mut labels = Variables::new();
    for file in service.get("label_file").and_then(Node::as_list).unwrap_or_default() {
        let path = file.as_str().unwrap_or_default();
        let bytes = read(file, reading, path, "label file", files)?.ok_or_else(|| missing(file, path, "label file"))?;
        let earlier = labels.clone();
        dotenv::parse(&bytes, path, &|name| earlier.get(name).cloned(), &mut labels)?;
    }
    fold(service, "environment", variables);
    fold(service, "labels", labels);
    if reading.env_files {
        service.shift_remove("env_file");
    }
    Ok(())
}

fn env_file(
    file: &Node,
    reading: &Reading,
    lookup: &dyn Fn(&str) -> Option<String>,
    files: &dyn Files,
    into: &mut Variables,
) -> Result<(), Error> {
    let path = file.get("path").and_then(Node::as_str).unwrap_or_default();
    let required = file.get("required").and_then(Node::as_bool).unwrap_or(true);
    let Some(bytes) = read(file, reading, path, "env file", files)? else {
        return if required { Err(missing(file, path, "env file")) } else { Ok(()) };
    };
    match file.get("format").and_then(Node::as_str) {
        None | Some("") => dotenv::parse(&bytes, path, lookup, into),
        Some("raw") => {
            dotenv::parse_raw(&bytes, into);
            Ok(())
        }
        Some(other) => {
            Err(Error::invalid(file.span, "env_file.format", format!("unsupported env_file format {other:?}")))
        }
    }
}

fn read(
    node: &Node,
    reading: &Reading,
    path: &str,
    what: &'static str,
    files: &dyn Files,
) -> Result<Option<Vec<u8>>, Error> {
    files.read(&join(reading.directory, path)).map_err(|error| Error::Read {
        at: node.span.into(),
        what,
        file: path.to_owned(),
        reason: error.reason,
    })
}

fn missing(node: &Node, path: &str, what: &'static str) -> Error {
    Error::Read { at: node.span.into(), what, file: path.to_owned(), reason: "not found".into() }
}

/// Adds the variables that the mapping `key` doesn't have.
fn fold(service: &mut Map, key: &str, variables: Variables) {
    if variables.is_empty() {
        return;
    }
    let span = service.first().map(|(_, node)| node.key).unwrap_or_default();
    let target = service.entry(key.to_owned()).or_insert_with(|| Node::map(span));
    if let Some(map) = target.as_map_mut() {
        for (name, value) in variables {
            map.entry(name).or_insert_with(|| Node::new(Value::String(value), span));
        }
    }
}
