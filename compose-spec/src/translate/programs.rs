//! What is not run as containers but by programs beside Orca: services with a `provider`, and `models`.

use std::collections::BTreeMap;

use model::{Dependency, DependencyCondition};

use super::TranslateOptions;
use super::fields::Fields;
use crate::error::{Error, Errors};
use crate::node::{Map, Node};
use crate::profiles;
use crate::project::Project;
use crate::service::Service;
use crate::validate::dependency_order;

/// Why models are refused where nobody runs them.
const NO_MODELS: &str = "it needs the model runner's program: docker-model, in PATH or among Docker's CLI plug-ins";

/// A service that a program provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The service's key.
    pub service: String,
    /// Which program.
    pub kind: String,
    /// What it is given, in the file's order.
    pub options: Vec<(String, Vec<String>)>,
    /// Services with containers that it depends on, and what must be so of them.
    pub needs: Vec<(String, DependencyCondition)>,
}

/// A model that services use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its key in the file.
    pub key: String,
    /// What to pull.
    pub model: String,
    /// Tokens that it takes into account.
    pub context_size: Option<i64>,
    /// Arguments of what runs it.
    pub runtime_flags: Vec<String>,
}

/// Environments by service.
pub type Variables = BTreeMap<String, BTreeMap<String, String>>;

pub fn is_provided(project: &Project, name: &str) -> bool {
    project.service(name).is_some_and(|service| service.node.get("provider").is_some())
}

/// The provided services among those that these options choose, those that others depend on first.
///
/// # Errors
/// A service that doesn't exist, a dependency cycle.
pub fn providers(project: &Project, options: &TranslateOptions) -> Result<Vec<Provider>, Errors> {
    let mut project = project.clone();
    profiles::select(&mut project, &options.services, !options.no_deps)?;
    let provider = |name: &str| {
        let service = project.service(name)?;
        let node = service.node.get("provider")?;
        let containers = service.dependencies().filter(|(name, _)| !is_provided(&project, name));
        let there = containers.filter(|(name, _)| project.services.contains_key(*name));
        let options = node.get("options").and_then(Node::as_map);
        Some(Provider {
            service: name.to_owned(),
            kind: node.get("type").and_then(Node::as_str).unwrap_or_default().to_owned(),
            options: options.into_iter().flat_map(Map::iter).map(|(key, value)| (key.clone(), texts(value))).collect(),
            needs: there.map(|(name, dependency)| (name.to_owned(), dependency.condition)).collect(),
        })
    };
    Ok(dependency_order(&project)?.into_iter().filter_map(provider).collect())
}

fn texts(node: &Node) -> Vec<String> {
    let items = node.as_list().unwrap_or_else(|| std::slice::from_ref(node));
    items.iter().filter_map(Node::as_str).map(str::to_owned).collect()
}

/// Refuses what a service without containers cannot have.
pub fn check_provider(service: Service, fields: Fields, errors: &mut Vec<Error>) {
    for key in ["provider", "depends_on", "profiles", "develop", "networks"] {
        fields.take(key);
    }
    // Every service has these in its canonical form.
    for key in ["entrypoint", "command"] {
        if service.node.get(key).is_some_and(Node::is_null) {
            fields.take(key);
        }
    }
    if service.node.at(&["provider", "type"]).and_then(Node::as_str).is_none() {
        fields.invalid("provider", "it has no type", errors);
    }
    if service.networks().any(|(name, _)| name != "default") {
        fields.refuse("networks", Some("a provider's service has no container"), errors);
    }
    fields.finish_with(Some("a provider's service has no container"), errors);
}

/// What the containers of a service depend on: of a provided service, which has none, what that one depends on.
pub fn dependencies(project: &Project, service: Service) -> BTreeMap<String, Dependency> {
    let mut found = BTreeMap::new();
    // The project has no cycles.
    let mut open: Vec<(String, Dependency)> = own(service);
    while let Some((name, dependency)) = open.pop() {
        match project.service(&name).filter(|_| is_provided(project, &name)) {
            Some(provided) => open.extend(own(provided).into_iter().filter(|(name, _)| !found.contains_key(name))),
            None => drop(found.insert(name, dependency)),
        }
    }
    found.extend(own(service).into_iter().filter(|(name, _)| !is_provided(project, name)));
    found
}

fn own(service: Service) -> Vec<(String, Dependency)> {
    service.dependencies().map(|(name, dependency)| (name.to_owned(), dependency)).collect()
}

/// The services with containers that depend on a provided one, also through others.
pub fn all_dependents(project: &Project, provided: &str) -> Vec<String> {
    let mut found = vec![provided.to_owned()];
    let depends = |service: &Service, found: &[String]| {
        !found.iter().any(|name| name == service.name)
            && service.dependencies().any(|(name, _)| found.iter().any(|known| known == name))
    };
    while let Some(next) = project.services().find(|service| depends(service, &found)) {
        found.push(next.name.to_owned());
    }
    found.retain(|name| !is_provided(project, name));
    found
}

/// The services that depend on a provided one, whose variables they get.
pub fn dependents<'a>(project: &'a Project, provided: &str) -> Vec<&'a str> {
    let depends = |service: &Service| service.dependencies().any(|(name, _)| name == provided);
    project.services().filter(depends).map(|service| service.name).collect()
}

/// The models in use.
pub fn models(project: &Project) -> Vec<Model> {
    let model = |(key, node): (&String, &Node)| Model {
        key: key.clone(),
        model: node.get("model").and_then(Node::as_str).unwrap_or_default().to_owned(),
        context_size: node.get("context_size").and_then(Node::as_int),
        runtime_flags: node.get("runtime_flags").map(texts).unwrap_or_default(),
    };
    project.models.iter().map(model).collect()
}

/// What services learn of the models that they use: where they answer, and what they are called.
pub fn model_variables(project: &Project, endpoint: &str) -> Variables {
    let mut variables = Variables::new();
    for service in project.services() {
        for (key, usage) in service.map("models") {
            let prefix = key.to_uppercase().replace('-', "_");
            let name = |option: &str, suffix: &str| {
                let given = usage.get(option).and_then(Node::as_str).filter(|name| !name.is_empty());
                given.map_or_else(|| format!("{prefix}_{suffix}"), str::to_owned)
            };
            let model = project.models.get(key).and_then(|node| node.get("model")).and_then(Node::as_str);
            let own = variables.entry(service.name.to_owned()).or_default();
            own.insert(name("model_var", "MODEL"), model.unwrap_or_default().to_owned());
            own.insert(name("endpoint_var", "URL"), endpoint.to_owned());
        }
    }
    variables
}

/// Refuses models where nobody runs them.
pub fn check_models(project: &Project, are_run: bool, errors: &mut Vec<Error>) {
    for (key, node) in &project.models {
        let fields = Fields::new(node, format!("models.{key}"));
        // The resource's name is for people; Compose gives it to nobody.
        for key in ["name", "model", "context_size", "runtime_flags"] {
            fields.take(key);
        }
        if !are_run {
            errors.push(Error::Unsupported {
                at: node.key.into(),
                path: format!("models.{key}"),
                hint: Some(NO_MODELS),
            });
        }
        fields.finish(errors);
    }
}
