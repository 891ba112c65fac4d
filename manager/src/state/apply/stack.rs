//! Stacks: declared state against what there is. Only services whose containers would differ get a new `spec_version`.

use std::collections::BTreeSet;

use model::{Network, NetworkId, NetworkMode, NetworkSpec, Service, ServiceId, ServiceSpec, Stack, Task, TaskState};

use super::{Draft, Refusal};
use crate::state::{ApplyStack, IdSource, IntentAction, Recreate, State};

/// What an application of a stack does to services, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StackChanges {
    /// New.
    pub created: Vec<String>,
    /// With another spec, or recreated.
    pub updated: Vec<String>,
    /// As they are.
    pub unchanged: Vec<String>,
    /// Orphans to be removed.
    pub removed: Vec<String>,
}

/// Compares the services of two states by key: before and after a stack was applied.
pub fn changed_services(before: &State, after: &State, apply: &ApplyStack) -> StackChanges {
    let mut changes = StackChanges::default();
    for spec in &apply.stack.services {
        let key = spec.key().to_owned();
        let (old, new) = (before.service_named(&spec.name), after.service_named(&spec.name));
        match (old, new) {
            (None, _) => changes.created.push(key),
            (Some(old), Some(new)) if is_same(old, new) => changes.unchanged.push(key),
            _ => changes.updated.push(key),
        }
    }
    for service in after.services_of_stack(&apply.stack.name).filter(|service| service.removing) {
        if before.services.get(&service.id).is_some_and(|old| !old.removing) {
            changes.removed.push(service.spec.key().to_owned());
        }
    }
    changes
}

fn is_same(old: &Service, new: &Service) -> bool {
    old.spec == new.spec && old.spec_version == new.spec_version && !old.removing
}

