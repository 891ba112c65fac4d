//! What is history: tasks that have ended and are to be removed, services without tasks, a stack's objects that nothing uses.

use std::collections::BTreeSet;

use model::{Service, Task, TaskState};

use super::Plan;
use crate::state::{Command, State};

/// Removes history.
pub fn reap(state: &State, plan: &mut Plan) {
    let over =
        |task: &&Task| task.desired == TaskState::Remove && (task.status.state.is_terminal() || task.node.is_none());
    for task in state.tasks.values().filter(over) {
        plan.commands.push(Command::DeleteTask { task: task.id, seen: task.meta.version });
    }
    let empty = |service: &&Service| service.removing && state.tasks_of(service.id).next().is_none();
    for service in state.services.values().filter(empty) {
        plan.commands.push(Command::RemoveService { service: service.id, seen: service.meta.version });
    }
    unused(state, plan);
}

/// A stack makes its objects together with the services that use them, so one that nothing uses is left over.
fn unused(state: &State, plan: &mut Plan) {
    let networks: BTreeSet<&str> = state
        .services
        .values()
        .flat_map(|service| service.spec.network.attachments())
        .chain(state.tasks.values().flat_map(|task| task.spec.network.attachments()))
        .map(|attachment| attachment.network.as_str())
        .collect();
    for network in state.networks.values().filter(|network| network.spec.stack.is_some()) {
        if !networks.contains(network.spec.name.as_str()) {
            plan.commands.push(Command::RemoveNetwork { network: network.id, seen: network.meta.version });
        }
    }
    let specs =
        || state.services.values().map(|s| &s.spec.container).chain(state.tasks.values().map(|t| &t.spec.container));
    let secrets: BTreeSet<&str> = specs().flat_map(|spec| &spec.secrets).map(|file| file.secret.as_str()).collect();
    for secret in state.secrets.values().filter(|secret| secret.spec.stack.is_some()) {
        if !secrets.contains(secret.spec.name.as_str()) {
            plan.commands.push(Command::RemoveSecret { secret: secret.id, seen: secret.meta.version });
        }
    }
    let configs: BTreeSet<&str> = specs().flat_map(|spec| &spec.configs).map(|file| file.config.as_str()).collect();
    for config in state.configs.values().filter(|config| config.spec.stack.is_some()) {
        if !configs.contains(config.spec.name.as_str()) {
            plan.commands.push(Command::RemoveConfig { config: config.id, seen: config.meta.version });
        }
    }
}
