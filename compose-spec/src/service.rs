//! A service of a normalised project, read attribute by attribute.

use model::{Dependency, DependencyCondition};

use crate::node::{Map, Node, Span};

/// A view of one service.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// Its key under `services`.
    pub name: &'a str,
    /// Its attributes, in canonical form.
    pub node: &'a Node,
}

impl<'a> Service<'a> {
    /// A string attribute.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.node.get(key).and_then(Node::as_str)
    }

    /// Where an attribute stands; the service itself if it isn't set.
    pub fn span(&self, key: &str) -> Span {
        self.node.get(key).map_or(self.node.key, |node| node.key)
    }

    /// The items of a list attribute, found by a chain of keys.
    pub fn list(&self, keys: &[&str]) -> &'a [Node] {
        self.node.at(keys).and_then(Node::as_list).unwrap_or_default()
    }

    /// The strings of a list attribute.
    pub fn texts(&self, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.list(&[key]).iter().filter_map(Node::as_str)
    }

    /// The entries of a mapping attribute.
    pub fn map(&self, key: &str) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        self.node
            .get(key)
            .and_then(Node::as_map)
            .into_iter()
            .flat_map(Map::iter)
            .map(|(key, node)| (key.as_str(), node))
    }

    /// Its image, if it names one.
    pub fn image(&self) -> Option<&'a str> {
        self.text("image")
    }

    /// The services it depends on.
    pub fn dependencies(&self) -> impl Iterator<Item = (&'a str, Dependency)> + use<'a> {
        self.map("depends_on").map(|(name, node)| (name, dependency(node)))
    }

    /// `scale`, else `deploy.replicas`, else 1.
    pub fn replicas(&self) -> i64 {
        let declared = self.node.get("scale").or_else(|| self.node.at(&["deploy", "replicas"]));
        declared.and_then(Node::as_int).unwrap_or(1)
    }

    /// The networks it names, each with its options or null.
    pub fn networks(&self) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        self.map("networks")
    }

    /// The named volumes it mounts.
    pub fn volumes(&self) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        self.list(&["volumes"])
            .iter()
            .filter(|mount| mount.get("type").and_then(Node::as_str) == Some("volume"))
            .filter_map(|mount| {
                let source = mount.get("source")?;
                Some((source.as_str()?, source))
            })
    }

    /// The `source` of each item of `secrets`, `configs` or `build.secrets`.
    pub fn sources(&self, keys: &[&str]) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        self.list(keys).iter().filter_map(|item| Some((item.get("source")?.as_str()?, item)))
    }

    /// Whether one of these profiles enables it.
    pub fn is_enabled(&self, profiles: &[String]) -> bool {
        let mut own = self.texts("profiles").peekable();
        own.peek().is_none()
            || profiles.iter().any(|profile| profile == "*")
            || own.any(|name| profiles.iter().any(|profile| profile == name))
    }
}

fn dependency(node: &Node) -> Dependency {
    let flag = |key: &str, default: bool| node.get(key).and_then(Node::as_bool).unwrap_or(default);
    let condition = match node.get("condition").and_then(Node::as_str) {
        Some("service_healthy") => DependencyCondition::ServiceHealthy,
        Some("service_completed_successfully") => DependencyCondition::ServiceCompletedSuccessfully,
        _ => DependencyCondition::ServiceStarted,
    };
    Dependency { condition, restart: flag("restart", false), required: flag("required", true) }
}
