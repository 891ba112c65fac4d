//! What is history: tasks that have ended and are to be removed, services without tasks, a stack's objects that nothing uses.

use std::collections::{BTreeMap, BTreeSet};

use model::{ConfigId, Place, SecretId, Service, ServiceId, Task, TaskState};

use super::Plan;
use super::task::is_over;
use crate::state::{Command, State};

/// Removes history.
pub fn reap(state: &State, plan: &mut Plan) {
    let over =
        |task: &&Task| task.desired == TaskState::Remove && (task.status.state.is_terminal() || task.node.is_none());
    for task in state.tasks.values().filter(over) {
        plan.commands.push(Command::DeleteTask { task: task.id, seen: task.meta.version });
    }
    history(state, plan);
    let empty = |service: &&Service| service.removing && state.tasks_of(service.id).next().is_none();
    for service in state.services.values().filter(empty) {
        plan.commands.push(Command::RemoveService { service: service.id, seen: service.meta.version });
    }
    unused(state, plan);
}

/// Of what was shut down, each place keeps the newest, as many as the cluster's settings say.
fn history(state: &State, plan: &mut Plan) {
    let most = state.cluster.as_ref().map_or(0, |cluster| cluster.spec.task_history) as usize;
    let mut places: BTreeMap<(ServiceId, Place), Vec<&Task>> = BTreeMap::new();
    let is_history = |task: &&Task| task.desired == TaskState::Shutdown && is_over(task);
    for task in state.tasks.values().filter(is_history) {
        if task.node.is_none() {
            plan.commands.push(Command::DeleteTask { task: task.id, seen: task.meta.version });
        } else {
            places.entry((task.service, task.place())).or_default().push(task);
        }
    }
    for tasks in places.values_mut().filter(|tasks| tasks.len() > most) {
        tasks.sort_by_key(|task| (std::cmp::Reverse(task.meta.created_at), task.id));
        let older = tasks.iter().skip(most);
        plan.commands.extend(older.map(|task| Command::DeleteTask { task: task.id, seen: task.meta.version }));
    }
}

/// A stack makes its objects together with the services that use them, so one that nothing uses is left over; so is a secret or
/// config without a name.
fn unused(state: &State, plan: &mut Plan) {
    // What a service may go back to is kept too.
    let declared = || {
        let previous = |service| Service::previous_spec(service);
        state.services.values().flat_map(move |service| std::iter::once(&service.spec).chain(previous(service)))
    };
    let networks: BTreeSet<&str> = declared()
        .flat_map(|spec| spec.network.attachments())
        .chain(state.tasks.values().flat_map(|task| task.spec.network.attachments()))
        .map(|attachment| attachment.network.as_str())
        .collect();
    for network in state.networks.values().filter(|network| network.spec.stack.is_some()) {
        if !networks.contains(network.spec.name.as_str()) {
            plan.commands.push(Command::RemoveNetwork { network: network.id, seen: network.meta.version });
        }
    }
    let specs = || declared().map(|spec| &spec.container).chain(state.tasks.values().map(|t| &t.spec.container));
    // One without an id means what has the name now.
    let secrets: BTreeSet<SecretId> = specs()
        .flat_map(|spec| &spec.secrets)
        .filter_map(|file| file.id.or_else(|| state.secret_named(&file.secret).map(|secret| secret.id)))
        .collect();
    for secret in state.secrets.values().filter(|secret| secret.superseded || secret.spec.stack.is_some()) {
        if !secrets.contains(&secret.id) {
            plan.commands.push(Command::RemoveSecret { secret: secret.id, seen: secret.meta.version });
        }
    }
    let configs: BTreeSet<ConfigId> = specs()
        .flat_map(|spec| &spec.configs)
        .filter_map(|file| file.id.or_else(|| state.config_named(&file.config).map(|config| config.id)))
        .collect();
    for config in state.configs.values().filter(|config| config.superseded || config.spec.stack.is_some()) {
        if !configs.contains(&config.id) {
            plan.commands.push(Command::RemoveConfig { config: config.id, seen: config.meta.version });
        }
    }
}
