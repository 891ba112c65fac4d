//! A loaded project.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;

use crate::config;
use crate::node::{Map, Node, Sources, Span, Value};
use crate::service::Service;
use crate::typed;

/// Services by name.
pub type Services = IndexMap<String, Node>;

/// A Compose project after every stage: interpolated, merged, checked, in canonical form, absolute, normalised.
///
/// The nodes keep the place in the files that they come from, so that whoever can't carry out an attribute can say where
/// it stands.
#[derive(Clone)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Its directory, absolute.
    pub directory: PathBuf,
    /// Its files, in order.
    pub files: Vec<String>,
    /// Variables of the process and of env files.
    pub environment: BTreeMap<String, String>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// Enabled services.
    pub services: Services,
    /// Services that no active profile enables, and services not selected.
    pub disabled: Services,
    /// Networks in use, by key.
    pub networks: Map,
    /// Volumes in use, by key.
    pub volumes: Map,
    /// Secrets in use, by key.
    pub secrets: Map,
    /// Configs in use, by key.
    pub configs: Map,
    /// Models in use, by key.
    pub models: Map,
    /// `x-…` at the top level.
    pub extensions: Map,
    /// What stands between the parts of names that are made: a dash, or as Compose V1 had it `_`.
    pub separator: char,
    /// What secrets and configs with `environment:` hold, by `SECTION.KEY` and variable.
    pub(crate) contents: BTreeMap<(String, String), String>,
    pub(crate) sources: Sources,
}

/// Leaves the environment out: it may hold secrets.
impl std::fmt::Debug for Project {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Project")
            .field("name", &self.name)
            .field("files", &self.files)
            .field("services", &self.service_names())
            .finish_non_exhaustive()
    }
}

impl Project {
    /// Takes the sections of a normalised model.
    pub(crate) fn from_model(
        model: Node,
        name: String,
        directory: PathBuf,
        environment: BTreeMap<String, String>,
        sources: Sources,
    ) -> Self {
        let mut top = match model.value {
            Value::Map(map) => map,
            _ => Map::new(),
        };
        let mut section = |key: &str| match top.shift_remove(key).map(|node| node.value) {
            Some(Value::Map(map)) => map,
            _ => Map::new(),
        };
        let (services, networks, volumes) = (section("services"), section("networks"), section("volumes"));
        let (secrets, configs, models) = (section("secrets"), section("configs"), section("models"));
        top.retain(|key, _| key.starts_with("x-"));
        Self {
            name,
            directory,
            files: Vec::new(),
            environment,
            profiles: Vec::new(),
            services,
            disabled: Services::new(),
            networks,
            volumes,
            secrets,
            configs,
            models,
            extensions: top,
            separator: '-',
            contents: BTreeMap::new(),
            sources,
        }
    }

