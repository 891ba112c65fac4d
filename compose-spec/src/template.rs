//! A project before interpolation: a template that its variables complete.

use crate::config;
use crate::error::Warning;
use crate::interpolate::variables::{self, Variable};
use crate::node::Node;

/// A canonical model in which `${NAME}` still stands as written.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) model: Node,
    /// In the order they were noticed.
    pub warnings: Vec<Warning>,
}

impl Model {
    /// The model as JSON, keys sorted.
    pub fn config_json(&self) -> serde_json::Value {
        config::json::value(&self.model)
    }

    /// The model as YAML, keys sorted.
    pub fn config_yaml(&self) -> String {
        config::yaml::text(&self.config_json())
    }

    /// The names of its services, sorted.
    pub fn service_names(&self) -> Vec<&str> {
        let services = self.model.get("services").and_then(Node::as_map);
        let mut names: Vec<&str> = services.into_iter().flat_map(|map| map.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The variables that its values name, by name.
    pub fn variables(&self) -> Vec<Variable> {
        variables::of(&self.model)
    }
}
