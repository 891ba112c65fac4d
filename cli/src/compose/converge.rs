//! Whether an application has come to what was asked for. Pure: a view in, a verdict out.

use model::{ContainerPhase, Health, Service, Task, TaskState};

use super::view::View;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Every container is made and could start (`create`).
    Created,
    /// Every container has been started.
    Started,
    /// Every container runs, and is healthy where it has a check (`--wait`).
    Serving,
    /// Every container has ended with code 0.
    Completed,
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
    let slots = service.spec.mode.slots();
    let current: Vec<&Task> = view
        .current_tasks(service)
        .into_iter()
        .filter(|task| task.spec_version == service.spec_version)
        .filter(|task| slots.is_none_or(|slots| task.slot <= slots))
        .collect();
    let mut verdict = if current.len() < slots.unwrap_or(1) as usize { Verdict::Pending } else { Verdict::Reached };
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
        // It could not be started, or a hook after its start has failed.
        (TaskState::Failed, _) if status.error.is_some() => {
            let reason = status.error.as_deref().unwrap_or_default();
            Verdict::Failed(format!("{}: {reason}", task.name))
        }
        (TaskState::Failed, Goal::Serving | Goal::Completed) => {
            Verdict::Failed(format!("{} exited with code {}", task.name, code.unwrap_or(1)))
        }
        (TaskState::Complete, Goal::Serving | Goal::Completed) if code != Some(0) => {
            Verdict::Failed(format!("{} ended", task.name))
        }
        (TaskState::Orphaned, _) => Verdict::Failed(format!("{}: its node is gone", task.name)),
        (state, _) if state.is_terminal() => Verdict::Reached,
        (state, Goal::Created) => {
            if state >= TaskState::Ready {
                Verdict::Reached
            } else {
                Verdict::Pending
            }
        }
        (TaskState::Running, Goal::Started) => Verdict::Reached,
        (TaskState::Running, Goal::Serving) => match container.map(|c| (c.phase, c.health)) {
            Some((_, Health::Unhealthy)) => Verdict::Failed(format!("{} is unhealthy", task.name)),
            Some((ContainerPhase::Running, Health::None | Health::Healthy)) => Verdict::Reached,
            _ => Verdict::Pending,
        },
        _ if view.hopeless.contains(&task.id) => {
            let why = view.waiting.get(&task.id).map_or("a dependency has failed", String::as_str);
            Verdict::Failed(format!("{} cannot start: {why}", task.name))
        }
        _ => Verdict::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{
        ContainerId, ContainerStatus, Meta, RunIntent, ServiceId, ServiceSpec, TaskId, TaskSpec, TaskStatus, Timestamp,
    };

    fn service() -> Service {
        let spec = ServiceSpec { name: "web".into(), ..ServiceSpec::default() };
        let service = Service::new(ServiceId::from_random(1), Meta::default(), spec, false);
        Service { spec_version: 2, ..service }
    }

    fn task(state: TaskState, health: Health, code: Option<i32>) -> Task {
        let container = ContainerStatus {
            id: ContainerId::from_random([1; 32]),
            phase: if state == TaskState::Running { ContainerPhase::Running } else { ContainerPhase::Exited },
            pid: None,
            exit_code: code,
            oom_killed: false,
            health,
            restart_count: 0,
            restarts_done: 0,
            started_at: Timestamp(1),
            finished_at: Timestamp::NEVER,
            attachments: Vec::new(),
        };
        Task {
            id: TaskId::from_random(1),
            meta: Meta::default(),
            service: ServiceId::from_random(1),
            slot: 1,
            name: "web-1".into(),
            spec: TaskSpec::default(),
            spec_version: 2,
            node: None,
            desired: TaskState::Running,
            intent: RunIntent::default(),
            continues: None,
            volumes_since: None,
            tries: 0,
            bound: None,
            status: TaskStatus { state, container: Some(container), ..TaskStatus::default() },
        }
    }

    fn verdict(task: Task, goal: Goal) -> Verdict {
        let view = View { services: vec![service()], tasks: vec![task], version: 5, ..View::default() };
        assert_eq!(judge(&view, &["web".into()], goal, 6), Verdict::Pending, "an older view says nothing");
        judge(&view, &["web".into()], goal, 5)
    }

    #[test]
    fn started_and_serving() {
        let healths = [(Health::None, true), (Health::Healthy, true), (Health::Starting, false)];
        for (health, serves) in healths {
            let running = || task(TaskState::Running, health, None);
            assert_eq!(verdict(running(), Goal::Started), Verdict::Reached);
            assert_eq!(verdict(running(), Goal::Serving) == Verdict::Reached, serves);
        }
        assert!(matches!(
            verdict(task(TaskState::Running, Health::Unhealthy, None), Goal::Serving),
            Verdict::Failed(_)
        ));
        assert_eq!(verdict(task(TaskState::Starting, Health::None, None), Goal::Started), Verdict::Pending);
    }

    #[test]
    fn created_is_made_ready_whatever_it_waits_for() {
        assert_eq!(verdict(task(TaskState::Ready, Health::None, None), Goal::Created), Verdict::Reached);
        assert_eq!(verdict(task(TaskState::Preparing, Health::None, None), Goal::Created), Verdict::Pending);
        assert!(matches!(verdict(task(TaskState::Rejected, Health::None, None), Goal::Created), Verdict::Failed(_)));
    }

    #[test]
    fn ended_tasks() {
        assert_eq!(verdict(task(TaskState::Complete, Health::None, Some(0)), Goal::Serving), Verdict::Reached);
        assert!(matches!(verdict(task(TaskState::Failed, Health::None, Some(3)), Goal::Serving), Verdict::Failed(_)));
        assert_eq!(verdict(task(TaskState::Failed, Health::None, Some(3)), Goal::Started), Verdict::Reached);
        assert!(matches!(verdict(task(TaskState::Rejected, Health::None, None), Goal::Started), Verdict::Failed(_)));
        let mut failed = task(TaskState::Failed, Health::None, Some(127));
        failed.status.error = Some("no such program".into());
        assert_eq!(verdict(failed, Goal::Started), Verdict::Failed("web-1: no such program".into()));
    }

    #[test]
    fn an_old_spec_is_not_enough() {
        let old = Task { spec_version: 1, ..task(TaskState::Running, Health::None, None) };
        assert_eq!(verdict(old, Goal::Started), Verdict::Pending);
    }
}
