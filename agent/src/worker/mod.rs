//! What must change on this node: assignments against containers. Pure, total and idempotent: carried out or cut off half
//! way, the next call asks for what is left.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use model::{Assignments, ContainerId, RunIntent, Task, TaskId, TaskState};

use crate::task::Goal;

/// What a manager's tasks have on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Every container, standalone ones too: their names are taken.
    pub containers: BTreeMap<ContainerId, ObservedContainer>,
    /// Last reports of tasks that have no container: rejected before there was one, or removed.
    pub reports: BTreeMap<TaskId, TaskState>,
}

/// A container as far as assignments concern it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedContainer {
    /// Its name.
    pub name: String,
    /// Whose it is; `None`: standalone.
    pub task: Option<TaskId>,
    /// What is wanted of it.
    pub goal: Goal,
    /// The intent that was last handed to it.
    pub intent: RunIntent,
    /// Nothing of it runs or is about to.
    pub at_rest: bool,
    /// Its anonymous volumes stay for the next container in its place.
    pub keeps_volumes: bool,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a container for the task.
    Create(TaskId),
    /// The task takes over the container of the one that it continues.
    Adopt {
        /// Which task.
        task: TaskId,
        /// Which container.
        container: ContainerId,
    },
    /// Another goal.
    SetGoal {
        /// Of which container.
        container: ContainerId,
        /// Which goal.
        goal: Goal,
    },
    /// Another intent.
    SetIntent {
        /// Of which container.
        container: ContainerId,
        /// Which intent.
        intent: RunIntent,
    },
    /// The task has no container any more: say so.
    ReportShutdown(TaskId),
    /// The managers don't know the task any more.
    Forget(TaskId),
}

/// What the container of a task is to become.
pub fn goal_of(task: &Task) -> Goal {
    match task.desired {
        TaskState::Remove | TaskState::Orphaned => removal(task.volumes_since.is_some()),
        state if state.is_terminal() => Goal::End,
        TaskState::Running => Goal::Run,
        _ => Goal::Ready,
    }
}

fn removal(keeps_volumes: bool) -> Goal {
    Goal::Remove { volumes: !keeps_volumes, force: false }
}

/// What must change so that the containers are what the assignments say.
pub fn reconcile(desired: &Assignments, observed: &Observed) -> Vec<Action> {
    let mut actions = Vec::new();
    let by_task: BTreeMap<TaskId, (&ContainerId, &ObservedContainer)> =
        observed.containers.iter().filter_map(|(id, c)| Some((c.task?, (id, c)))).collect();
    let mut adopted = BTreeSet::new();
    for task in desired.tasks.values() {
        match by_task.get(&task.id) {
            Some((id, container)) => keep(task, **id, container, &mut actions),
            None => {
                let action = begin(task, &by_task, observed);
                if let Some(Action::Adopt { container, .. }) = action {
                    adopted.insert(container);
                }
                actions.extend(action);
            }
        }
    }
    for (task, (id, container)) in &by_task {
        let gone = !desired.tasks.contains_key(task) && !adopted.contains(*id);
        if gone && !matches!(container.goal, Goal::Remove { .. }) {
            actions.push(Action::SetGoal { container: **id, goal: removal(container.keeps_volumes) });
        }
    }
    let forgotten = observed.reports.keys().filter(|task| !desired.tasks.contains_key(task));
    actions.extend(forgotten.copied().map(Action::Forget));
    actions
}

fn keep(task: &Task, id: ContainerId, container: &ObservedContainer, actions: &mut Vec<Action>) {
    let goal = goal_of(task);
    if matches!(container.goal, Goal::Remove { .. }) {
        return;
    }
    // The intent first: a container that its user has stopped must not begin for a moment.
    if container.intent != task.intent && matches!(goal, Goal::Ready | Goal::Run) {
        actions.push(Action::SetIntent { container: id, intent: task.intent });
    }
    if container.goal != goal {
        actions.push(Action::SetGoal { container: id, goal });
    }
}

fn begin(
    task: &Task,
    by_task: &BTreeMap<TaskId, (&ContainerId, &ObservedContainer)>,
    observed: &Observed,
) -> Option<Action> {
    if observed.reports.get(&task.id).is_some_and(|state| state.is_terminal()) {
        return None;
    }
    if task.desired.is_terminal() {
        return Some(Action::ReportShutdown(task.id));
    }
    let continued = task.continues.and_then(|previous| by_task.get(&previous));
    if let Some((id, container)) = continued {
        // What is going can't be taken over; the name is free once it is gone.
        let going = matches!(container.goal, Goal::Remove { .. });
        return (!going).then_some(Action::Adopt { task: task.id, container: **id });
    }
    match observed.containers.iter().find(|(_, container)| container.name == task.name) {
        None => Some(Action::Create(task.id)),
        Some((_, holder)) if matches!(holder.goal, Goal::Remove { .. }) => None,
        // The remains of an earlier task of the same name make room.
        Some((id, holder)) if holder.task.is_some() && holder.at_rest => {
            Some(Action::SetGoal { container: *id, goal: removal(holder.keeps_volumes) })
        }
        // An earlier task's container that still runs: its own desired state ends it. A standalone one makes the creation
        // fail, with its name in the message.
        Some((_, holder)) => holder.task.is_none().then_some(Action::Create(task.id)),
    }
}
