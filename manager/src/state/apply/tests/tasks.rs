//! Tasks: intents, reports, and decisions on what has changed meanwhile.

use model::{TaskId, TaskState};

use crate::state::{Command, Event, IdSource, IntentAction, Refusal};
use crate::world::{STACK, World, node, service, stack};

fn running() -> World {
    let mut world = World::new(2);
    world.up(stack([service("web")])).unwrap();
    world.converge();
    world
}

fn intend(world: &mut World, action: IntentAction) {
    let (task, ids) = (world.task("web").id, IdSource::new(world.ids.draw()));
    world.take([Command::SetIntent { tasks: vec![task], action, ids }]);
}

#[test]
fn intents_change_a_live_task() {
    let mut world = running();
    let id = world.task("web").id;
    let mut seen = Vec::new();
    for action in
        [IntentAction::Stop, IntentAction::Restart, IntentAction::Restart, IntentAction::Stop, IntentAction::Start]
    {
        intend(&mut world, action);
        let intent = world.task("web").intent;
        seen.push((intent.stopped, intent.restarts));
    }
    assert_eq!(seen, [(true, 0), (false, 1), (false, 2), (true, 2), (false, 2)]);
    assert_eq!(world.task("web").id, id);
}

#[test]
fn an_ended_task_runs_again_as_another_that_keeps_its_container() {
    for action in [IntentAction::Start, IntentAction::Restart] {
        let mut world = running();
        let ended = world.task("web");
        world.end(&ended, TaskState::Failed, 3);
        intend(&mut world, IntentAction::Stop);
        assert_eq!(world.task("web").id, ended.id, "there is nothing to stop");
        intend(&mut world, action);
        let next = world.task("web");
        assert_eq!((next.continues, next.node, next.slot), (Some(ended.id), ended.node, ended.slot));
        assert_eq!((next.desired, next.status.state), (TaskState::Running, TaskState::Assigned));
        world.converge();
        assert_eq!(world.task("web").status.state, TaskState::Running);
    }
}

#[test]
fn what_never_had_a_container_is_tried_anew() {
    let mut world = running();
    let task = world.task("web");
    world.report(&task, TaskState::Rejected, |status| status.container = None);
    intend(&mut world, IntentAction::Start);
    assert_eq!(world.task("web").continues, None);
}

#[test]
fn a_task_that_is_to_go_takes_no_intent_and_an_unknown_one_is_refused() {
    let mut world = running();
    let task = world.task("web");
    world.take([Command::SetDesired { task: task.id, desired: TaskState::Remove, seen: task.meta.version }]);
    intend(&mut world, IntentAction::Stop);
    assert!(!world.task("web").intent.stopped);
    let unknown =
        Command::SetIntent { tasks: vec![TaskId::from_random(9)], action: IntentAction::Stop, ids: world.ids };
    assert!(matches!(world.entry([unknown]), Err(Refusal::NotFound { kind: "task", .. })));
}

#[test]
fn reports_only_go_forward_and_come_from_the_tasks_node() {
    let mut world = running();
    let task = world.task("web");
    let other = if task.node == Some(node(1)) { node(2) } else { node(1) };
    let mut old = task.status.clone();
    old.message = "old news".into();
    let mut back = task.status.clone();
    (back.state, back.revision) = (TaskState::Preparing, back.revision + 5);
    let mut next = task.status.clone();
    (next.state, next.revision) = (TaskState::Failed, next.revision + 5);
    let report = |node, status| Command::ReportStatuses { node, reports: vec![(task.id, status)] };
    assert_eq!(world.take([report(task.node.unwrap(), old)]), [], "the same revision");
    assert_eq!(world.take([report(task.node.unwrap(), back.clone())]), [], "a state further back");
    assert_eq!(world.take([report(other, next.clone())]), [], "another node");
    assert_eq!(world.take([report(task.node.unwrap(), next)]), [Event::Task(task.id)]);
    back.revision += 1;
    assert_eq!(world.take([report(task.node.unwrap(), back.clone())]), [], "an end is an end");
    let gone = Command::ReportStatuses { node: node(1), reports: vec![(TaskId::from_random(9), back)] };
    assert_eq!(world.take([gone]), [], "a task that is gone");
}

#[test]
fn decisions_on_what_has_changed_meanwhile_are_refused() {
    let mut world = running();
    let task = world.task("web");
    world.report(&task, TaskState::Running, |_| ());
    let seen = task.meta.version;
    let stale = [
        Command::SetDesired { task: task.id, desired: TaskState::Remove, seen },
        Command::DeleteTask { task: task.id, seen },
        Command::OrphanTask { task: task.id, seen },
        Command::AssignTask { task: task.id, node: node(1), seen },
    ];
    for command in stale {
        let refused = world.entry([command]).unwrap_err();
        let now = world.task("web").meta.version;
        let words = format!("task {} has changed meanwhile (version {seen} was seen, {now} is current)", task.id);
        assert_eq!(refused.to_string(), words);
    }
}

#[test]
fn an_entry_is_applied_as_a_whole_or_not_at_all() {
    let mut world = running();
    let before = world.state.clone();
    let task = world.task("web");
    let first = Command::SetDesired { task: task.id, desired: TaskState::Remove, seen: task.meta.version };
    let second = Command::DeleteTask { task: TaskId::from_random(9), seen: 1 };
    assert!(world.entry([first.clone(), second]).is_err());
    assert_eq!(world.state, before);
    // Two commands on one object: what the entry itself has changed is not stale.
    world.take([first, Command::DeleteTask { task: task.id, seen: task.meta.version }]);
    assert!(world.tasks("web").is_empty());
}

#[test]
fn desired_states_only_go_forward_and_a_slot_has_one_live_task() {
    let mut world = running();
    let task = world.task("web");
    let seen = task.meta.version;
    assert_eq!(world.take([Command::SetDesired { task: task.id, desired: TaskState::Ready, seen }]), []);
    let twin = model::Task { id: TaskId::from_random(9), ..task.clone() };
    let seen = world.service("web").meta.version;
    assert!(matches!(world.entry([Command::CreateTask { task: Box::new(twin), seen }]), Err(Refusal::Exists { .. })));
    let again = Command::CreateTask { task: Box::new(task), seen };
    assert!(matches!(world.entry([again]), Err(Refusal::Exists { kind: "task", .. })));
    let service = world.service("web").id;
    assert!(matches!(world.entry([Command::RemoveService { service, seen }]), Err(Refusal::Exists { .. })));
}

#[test]
fn a_task_of_a_lost_node_is_orphaned_and_stays_so() {
    let mut world = running();
    let task = world.task("web");
    world.take([Command::OrphanTask { task: task.id, seen: task.meta.version }]);
    assert_eq!(world.task("web").status.state, TaskState::Orphaned);
    world.report(&task, TaskState::Running, |_| ());
    assert_eq!(world.task("web").status.state, TaskState::Orphaned);
    assert!(world.state.services_of_stack(STACK).all(|service| !service.removing));
}
