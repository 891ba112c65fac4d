//! Services as Compose has them: each place has one task, and the next one comes when nothing is left of the one before it.

use std::collections::BTreeMap;

use model::{Place, Service, Task, TaskState, Timestamp};

use super::task::{create, is_unfit, keep, new_task, remove};
use super::wanted::Wanted;
use super::{Plan, dependencies};
use crate::state::{IdSource, State};

/// Reconciles one service.
pub fn reconcile(state: &State, service: &Service, now: Timestamp, ids: &mut IdSource, plan: &mut Plan) {
    let wanted = Wanted::of(state, service);
    let mut places: BTreeMap<Place, Vec<&Task>> = wanted.places().map(|place| (place, Vec::new())).collect();
    for task in state.tasks_of(service.id) {
        places.entry(task.place()).or_default().push(task);
    }
    let may_end = !service.removing || dependencies::dependents_are_gone(state, service);
    for (place, tasks) in places {
        let current = tasks.iter().find(|task| task.is_live());
        match current {
            Some(task) if !wanted.keeps(place) => plan.commands.extend(may_end.then(|| remove(task))),
            Some(task) if task.spec_version != service.spec_version || is_unfit(state, service, task) => {
                plan.commands.push(remove(task));
            }
            Some(task) => keep(state, service, task, now, ids, plan),
            // The old container must be gone before the new one takes its name, volumes and ports.
            None if wanted.has(place) && tasks.is_empty() => {
                let task = new_task(state, service, place, ids, now, TaskState::Running);
                plan.commands.push(create(service, task));
            }
            None => {}
        }
    }
}
