//! Rules between the attributes of a service, and between services and the resources they name.

use std::collections::HashMap;

use super::graph;
use crate::error::{Error, Errors};
use crate::node::{Map, Node};
use crate::project::Project;
use crate::service::Service;
use crate::suggest;

/// Checks the enabled part of a project.
///
/// # Errors
/// All that is wrong; a dependency cycle only when nothing else is.
pub fn consistency(project: &Project) -> Result<(), Errors> {
    let mut errors = Vec::new();
    let mut names: HashMap<&str, &str> = HashMap::new();
    for service in project.services() {
        build(project, service, &mut errors);
        references(project, service, &mut errors);
        replicas(service, &mut errors);
        distinct_limits(service, &mut errors);
        mount_targets(service, &mut errors);
        attributes(service, &mut errors);
        if let Some(name) = service.text("container_name")
            && let Some(other) = names.insert(name, service.name)
        {
            let reason = format!("container name {name:?} is already in use by service {other}");
            errors.push(Error::invalid(service.span("container_name"), format!("services.{}", service.name), reason));
        }
    }
    for (name, secret) in &project.secrets {
        let external = secret.get("external").and_then(Node::as_bool) == Some(true);
        if !external && secret.get("file").is_none() && secret.get("environment").is_none() {
            let reason = format!("secret {name:?} must declare either `file` or `environment`");
            errors.push(Error::invalid(secret.key, format!("secrets.{name}"), reason));
        }
    }
    Errors(errors).into_result()?;
    graph::check_cycles(project).map_err(Errors::from)
}

fn invalid(service: Service, key: &str, reason: impl Into<String>) -> Error {
    Error::invalid(service.span(key), format!("services.{}", service.name), reason)
}

fn build(project: &Project, service: Service, errors: &mut Vec<Error>) {
    let Some(build) = service.node.get("build") else {
        if service.image().is_none() && service.node.get("provider").is_none() {
            let reason = format!("service {:?} has neither an image nor a build context specified", service.name);
            errors.push(Error::invalid(service.node.key, format!("services.{}", service.name), reason));
        }
        return;
    };
    if build.get("dockerfile").is_some() && build.get("dockerfile_inline").is_some() {
        errors.push(invalid(service, "build", "mutually exclusive dockerfile and dockerfile_inline"));
    }
    for (name, context) in build.get("additional_contexts").and_then(Node::as_map).into_iter().flat_map(Map::iter) {
        let Some(target) = context.as_str().and_then(|context| context.strip_prefix("service:")) else { continue };
        let problem = match project.service(target) {
            None => "declares unknown service",
            Some(other) if other.node.get("build").is_none() => "declares non-buildable service",
            Some(_) => continue,
        };
        errors.push(Error::invalid(
            context.span,
            format!("services.{}.build.additional_contexts.{name}", service.name),
            format!("{problem} {target:?}"),
        ));
    }
    let platforms = service.list(&["build", "platforms"]);
    if let Some(platform) = service.text("platform")
        && !platforms.is_empty()
        && !platforms.iter().any(|item| item.as_str() == Some(platform))
    {
        errors.push(invalid(
            service,
            "platform",
            format!("build.platforms must include the service's platform {platform:?}"),
        ));
    }
}

/// What a service names, each where it stands.
type Names<'a> = Vec<(&'a str, &'a Node)>;

fn references(project: &Project, service: Service, errors: &mut Vec<Error>) {
    let mut undefined = |node: &Node, relation: &'static str, name: &str, hint: String| {
        let (at, service, name) = (node.key.into(), service.name.to_owned(), name.to_owned());
        errors.push(Error::Undefined { at, service, relation, name, hint });
    };
    let resources: [(&Map, &str, &'static str, Names); 6] = [
        (&project.networks, "networks", "refers to undefined network", service.networks().collect()),
        (&project.volumes, "volumes", "refers to undefined volume", service.volumes().collect()),
        (&project.secrets, "secrets", "refers to undefined secret", service.sources(&["secrets"]).collect()),
        (
            &project.secrets,
            "secrets",
            "refers to undefined build secret",
            service.sources(&["build", "secrets"]).collect(),
        ),
        (&project.configs, "configs", "refers to undefined config", service.sources(&["configs"]).collect()),
        (&project.models, "models", "refers to undefined model", service.map("models").collect()),
    ];
    for (known, section, relation, named) in resources {
        for (name, node) in named.into_iter().filter(|(name, _)| !known.contains_key(*name)) {
            let hint = match suggest::closest(name, known.keys().map(String::as_str)) {
                None => format!(": declare it below \"{section}:\" at the top level"),
                likely => suggest::did_you_mean(likely),
            };
            undefined(node, relation, name, hint);
        }
    }
    for ((name, dependency), (_, node)) in service.dependencies().zip(service.map("depends_on")) {
        let optional = !dependency.required && project.disabled.contains_key(name);
        if !project.services.contains_key(name) && !optional {
            undefined(node, "depends on undefined service", name, missing_service(project, name));
        }
    }
    // The other namespaces are dependencies, once they are added; so is this one, but without them.
    let shared = service.text("network_mode").and_then(|mode| mode.strip_prefix("service:"));
    let told = |name: &str| service.dependencies().any(|(other, _)| other == name);
    if let Some(name) = shared.filter(|name| !project.services.contains_key(*name) && !told(name))
        && let Some(node) = service.node.get("network_mode")
    {
        undefined(node, "shares the network of undefined service", name, missing_service(project, name));
    }
}

