//! `depends_on`: when a service's containers may start, and when a removed service's may end.

use model::{Dependency, DependencyCondition, Health, RestartCondition, Service, Task, TaskState};

use crate::state::State;

/// Whether a service may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Met,
    /// Not yet; for what it waits.
    Waiting(String),
    /// What it waits for will not happen by itself.
    Hopeless(String),
}

impl Verdict {
    /// Whether the service may start.
    pub fn is_met(&self) -> bool {
        *self == Self::Met
    }
}

/// Judges all dependencies of a service. One that is not declared (`up --no-deps`) does not count.
pub fn verdict(state: &State, service: &Service) -> Verdict {
    let Some(member) = &service.spec.stack else { return Verdict::Met };
    let mut verdict = Verdict::Met;
    for (key, dependency) in &service.spec.depends_on {
        let Some(other) = state.service_of_stack(&member.stack, key).filter(|other| !other.removing) else { continue };
        match judge(state, key, other, dependency) {
            Verdict::Met => {}
            Verdict::Waiting(why) => verdict = Verdict::Waiting(why),
            Verdict::Hopeless(_) if !dependency.required => {}
            Verdict::Hopeless(why) => return Verdict::Hopeless(why),
        }
    }
    verdict
}

fn judge(state: &State, key: &str, other: &Service, dependency: &Dependency) -> Verdict {
    let slots = other.spec.mode.slots();
    let current = |task: &&Task| {
        task.is_live() && task.spec_version == other.spec_version && slots.is_none_or(|slots| task.slot <= slots)
    };
    // Where every node has one, one is enough to be known of.
    let wanted = slots.unwrap_or(1) as usize;
    let tasks: Vec<&Task> = state.tasks_of(other.id).filter(current).collect();
    let mut verdict = Verdict::Met;
    if tasks.len() < wanted {
        verdict = Verdict::Waiting(format!("waiting for {key}"));
    }
    for task in tasks {
        match judge_task(key, task, dependency.condition) {
            Verdict::Met => {}
            Verdict::Waiting(why) => verdict = Verdict::Waiting(why),
            hopeless => return hopeless,
        }
    }
    verdict
}

fn judge_task(key: &str, task: &Task, condition: DependencyCondition) -> Verdict {
    let container = task.status.container.as_ref();
    let code = container.and_then(|container| container.exit_code);
    let reason = || task.status.error.as_deref().unwrap_or("no reason given");
    let exited = || {
        Verdict::Hopeless(match code {
            Some(code) => format!("{key} exited with code {code}"),
            None => format!("{key} has ended: {}", reason()),
        })
    };
    let waiting = |what: &str| Verdict::Waiting(format!("waiting for {key} to {what}"));
    if task.status.state == TaskState::Rejected {
        return Verdict::Hopeless(format!("{key} was refused by its node: {}", reason()));
    }
    let ended = task.status.state.is_terminal();
    let never_ran = container.is_some_and(|container| !container.started_at.is_set());
    // What was on a node that is gone says nothing of the container that takes over.
    if task.status.state == TaskState::Orphaned && (never_ran || container.is_none() || !is_started(condition)) {
        return match task.spec.container.restart.condition {
            RestartCondition::No => Verdict::Hopeless(format!("{key} was on a node that is gone")),
            _ => waiting("be taken over by another node"),
        };
    }
    match condition {
        // Its start has failed: it never ran, or a hook after it has failed.
        DependencyCondition::ServiceStarted
            if task.status.state == TaskState::Failed && (never_ran || task.status.error.is_some()) =>
        {
            Verdict::Hopeless(format!("{key} could not be started: {}", reason()))
        }
        DependencyCondition::ServiceStarted if task.status.state >= TaskState::Running => Verdict::Met,
        DependencyCondition::ServiceStarted => waiting("start"),
        DependencyCondition::ServiceHealthy if ended => exited(),
        DependencyCondition::ServiceHealthy => match container.map(|container| container.health) {
            _ if task.status.state < TaskState::Running => waiting("start"),
            Some(Health::Healthy) => Verdict::Met,
            Some(Health::Unhealthy) => Verdict::Hopeless(format!("{key} is unhealthy")),
            Some(Health::None) => Verdict::Hopeless(format!("{key} has no health check")),
            Some(Health::Starting) | None => waiting("be healthy"),
        },
        DependencyCondition::ServiceCompletedSuccessfully => match task.status.state {
            TaskState::Complete if code == Some(0) => Verdict::Met,
            state if state.is_terminal() => exited(),
            _ => waiting("complete"),
        },
    }
}

fn is_started(condition: DependencyCondition) -> bool {
    condition == DependencyCondition::ServiceStarted
}

/// Whether a service that is being removed may end: dependents that are removed with it go first.
pub fn dependents_are_gone(state: &State, service: &Service) -> bool {
    let Some(member) = &service.spec.stack else { return true };
    let key = service.spec.key();
    let mut dependents = state
        .services_of_stack(&member.stack)
        .filter(|other| other.id != service.id && other.removing && other.spec.depends_on.contains_key(key));
    dependents.all(|other| state.tasks_of(other.id).next().is_none())
}