impl Draft<'_> {
    pub(super) fn apply_stack(&mut self, apply: &ApplyStack) -> Result<(), Refusal> {
        let mut ids = apply.ids;
        model::check_project_name(&apply.stack.name)?;
        super::declaration::check_members(&apply.stack)?;
        let mut changed = Changed::default();
        for network in &apply.stack.networks {
            self.apply_network(network, apply.recreate, &mut changed, &mut ids)?;
        }
        for name in &apply.stack.external_networks {
            if self.state.network_named(name).is_none() {
                return Err(Refusal::NotFound { kind: "external network", name: name.clone() });
            }
        }
        for secret in &apply.stack.secrets {
            if self.apply_secret(secret, apply.recreate, &mut ids)? {
                changed.secrets.insert(secret.name.clone());
            }
        }
        for config in &apply.stack.configs {
            if self.apply_config(config, apply.recreate, &mut ids)? {
                changed.configs.insert(config.name.clone());
            }
        }
        let mut recreated = BTreeSet::new();
        for spec in &apply.stack.services {
            let service = self.apply_service(spec, apply, &changed, &mut ids)?;
            recreated.extend(service);
        }
        self.roll_other_users(apply, &changed, &mut recreated)?;
        self.remove_former_steps(&apply.stack);
        if apply.remove_orphans {
            self.remove_orphans(&apply.stack);
        }
        for spec in &apply.stack.services {
            self.check_claims(&spec.name)?;
        }
        self.check_dependencies(&apply.stack.name)?;
        self.restart_dependents(&apply.stack, &recreated, &mut ids);
        if apply.start_stopped {
            self.start_stopped(&apply.stack, &mut ids);
        }
        Ok(())
    }

    fn apply_network(
        &mut self,
        spec: &NetworkSpec,
        recreate: Recreate,
        changed: &mut Changed,
        ids: &mut IdSource,
    ) -> Result<(), Refusal> {
        model::check_object_name("network", &spec.name)?;
        self.check_subnets(&spec.name, &spec.subnets)?;
        let Some(network) = self.state.network_named(&spec.name).cloned() else {
            let is_taken = |bits| self.state.networks.contains_key(&NetworkId::from_random(bits));
            let id = NetworkId::from_random(ids.draw_fresh(is_taken));
            let network = Network {
                id,
                meta: self.born(),
                spec: spec.clone(),
                subnets: spec.subnets.clone(),
                leases: Default::default(),
            };
            self.put_network(network);
            return Ok(());
        };
        check_owner("network", &spec.name, network.spec.stack.as_deref(), spec.stack.as_deref())?;
        let mut spec = spec.clone();
        if recreate == Recreate::Never {
            let before = network.spec.clone();
            spec = NetworkSpec {
                name: spec.name,
                labels: spec.labels,
                stack: spec.stack,
                attachable: spec.attachable,
                ..before
            };
        }
        if network.spec == spec {
            return Ok(());
        }
        let of = |spec: &NetworkSpec| (spec.subnets.clone(), spec.ipam.clone(), spec.is_link());
        let moved = of(&network.spec) != of(&spec);
        if moved || network.spec.internal != spec.internal || network.spec.options != spec.options {
            changed.networks.insert(spec.name.clone());
        }
        let mut network = Network { spec: spec.clone(), ..network };
        if moved {
            network.subnets.clone_from(&spec.subnets);
            network.leases.clear();
            self.withdraw_vips(network.id);
        }
        self.put_network(network);
        Ok(())
    }

    /// Creates or updates one service; its id when its containers are to be made anew.
    fn apply_service(
        &mut self,
        spec: &ServiceSpec,
        apply: &ApplyStack,
        changed: &Changed,
        ids: &mut IdSource,
    ) -> Result<Option<ServiceId>, Refusal> {
        model::check_object_name("service", &spec.name)?;
        let mut spec = spec.clone();
        let before = self.state.service_named(&spec.name).cloned();
        if let Some(before) = before.as_ref().filter(|_| apply.keep_replicas.iter().any(|key| key == spec.key())) {
            spec.mode = before.spec.mode;
        }
        if let Some(before) = before.as_ref().filter(|_| apply.recreate == Recreate::Never) {
            keep_containers(&mut spec, &before.spec);
        }
        if apply.recreate != Recreate::Never || before.is_none() {
            self.pin_contents(&mut spec)?;
        }
        self.check_service(&spec)?;
        let Some(before) = before else {
            let is_taken = |bits| self.state.services.contains_key(&ServiceId::from_random(bits));
            let id = ServiceId::from_random(ids.draw_fresh(is_taken));
            self.put_service(Service::new(id, self.born(), spec, apply.no_start));
            return Ok(None);
        };
        let owner = |spec: &ServiceSpec| spec.stack.as_ref().map(|member| member.stack.clone());
        check_owner("service", &spec.name, owner(&before.spec).as_deref(), owner(&spec).as_deref())?;
        if before.spec.rolls() && !spec.rolls() {
            return Err(Refusal::Fixed { service: spec.name, what: "way of being updated" });
        }
        let differs = before.spec.is_made_anew_by(&spec) || changed.concerns(&spec);
        let recreate = match apply.recreate {
            Recreate::Changed => differs || apply.force.iter().any(|key| key == spec.key()),
            Recreate::Force => true,
            Recreate::Never => false,
        };
        let id = before.id;
        let held = apply.no_start || before.held && !apply.start_stopped;
        if recreate || before.removing || before.held != held || before.spec != spec {
            let after = self.renewed(before, spec, recreate);
            let renews = recreate && apply.renew_volumes;
            let volumes_since = if renews { after.spec_version } else { after.volumes_since };
            self.put_service(Service { volumes_since, removing: false, held, ..after });
        }
        Ok(recreate.then_some(id))
    }

    /// Services that the application does not declare, but which see its networks, secrets and configs, too.
    fn roll_other_users(
        &mut self,
        apply: &ApplyStack,
        changed: &Changed,
        recreated: &mut BTreeSet<ServiceId>,
    ) -> Result<(), Refusal> {
        if apply.recreate == Recreate::Never {
            return Ok(());
        }
        let declared: BTreeSet<&str> = apply.stack.services.iter().map(|spec| spec.name.as_str()).collect();
        let concerned =
            |service: &&Service| !declared.contains(service.spec.name.as_str()) && changed.concerns(&service.spec);
        for service in self.state.services.values().filter(concerned).cloned().collect::<Vec<_>>() {
            recreated.insert(service.id);
            let mut spec = service.spec.clone();
            self.pin_contents(&mut spec)?;
            let after = self.renewed(service, spec, true);
            self.put_service(after);
        }
        Ok(())
    }

    /// `depends_on: { x: { restart: true } }`: restarts those that depend on what is made anew, unless they are, too. Who
    /// shares its network waits for the new one: its node restarts it then; now it would join what is about to go.
    fn restart_dependents(&mut self, stack: &Stack, recreated: &BTreeSet<ServiceId>, ids: &mut IdSource) {
        let keys: BTreeSet<String> = recreated
            .iter()
            .filter_map(|id| self.state.services.get(id))
            .map(|service| service.spec.key().to_owned())
            .collect();
        let depends = |service: &&Service| {
            let mut restarting = service.spec.depends_on.iter().filter(|(_, dependency)| dependency.restart);
            let shares = |key: &String| matches!(&service.spec.network, NetworkMode::Service(owner) if owner == key);
            !recreated.contains(&service.id) && restarting.any(|(key, _)| keys.contains(key) && !shares(key))
        };
        let services: Vec<ServiceId> =
            self.state.services_of_stack(&stack.name).filter(depends).map(|service| service.id).collect();
        for task in self.live_tasks(services).filter(|task| !task.status.state.is_terminal()).collect::<Vec<_>>() {
            self.intend(task, IntentAction::Restart, ids);
        }
    }

    fn start_stopped(&mut self, stack: &Stack, ids: &mut IdSource) {
        let service = |spec: &ServiceSpec| self.state.service_named(&spec.name);
        let services: Vec<ServiceId> = stack.services.iter().filter_map(service).map(|service| service.id).collect();
        let rests = |task: &Task| task.intent.stopped || task.status.state.is_terminal();
        for task in self.live_tasks(services).filter(rests).collect::<Vec<_>>() {
            let Some(service) = self.state.services.get(&task.service) else { continue };
            // A step that has passed does so once for what its service is now.
            let passed = service.spec.step_of.is_some() && task.status.state == TaskState::Complete;
            if service.spec_version == task.spec_version && !passed {
                self.intend(task, IntentAction::Start, ids);
            }
        }
    }

    fn live_tasks(&self, services: Vec<ServiceId>) -> impl Iterator<Item = Task> {
        let tasks = services.into_iter().flat_map(|id| self.state.tasks_of(id));
        tasks.filter(|task| task.desired <= TaskState::Running).cloned()
    }

    /// Steps that their service had before, and which it no longer declares.
    fn remove_former_steps(&mut self, stack: &Stack) {
        let declared: BTreeSet<&str> = stack.services.iter().map(ServiceSpec::key).collect();
        let is_former = |service: &&Service| {
            let owner = service.spec.step_of.as_deref();
            !service.removing
                && !declared.contains(service.spec.key())
                && owner.is_some_and(|key| declared.contains(key))
        };
        let former = self.state.services_of_stack(&stack.name).filter(is_former);
        for service in former.cloned().collect::<Vec<_>>() {
            self.put_service(Service { removing: true, ..service });
        }
    }

    fn remove_orphans(&mut self, stack: &Stack) {
        let declared: BTreeSet<&str> = stack.services.iter().map(ServiceSpec::key).collect();
        let is_orphan = |service: &&Service| !service.removing && !declared.contains(service.spec.key());
        let orphans = self.state.services_of_stack(&stack.name).filter(is_orphan);
        for service in orphans.cloned().collect::<Vec<_>>() {
            self.put_service(Service { removing: true, ..service });
        }
    }

    pub(super) fn remove_stack(&mut self, stack: &str, keys: &[String]) -> Result<(), Refusal> {
        let found: Vec<Service> = self.state.services_of_stack(stack).cloned().collect();
        if let Some(unknown) = keys.iter().find(|key| !found.iter().any(|service| service.spec.key() == key.as_str())) {
            return Err(Refusal::NotFound { kind: "service", name: format!("{stack}/{unknown}") });
        }
        let of = |service: &Service, key: &String| key == service.spec.key() || key == service.spec.owner();
        let named = |service: &Service| keys.is_empty() || keys.iter().any(|key| of(service, key));
        for service in found.into_iter().filter(|service| named(service) && !service.removing) {
            self.put_service(Service { removing: true, ..service });
        }
        Ok(())
    }
}