/// Why a service isn't there, or which one is probably meant.
fn missing_service(project: &Project, name: &str) -> String {
    match project.disabled.get(name) {
        Some(node) => {
            let profiles: Vec<&str> = Service { name, node }.texts("profiles").collect();
            format!(": it is only there with --profile {}", profiles.join(" or --profile "))
        }
        None => suggest::did_you_mean(suggest::closest(name, project.services.keys().map(String::as_str))),
    }
}

fn replicas(service: Service, errors: &mut Vec<Error>) {
    let scale = service.node.get("scale").and_then(Node::as_int);
    let replicas = service.node.at(&["deploy", "replicas"]).and_then(Node::as_int);
    if let (Some(scale), Some(replicas)) = (scale, replicas)
        && scale != replicas
    {
        errors.push(invalid(service, "scale", "can't set distinct values on 'scale' and 'deploy.replicas'"));
    }
    if service.replicas() < 0 {
        errors.push(invalid(
            service,
            if scale.is_some() { "scale" } else { "deploy" },
            "the number of replicas must be greater than or equal to 0",
        ));
    }
    if service.replicas() > 1 && service.node.get("container_name").is_some() {
        let key = if scale.is_some() { "scale" } else { "deploy.replicas" };
        errors.push(invalid(
            service,
            "container_name",
            format!("can't set container_name and {key} as container name must be unique"),
        ));
    }
}

/// Limits that can be said in two places must be the same in both.
fn distinct_limits(service: Service, errors: &mut Vec<Error>) {
    for (key, section, name) in [
        ("cpus", "limits", "cpus"),
        ("mem_limit", "limits", "memory"),
        ("mem_reservation", "reservations", "memory"),
        ("pids_limit", "limits", "pids"),
    ] {
        let (Some(own), Some(section_node)) =
            (service.node.get(key), service.node.at(&["deploy", "resources", section]))
        else {
            continue;
        };
        if section_node.get(name) != Some(own) {
            let reason = format!("can't set distinct values on '{key}' and 'deploy.resources.{section}.{name}'");
            errors.push(invalid(service, key, reason));
        }
    }
}

fn mount_targets(service: Service, errors: &mut Vec<Error>) {
    let mut seen: HashMap<&str, String> = HashMap::new();
    let tmpfs = service.list(&["tmpfs"]).iter().enumerate().map(|(index, node)| {
        let text = node.as_str().unwrap_or_default();
        (text.split_once(':').map_or(text, |(path, _)| path), format!("tmpfs[{index}]"), node)
    });
    let volumes = service.list(&["volumes"]).iter().enumerate().map(|(index, node)| {
        (node.get("target").and_then(Node::as_str).unwrap_or_default(), format!("volumes[{index}]"), node)
    });
    for (target, place, node) in tmpfs.chain(volumes) {
        let path = format!("services.{}.{place}", service.name);
        if let Some(other) = seen.insert(target, path.clone()) {
            errors.push(Error::invalid(node.span, path, format!("target {target} already mounted as {other}")));
        }
    }
}

fn attributes(service: Service, errors: &mut Vec<Error>) {
    if service.node.get("network_mode").is_some() && service.networks().next().is_some() {
        errors.push(invalid(service, "network_mode", "declares mutually exclusive `network_mode` and `networks`"));
    }
    if let Some(first) = service.list(&["healthcheck", "test"]).first()
        && !matches!(first.as_str(), Some("CMD" | "CMD-SHELL" | "NONE"))
    {
        let path = format!("services.{}.healthcheck.test", service.name);
        errors.push(Error::invalid(first.span, path, "must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\""));
    }
    for watch in service.list(&["develop", "watch"]) {
        let action = watch.get("action").and_then(Node::as_str);
        if watch.get("target").is_none() && !matches!(action, Some("rebuild" | "restart")) {
            let path = format!("services.{}.develop.watch", service.name);
            errors.push(Error::invalid(watch.span, path, "target is required for non-rebuild actions"));
        }
    }
}
