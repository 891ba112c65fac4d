//! A project in the words of the model.
//!
//! Total: every attribute is carried into the stack, or has no effect by its definition, or is refused with file, line
//! and key. [`fields`] sees to it: a key that no function here reads is refused.

mod build;
mod container;
mod fields;
mod file_objects;
mod hooks;
mod isolation;
mod mounts;
mod networks;
mod policies;
mod programs;
mod report;
mod resources;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use model::{ServiceMode, ServiceSpec, Stack, StackMember, VolumeSpec};
use ring::digest::{SHA256, digest};

use crate::error::{Error, Errors};
use crate::files::{Files, text};
use crate::node::Node;
use crate::profiles;
use crate::project::Project;
use crate::service::Service;
use crate::validate::dependency_order;
use fields::Fields;

pub use build::{Build, build};
pub use programs::{
    Model as AiModel, Provider, Variables, all_dependents, dependents, model_variables, models, providers,
};
pub use report::{ELSEWHERE, Outcome, Row, report};

/// What of a project to translate.
#[derive(Debug, Clone, Default)]
pub struct TranslateOptions {
    /// Only these services and what they depend on; empty: all that are enabled.
    pub services: Vec<String>,
    /// Without their dependencies.
    pub no_deps: bool,
    /// `--scale SERVICE=N`.
    pub scale: BTreeMap<String, u32>,
    /// Variables that services get from providers and models, over those of the file.
    pub variables: Variables,
    /// Somebody runs `models`.
    pub models: bool,
    /// For a cluster: tasks give way one after the other, as `update_config` says.
    pub rolls: bool,
}

/// Translates a project. Secrets' and configs' contents are read through `files`.
///
/// # Errors
/// Every attribute that the model can't carry, as [`Error::Unsupported`]; values that make no sense; files that can't be
/// read; a service that doesn't exist.
pub fn translate(project: &Project, options: &TranslateOptions, files: &dyn Files) -> Result<Stack, Errors> {
    let mut project = project.clone();
    let stack = stack(&mut project, options, files);
    stack.map_err(|errors| errors.locate(&project.sources))
}

/// What of a project no service uses.
#[derive(Debug, Default)]
pub struct Unused {
    /// Names of networks.
    pub networks: Vec<String>,
    /// Volumes by name.
    pub volumes: Vec<(String, VolumeSpec)>,
}

/// Finds what no service uses: there is nothing unless it was kept when the project was loaded. External ones are nobody's to make.
///
/// # Errors
/// Every attribute of such a volume that the model can't carry.
pub fn unused(project: &Project) -> Result<Unused, Errors> {
    let mut used = project.clone();
    profiles::prune(&mut used);
    let name = |key: &str, node: &Node| node.get("name").and_then(Node::as_str).unwrap_or(key).to_owned();
    let is_ours = |node: &Node| node.get("external").and_then(Node::as_bool) != Some(true);
    let (mut unused, mut errors) = (Unused::default(), Vec::new());
    for (key, node) in project.networks.iter().filter(|(key, node)| !used.networks.contains_key(*key) && is_ours(node))
    {
        unused.networks.push(name(key, node));
    }
    for (key, node) in project.volumes.iter().filter(|(key, node)| !used.volumes.contains_key(*key) && is_ours(node)) {
        unused.volumes.push((name(key, node), mounts::volume_spec(project, key, node, &mut errors)));
    }
    Errors(errors).into_result().map_err(|errors| errors.locate(&project.sources))?;
    Ok(unused)
}

fn stack(project: &mut Project, options: &TranslateOptions, files: &dyn Files) -> Result<Stack, Errors> {
    profiles::select(project, &options.services, !options.no_deps)?;
    profiles::prune(project);
    if let Some(name) = options.scale.keys().find(|name| !project.services.contains_key(*name)) {
        return Err(Error::NoSuchService { name: name.clone() }.into());
    }
    let mut errors = Vec::new();
    let mut stack = Stack { name: project.name.clone(), ..Stack::default() };
    networks::declare(project, &mut stack, &mut errors);
    file_objects::declare(project, files, &mut stack, &mut errors);
    programs::check_models(project, options.models, &mut errors);
    for name in dependency_order(project)? {
        let Some(service) = project.service(name) else { continue };
        if programs::is_provided(project, name) {
            let fields = Fields::new(service.node, format!("services.{name}"));
            programs::check_provider(service, fields, &mut errors);
        } else {
            let mut spec = self::service(project, service, options, files, &stack, &mut errors);
            stack.services.extend(steps::of(project, service, &mut spec, &mut errors));
            stack.services.push(spec);
        }
    }
    Errors(errors).into_result()?;
    Ok(stack)
}

