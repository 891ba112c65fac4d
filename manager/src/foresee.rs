//! What a change would lead to, told without making it: the cores decide on a draft of the state, and an ideal node carries out
//! at once what they want of it, until nothing is left to do. Pure.

use std::collections::BTreeMap;

use model::{
    ContainerId, ContainerPhase, ContainerStatus, DependencyCondition, Health, NodeId, Task, TaskId, TaskState,
    TaskStatus, Timestamp,
};

use crate::leader::plan::plan;
use crate::state::{Command, Entry, IdSource, Refusal, State, apply};

/// Most rounds; a stack comes to rest in a few for each level of its dependencies.
const ROUNDS: usize = 1000;

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// To what.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What.
    pub action: Action,
}

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A network.
    Network,
    /// A secret.
    Secret,
    /// A config.
    Config,
    /// The container of a task.
    Container,
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is made.
    Created,
    /// It is given other content or options.
    Updated,
    /// Its process begins.
    Started,
    /// It ends and begins anew.
    Restarted,
    /// Its health check passes, for which another waits.
    Healthy,
    /// It ends with success, for which another waits.
    Exited,
    /// It is ended.
    Stopped,
    /// It goes.
    Removed,
    /// It stays as it is.
    Unchanged,
}

/// What a command would lead to in a stack, in order.
///
/// # Errors
/// The state refuses the command, as it would if it were meant.
pub fn foresee(
    state: &State,
    stack: &str,
    command: Command,
    now: Timestamp,
    ids: &mut IdSource,
) -> Result<Vec<Step>, Refusal> {
    let kept = matches!(command, Command::ApplyStack(_));
    let mut draft = state.clone();
    let mut seen = state.clone();
    let mut steps = Vec::new();
    apply(&mut draft, &Entry { now, commands: vec![command] })?;
    for _ in 0..ROUNDS {
        let version = draft.version;
        let commands = plan(&draft, now, ids).plan.commands;
        if !commands.is_empty() {
            apply(&mut draft, &Entry { now, commands })?;
        }
        objects(&seen, &draft, stack, &mut steps);
        seen = draft.clone();
        let commands = carry_out(&draft, stack, &mut steps);
        if !commands.is_empty() {
            apply(&mut draft, &Entry { now, commands })?;
        }
        if draft.version == version {
            break;
        }
    }
    if kept {
        unchanged(&draft, stack, &mut steps);
    }
    Ok(steps)
}

/// Objects of the stack that have come, changed or gone.
fn objects(before: &State, after: &State, stack: &str, steps: &mut Vec<Step>) {
    let of = |owner: &Option<String>| owner.as_deref() == Some(stack);
    let networks = |state: &State| -> BTreeMap<String, _> {
        let own = state.networks.values().filter(|network| of(&network.spec.stack));
        own.map(|network| (network.spec.name.clone(), network.spec.clone())).collect()
    };
    compare(Kind::Network, &networks(before), &networks(after), steps);
    let secrets = |state: &State| -> BTreeMap<String, _> {
        let own = state.secrets.values().filter(|secret| !secret.superseded && of(&secret.spec.stack));
        own.map(|secret| (secret.spec.name.clone(), secret.spec.clone())).collect()
    };
    compare(Kind::Secret, &secrets(before), &secrets(after), steps);
    let configs = |state: &State| -> BTreeMap<String, _> {
        let own = state.configs.values().filter(|config| !config.superseded && of(&config.spec.stack));
        own.map(|config| (config.spec.name.clone(), config.spec.clone())).collect()
    };
    compare(Kind::Config, &configs(before), &configs(after), steps);
    let continued = |id: TaskId| after.tasks.values().any(|task| task.continues == Some(id));
    let gone =
        |task: &&Task| task.status.container.is_some() && !after.tasks.contains_key(&task.id) && !continued(task.id);
    for service in before.services_of_stack(stack) {
        let removed = before.tasks_of(service.id).filter(gone).map(|task| task.name.clone());
        steps.extend(removed.map(|name| Step { kind: Kind::Container, name, action: Action::Removed }));
    }
}

fn compare<T: PartialEq>(kind: Kind, before: &BTreeMap<String, T>, after: &BTreeMap<String, T>, steps: &mut Vec<Step>) {
    let mut tell = |name: &String, action| steps.push(Step { kind, name: name.clone(), action });
    for (name, object) in after {
        match before.get(name) {
            None => tell(name, Action::Created),
            Some(old) if old != object => tell(name, Action::Updated),
            Some(_) => {}
        }
    }
    before.keys().filter(|name| !after.contains_key(*name)).for_each(|name| tell(name, Action::Removed));
}

