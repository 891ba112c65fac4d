//! Whether services have come to what was asked for, and waiting for it.

use std::time::{Duration, Instant};

use model::{Health, Service, ServiceId, Task, TaskState, UpdateState};

use crate::client::Client;
use crate::compose::{View, Watch};
use crate::error::{Error, Result};
use crate::output::progress::Progress;

use super::wait::{Unfinished, WaitFlags};

/// How long tasks without a health check are watched, so that those that end at once are noticed.
const STABLE: Duration = Duration::from_secs(1);

/// What a view says of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    Pending,
    /// Every task does what it is to do. `watch`: whether they go on doing so shows only later.
    Reached { watch: bool },
    /// It will not come to it by itself.
    Failed(String),
    /// An update has failed, and was taken back.
    RolledBack(String),
    /// A job has failed, with its container's code.
    Ended(String, u8),
}

/// Judges a service that is asked to be so. `back`: it is asked to become what it was.
pub fn judge(view: &View, id: ServiceId, since: u64, back: bool) -> Verdict {
    if view.version < since {
        return Verdict::Pending;
    }
    let Some(service) = view.services.iter().find(|service| service.id == id && !service.removing) else {
        return Verdict::Failed("the service is gone".into());
    };
    let tasks: Vec<&Task> =
        view.tasks.iter().filter(|task| task.service == id && task.spec_version == service.spec_version).collect();
    if service.spec.mode.is_job() {
        return judge_job(service, &tasks);
    }
    if let Some(update) = &service.update {
        let name = &service.spec.name;
        match update.state {
            UpdateState::Updating | UpdateState::RollbackStarted => return Verdict::Pending,
            UpdateState::Paused => return Verdict::Failed(format!("service {name}: {}", update.message)),
            UpdateState::RollbackPaused => return Verdict::Failed(format!("service {name}: {}", update.message)),
            UpdateState::RollbackCompleted if !back => {
                return Verdict::RolledBack(format!("service {name}: the update failed and was rolled back"));
            }
            UpdateState::Completed | UpdateState::RollbackCompleted => {}
        }
    }
    judge_tasks(service, &tasks.into_iter().filter(|task| task.is_live()).collect::<Vec<_>>())
}

fn judge_tasks(service: &Service, live: &[&Task]) -> Verdict {
    let wanted = service.spec.mode.slots().unwrap_or(1) as usize;
    let mut verdict = if live.len() < wanted { Verdict::Pending } else { Verdict::Reached { watch: false } };
    for task in live {
        let code = task.status.container.as_ref().and_then(|container| container.exit_code);
        match task.status.state {
            TaskState::Rejected | TaskState::Failed => {
                let reason = task.status.error.clone().unwrap_or_else(|| match code {
                    Some(code) => format!("it ended with code {code}"),
                    None => "it failed".into(),
                });
                return Verdict::Failed(format!("{}: {reason}", task.name));
            }
            TaskState::Complete => {}
            TaskState::Running if task.status.serves() => {
                let checked =
                    task.status.container.as_ref().is_some_and(|container| container.health == Health::Healthy);
                if let Verdict::Reached { watch } = &mut verdict {
                    *watch |= !checked;
                }
            }
            _ => verdict = Verdict::Pending,
        }
    }
    verdict
}

fn judge_job(service: &Service, tasks: &[&Task]) -> Verdict {
    let failed = tasks
        .iter()
        .find(|task| matches!(task.status.state, TaskState::Failed | TaskState::Rejected) && task.is_live());
    if let Some(task) = failed {
        let code = task.status.container.as_ref().and_then(|container| container.exit_code).unwrap_or(1);
        let reason = task.status.error.clone().unwrap_or_else(|| format!("it ended with code {code}"));
        let code = u8::try_from(code).ok().filter(|code| *code > 0).unwrap_or(1);
        return Verdict::Ended(format!("job {} failed: {}: {reason}", service.spec.name, task.name), code);
    }
    let done = tasks.iter().filter(|task| task.status.state == TaskState::Complete).count();
    let wanted = service.spec.mode.slots().map_or(tasks.len().max(1), |slots| slots as usize);
    if done >= wanted { Verdict::Reached { watch: false } } else { Verdict::Pending }
}

