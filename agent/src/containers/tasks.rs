//! The containers of tasks: carries out what [`crate::worker`] decides, and reports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Assignments, ContainerId, Task, TaskId, TaskState, TaskStatus};

use super::{Containers, Shared, TaskRef};
use crate::placeholders::Placeholders;
use crate::task::Event;
use crate::worker::{self, Action, Observed, ObservedContainer};
use crate::{clock, signal};

impl Containers {
    /// Brings the node's containers closer to the assignments; more follows as containers change.
    pub(crate) fn reconcile(&self, desired: &Assignments) {
        if self.shared.closed.load(Ordering::Acquire) {
            return;
        }
        let observed = self.shared.observe();
        for action in worker::reconcile(desired, &observed) {
            self.shared.carry_out(action, desired);
        }
    }

    /// The last report of every task.
    pub(crate) fn reports(&self) -> BTreeMap<TaskId, TaskStatus> {
        let state = self.shared.state();
        let of_containers =
            state.entries.values().filter_map(|entry| Some((entry.record.task?.task, entry.record.status.clone())));
        state.reports.clone().into_iter().chain(of_containers).collect()
    }
}

impl Shared {
    fn observe(&self) -> Observed {
        let state = self.state();
        let containers = state.entries.iter().map(|(id, entry)| {
            let observed = ObservedContainer {
                name: entry.record.name.clone(),
                task: entry.record.task.map(|owner| owner.task),
                goal: entry.machine.goal(),
                intent: entry.record.intent,
                at_rest: !entry.machine.is_active(),
                keeps_volumes: entry.record.task.is_some_and(|owner| owner.volumes_since.is_some()),
            };
            (*id, observed)
        });
        let reports = state.reports.iter().map(|(task, status)| (*task, status.state));
        Observed { containers: containers.collect(), reports: reports.collect() }
    }

    fn carry_out(self: &Arc<Self>, action: Action, desired: &Assignments) {
        match action {
            Action::Create(task) => self.begin_task(task, desired),
            Action::Adopt { task, container } => self.adopt(task, container, desired),
            Action::SetGoal { container, goal } => self.feed(container, Event::Goal(goal)),
            Action::SetIntent { container, intent } => {
                let events = {
                    let mut state = self.state();
                    let Some(entry) = state.entries.get_mut(&container) else { return };
                    let events = entry.intent_events(intent);
                    entry.record.intent = intent;
                    self.db.save_container(&entry.record);
                    events
                };
                events.into_iter().for_each(|event| self.feed(container, event));
            }
            Action::ReportShutdown(task) => self.report(task, TaskState::Shutdown, "there is no container", None),
            Action::Forget(task) => {
                self.state().reports.remove(&task);
            }
        }
    }

    fn begin_task(self: &Arc<Self>, id: TaskId, desired: &Assignments) {
        let Some(task) = desired.tasks.get(&id) else { return };
        let task = &self.with_names(task, desired);
        let signal = task.spec.container.stop_signal.as_deref().map_or(Ok(signal::TERM), signal::parse);
        let made = signal.and_then(|_| self.create_for_task(task, worker::goal_of(task)));
        match made {
            Ok(()) => {
                let made = self.state().by_task(id);
                if let Some(container) = made {
                    self.feed(container, Event::Tick);
                }
            }
            Err(error) => self.report(id, TaskState::Rejected, "could not be accepted", Some(error.to_string())),
        }
    }

    /// The task with the templates in its environment replaced by what they mean here.
    fn with_names(&self, task: &Task, desired: &Assignments) -> Task {
        let service = desired.endpoints.get(&task.service).map(|endpoint| endpoint.name.as_str());
        let names = Placeholders::of(task, service.unwrap_or_default(), &self.executor.host().hostname);
        let mut task = task.clone();
        for value in task.spec.container.env.values_mut() {
            *value = names.expand(value);
        }
        task
    }

    fn adopt(self: &Arc<Self>, id: TaskId, container: ContainerId, desired: &Assignments) {
        let Some(task) = desired.tasks.get(&id) else { return };
        {
            let mut state = self.state();
            let Some(entry) = state.entries.get_mut(&container) else { return };
            let before = entry.record.task.replace(TaskRef::of(task));
            let mut status = std::mem::take(&mut entry.record.status);
            if !status.state.is_terminal() {
                // It must not get a container of its own again.
                status.state = TaskState::Shutdown;
                status.message = "its container was taken over".into();
                status.revision += 1;
            }
            entry.record.intent = task.intent;
            entry.record.name = task.name.clone();
            if let Some(before) = before {
                state.reports.insert(before.task, status);
            }
        }
        self.feed(container, Event::Adopted { restarts: task.intent.restarts });
        if task.intent.stopped {
            self.feed(container, Event::Stop(Default::default()));
        }
        self.feed(container, Event::Goal(worker::goal_of(task)));
    }

    fn report(&self, task: TaskId, state: TaskState, message: &str, error: Option<String>) {
        let now = clock::now();
        let status = TaskStatus {
            state,
            // Above what an earlier daemon may have said of it.
            revision: u64::try_from(now.wall.0).unwrap_or(1),
            at: now.wall,
            message: message.into(),
            error,
            container: None,
        };
        self.state().reports.insert(task, status);
        self.changes.send_modify(|count| *count += 1);
    }
}
