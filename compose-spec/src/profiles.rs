//! Which services take part: profiles, services asked for, and the resources that are then in use.

use std::collections::HashSet;

use crate::error::Error;
use crate::pattern;
use crate::project::{Project, Services};
use crate::service::Service;

/// Moves services that no profile enables to `disabled`.
pub fn activate(project: &mut Project, profiles: &[String]) {
    let all: Services = project.services.drain(..).chain(std::mem::take(&mut project.disabled)).collect();
    for (name, node) in all {
        let enabled = Service { name: &name, node: &node }.is_enabled(profiles);
        let home = if enabled { &mut project.services } else { &mut project.disabled };
        home.insert(name, node);
    }
    project.profiles = profiles.to_vec();
}

/// Keeps the named services and what they depend on. Naming a service activates its profiles.
///
/// # Errors
/// [`Error::NoSuchService`].
pub fn select(project: &mut Project, names: &[String], with_dependencies: bool) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let names = &expand(project, names);
    let mut profiles = project.profiles.clone();
    for name in names.iter().filter(|name| !project.services.contains_key(*name)) {
        let Some(node) = project.disabled.get(name) else { return Err(Error::NoSuchService { name: name.clone() }) };
        profiles.extend(Service { name, node }.texts("profiles").map(str::to_owned));
    }
    activate(project, &profiles);
    let mut kept: HashSet<String> = HashSet::new();
    let mut pending: Vec<(String, bool)> = names.iter().map(|name| (name.clone(), true)).collect();
    while let Some((name, required)) = pending.pop() {
        let Some(service) = project.service(&name) else {
            if required {
                return Err(Error::NoSuchService { name });
            }
            continue;
        };
        if kept.insert(name.clone()) && with_dependencies {
            pending.extend(service.dependencies().map(|(name, dependency)| (name.to_owned(), dependency.required)));
        }
    }
    for (name, mut node) in std::mem::take(&mut project.services) {
        if kept.contains(&name) {
            if let Some(dependencies) = node.get_mut("depends_on").and_then(|node| node.as_map_mut()) {
                dependencies.retain(|name, _| kept.contains(name));
            }
            project.services.insert(name, node);
        } else {
            project.disabled.insert(name, node);
        }
    }
    Ok(())
}

/// The services that names mean: `web*` and the like are patterns for enabled services, as file names are matched.
pub fn expand(project: &Project, names: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in names {
        let known = project.services.contains_key(name) || project.disabled.contains_key(name);
        let matching = project.service_names().into_iter().filter(|service| !known && pattern::matches(name, service));
        let before = found.len();
        found.extend(matching.map(str::to_owned));
        if found.len() == before {
            found.push(name.clone());
        }
    }
    let mut seen = HashSet::new();
    found.retain(|name| seen.insert(name.clone()));
    found
}

/// Drops networks, volumes, secrets, configs and models that no enabled service uses.
pub fn prune(project: &mut Project) {
    let mut used: [HashSet<String>; 5] = Default::default();
    for service in project.services() {
        let [networks, volumes, secrets, configs, models] = &mut used;
        networks.extend(service.networks().map(|(name, _)| name.to_owned()));
        volumes.extend(service.volumes().map(|(name, _)| name.to_owned()));
        for keys in [&["secrets"][..], &["build", "secrets"]] {
            secrets.extend(service.sources(keys).map(|(name, _)| name.to_owned()));
        }
        configs.extend(service.sources(&["configs"]).map(|(name, _)| name.to_owned()));
        models.extend(service.map("models").map(|(name, _)| name.to_owned()));
    }
    let sections =
        [&mut project.networks, &mut project.volumes, &mut project.secrets, &mut project.configs, &mut project.models];
    for (section, used) in sections.into_iter().zip(used) {
        section.retain(|name, _| used.contains(name));
    }
}
