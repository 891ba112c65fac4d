//! Reading a mapping so that no key is forgotten: what isn't taken is refused by name.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::error::Error;
use crate::node::{Map, Node};
use crate::typed::units;

/// The keys of one mapping, and which of them were read.
pub struct Fields<'a> {
    node: &'a Node,
    path: String,
    taken: RefCell<HashSet<&'static str>>,
}

impl<'a> Fields<'a> {
    pub fn new(node: &'a Node, path: impl Into<String>) -> Self {
        Self { node, path: path.into(), taken: RefCell::default() }
    }

    /// The path of a key.
    pub fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// Marks a key as read.
    pub fn take(&self, key: &'static str) -> Option<&'a Node> {
        self.taken.borrow_mut().insert(key);
        self.node.get(key).filter(|node| !node.is_null())
    }

    /// The keys of a mapping below.
    pub fn nested(&self, key: &'static str) -> Option<Fields<'a>> {
        self.take(key).map(|node| Fields::new(node, self.path(key)))
    }

    pub fn text(&self, key: &'static str) -> Option<String> {
        self.take(key).and_then(Node::as_str).map(str::to_owned)
    }

    pub fn flag(&self, key: &'static str) -> bool {
        self.take(key).and_then(Node::as_bool).unwrap_or(false)
    }

    pub fn integer(&self, key: &'static str) -> Option<i64> {
        self.take(key).and_then(Node::as_int)
    }

    /// A size; negative ones are none.
    pub fn bytes(&self, key: &'static str) -> Option<u64> {
        self.text(key).and_then(|text| text.parse().ok())
    }

    pub fn list(&self, key: &'static str) -> &'a [Node] {
        self.take(key).and_then(Node::as_list).unwrap_or_default()
    }

    pub fn texts(&self, key: &'static str) -> Vec<String> {
        self.list(key).iter().filter_map(Node::as_str).map(str::to_owned).collect()
    }

    /// A mapping of strings, null values left out.
    pub fn strings(&self, key: &'static str) -> BTreeMap<String, String> {
        let map = self.take(key).and_then(Node::as_map);
        map.into_iter()
            .flat_map(Map::iter)
            .filter_map(|(key, node)| Some((key.clone(), node.as_str()?.to_owned())))
            .collect()
    }

    /// A duration that isn't negative.
    pub fn duration(&self, key: &'static str, errors: &mut Vec<Error>) -> Option<Duration> {
        let node = self.take(key)?;
        match units::duration(node.as_str().unwrap_or_default()) {
            Ok(duration) => Some(duration),
            Err(reason) => {
                errors.push(Error::invalid(node.span, self.path(key), reason));
                None
            }
        }
    }

    /// Refuses one key, or a value of it.
    pub fn refuse(&self, key: &str, hint: Option<&'static str>, errors: &mut Vec<Error>) {
        let at = self.node.get(key).map_or(self.node.key, |node| node.key);
        errors.push(Error::Unsupported { at: at.into(), path: self.path(key), hint });
    }

    /// Reports a value that makes no sense.
    pub fn invalid(&self, key: &str, reason: impl Into<String>, errors: &mut Vec<Error>) {
        let at = self.node.get(key).map_or(self.node.key, |node| node.span);
        errors.push(Error::invalid(at, self.path(key), reason));
    }

    /// Refuses every key that nobody read.
    pub fn finish(self, errors: &mut Vec<Error>) {
        self.finish_with(None, errors);
    }

    /// The same, with a reason.
    pub fn finish_with(self, hint: Option<&'static str>, errors: &mut Vec<Error>) {
        let taken = self.taken.borrow();
        for key in self.node.as_map().into_iter().flat_map(Map::keys) {
            if !taken.contains(key.as_str()) && !key.starts_with("x-") {
                self.refuse(key, hint, errors);
            }
        }
    }
}
