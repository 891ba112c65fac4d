//! Jobs: tasks that end. A new spec is a new iteration, of which nothing is done yet.

use std::collections::BTreeMap;

use model::{Place, Service, ServiceMode, Task, TaskState, Timestamp};

use super::task::{create, is_unfit, keep, new_task, remove, shut_down};
use super::wanted::Wanted;
use super::{Plan, dependencies};
use crate::state::{IdSource, State};

/// Reconciles one service.
pub fn reconcile(state: &State, service: &Service, now: Timestamp, ids: &mut IdSource, plan: &mut Plan) {
    let wanted = Wanted::of(state, service);
    let may_end = !service.removing || dependencies::dependents_are_gone(state, service);
    let mut current: BTreeMap<Place, &Task> = BTreeMap::new();
    for task in state.tasks_of(service.id) {
        let done = task.status.state == TaskState::Complete;
        // What is done stays done, wherever it was.
        let stays = done && !service.removing && task.bound.is_some();
        if !(stays || wanted.keeps(task.place())) {
            let goes = task.desired < TaskState::Remove && may_end;
            plan.commands.extend(goes.then(|| remove(task)));
        } else if task.is_live() && (task.spec_version != service.spec_version || is_unfit(state, service, task)) {
            plan.commands.push(shut_down(task));
        } else if task.is_live() {
            current.insert(task.place(), task);
        }
    }
    for task in current.values() {
        keep(state, service, task, now, ids, plan);
    }
    let at_work = current.values().filter(|task| !task.status.state.is_terminal()).count();
    let most = match service.spec.mode {
        ServiceMode::ReplicatedJob { max_concurrent, .. } => max_concurrent as usize,
        _ => usize::MAX,
    };
    let free = wanted.places().filter(|place| !current.contains_key(place));
    for place in free.take(most.saturating_sub(at_work)) {
        plan.commands.push(create(service, new_task(state, service, place, ids, now, TaskState::Running)));
    }
}

/// How many tasks of a job's present iteration have succeeded.
pub fn completed(state: &State, service: &Service) -> usize {
    let done = |task: &&Task| task.spec_version == service.spec_version && task.status.state == TaskState::Complete;
    state.tasks_of(service.id).filter(done).count()
}
