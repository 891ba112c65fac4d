//! What must hold once nothing breaks any more: everything is as declared, and nobody has anything left to do.

use agent::worker;
use manager::assignment::assignments;
use manager::leader::plan::plan;
use manager::orchestrator::dependencies;
use model::{Health, Place, RestartCondition, Service, Task, TaskState};

use crate::event::short;
use crate::stacks::Behaviour;
use crate::world::{Record, Shim, World};

impl World {
    /// What is not yet as it must be in the end.
    pub fn unrest(&self) -> Option<String> {
        let busy = self.nodes.iter().position(|node| !node.alive || node.daemon.session.is_none());
        busy.map(|node| format!("node {node} has no session"))
            .or_else(|| self.state().services.values().find_map(|service| self.unsettled(service)))
            .or_else(|| self.unfinished())
            .or_else(|| (0..self.nodes.len()).find_map(|node| self.leftover(node)))
    }

    /// A cluster in which nothing is declared has nothing.
    pub fn remains(&self) -> Option<String> {
        let state = self.state();
        let networks = state.networks.values().filter(|network| network.spec.stack.is_some()).count();
        let kinds = [
            ("services", state.services.len()),
            ("tasks", state.tasks.len()),
            ("networks", networks),
            ("secrets", state.secrets.len()),
            ("containers", self.nodes.iter().map(|node| node.containers.len()).sum()),
            ("shims", self.nodes.iter().map(|node| node.shims.len()).sum()),
            ("reports", self.nodes.iter().map(|node| node.daemon.reports.len()).sum()),
        ];
        kinds.iter().find(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} {kind} remain"))
    }

    /// The cores, asked again, want nothing.
    fn unfinished(&self) -> Option<String> {
        let mut ids = self.manager.ids;
        let commands = plan(self.state(), self.wall(), &mut ids).plan.commands;
        commands.first().map(|command| format!("the leader still wants {command:?}"))
    }

    fn unsettled(&self, service: &Service) -> Option<String> {
        let name = &service.spec.name;
        if service.removing {
            return Some(format!("service {name} is still being removed"));
        }
        // One that waits for what will not happen goes on for ever.
        let held = dependencies::verdict(self.state(), service);
        if held.is_met() && service.update.as_ref().is_some_and(|update| update.state.goes_on()) {
            return Some(format!("service {name} is still being updated: {}", self.tasks_in_words(service)));
        }
        // What rolls leaves a history, which is no longer asked for anything.
        let is_there = |task: &&Task| !service.spec.rolls() || task.is_live();
        let mut places: Vec<Place> =
            self.state().tasks_of(service.id).filter(is_there).map(|task| task.place()).collect();
        places.sort_unstable();
        let wanted: Vec<Place> = match service.spec.mode.slots() {
            Some(slots) => (1..=slots).map(Place::Slot).collect(),
            None => self.state().nodes.keys().map(|node| Place::Node(*node)).collect(),
        };
        // Where the next task is not let go the one before it stays, and what a user has stopped does not end.
        let stopped = self.state().tasks_of(service.id).any(|task| task.is_live() && task.intent.stopped);
        if service.spec.rolls() && (!held.is_met() || service.spec.mode.is_job() && stopped) {
            return None;
        }
        if places != wanted {
            let tasks = self.tasks_in_words(service);
            return Some(format!("service {name} has tasks of {places:?} instead of {wanted:?}: {tasks}"));
        }
        self.state().tasks_of(service.id).filter(is_there).find_map(|task| {
            let what = self.wrong(service, task)?;
            Some(format!("task {} ({}, {}): {what}", short(&task.id), task.name, task.status.state))
        })
    }

    fn tasks_in_words(&self, service: &Service) -> String {
        let words = |task: &Task| {
            let (place, version, status) = (task.place(), task.spec_version, &task.status);
            let container = status.container.as_ref().map(|container| (container.phase, container.health));
            format!("{place:?} v{version} {} {} {container:?}", task.desired, status.state)
        };
        let tasks: Vec<String> = self.state().tasks_of(service.id).map(words).collect();
        format!("of v{}: {}", service.spec_version, tasks.join(", "))
    }