/// How many tasks do what they are to do, of how many.
fn counts(view: &View, service: &Service) -> (usize, usize) {
    let tasks = || view.tasks.iter().filter(|task| task.service == service.id && task.is_live());
    let is_done = |task: &&Task| {
        let current = task.spec_version == service.spec_version;
        current && (task.status.serves() || task.status.state == TaskState::Complete)
    };
    let all = service.spec.mode.slots().map_or_else(|| tasks().count(), |slots| slots as usize);
    (tasks().filter(is_done).count(), all)
}

/// Waits until the service is as asked for, and says how it goes. Ctrl-C leaves it to the managers.
pub async fn wait(client: &mut Client, id: ServiceId, since: u64, back: bool, flags: &WaitFlags) -> Result<()> {
    wait_of(client, &[id], since, back, flags).await
}

/// The same of several services.
pub async fn wait_of(client: &mut Client, ids: &[ServiceId], since: u64, back: bool, flags: &WaitFlags) -> Result<()> {
    if ids.is_empty() || !flags.waits() {
        return Ok(());
    }
    let mut view = View::default();
    let converging = converge(client, ids, (since, back), flags.shows(), &mut view);
    let limit = tokio::time::sleep(flags.timeout().unwrap_or(Duration::MAX / 4));
    let unfinished = tokio::select! {
        converged = converging => match converged? {
            None => return Ok(()),
            Some(unfinished) => unfinished,
        },
        () = limit => Unfinished::TimedOut(flags.timeout().unwrap_or_default()),
        pressed = tokio::signal::ctrl_c() => {
            pressed.map_err(|source| Error::Terminal { action: "watch for Ctrl-C", source })?;
            Unfinished::Interrupted
        }
    };
    let mut names: Vec<String> = view.services.iter().map(|service| service.spec.name.clone()).collect();
    if names.is_empty() {
        names = ids.iter().map(ToString::to_string).collect();
    }
    Err(unfinished.of(&names))
}

/// `None`: they are as asked for. `view` is what was seen last.
async fn converge(
    client: &mut Client,
    ids: &[ServiceId],
    (since, back): (u64, bool),
    shows: bool,
    view: &mut View,
) -> Result<Option<Unfinished>> {
    let mut watch = Watch::services(client, ids.iter().map(ToString::to_string).collect()).await?;
    let mut progress = Progress::new();
    let mut told = String::new();
    let mut stable_since: Option<Instant> = None;
    loop {
        let left = stable_since.map(|since| STABLE.saturating_sub(since.elapsed()));
        tokio::select! {
            next = watch.next() => *view = next?,
            () = tokio::time::sleep(left.unwrap_or(Duration::MAX / 4)), if left.is_some() => {}
        }
        if shows {
            tell(view, &mut progress, &mut told);
        }
        let mut verdict = Verdict::Reached { watch: false };
        for id in ids {
            match judge(view, *id, since, back) {
                Verdict::Failed(reason) => return Ok(Some(Unfinished::Failed(reason))),
                Verdict::RolledBack(reason) => return Ok(Some(Unfinished::RolledBack(reason))),
                Verdict::Ended(reason, code) => {
                    eprintln!("{reason}");
                    return Err(Error::Exit(code));
                }
                Verdict::Pending => verdict = Verdict::Pending,
                Verdict::Reached { watch } => {
                    if let Verdict::Reached { watch: all } = &mut verdict {
                        *all |= watch;
                    }
                }
            }
        }
        match verdict {
            Verdict::Reached { watch: false } => break,
            Verdict::Reached { watch: true } => {
                let began = *stable_since.get_or_insert_with(Instant::now);
                if began.elapsed() >= STABLE {
                    break;
                }
            }
            _ => stable_since = None,
        }
    }
    if shows {
        for service in &view.services {
            eprintln!("verify: Service {} converged", service.spec.name);
        }
    }
    Ok(None)
}

