//! A Compose file as it is published: what it says that only means something here, and the same text with other names for
//! the files that go along.

use std::collections::BTreeMap;

use crate::error::{Error, Errors};
use crate::node::{Map, Node, Sources, Span};
use crate::yaml;

/// The files that a Compose file names, and what of it may not be meant for everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Local files that it includes.
    pub includes: Vec<String>,
    /// Env files of services.
    pub env_files: Vec<Named>,
    /// Local files with services that services extend.
    pub extends: Vec<Named>,
    /// Services that set variables.
    pub with_variables: Vec<String>,
    /// Configs whose content stands in the file.
    pub with_content: Vec<String>,
}

/// A file that a service names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The service.
    pub service: String,
    /// As it stands there.
    pub path: String,
    /// Where.
    at: Span,
}

/// Whether a path of `include` or `extends` names something elsewhere than on this machine.
pub fn is_remote(path: &str) -> bool {
    path.contains("://") || path.starts_with("git@") || path.starts_with("github.com/")
}

/// Reads the text of the Compose file `name`, without interpolating or merging anything.
///
/// # Errors
/// Where it is no YAML.
pub fn contents(name: &str, text: &[u8]) -> Result<Contents, Errors> {
    let mut sources = Sources::default();
    let source = sources.add(name);
    let documents = yaml::parse(text, source).map_err(|error| Errors::from(error).locate(&sources))?;
    let mut contents = Contents::default();
    for document in &documents {
        contents.document(document);
    }
    Ok(contents)
}

impl Contents {
    fn document(&mut self, document: &Node) {
        for entry in document.get("include").and_then(Node::as_list).unwrap_or_default() {
            let paths = match entry.as_str() {
                Some(_) => strings(entry),
                None => entry.get("path").map(strings).unwrap_or_default(),
            };
            self.includes.extend(paths.into_iter().map(|(path, _)| path).filter(|path| !is_remote(path)));
        }
        for (name, service) in entries(document, "services") {
            for (path, at) in service.get("env_file").map(env_files).unwrap_or_default() {
                self.env_files.push(Named { service: name.clone(), path, at });
            }
            if let Some(file) = service.at(&["extends", "file"])
                && let Some(path) = file.as_str().filter(|path| !is_remote(path))
            {
                self.extends.push(Named { service: name.clone(), path: path.to_owned(), at: file.span });
            }
            if service.get("environment").is_some_and(has_values) {
                self.with_variables.push(name.clone());
            }
        }
        let contents = entries(document, "configs").filter(|(_, config)| config.get("content").is_some());
        self.with_content.extend(contents.map(|(name, _)| name.clone()));
    }
}

fn entries<'n>(document: &'n Node, section: &str) -> impl Iterator<Item = (&'n String, &'n Node)> {
    document.get(section).and_then(Node::as_map).into_iter().flat_map(Map::iter)
}

/// Whether a variable has its value here, not from who brings the application up.
fn has_values(environment: &Node) -> bool {
    let is_fixed = |value: &str| !value.is_empty() && !value.starts_with('$');
    match (environment.as_map(), environment.as_list()) {
        (Some(map), _) => map.values().filter_map(Node::scalar_text).any(|value| is_fixed(&value)),
        (_, Some(list)) => {
            list.iter().filter_map(|item| item.as_str()?.split_once('=')).any(|(_, value)| is_fixed(value))
        }
        _ => false,
    }
}

fn strings(node: &Node) -> Vec<(String, Span)> {
    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
    items.iter().filter_map(|item| Some((item.as_str()?.to_owned(), item.span))).collect()
}

fn env_files(node: &Node) -> Vec<(String, Span)> {
    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
    let path = |item: &Node| {
        let path = if item.as_map().is_some() { item.get("path")? } else { item };
        Some((path.as_str()?.to_owned(), path.span))
    };
    items.iter().filter_map(path).collect()
}

