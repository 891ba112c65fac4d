//! Where tasks may run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Node, NodeId};

/// Where tasks may run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// Pinned: the node where `up` ran, so that binds and `./` mean what they say.
    pub node: Option<NodeId>,
    /// What must hold of a node.
    pub constraints: Vec<Constraint>,
    /// Spread evenly over what nodes have of these, the first before the others.
    pub preferences: Vec<Attribute>,
    /// Most tasks of the service on one node; 0: any number.
    pub max_replicas: u32,
}

impl Placement {
    /// The first constraint that the node does not meet.
    pub fn unmet(&self, node: &Node) -> Option<&Constraint> {
        self.constraints.iter().find(|constraint| !constraint.is_met(node))
    }
}

/// What nodes are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Attribute {
    /// `node.id`
    Id,
    /// `node.hostname`
    Hostname,
    /// `node.role`
    Role,
    /// `node.platform.os`
    Os,
    /// `node.platform.arch`
    Arch,
    /// `node.labels.KEY`: what the cluster's operator says of it.
    NodeLabel(String),
    /// `engine.labels.KEY`: what its daemon was given.
    EngineLabel(String),
}

impl Attribute {
    /// What the node has of it; nothing where it lacks the label.
    pub fn of<'a>(&self, node: &'a Node) -> std::borrow::Cow<'a, str> {
        let description = &node.description;
        match self {
            Self::Id => node.id.to_string().into(),
            Self::Hostname => description.hostname.as_str().into(),
            // A lone node, which has no key yet, is its own manager.
            Self::Role if node.key.is_empty() => "manager".into(),
            Self::Role => node.spec.role.word().into(),
            Self::Os => description.os.as_str().into(),
            Self::Arch => architecture(&description.architecture).into(),
            Self::NodeLabel(key) => node.spec.labels.get(key).map_or("", String::as_str).into(),
            Self::EngineLabel(key) => description.labels.get(key).map_or("", String::as_str).into(),
        }
    }
}

/// Go's and the kernel's names of one architecture are one.
fn architecture(name: &str) -> &str {
    match name {
        "amd64" | "x86-64" => "x86_64",
        "arm64" => "aarch64",
        name => name,
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("node.id"),
            Self::Hostname => f.write_str("node.hostname"),
            Self::Role => f.write_str("node.role"),
            Self::Os => f.write_str("node.platform.os"),
            Self::Arch => f.write_str("node.platform.arch"),
            Self::NodeLabel(key) => write!(f, "node.labels.{key}"),
            Self::EngineLabel(key) => write!(f, "engine.labels.{key}"),
        }
    }
}

/// A text that says nothing of nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Nodes are not told apart by that.
    #[error(
        "{0:?} is nothing that nodes are told apart by: expected node.id, node.hostname, node.role, node.platform.os, \
         node.platform.arch, node.labels.KEY or engine.labels.KEY"
    )]
    Attribute(String),
    /// No comparison.
    #[error("{0:?} is no constraint: expected one of == and !=, as in node.role==worker")]
    Operator(String),
    /// Nothing to compare with.
    #[error("{0:?} compares with nothing")]
    Value(String),
}

/// The beginning of what a user has written.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl FromStr for Attribute {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        let label = |prefix: &str| text.strip_prefix(prefix).filter(|key| !key.is_empty()).map(str::to_owned);
        match text {
            "node.id" => Ok(Self::Id),
            "node.hostname" => Ok(Self::Hostname),
            "node.role" => Ok(Self::Role),
            "node.platform.os" => Ok(Self::Os),
            "node.platform.arch" => Ok(Self::Arch),
            _ => label("node.labels.")
                .map(Self::NodeLabel)
                .or_else(|| label("engine.labels.").map(Self::EngineLabel))
                .ok_or_else(|| PlacementError::Attribute(shown(text))),
        }
    }
}

impl TryFrom<String> for Attribute {
    type Error = PlacementError;

    fn try_from(text: String) -> Result<Self, PlacementError> {
        text.parse()
    }
}

impl From<Attribute> for String {
    fn from(attribute: Attribute) -> Self {
        attribute.to_string()
    }
}

/// What must hold of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Constraint {
    /// What of the node.
    pub attribute: Attribute,
    /// `==`, else `!=`.
    pub equal: bool,
    /// The value; upper and lower case are one, as in Swarm.
    pub value: String,
}

impl Constraint {
    /// Whether the node meets it.
    pub fn is_met(&self, node: &Node) -> bool {
        let value = if self.attribute == Attribute::Arch { architecture(&self.value) } else { &self.value };
        self.attribute.of(node).eq_ignore_ascii_case(value) == self.equal
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attribute, equal, value } = self;
        write!(f, "{attribute}{}{value}", if *equal { "==" } else { "!=" })
    }
}

impl FromStr for Constraint {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        let split = |operator: &str| text.split_once(operator);
        let (equal, (attribute, value)) = match (split("=="), split("!=")) {
            (Some(parts), None) => (true, parts),
            (None, Some(parts)) => (false, parts),
            // The first one counts; the other belongs to the value.
            (Some(equal), Some(other)) if equal.0.len() < other.0.len() => (true, equal),
            (Some(_), Some(other)) => (false, other),
            (None, None) => return Err(PlacementError::Operator(shown(text))),
        };
        let value = value.trim().to_owned();
        if value.is_empty() {
            return Err(PlacementError::Value(shown(text)));
        }
        Ok(Self { attribute: attribute.trim().parse()?, equal, value })
    }
}

impl TryFrom<String> for Constraint {
    type Error = PlacementError;

    fn try_from(text: String) -> Result<Self, PlacementError> {
        text.parse()
    }
}

impl From<Constraint> for String {
    fn from(constraint: Constraint) -> Self {
        constraint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Meta, NodeDescription, NodeState};

    fn node() -> Node {
        let mut description = NodeDescription {
            hostname: "host1".into(),
            architecture: "x86_64".into(),
            os: "linux".into(),
            ..NodeDescription::default()
        };
        description.labels.insert("disk".into(), "ssd".into());
        let mut node = Node::new(NodeId::from_random(1), Meta::default(), description, NodeState::Ready);
        node.key = vec![1];
        node.spec.role = crate::NodeRole::Manager;
        node.spec.labels.insert("rack".into(), "b".into());
        node
    }

    #[test]
    fn constraints_are_read_and_judged_as_swarms() {
        let own = format!("node.id == {}", node().id);
        let met = [
            own.as_str(),
            "node.hostname==HOST1",
            "node.role != worker",
            "node.platform.os==linux",
            "node.platform.arch==amd64",
            "node.labels.rack==b",
            "node.labels.none!=x",
            "engine.labels.disk == ssd",
        ];
        for text in met {
            let constraint: Constraint = text.parse().unwrap();
            assert!(constraint.is_met(&node()), "{text}");
            let other = Constraint { equal: !constraint.equal, ..constraint.clone() };
            assert!(!other.is_met(&node()), "{other}");
            assert_eq!(constraint.to_string().parse::<Constraint>().unwrap(), constraint);
        }
    }

    #[test]
    fn what_is_no_constraint_is_refused_with_the_reason() {
        for (text, words) in [
            ("node.role", "expected one of == and !="),
            ("node.role=manager", "expected one of == and !="),
            ("node.role==", "compares with nothing"),
            ("node.colour==red", "node.colour"),
            ("node.labels.==red", "node.labels"),
        ] {
            let error = text.parse::<Constraint>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        let value = "node.labels.a==b!=c".parse::<Constraint>().unwrap();
        assert!(value.equal && value.value == "b!=c");
    }
}