fn tell(view: &View, progress: &mut Progress, told: &mut String) {
    let live: Vec<Task> = view.tasks.iter().filter(|task| task.is_live()).cloned().collect();
    progress.show(&live, &view.waiting);
    let lines = view.services.iter().map(|service| {
        let (done, all) = counts(view, service);
        let word = service.update.as_ref().filter(|update| update.state.goes_on() && update.state.is_back());
        let prefix = if word.is_some() { "rollback progress" } else { "overall progress" };
        let kind = if service.spec.mode.is_job() { "job tasks complete" } else { "tasks" };
        format!("{prefix}: {}: {done} out of {all} {kind}", service.spec.name)
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    if lines != *told {
        eprintln!("{lines}");
        *told = lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Meta, ServiceMode, ServiceSpec, Timestamp, UpdateConfig, UpdateStatus};

    fn service(mode: ServiceMode) -> Service {
        let spec =
            ServiceSpec { name: "web".into(), mode, update: Some(UpdateConfig::default()), ..ServiceSpec::default() };
        Service::new(ServiceId::from_random(1), Meta::default(), spec, false)
    }

    fn task(slot: u32, state: TaskState, code: Option<i32>) -> Task {
        use model::{ContainerId, ContainerPhase, ContainerStatus, RunIntent, TaskId, TaskSpec, TaskStatus};
        let container = ContainerStatus {
            id: ContainerId::from_random([1; 32]),
            phase: if state == TaskState::Running { ContainerPhase::Running } else { ContainerPhase::Exited },
            pid: None,
            exit_code: code,
            oom_killed: false,
            health: Health::None,
            restart_count: 0,
            restarts_done: 0,
            started_at: Timestamp(1),
            finished_at: Timestamp::NEVER,
            attachments: Vec::new(),
        };
        Task {
            id: TaskId::from_random(slot.into()),
            meta: Meta::default(),
            service: ServiceId::from_random(1),
            slot,
            name: format!("web.{slot}"),
            spec: TaskSpec::default(),
            spec_version: 1,
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

    fn verdict(service: Service, tasks: Vec<Task>, back: bool) -> Verdict {
        let view = View { services: vec![service], tasks, version: 5, ..View::default() };
        judge(&view, ServiceId::from_random(1), 5, back)
    }

    #[test]
    fn all_tasks_must_serve() {
        let two = || service(ServiceMode::Replicated { replicas: 2 });
        let running = |slot| task(slot, TaskState::Running, None);
        assert_eq!(verdict(two(), vec![running(1)], false), Verdict::Pending);
        assert_eq!(verdict(two(), vec![running(1), running(2)], false), Verdict::Reached { watch: true });
        let rejected = task(2, TaskState::Rejected, None);
        assert!(matches!(verdict(two(), vec![running(1), rejected], false), Verdict::Failed(_)));
    }

    #[test]
    fn an_updates_end_is_the_verdict() {
        let one = |state| {
            let update = Some(UpdateStatus::begin(state, Timestamp(1)));
            Service { update, ..service(ServiceMode::Replicated { replicas: 1 }) }
        };
        let tasks = || vec![task(1, TaskState::Running, None)];
        for (state, back, good) in [
            (UpdateState::Updating, false, None),
            (UpdateState::Completed, false, Some(true)),
            (UpdateState::Paused, false, Some(false)),
            (UpdateState::RollbackCompleted, false, Some(false)),
            (UpdateState::RollbackCompleted, true, Some(true)),
            (UpdateState::RollbackPaused, true, Some(false)),
        ] {
            let found = match verdict(one(state), tasks(), back) {
                Verdict::Pending => None,
                Verdict::Reached { .. } => Some(true),
                _ => Some(false),
            };
            assert_eq!(found, good, "{state}");
        }
    }

    #[test]
    fn a_job_ends_with_its_containers_code() {
        let job = || service(ServiceMode::ReplicatedJob { max_concurrent: 1, total_completions: 2 });
        let done = |slot| task(slot, TaskState::Complete, Some(0));
        assert_eq!(verdict(job(), vec![done(1)], false), Verdict::Pending);
        assert_eq!(verdict(job(), vec![done(1), done(2)], false), Verdict::Reached { watch: false });
        let failed = task(2, TaskState::Failed, Some(7));
        assert!(matches!(verdict(job(), vec![done(1), failed], false), Verdict::Ended(_, 7)));
    }
}