/// The text with other names for these files.
///
/// # Errors
/// [`Error::Unsupported`] for a name that is written in a way that can't be replaced: over several lines, or with escapes.
pub fn renamed(name: &str, text: &str, names: &[(&Named, String)]) -> Result<String, Errors> {
    let mut edits: BTreeMap<usize, (usize, &str)> = BTreeMap::new();
    for (named, new) in names {
        let Some((offset, length)) = written(text, named) else {
            let mut sources = Sources::default();
            let source = sources.add(name);
            let error = Error::Unsupported {
                at: Span { source, ..named.at }.into(),
                path: format!("services.{}: publishing {:?}", named.service, named.path),
                hint: Some("write the name on one line and without escapes"),
            };
            return Err(Errors::from(error).locate(&sources));
        };
        edits.insert(offset, (length, new));
    }
    let mut out = text.to_owned();
    for (offset, (length, new)) in edits.into_iter().rev() {
        out.replace_range(offset..offset + length, new);
    }
    Ok(out)
}

/// Where a name stands in the text, and how long it is there.
fn written(text: &str, named: &Named) -> Option<(usize, usize)> {
    let line = (named.at.line as usize).checked_sub(1)?;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    // The first line's mark of its encoding is no column.
    let mark = if line == 0 && text.starts_with('\u{feff}') { 3 } else { 0 };
    let rest = text.get(start + mark..)?;
    let column = rest.char_indices().nth((named.at.column as usize).checked_sub(1)?)?.0;
    let mut column = column;
    // Anchors and tags come first.
    while rest[column..].starts_with(['&', '!']) {
        let end = rest[column..].find(char::is_whitespace)?;
        column += end + rest[column + end..].find(|c: char| !c.is_whitespace())?;
    }
    let rest = &rest[column..];
    let quote = usize::from(rest.starts_with(['"', '\'']));
    rest[quote..].starts_with(&named.path).then_some((start + mark + column + quote, named.path.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\u{feff}name: ü
include: [other.yml, 'oci://host/x']
x-env: &env \"./one.env\"
services:
  a:
    env_file: *env
    extends: {service: b, file: base/b.yml}
    environment: {A: $A, B: ~}
  b:
    env_file: [./one.env, {path: 'two.env', required: false}]
    extends: {service: b, file: oci://host/y}
    environment: [A=1]
---
configs: {c: {content: x}, d: {file: x}}
";

    #[test]
    fn what_a_file_names_is_found_and_renamed() {
        let found = contents("compose.yml", TEXT.as_bytes()).unwrap();
        assert_eq!(found.includes, ["other.yml"]);
        let paths: Vec<&str> = found.env_files.iter().map(|named| named.path.as_str()).collect();
        assert_eq!(paths, ["./one.env", "./one.env", "two.env"]);
        assert_eq!(
            (found.with_variables.as_slice(), found.with_content.as_slice()),
            (&["b".into()][..], &["c".into()][..])
        );
        assert_eq!(found.extends.len(), 1);
        let names: Vec<(&Named, String)> = found
            .env_files
            .iter()
            .chain(&found.extends)
            .map(|named| (named, format!("new-{}", named.path.len())))
            .collect();
        let text = renamed("compose.yml", TEXT, &names).unwrap();
        assert!(text.contains("[new-9, {path: 'new-7', required: false}]") && text.contains("file: new-10}"), "{text}");
        assert!(text.contains("file: oci://host/y}"), "{text}");
        assert_eq!(contents("compose.yml", text.as_bytes()).unwrap().env_files[2].path, "new-7");
    }

    #[test]
    fn a_name_in_escapes_is_refused_with_its_place() {
        let text = "services: {a: {env_file: \"\\x61.env\"}}";
        let found = contents("c.yml", text.as_bytes()).unwrap();
        let error = renamed("c.yml", text, &[(&found.env_files[0], "b".into())]).unwrap_err().to_string();
        assert!(error.contains("c.yml:1:26") && error.contains("without escapes"), "{error}");
    }
}
