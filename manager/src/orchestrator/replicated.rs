//! Replicated services: so many slots, each with at most one live task.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    Availability, Meta, RestartCondition, RunIntent, Service, ServiceMode, Task, TaskId, TaskSpec, TaskState,
    TaskStatus, Timestamp,
};

use super::{Plan, dependencies, retry_delay};
use crate::state::{Command, IdSource, IntentAction, State};

/// Reconciles one service.
pub fn reconcile(state: &State, service: &Service, now: Timestamp, ids: &mut IdSource, plan: &mut Plan) {
    let ServiceMode::Replicated { replicas } = service.spec.mode;
    let wanted = if service.removing { 0 } else { replicas };
    let mut slots: BTreeMap<u32, Vec<&Task>> = (1..=wanted).map(|slot| (slot, Vec::new())).collect();
    for task in state.tasks_of(service.id) {
        slots.entry(task.slot).or_default().push(task);
    }
    let may_end = !service.removing || dependencies::dependents_are_gone(state, service);
    for (slot, tasks) in slots {
        let current = tasks.iter().find(|task| task.desired <= TaskState::Running);
        match current {
            Some(task) if slot > wanted => plan.commands.extend(may_end.then(|| remove(task))),
            Some(task) => keep_or_replace(state, service, task, now, ids, plan),
            // The old container must be gone before the new one takes its name, volumes and ports.
            None if slot <= wanted && tasks.is_empty() => {
                plan.commands
                    .push(create(service, new_task(state, service, slot, TaskId::from_random(ids.draw()), now)));
            }
            None => {}
        }
    }
}

fn remove(task: &Task) -> Command {
    set_desired(task, TaskState::Remove)
}

fn set_desired(task: &Task, desired: TaskState) -> Command {
    Command::SetDesired { task: task.id, desired, seen: task.meta.version }
}

fn create(service: &Service, task: Task) -> Command {
    Command::CreateTask { task: Box::new(task), seen: service.meta.version }
}

fn keep_or_replace(state: &State, service: &Service, task: &Task, now: Timestamp, ids: &mut IdSource, plan: &mut Plan) {
    if task.spec_version != service.spec_version || is_drained(state, task) {
        plan.commands.push(remove(task));
        return;
    }
    let retries = task.spec.container.restart.condition != RestartCondition::No;
    if matches!(task.status.state, TaskState::Rejected | TaskState::Orphaned) && retries {
        // Another node takes over at once; one that refuses is given time.
        let wait = if task.status.state == TaskState::Orphaned { Duration::ZERO } else { retry_delay(task.tries) };
        let at = task.status.at.plus(wait);
        if at <= now {
            let next = new_task(state, service, task.slot, TaskId::from_random(ids.draw()), now);
            let next = Task { tries: task.tries.saturating_add(1), intent: stopped(task.intent.stopped), ..next };
            plan.commands.push(Command::DeleteTask { task: task.id, seen: task.meta.version });
            plan.commands.push(create(service, next));
        } else {
            plan.wake(at);
        }
        return;
    }
    if restart_was_missed(task) {
        let tasks = vec![task.id];
        plan.commands.push(Command::SetIntent { tasks, action: IntentAction::Start, ids: IdSource::new(ids.draw()) });
        return;
    }
    if task.desired == TaskState::Ready && dependencies::verdict(state, service).is_met() {
        plan.commands.push(set_desired(task, TaskState::Running));
    }
}

/// Whether its node is to give its tasks to others.
fn is_drained(state: &State, task: &Task) -> bool {
    let node = task.node.and_then(|node| state.nodes.get(&node));
    let runs = task.desired <= TaskState::Running && !task.status.state.is_terminal();
    runs && node.is_some_and(|node| node.spec.availability == Availability::Drain)
}

/// A restart that was asked for while the container was about to end by itself has not been carried out: the agent does
/// nothing more for a task that has ended.
fn restart_was_missed(task: &Task) -> bool {
    let done = task.status.container.as_ref().map_or(0, |container| container.restarts_done);
    let ended = matches!(task.status.state, TaskState::Complete | TaskState::Failed);
    ended && !task.intent.stopped && task.intent.restarts > done
}

fn new_task(state: &State, service: &Service, slot: u32, id: TaskId, now: Timestamp) -> Task {
    let ready = dependencies::verdict(state, service).is_met();
    Task {
        id,
        meta: Meta::default(),
        service: service.id,
        slot,
        name: service.spec.container_name_of(slot),
        spec: task_spec(state, service),
        spec_version: service.spec_version,
        node: None,
        desired: if ready { TaskState::Running } else { TaskState::Ready },
        intent: stopped(service.held),
        continues: None,
        // Only on one and the same node does a slot's next container find what the one before it left.
        volumes_since: service.spec.placement.node.map(|_| service.volumes_since),
        tries: 0,
        status: TaskStatus { state: TaskState::Pending, at: now, ..TaskStatus::default() },
    }
}

fn stopped(stopped: bool) -> RunIntent {
    RunIntent { stopped, ..RunIntent::default() }
}

/// The frozen spec, with the ids of the secrets and configs that it names.
fn task_spec(state: &State, service: &Service) -> TaskSpec {
    let mut container = service.spec.container.clone();
    for file in &mut container.secrets {
        file.id = state.secret_named(&file.secret).map(|secret| secret.id);
    }
    for file in &mut container.configs {
        file.id = state.config_named(&file.config).map(|config| config.id);
    }
    TaskSpec { container, network: service.spec.network.clone() }
}