/// Names of objects whose content differs from before.
#[derive(Debug, Default)]
struct Changed {
    networks: BTreeSet<String>,
    secrets: BTreeSet<String>,
    configs: BTreeSet<String>,
}

impl Changed {
    /// Whether containers of the service see a difference.
    fn concerns(&self, spec: &ServiceSpec) -> bool {
        spec.network.attachments().iter().any(|attachment| self.networks.contains(&attachment.network))
            || spec.container.secrets.iter().any(|file| self.secrets.contains(&file.secret))
            || spec.container.configs.iter().any(|file| self.configs.contains(&file.config))
    }
}

/// Without new containers, what they are made from stays too (as do networks, secrets and configs), so that the next
/// application still sees the difference.
fn keep_containers(spec: &mut ServiceSpec, before: &ServiceSpec) {
    spec.container.clone_from(&before.container);
    spec.network.clone_from(&before.network);
    spec.container_name.clone_from(&before.container_name);
    spec.placement.clone_from(&before.placement);
}

pub(super) fn check_owner(
    kind: &'static str,
    name: &str,
    owner: Option<&str>,
    asker: Option<&str>,
) -> Result<(), Refusal> {
    if owner == asker {
        return Ok(());
    }
    let owner = owner.map_or_else(|| "no stack".to_owned(), |stack| format!("stack {stack}"));
    Err(Refusal::Owned { kind, name: name.to_owned(), owner })
}