/// What an ideal node does next with each task of the stack, and reports.
fn carry_out(state: &State, stack: &str, steps: &mut Vec<Step>) -> Vec<Command> {
    let mut reports: BTreeMap<NodeId, Vec<(TaskId, TaskStatus)>> = BTreeMap::new();
    for service in state.services_of_stack(stack) {
        let awaited = |condition| {
            state.services_of_stack(stack).any(|other| {
                other.spec.depends_on.get(service.spec.key()).is_some_and(|found| found.condition == condition)
            })
        };
        let awaits = Awaits {
            health: awaited(DependencyCondition::ServiceHealthy),
            end: awaited(DependencyCondition::ServiceCompletedSuccessfully),
        };
        for task in state.tasks_of(service.id) {
            let Some(node) = task.node else { continue };
            let Some((status, actions)) = step(task, awaits) else { continue };
            let step = |action| Step { kind: Kind::Container, name: task.name.clone(), action };
            steps.extend(actions.iter().copied().map(step));
            reports.entry(node).or_default().push((task.id, status));
        }
    }
    reports.into_iter().map(|(node, reports)| Command::ReportStatuses { node, reports }).collect()
}

/// What other services wait for.
#[derive(Debug, Clone, Copy)]
struct Awaits {
    health: bool,
    end: bool,
}

/// The next report of a task whose node is ideal, and what it has done for that.
fn step(task: &Task, awaits: Awaits) -> Option<(TaskStatus, Vec<Action>)> {
    if task.status.state.is_terminal() {
        return None;
    }
    let mut status = task.status.clone();
    status.revision = status.revision.saturating_add(1);
    let is_made = status.container.is_some() || task.continues.is_some();
    let mut container = status.container.take().unwrap_or_else(|| made(task));
    let up = matches!(container.phase, ContainerPhase::Running | ContainerPhase::Paused | ContainerPhase::Restarting);
    let actions = match task.desired {
        desired if desired > TaskState::Running => {
            status.state = TaskState::Shutdown;
            container.phase = ContainerPhase::Exited;
            up.then_some(Action::Stopped).into_iter().collect()
        }
        _ if status.state < TaskState::Ready => {
            status.state = TaskState::Ready;
            if is_made { Vec::new() } else { vec![Action::Created] }
        }
        TaskState::Running if task.intent.stopped => {
            if !up {
                return None;
            }
            container.phase = ContainerPhase::Exited;
            vec![Action::Stopped]
        }
        TaskState::Running if up && task.intent.restarts > container.restarts_done => {
            container.restarts_done = task.intent.restarts;
            vec![Action::Restarted]
        }
        TaskState::Running if !up => {
            status.state = TaskState::Running;
            container.restarts_done = task.intent.restarts;
            (container.phase, container.health) = (ContainerPhase::Running, Health::Healthy);
            let healthy = awaits.health.then_some(Action::Healthy);
            std::iter::once(Action::Started).chain(healthy).collect()
        }
        TaskState::Running if awaits.end && container.started_at.is_set() => {
            status.state = TaskState::Complete;
            (container.phase, container.exit_code) = (ContainerPhase::Exited, Some(0));
            vec![Action::Exited]
        }
        _ => return None,
    };
    if matches!(actions.first(), Some(Action::Started)) {
        container.started_at = Timestamp(1);
    }
    status.container = Some(container).filter(|_| is_made || status.state < TaskState::Shutdown);
    Some((status, actions))
}

/// A container that has just been made; which one nobody asks.
fn made(task: &Task) -> ContainerStatus {
    ContainerStatus {
        id: ContainerId::from_random([0; 32]),
        phase: ContainerPhase::Created,
        pid: None,
        exit_code: None,
        oom_killed: false,
        health: Health::None,
        restart_count: 0,
        restarts_done: task.intent.restarts,
        started_at: Timestamp::NEVER,
        finished_at: Timestamp::NEVER,
        attachments: Vec::new(),
    }
}

