//! `pre_start`: containers of their own that run to their end, one after the other, before any container of their service starts.
//!
//! Each step is a service of the stack which the next one, and after the last its service, waits for: so it is started,
//! resumed, waited for and refused as every other. It runs anew when what its service is made from changes.

use std::collections::BTreeMap;

use model::{
    ContainerSpec, Dependency, DependencyCondition, HealthTest, Healthcheck, Mount, MountSource, NetworkMode,
    ServiceMode, ServiceSpec, StackMember,
};

use super::fields::Fields;
use crate::error::Error;
use crate::project::Project;
use crate::service::Service;

/// Docker Compose's label of a container that is a step.
const HOOK_LABEL: &str = "com.docker.compose.hook";

/// The steps of a service in their order; the service is made to wait for them.
pub fn of(project: &Project, service: Service, spec: &mut ServiceSpec, errors: &mut Vec<Error>) -> Vec<ServiceSpec> {
    let mut steps: Vec<ServiceSpec> = Vec::new();
    for (index, node) in service.list(&["pre_start"]).iter().enumerate() {
        let hook = Fields::new(node, format!("services.{}.pre_start[{index}]", service.name));
        let key = format!("{}-pre_start-{index}", service.name);
        if project.any_service(&key).is_some() {
            let reason = format!("it would have the name of service {key:?}: rename that one");
            errors.push(Error::invalid(node.span, format!("services.{}.pre_start[{index}]", service.name), reason));
        }
        let mut depends_on = spec.depends_on.clone();
        depends_on.extend(steps.last().map(|before| (before.key().to_owned(), completed())));
        steps.push(ServiceSpec {
            name: format!("{}-{key}", project.name),
            container_prefix: super::container_prefix(project, &key),
            stack: Some(StackMember { stack: project.name.clone(), key }),
            mode: once(spec.mode),
            container: container(project, service, &spec.container, &hook, errors),
            network: network(&spec.network),
            depends_on,
            step_of: Some(service.name.to_owned()),
            ..ServiceSpec::default()
        });
        hook.finish(errors);
    }
    spec.depends_on.extend(steps.last().map(|last| (last.key().to_owned(), completed())));
    steps
}

fn completed() -> Dependency {
    let condition = DependencyCondition::ServiceCompletedSuccessfully;
    Dependency { condition, restart: false, required: true }
}

/// One run for all replicas; none for none.
fn once(mode: ServiceMode) -> ServiceMode {
    ServiceMode::Replicated { replicas: mode.slots().unwrap_or(1).min(1) }
}

fn container(
    project: &Project,
    service: Service,
    own: &ContainerSpec,
    hook: &Fields,
    errors: &mut Vec<Error>,
) -> ContainerSpec {
    if hook.flag("per_replica") {
        let hint = "a step runs once for the service; what each container needs belongs to its own command";
        hook.refuse("per_replica", Some(hint), errors);
    }
    // The canonical form has the service's image where the step names none.
    let other = hook.text("image").filter(|image| Some(image.as_str()) != service.image());
    let user = hook.text("user").or_else(|| own.user.clone().filter(|_| other.is_none()));
    let mut env = own.env.clone();
    env.extend(hook.strings("environment"));
    let command = hook.texts("command");
    ContainerSpec {
        image: other.unwrap_or_else(|| project.image_name(service)),
        command: (!command.is_empty()).then_some(command),
        env,
        user,
        working_dir: hook.text("working_dir").or_else(|| own.working_dir.clone()),
        privileged: hook.flag("privileged"),
        labels: labels(own),
        security: own.security.clone(),
        mounts: own.mounts.iter().filter(|mount| is_shared(mount)).cloned().collect(),
        secrets: own.secrets.clone(),
        configs: own.configs.clone(),
        healthcheck: Some(Healthcheck { test: Some(HealthTest::Disabled), ..Healthcheck::default() }),
        extra_hosts: own.extra_hosts.clone(),
        dns: own.dns.clone(),
        dns_search: own.dns_search.clone(),
        dns_options: own.dns_options.clone(),
        userns: own.userns,
        runtime: own.runtime.clone(),
        log: own.log.clone(),
        ..ContainerSpec::default()
    }
}

/// Whether all containers of a service see the same files there.
fn is_shared(mount: &Mount) -> bool {
    match &mount.source {
        MountSource::Volume { name, .. } => name.is_some(),
        MountSource::Tmpfs { .. } => false,
        _ => true,
    }
}

/// Compose's own labels, so that the step is found with its service and differs when that one does.
fn labels(own: &ContainerSpec) -> BTreeMap<String, String> {
    let is_composes = |key: &str| key.starts_with("com.docker.compose.") && key != "com.docker.compose.depends_on";
    let kept = own.labels.iter().filter(|(key, _)| is_composes(key));
    let mut labels: BTreeMap<String, String> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    labels.insert(HOOK_LABEL.into(), "pre_start".into());
    labels
}

/// The service's networks, but neither its names nor its fixed addresses there.
fn network(network: &NetworkMode) -> NetworkMode {
    let NetworkMode::Networks(attachments) = network else { return network.clone() };
    let attachments = attachments.iter().cloned().map(|mut attachment| {
        attachment.aliases.clear();
        attachment.link_local.clear();
        (attachment.ipv4_address, attachment.ipv6_address, attachment.mac_address) = (None, None, None);
        attachment
    });
    NetworkMode::Networks(attachments.collect())
}
