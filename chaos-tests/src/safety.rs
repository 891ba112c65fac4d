//! What must hold at every moment, judged by what really happens and not by what the cores believe.

use std::collections::BTreeSet;

use manager::state::{Command, State, invariants};
use model::{ContainerId, DependencyCondition, RestartCondition, Task, TaskState, UpdateOrder};

use crate::event::{Author, short};
use crate::mutant::Mutant;
use crate::world::{Record, Shim, World};

/// What has ever happened in containers of a service.
#[derive(Debug, Clone, Copy, Default)]
pub struct History {
    started: bool,
    healthy: bool,
    completed: bool,
}

impl History {
    fn allows(self, condition: DependencyCondition) -> bool {
        match condition {
            DependencyCondition::ServiceStarted => self.started,
            DependencyCondition::ServiceHealthy => self.healthy,
            DependencyCondition::ServiceCompletedSuccessfully => self.completed,
        }
    }
}

impl World {
    /// After each event: a slot runs once on a node, and each process belongs to a container.
    pub(crate) fn check_nodes(&mut self) {
        let mut found = None;
        for (index, node) in self.nodes.iter().enumerate() {
            let mut slots = BTreeSet::new();
            for (id, _) in node.shims.iter().filter(|(_, shim)| Shim::runs(shim)) {
                match node.containers.get(id) {
                    None => found = Some(format!("node {index}: a process runs without container ({})", id.short())),
                    // What is to start first is there twice for a while; so is what a node was given up with.
                    Some(record) if self.may_be_twice(record) => {}
                    Some(record) if !slots.insert((record.service, record.slot)) => {
                        found = Some(format!("node {index}: two processes run for {}", record.name));
                    }
                    Some(_) => {}
                }
            }
        }
        if let Some(found) = found {
            self.violate(found);
        }
    }

    /// Whether another process of the same slot may run beside it.
    fn may_be_twice(&self, record: &Record) -> bool {
        let state = &self.manager.state;
        let Some(service) = state.services.get(&record.service).filter(|service| service.spec.rolls()) else {
            return false;
        };
        let task = state.tasks.get(&record.task);
        let given_up = task.is_none_or(|task| task.status.state == TaskState::Orphaned);
        let declared = std::iter::once(&service.spec).chain(service.previous_spec());
        let mut orders = declared.map(|spec| spec.update.map(|update| update.order));
        // The next run of a job does not wait for the end of the one before it.
        given_up || service.spec.mode.is_job() || orders.any(|order| order != Some(UpdateOrder::StopFirst))
    }

    /// After each entry: the state's own invariants, nothing of a task goes back, dependencies come first.
    pub(crate) fn check_entry(&mut self, before: &State, author: Author) {
        if let Err(broken) = invariants::check(&self.manager.state) {
            self.violate(format!("an invariant is broken: {broken}"));
        }
        let mut found = Vec::new();
        for task in self.manager.state.tasks.values() {
            let old = before.tasks.get(&task.id);
            if old.is_some_and(|old| old == task) {
                continue;
            }
            if let Some(old) = old {
                let (then, now) = (&old.status, &task.status);
                if now.state < then.state || now.revision < then.revision && then.state > TaskState::Assigned {
                    let text = format!("{}#{} to {}#{}", then.state, then.revision, now.state, now.revision);
                    found.push(format!("the status of task {} goes back: {text}", short(&task.id)));
                }
                if task.desired < old.desired {
                    found.push(format!("the desired state of task {} goes back", short(&task.id)));
                }
            }
            let raised = task.desired == TaskState::Running && old.is_none_or(|old| old.desired < TaskState::Running);
            if raised && author == Author::Leader {
                found.extend(self.unmet(task));
            }
        }
        for what in found {
            self.violate(what);
        }
    }

    /// A dependency of the task that has never been as it must be.
    fn unmet(&self, task: &Task) -> Option<String> {
        let state = &self.manager.state;
        let service = state.services.get(&task.service)?;
        let stack = &service.spec.stack.as_ref()?.stack;
        service.spec.depends_on.iter().find_map(|(key, dependency)| {
            let other = state.service_of_stack(stack, key).filter(|other| !other.removing)?;
            let history = self.history.get(&other.id).copied().unwrap_or_default();
            let unmet = other.spec.mode.slots() != Some(0) && !history.allows(dependency.condition);
            unmet.then(|| format!("{} may start, but {key} has never met {:?}", task.name, dependency.condition))
        })
    }

    /// A process is about to begin.
    pub(crate) fn check_start(&mut self, node: usize, id: ContainerId) {
        let Some(record) = self.nodes[node].containers.get_mut(&id) else { return };
        record.runs += 1;
        let again = record.spec.restart.condition == RestartCondition::No && record.runs > 1 + record.asked;
        let (task, service, name) = (record.task, record.service, record.name.clone());
        if again {
            self.violate(format!("{name} runs again, though nobody has asked for it"));
        }
        if self.manager.state.tasks.get(&task).is_some_and(|task| task.desired < TaskState::Running) {
            self.violate(format!("{name} starts before its task may run"));
        }
        self.history.entry(service).or_default().started = true;
    }

    /// A process has ended.
    pub(crate) fn completed(&mut self, node: usize, id: ContainerId, code: i32) {
        if let Some(record) = self.nodes[node].containers.get(&id).filter(|_| code == 0) {
            self.history.entry(record.service).or_default().completed = true;
        }
    }

    /// A probe has passed.
    pub(crate) fn passed(&mut self, node: usize, id: ContainerId) {
        if let Some(record) = self.nodes[node].containers.get(&id) {
            self.history.entry(record.service).or_default().healthy = true;
        }
    }

    /// The mutant that takes statuses as they come, whatever their revision.
    pub(crate) fn broken_statuses(&mut self, commands: &[Command]) {
        if self.mutant != Some(Mutant::TakesStaleStatus) {
            return;
        }
        for command in commands {
            let Command::ReportStatuses { reports, .. } = command else { continue };
            for (task, status) in reports {
                if let Some(task) = self.manager.state.tasks.get_mut(task) {
                    task.status = status.clone();
                }
            }
        }
    }
}