/// Containers that run and to which nothing happens.
fn unchanged(state: &State, stack: &str, steps: &mut Vec<Step>) {
    let tasks = state.services_of_stack(stack).flat_map(|service| state.tasks_of(service.id));
    let runs = |task: &&Task| {
        let phase = task.status.container.as_ref().map(|container| container.phase);
        task.status.state == TaskState::Running && phase == Some(ContainerPhase::Running)
    };
    let quiet = |task: &&Task| !steps.iter().any(|step| step.kind == Kind::Container && step.name == task.name);
    let stays = |task: &Task| Step { kind: Kind::Container, name: task.name.clone(), action: Action::Unchanged };
    let kept: Vec<Step> = tasks.filter(runs).filter(quiet).map(stays).collect();
    steps.splice(0..0, kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::IntentAction;
    use crate::world::{STACK, World, dependency, replicas, service, stack};
    use model::{ServiceSpec, Stack};

    fn shop() -> Stack {
        let mut web = ServiceSpec { mode: replicas(2), ..service("web") };
        web.depends_on.insert("db".into(), dependency(DependencyCondition::ServiceHealthy));
        web.depends_on.insert("init".into(), dependency(DependencyCondition::ServiceCompletedSuccessfully));
        stack([service("db"), service("init"), web])
    }

    fn told(world: &World, command: Command) -> Vec<String> {
        let before = world.state.clone();
        let steps = foresee(&world.state, STACK, command, world.now, &mut IdSource::new(99)).unwrap();
        assert_eq!(world.state, before);
        steps.into_iter().map(|step| format!("{} {:?}", step.name, step.action)).collect()
    }

    fn at(steps: &[String], step: &str) -> usize {
        steps.iter().position(|found| found == step).unwrap_or_else(|| panic!("no {step} in {steps:?}"))
    }

    #[test]
    fn a_new_stack_is_told_in_the_order_of_its_dependencies() {
        let mut world = World::new(1);
        let command = world.apply_command(shop(), |_| ());
        let steps = told(&world, command);
        assert_eq!(at(&steps, "shop_default Created"), 0);
        assert!(at(&steps, "shop-db-1 Created") < at(&steps, "shop-db-1 Started"));
        assert!(at(&steps, "shop-db-1 Healthy") < at(&steps, "shop-web-1 Started"));
        assert!(at(&steps, "shop-init-1 Exited") < at(&steps, "shop-web-2 Started"));
        let made = world.apply_command(shop(), |apply| apply.no_start = true);
        let steps = told(&world, made);
        assert!(steps.iter().all(|step| step.ends_with("Created")) && steps.len() == 5, "{steps:?}");
    }

    #[test]
    fn what_changes_is_made_anew_and_the_rest_stays() {
        let mut world = World::new(1);
        world.up(stack([service("db"), service("web")])).unwrap();
        world.converge();
        let mut web = service("web");
        web.container.image = "other".into();
        let command = world.apply_command(stack([service("db"), web]), |_| ());
        let expected = ["db-1 Unchanged", "web-1 Stopped", "web-1 Removed", "web-1 Created", "web-1 Started"];
        assert_eq!(told(&world, command), expected.map(|step| format!("shop-{step}")));
        let same = world.apply_command(stack([service("db"), service("web")]), |_| ());
        assert_eq!(told(&world, same), ["shop-db-1 Unchanged", "shop-web-1 Unchanged"]);
    }

    #[test]
    fn ends_are_told_too() {
        let mut world = World::new(1);
        world.up(stack([service("db"), service("web")])).unwrap();
        world.converge();
        let tasks = || world.state.tasks.keys().copied().collect::<Vec<_>>();
        let intent = |action| Command::SetIntent { tasks: tasks(), action, ids: IdSource::new(5) };
        assert_eq!(told(&world, intent(IntentAction::Stop)), ["shop-db-1 Stopped", "shop-web-1 Stopped"]);
        assert_eq!(told(&world, intent(IntentAction::Restart)), ["shop-db-1 Restarted", "shop-web-1 Restarted"]);
        let web = world.task("web");
        world.end(&web, TaskState::Failed, 1);
        let start = Command::SetIntent { tasks: vec![web.id], action: IntentAction::Start, ids: IdSource::new(5) };
        assert_eq!(told(&world, start), ["shop-web-1 Started"], "its container is there");
        let steps = told(&world, Command::RemoveStack { stack: STACK.into(), services: Vec::new() });
        let expected = ["shop-db-1 Stopped", "shop-db-1 Removed", "shop-web-1 Removed", "shop_default Removed"];
        assert!(expected.iter().all(|step| at(&steps, step) < 4) && steps.len() == 4, "{steps:?}");
        assert!(
            foresee(
                &world.state,
                "none",
                Command::RemoveStack { stack: "none".into(), services: vec!["x".into()] },
                world.now,
                &mut IdSource::new(1)
            )
            .is_err(),
            "what is refused is refused"
        );
    }
}