    fn wrong(&self, service: &Service, task: &Task) -> Option<String> {
        if task.spec_version != service.spec_version || task.desired > TaskState::Running {
            return Some("is of an old spec or on its way out".into());
        }
        let Some(node) = self.nodes.iter().find(|node| Some(node.id) == task.node) else {
            return Some("has no node".into());
        };
        if task.status.state == TaskState::Orphaned {
            let may_stay = task.spec.container.restart.condition == RestartCondition::No;
            let may_stay = may_stay && !service.spec.rolls();
            return (!may_stay).then(|| "is orphaned, and not replaced".into());
        }
        let Some(reported) = node.statuses().find(|(id, _)| *id == task.id).map(|(_, status)| status) else {
            return Some("its node does not know it".into());
        };
        if *reported != task.status {
            return Some(format!("its node says {} #{}", reported.state, reported.revision));
        }
        let found = node.containers.iter().find(|(_, record)| record.task == task.id);
        let Some((id, record)) = found else { return Some("has no container".into()) };
        let runs = node.shims.get(id).is_some_and(Shim::runs);
        if task.desired == TaskState::Ready {
            let met = dependencies::verdict(self.state(), service).is_met();
            return (met || runs).then(|| "is held back, and runs or could".into());
        }
        judge(task, record, runs)
    }

    fn leftover(&self, index: usize) -> Option<String> {
        let node = &self.nodes[index];
        let wanted = assignments(self.state(), node.id);
        if node.daemon.assignments.as_ref() != Some(&wanted) {
            return Some(format!("node {index} has other assignments than the manager"));
        }
        let action = worker::reconcile(&wanted, &node.observed()).into_iter().next();
        if let Some(action) = action {
            return Some(format!("node {index} still wants {action:?}"));
        }
        let stray = node.containers.values().find(|record| !wanted.tasks.contains_key(&record.task));
        stray.map(|record| format!("node {index} still has {}", record.name))
    }
}

/// Whether a task that may run is in a state that its process and its policy lead to.
fn judge(task: &Task, record: &Record, runs: bool) -> Option<String> {
    let state = task.status.state;
    let policy = &record.spec.restart;
    let gives_up = match policy.condition {
        RestartCondition::No => true,
        RestartCondition::OnFailure => policy.max_attempts.is_some(),
        RestartCondition::Always | RestartCondition::UnlessStopped => false,
    };
    if task.intent.stopped {
        return runs.then(|| "runs, though its user has stopped it".into());
    }
    let behaviour = Behaviour::of(&record.spec);
    // What a fault ended or kept from starting stays so where the policy lets it.
    let ended = match state {
        TaskState::Complete => !matches!(policy.condition, RestartCondition::Always | RestartCondition::UnlessStopped),
        // A start that fails is not tried again, whatever the policy (Docker's behaviour).
        // Nor is a container whose hook has failed.
        TaskState::Failed => {
            let started = record.status.container.as_ref().is_some_and(|c| c.started_at.is_set());
            gives_up || !started || record.status.error.is_some()
        }
        TaskState::Rejected => policy.condition == RestartCondition::No,
        _ => false,
    };
    if ended {
        return runs.then(|| "runs, though it has ended".into());
    }
    if state != TaskState::Running {
        return Some("has not come to run".into());
    }
    let health = task.status.container.as_ref().map_or(Health::None, |container| container.health);
    match behaviour {
        Behaviour::Serves | Behaviour::Stubborn if !runs => Some("is said to run, and does not".into()),
        Behaviour::Serves | Behaviour::Stubborn if record.spec.healthcheck.is_some() && health != Health::Healthy => {
            Some(format!("its health is {health:?}"))
        }
        Behaviour::Sick if !runs || health != Health::Unhealthy => {
            Some(format!("is sick, and its health is {health:?}"))
        }
        // Those end and begin again for ever, unless their policy lets them rest.
        Behaviour::Finishes if policy.condition == RestartCondition::OnFailure => Some("is to complete".into()),
        Behaviour::Finishes | Behaviour::Fails if gives_up => Some("is to end".into()),
        _ => None,
    }
}