fn service(
    project: &Project,
    service: Service,
    options: &TranslateOptions,
    files: &dyn Files,
    stack: &Stack,
    errors: &mut Vec<Error>,
) -> ServiceSpec {
    let fields = Fields::new(service.node, format!("services.{}", service.name));
    without_effect(&fields, errors);
    let container_name = fields.text("container_name");
    if let Some(reason) = container_name.as_ref().and_then(|name| model::check_object_name("container", name).err()) {
        fields.invalid("container_name", reason.to_string(), errors);
    }
    let mut spec = ServiceSpec {
        name: format!("{}-{}", project.name, service.name),
        stack: Some(StackMember { stack: project.name.clone(), key: service.name.to_owned() }),
        container_name,
        container_prefix: container_prefix(project, service.name),
        // What a program provides is there before the containers that depend on it.
        depends_on: programs::dependencies(project, service),
        network: networks::mode(project, &fields, errors),
        ports: networks::ports(&fields, errors),
        container: container::spec(project, service, &fields, files, errors),
        ..ServiceSpec::default()
    };
    spec.container.env.extend(options.variables.get(service.name).cloned().unwrap_or_default());
    networks::check_way_in(&spec, stack, &fields, errors);
    policies::deploy(&fields, options.rolls, &mut spec, errors);
    let replicas = options.scale.get(service.name).copied().or_else(|| u32::try_from(service.replicas()).ok());
    match replicas {
        Some(replicas) => spec.mode = mode(service, replicas),
        None => fields.invalid("scale", "too many replicas", errors),
    }
    if replicas.is_some_and(|replicas| replicas > 1) && spec.container_name.is_some() {
        fields.invalid("container_name", "only one container can have this name: drop it or scale to 1", errors);
    }
    fields.finish(errors);
    labels(project, service, stack, &mut spec);
    spec
}

/// What the names of a service's containers begin with, where that is not as usual.
fn container_prefix(project: &Project, key: &str) -> Option<String> {
    (project.separator != '-').then(|| project.made_name(&[key, ""]))
}

/// `deploy.mode` with so many replicas.
fn mode(service: Service, replicas: u32) -> ServiceMode {
    match service.node.at(&["deploy", "mode"]).and_then(Node::as_str) {
        Some("global") => ServiceMode::Global,
        Some("global-job") => ServiceMode::GlobalJob,
        Some("replicated-job") => ServiceMode::ReplicatedJob { max_concurrent: replicas, total_completions: replicas },
        _ => ServiceMode::Replicated { replicas },
    }
}

/// Attributes that are already in what was normalised, or that only commands other than `up` read.
fn without_effect(fields: &Fields, errors: &mut Vec<Error>) {
    for (key, _) in report::ELSEWHERE {
        fields.take(key);
    }
    match fields.text("pull_policy").as_deref() {
        Some("build") if fields.take("build").is_some() => {}
        Some("build") => fields.refuse("pull_policy", Some("the service has no build section"), errors),
        Some("refresh") if fields.take("pull_refresh_after").is_none() => fields.refuse(
            "pull_policy",
            Some("say how often: pull_refresh_after, daily, weekly or every_<duration>"),
            errors,
        ),
        Some("refresh") if !fields.text("pull_refresh_after").is_some_and(|text| is_period(&text)) => {
            fields.invalid("pull_refresh_after", "expected a time such as 1d12h, of w, d, h, m and s", errors);
        }
        Some("refresh") => {}
        _ if fields.take("pull_refresh_after").is_some() => {
            fields.refuse("pull_refresh_after", Some("it belongs to pull_policy: refresh"), errors);
        }
        _ => {}
    }
    // What comes of it are services of their own.
    fields.take("pre_start");
    if fields.flag("use_api_socket") {
        fields.refuse(
            "use_api_socket",
            Some("whoever has Orca's API is root on the node; mount its socket by hand if that is meant"),
            errors,
        );
    }
    isolation::refuse_others(fields, errors);
}

/// `1w2d12h30m10s`, or part of it.
fn is_period(text: &str) -> bool {
    let units = text.split_inclusive(['w', 'd', 'h', 'm', 's']);
    let number = |part: &str| part.len() > 1 && part[..part.len() - 1].bytes().all(|b| b.is_ascii_digit());
    let ends = text.ends_with(['w', 'd', 'h', 'm', 's']);
    ends && units.into_iter().all(number)
}

/// Docker Compose's labels, which its users' tools read.
fn labels(project: &Project, service: Service, stack: &Stack, spec: &mut ServiceSpec) {
    let mut dependencies: Vec<String> = service
        .map("depends_on")
        .map(|(name, node)| {
            let condition = node.get("condition").and_then(crate::node::Node::as_str).unwrap_or("service_started");
            let restart = spec.depends_on.get(name).is_some_and(|dependency| dependency.restart);
            format!("{name}:{condition}:{restart}")
        })
        .collect();
    dependencies.sort();
    let hash = hash(project, service, stack, spec);
    let labels = &mut spec.container.labels;
    let mut put = |key: &str, value: String| {
        labels.insert(format!("com.docker.compose.{key}"), value);
    };
    put("project", project.name.clone());
    put("service", service.name.to_owned());
    put("oneoff", "False".into());
    put("config-hash", hash);
    put("project.working_dir", text(&project.directory));
    put("project.config_files", project.files.join(","));
    put("depends_on", dependencies.join(","));
}

/// A service's hash, over its own attributes and the contents of its configs. Contents of secrets stay out of it: a hash
/// in a label would let anyone test guesses.
fn hash(project: &Project, service: Service, stack: &Stack, spec: &ServiceSpec) -> String {
    let own = project.label_hash(service.name).unwrap_or_default();
    if spec.container.configs.is_empty() {
        return own;
    }
    let mut covered = own.into_bytes();
    for file in &spec.container.configs {
        if let Some(config) = stack.configs.iter().find(|config| config.name == file.config) {
            covered.extend(digest(&SHA256, &config.data).as_ref());
        }
    }
    digest(&SHA256, &covered).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
