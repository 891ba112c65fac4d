//! What happens to single tasks, whatever the mode of their service.

use std::time::Duration;

use model::{
    Availability, Meta, Place, RestartCondition, RunIntent, Service, Task, TaskId, TaskSpec, TaskState, TaskStatus,
    Timestamp,
};

use super::{Plan, dependencies, retry_delay};
use crate::state::{Command, IdSource, IntentAction, State};

/// It ends, and nothing of it stays.
pub fn remove(task: &Task) -> Command {
    set_desired(task, TaskState::Remove)
}

/// It ends, and stays as history.
pub fn shut_down(task: &Task) -> Command {
    set_desired(task, TaskState::Shutdown)
}

/// It is wanted to come so far.
pub fn set_desired(task: &Task, desired: TaskState) -> Command {
    Command::SetDesired { task: task.id, desired, seen: task.meta.version }
}

/// A task comes into being.
pub fn create(service: &Service, task: Task) -> Command {
    Command::CreateTask { task: Box::new(task), seen: service.meta.version }
}

/// Sees to a task that is as its service wants it: tried again where it could not be carried out, let go when it may start.
pub fn keep(state: &State, service: &Service, task: &Task, now: Timestamp, ids: &mut IdSource, plan: &mut Plan) {
    if is_tried_again(service, task) {
        // Another node takes over at once; one that refuses is given time.
        let wait = if task.status.state == TaskState::Orphaned { Duration::ZERO } else { retry_delay(task.tries) };
        let at = task.status.at.plus(wait);
        // What is of a node waits for it.
        let has_node = task.bound.is_none_or(|node| is_ready(state, node));
        if at <= now && has_node {
            let next = new_task(state, service, task.place(), ids, now, TaskState::Running);
            let intent = stopped(task.intent.stopped);
            let next =
                Task { tries: task.tries.saturating_add(1), intent, desired: task.desired.min(next.desired), ..next };
            let seen = task.meta.version;
            let over = || Command::DeleteTask { task: task.id, seen };
            plan.commands.push(if service.spec.rolls() { shut_down(task) } else { over() });
            plan.commands.push(create(service, next));
        } else if has_node {
            plan.wake(at);
        }
        return;
    }
    if restart_was_missed(task) {
        let tasks = vec![task.id];
        plan.commands.push(Command::SetIntent { tasks, action: IntentAction::Start, ids: IdSource::new(ids.draw()) });
        return;
    }
    let place = task.place();
    // The one before it has ended: Docker's stop-first.
    let alone = || state.tasks_of(service.id).all(|o| o.id == task.id || o.place() != place || is_over(o));
    if task.desired == TaskState::Ready && dependencies::verdict(state, service).is_met() {
        let waits = service.spec.rolls() && !alone();
        plan.commands.extend((!waits).then(|| set_desired(task, TaskState::Running)));
    }
}

/// Whether nothing of it runs or will.
pub fn is_over(task: &Task) -> bool {
    task.status.state.is_terminal() || task.node.is_none() && !task.is_live()
}

fn is_ready(state: &State, node: model::NodeId) -> bool {
    state.nodes.get(&node).is_some_and(|node| node.state == model::NodeState::Ready)
}

fn is_tried_again(service: &Service, task: &Task) -> bool {
    let policy = &task.spec.container.restart;
    match task.status.state {
        TaskState::Orphaned if service.spec.rolls() => true,
        TaskState::Orphaned => policy.condition != RestartCondition::No,
        TaskState::Rejected => {
            let most = policy.max_attempts.filter(|_| service.spec.rolls());
            policy.condition != RestartCondition::No && most.is_none_or(|most| u64::from(task.tries) < most)
        }
        _ => false,
    }
}

/// Whether its node is to give it to others: it is drained, or no longer what the service asks for.
pub fn is_unfit(state: &State, service: &Service, task: &Task) -> bool {
    let node = task.node.and_then(|node| state.nodes.get(&node));
    let runs = task.is_live() && !task.status.state.is_terminal();
    let unfit = |node: &model::Node| {
        node.spec.availability == Availability::Drain || service.spec.placement.unmet(node).is_some()
    };
    runs && node.is_some_and(unfit)
}

/// A restart that was asked for while the container was about to end by itself has not been carried out: the agent does
/// nothing more for a task that has ended.
fn restart_was_missed(task: &Task) -> bool {
    let done = task.status.container.as_ref().map_or(0, |container| container.restarts_done);
    let ended = matches!(task.status.state, TaskState::Complete | TaskState::Failed);
    ended && !task.intent.stopped && task.intent.restarts > done
}

/// The next task of a place; it comes no further than `most` for the time being.
pub fn new_task(
    state: &State,
    service: &Service,
    place: Place,
    ids: &mut IdSource,
    now: Timestamp,
    most: TaskState,
) -> Task {
    let ready = dependencies::verdict(state, service).is_met();
    let id = TaskId::from_random(ids.draw());
    let (slot, bound) = match place {
        Place::Slot(slot) => (slot, None),
        Place::Node(node) => (u32::from(!service.spec.rolls()), Some(node)),
    };
    let name = match (&service.spec.container_name, bound) {
        (Some(name), _) => name.clone(),
        (None, None) if service.spec.rolls() => format!("{}.{slot}.{id}", service.spec.name),
        (None, Some(node)) if service.spec.rolls() => format!("{}.{node}.{id}", service.spec.name),
        (None, _) => service.spec.container_name_of(slot),
    };
    Task {
        id,
        meta: Meta::default(),
        service: service.id,
        slot,
        name,
        spec: task_spec(state, service),
        spec_version: service.spec_version,
        node: None,
        desired: if ready { most } else { TaskState::Ready },
        intent: stopped(service.held),
        continues: None,
        // Only on one and the same node does a slot's next container find what the one before it left.
        volumes_since: service.spec.placement.node.map(|_| service.volumes_since),
        tries: 0,
        bound,
        status: TaskStatus { state: TaskState::Pending, at: now, ..TaskStatus::default() },
    }
}

fn stopped(stopped: bool) -> RunIntent {
    RunIntent { stopped, ..RunIntent::default() }
}

/// The frozen spec. The state says which secrets and configs a service means; of one that was declared before it did, their
/// names say it.
fn task_spec(state: &State, service: &Service) -> TaskSpec {
    let mut container = service.spec.container.clone();
    for file in container.secrets.iter_mut().filter(|file| file.id.is_none()) {
        file.id = state.secret_named(&file.secret).map(|secret| secret.id);
    }
    for file in container.configs.iter_mut().filter(|file| file.id.is_none()) {
        file.id = state.config_named(&file.config).map(|config| config.id);
    }
    TaskSpec { container, network: service.spec.network.clone() }
}