    /// An enabled service.
    pub fn service(&self, name: &str) -> Option<Service<'_>> {
        self.services.get_key_value(name).map(|(name, node)| Service { name, node })
    }

    /// A service, though it be a disabled one.
    pub fn any_service(&self, name: &str) -> Option<Service<'_>> {
        self.all_services().find(|service| service.name == name)
    }

    /// The enabled services.
    pub fn services(&self) -> impl Iterator<Item = Service<'_>> {
        self.services.iter().map(|(name, node)| Service { name, node })
    }

    /// All services, disabled ones too.
    pub fn all_services(&self) -> impl Iterator<Item = Service<'_>> {
        self.services.iter().chain(&self.disabled).map(|(name, node)| Service { name, node })
    }

    /// Names of the enabled services, sorted.
    pub fn service_names(&self) -> Vec<&str> {
        sorted(self.services.keys().map(String::as_str))
    }

    /// The services that names and patterns such as `web*` mean.
    pub fn expand(&self, names: &[String]) -> Vec<String> {
        crate::profiles::expand(self, names)
    }

    /// Keys of the networks, sorted.
    pub fn network_names(&self) -> Vec<&str> {
        sorted(self.networks.keys().map(String::as_str))
    }

    /// Keys of the volumes, sorted.
    pub fn volume_names(&self) -> Vec<&str> {
        sorted(self.volumes.keys().map(String::as_str))
    }

    /// Every profile that a service names, sorted.
    pub fn profile_names(&self) -> Vec<&str> {
        sorted(self.all_services().flat_map(|service| service.texts("profiles").collect::<Vec<_>>()))
    }

    /// The images of the enabled services and of their `pre_start`, sorted; a service that is only built has `<project>-<service>`.
    pub fn images(&self) -> Vec<String> {
        let step = |node: &Node| node.get("image").and_then(Node::as_str).map(str::to_owned);
        let steps = self
            .services()
            .flat_map(|service| service.list(&["pre_start"]).iter().filter_map(step).collect::<Vec<_>>());
        sorted(self.services().map(|service| self.image_name(service)).chain(steps))
    }

    /// What a service's image is called.
    pub fn image_name(&self, service: Service) -> String {
        service.image().map_or_else(|| self.made_name(&[service.name]), str::to_owned)
    }

    /// A name that is made for something of the project.
    pub fn made_name(&self, parts: &[&str]) -> String {
        parts.iter().fold(self.name.clone(), |name, part| format!("{name}{}{part}", self.separator))
    }

    /// The names of the models in use, sorted.
    pub fn model_names(&self) -> Vec<&str> {
        sorted(self.models.values().filter_map(|model| model.get("model").and_then(Node::as_str)))
    }

    /// The canonical form as JSON, `$` doubled.
    pub fn config_json(&self) -> serde_json::Value {
        let mut value =
            config::json::ordered(&typed::without_extensions(&self.tree(), &typed::PROJECT), &typed::PROJECT);
        config::json::docker_form(&mut value);
        value.as_object_mut().into_iter().for_each(serde_json::Map::sort_keys);
        config::json::escape(&mut value);
        value
    }

    /// The canonical form as YAML, `$` doubled.
    pub fn config_yaml(&self) -> String {
        let mut value = config::json::ordered(&self.tree(), &typed::PROJECT);
        config::json::escape(&mut value);
        for service in value
            .get_mut("services")
            .and_then(|services| services.as_object_mut())
            .into_iter()
            .flat_map(|map| map.values_mut())
        {
            if let Some(map) = service.as_object_mut() {
                map.retain(|key, value| !(matches!(key.as_str(), "command" | "entrypoint") && value.is_null()));
            }
        }
        config::yaml::text(&value)
    }

    /// The hash of a service's configuration that Docker Compose computes: SHA-256 of its JSON, in hex. What is built and pulled, the
    /// number of replicas, dependencies and profiles don't count.
    pub fn config_hash(&self, name: &str) -> Option<String> {
        self.services.get(name).map(|node| config::hash::of_service(node, &[]))
    }

    /// The same as Compose labels containers with: what the files that a service names hold is in its other attributes.
    pub(crate) fn label_hash(&self, name: &str) -> Option<String> {
        self.services.get(name).map(|node| config::hash::of_service(node, &["env_file", "label_file"]))
    }

    /// The project as one tree.
    fn tree(&self) -> Node {
        let span = Span::default();
        let mut top = Map::new();
        top.insert("name".into(), Node::string(self.name.clone(), span));
        top.insert("services".into(), Node::new(Value::Map(self.services.clone()), span));
        let sections = [
            ("networks", &self.networks),
            ("volumes", &self.volumes),
            ("secrets", &self.secrets),
            ("configs", &self.configs),
            ("models", &self.models),
        ];
        for (key, section) in sections {
            if !section.is_empty() {
                top.insert(key.into(), Node::new(Value::Map(section.clone()), span));
            }
        }
        top.extend(self.extensions.clone());
        Node::new(Value::Map(top), span)
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items.dedup();
    items
}
