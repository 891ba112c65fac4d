//! Tasks: made, moved forward, reported on, deleted.

use std::collections::BTreeSet;

use model::{NodeId, RunIntent, Service, ServiceId, Task, TaskId, TaskState, TaskStatus};

use super::{Draft, Refusal, check_seen};
use crate::state::{Event, IdSource, IntentAction};

impl Draft<'_> {
    fn task(&self, id: TaskId) -> Result<Task, Refusal> {
        let found = self.state.tasks.get(&id).cloned();
        found.ok_or_else(|| Refusal::NotFound { kind: "task", name: id.to_string() })
    }

    fn seen_task(&self, id: TaskId, seen: u64) -> Result<Task, Refusal> {
        let task = self.task(id)?;
        check_seen("task", id, task.meta, seen, self.version)?;
        Ok(task)
    }

    pub(super) fn put_task(&mut self, mut task: Task) {
        task.meta = self.touched(task.meta);
        self.events.insert(Event::Task(task.id));
        self.state.put_task(task);
    }

    pub(super) fn create_task(&mut self, task: &Task, seen: u64) -> Result<(), Refusal> {
        let service = self.state.services.get(&task.service);
        let service = service.ok_or_else(|| Refusal::NotFound { kind: "service", name: task.service.to_string() })?;
        check_seen("service", service.id, service.meta, seen, self.version)?;
        if self.state.tasks.contains_key(&task.id) {
            return Err(Refusal::Exists { kind: "task", name: task.id.to_string() });
        }
        // Where tasks give way one by one, the next is there beside the one before it.
        let place = task.place();
        let most = usize::from(service.spec.rolls() && !service.spec.mode.is_job());
        let taken = self.state.tasks_of(task.service).filter(|other| other.place() == place && other.is_live());
        if taken.count() > most {
            let name = format!("{} of slot {}", service.spec.name, task.slot);
            return Err(Refusal::Exists { kind: "task", name });
        }
        check_desired(task.id, task.desired)?;
        let task = Task { meta: self.born(), node: None, ..task.clone() };
        self.put_task(task);
        Ok(())
    }

    pub(super) fn set_desired(&mut self, id: TaskId, desired: TaskState, seen: u64) -> Result<(), Refusal> {
        let task = self.seen_task(id, seen)?;
        check_desired(id, desired)?;
        if desired > task.desired {
            self.put_task(Task { desired, ..task });
        }
        Ok(())
    }

    pub(super) fn assign_task(&mut self, id: TaskId, node: NodeId, seen: u64) -> Result<(), Refusal> {
        let task = self.seen_task(id, seen)?;
        if task.node.is_some() {
            return Err(Refusal::Exists { kind: "assignment of task", name: id.to_string() });
        }
        if !self.state.nodes.contains_key(&node) {
            return Err(Refusal::NotFound { kind: "node", name: node.to_string() });
        }
        let status = TaskStatus { state: TaskState::Assigned, at: self.now, ..TaskStatus::default() };
        self.put_task(Task { node: Some(node), status, ..task });
        Ok(())
    }

    pub(super) fn orphan_task(&mut self, id: TaskId, seen: u64) -> Result<(), Refusal> {
        let task = self.seen_task(id, seen)?;
        let status = TaskStatus {
            state: TaskState::Orphaned,
            revision: task.status.revision.saturating_add(1),
            at: self.now,
            message: "its node has been gone for too long".into(),
            ..task.status.clone()
        };
        if task.status.accepts(&status) {
            self.put_task(Task { status, ..task });
        }
        Ok(())
    }

    pub(super) fn delete_task(&mut self, id: TaskId, seen: u64) -> Result<(), Refusal> {
        self.seen_task(id, seen)?;
        self.events.insert(Event::Task(id));
        self.state.drop_task(id);
        Ok(())
    }

    /// Reports of tasks that are gone or on another node are old news, and no failure.
    pub(super) fn report(&mut self, node: NodeId, reports: &[(TaskId, TaskStatus)]) -> Result<(), Refusal> {
        for (id, status) in reports {
            let Some(task) = self.state.tasks.get(id).filter(|task| task.node == Some(node)).cloned() else { continue };
            if is_agents(status.state) && task.status.accepts(status) {
                self.put_task(Task { status: status.clone(), ..task });
            }
        }
        Ok(())
    }

    pub(super) fn set_intent(
        &mut self,
        ids: &[TaskId],
        action: IntentAction,
        mut new: IdSource,
    ) -> Result<(), Refusal> {
        // A task that is named twice is meant once: the first time may have replaced it.
        for id in ids.iter().collect::<BTreeSet<_>>() {
            let task = self.task(*id)?;
            self.intend(task, action, &mut new);
        }
        Ok(())
    }

    pub(super) fn intend(&mut self, task: Task, action: IntentAction, new: &mut IdSource) {
        if task.desired > TaskState::Running {
            return;
        }
        if action != IntentAction::Stop {
            self.let_go(task.service);
        }
        if task.status.state.is_terminal() {
            if action != IntentAction::Stop {
                let is_taken = |bits| self.state.tasks.contains_key(&TaskId::from_random(bits));
                let id = TaskId::from_random(new.draw_fresh(is_taken));
                self.continue_task(task, id);
            }
            return;
        }
        let restarts = task.intent.restarts;
        let intent = match action {
            IntentAction::Stop => RunIntent { stopped: true, restarts },
            IntentAction::Start => RunIntent { stopped: false, restarts },
            IntentAction::Restart => RunIntent { stopped: false, restarts: restarts + 1 },
        };
        if intent != task.intent {
            self.put_task(Task { intent, ..task });
        }
    }

    /// Once a user has started one of its tasks, a service is not merely made ready any more.
    fn let_go(&mut self, service: ServiceId) {
        if let Some(service) = self.state.services.get(&service).filter(|service| service.held).cloned() {
            self.put_service(Service { held: false, ..service });
        }
    }

    /// A new task takes over the container of an ended one, which thereby becomes history. What never had a container is tried anew.
    fn continue_task(&mut self, ended: Task, id: TaskId) {
        let continues = ended.status.container.is_some().then_some(ended.id);
        let next = Task {
            id,
            meta: self.born(),
            intent: RunIntent::default(),
            continues,
            tries: 0,
            desired: TaskState::Running,
            status: TaskStatus { state: TaskState::Assigned, at: self.now, ..TaskStatus::default() },
            ..ended.clone()
        };
        self.events.insert(Event::Task(ended.id));
        self.state.drop_task(ended.id);
        self.put_task(next);
    }
}

/// What may be wanted of a task.
fn check_desired(task: TaskId, desired: TaskState) -> Result<(), Refusal> {
    match desired {
        TaskState::Ready | TaskState::Running | TaskState::Shutdown | TaskState::Remove => Ok(()),
        state => Err(Refusal::Desired { task, state }),
    }
}

/// Whether an agent may report this state: the others are the managers' words.
fn is_agents(state: TaskState) -> bool {
    !matches!(state, TaskState::New | TaskState::Pending | TaskState::Remove | TaskState::Orphaned)
}
