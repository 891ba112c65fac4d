//! Whether an application has come to what was asked for. Pure: a view in, a verdict out.

use model::{ContainerPhase, Health, Service, ServiceMode, Task, TaskState};

use super::view::View;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Every container has been started.
    Started,
    /// Every container runs, and is healthy where it has a check (`--wait`).
    Serving,
}

/// What a view says of a goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    Pending,
    /// Reached.
    Reached,
    /// It will not be reached, and why.
    Failed(String),
}

/// Judges the services of these keys. `since` is the version that the request made: older views say nothing.
pub fn judge(view: &View, keys: &[String], goal: Goal, since: u64) -> Verdict {
    if view.version < since {
        return Verdict::Pending;
    }
    let mut verdict = Verdict::Reached;
    for key in keys {
        let Some(service) = view.service(key) else {
            return Verdict::Failed(format!("service {key} is gone"));
        };
        match judge_service(view, service, goal) {
            Verdict::Failed(reason) => return Verdict::Failed(reason),
            Verdict::Pending => verdict = Verdict::Pending,
            Verdict::Reached => {}
        }
    }
    verdict
}

fn judge_service(view: &View, service: &Service, goal: Goal) -> Verdict {
    let ServiceMode::Replicated { replicas } = service.spec.mode;
    let current: Vec<&Task> = view
        .current_tasks(service)
        .into_iter()
        .filter(|task| task.spec_version == service.spec_version && task.slot <= replicas)
        .collect();
    let mut verdict = if current.len() < replicas as usize { Verdict::Pending } else { Verdict::Reached };
    if view.tasks_of(service).iter().any(|task| task.desired == TaskState::Remove) {
        verdict = Verdict::Pending;
    }
    for task in current {
        match judge_task(view, task, goal) {
            Verdict::Failed(reason) => return Verdict::Failed(reason),
            Verdict::Pending => verdict = Verdict::Pending,
            Verdict::Reached => {}
        }
    }
    verdict
}

fn judge_task(view: &View, task: &Task, goal: Goal) -> Verdict {
    let status = &task.status;
    let container = status.container.as_ref();
    let code = container.and_then(|container| container.exit_code);
    match (status.state, goal) {
        (TaskState::Rejected, _) => {
            let reason = status.error.as_deref().unwrap_or("the node refused it");
            Verdict::Failed(format!("{}: {reason}", task.name))
        }
        (TaskState::Failed, Goal::Serving) => Verdict::Failed(format!("{} exited with code {}", task.name, code.unwrap_or(1))),
        (TaskState::Complete, Goal::Serving) if code != Some(0) => Verdict::Failed(format!("{} ended", task.name)),
        (TaskState::Orphaned, _) => Verdict::Failed(format!("{}: its node is gone", task.name)),
        (state, _) if state.is_terminal() => Verdict::Reached,
        (TaskState::Running, Goal::Started) => Verdict::Reached,
        (TaskState::Running, Goal::Serving) => match container.map(|c| (c.phase, c.health)) {
            Some((_, Health::Unhealthy)) => Verdict::Failed(format!("{} is unhealthy", task.name)),
            Some((ContainerPhase::Running, Health::None | Health::Healthy)) => Verdict::Reached,
            _ => Verdict::Pending,
        },
        _ => match view.waiting.get(&task.id).filter(|why| never(why)) {
            Some(why) => Verdict::Failed(format!("{} cannot start: {why}", task.name)),
            None => Verdict::Pending,
        },
    }
}

/// Whether a reason to wait will not go away by itself: a dependency that has failed.
fn never(why: &str) -> bool {
    why.contains("exited with code") || why.contains("is unhealthy") || why.contains("was refused")
}
