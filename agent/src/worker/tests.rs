use std::collections::BTreeMap;

use model::{
    Assignments, ContainerId, Meta, NodeId, RunIntent, ServiceId, Task, TaskId, TaskSpec, TaskState, TaskStatus,
};
use proptest::prelude::*;

use super::*;

fn task(n: u8, name: &str, desired: TaskState) -> Task {
    Task {
        id: TaskId::from_random(n.into()),
        meta: Meta::default(),
        service: ServiceId::from_random(1),
        slot: 1,
        name: name.into(),
        spec: TaskSpec::default(),
        spec_version: 1,
        node: Some(NodeId::from_random(1)),
        desired,
        intent: RunIntent::default(),
        continues: None,
        volumes_since: None,
        tries: 0,
        bound: None,
        status: TaskStatus::default(),
    }
}

fn desired(tasks: impl IntoIterator<Item = Task>) -> Assignments {
    Assignments { tasks: tasks.into_iter().map(|task| (task.id, task)).collect(), ..Assignments::default() }
}

fn id(n: u8) -> ContainerId {
    ContainerId::from_random([n; 32])
}

fn container(name: &str, task: Option<u8>, goal: Goal) -> ObservedContainer {
    ObservedContainer {
        name: name.into(),
        task: task.map(|n| TaskId::from_random(n.into())),
        goal,
        intent: RunIntent::default(),
        at_rest: true,
        keeps_volumes: false,
    }
}

fn observed(containers: impl IntoIterator<Item = (ContainerId, ObservedContainer)>) -> Observed {
    Observed { containers: containers.into_iter().collect(), reports: BTreeMap::new() }
}

const REMOVE: Goal = Goal::Remove { volumes: true, force: false };

#[test]
fn tasks_get_containers_and_goals() {
    let (one, two) = (task(1, "web-1", TaskState::Ready), task(2, "web-2", TaskState::Running));
    let all = desired([one.clone(), two.clone()]);
    assert_eq!(reconcile(&all, &Observed::default()), [Action::Create(one.id), Action::Create(two.id)]);
    let now = observed([
        (id(1), container("web-1", Some(1), Goal::Ready)),
        (id(2), container("web-2", Some(2), Goal::Ready)),
    ]);
    assert_eq!(reconcile(&all, &now), [Action::SetGoal { container: id(2), goal: Goal::Run }]);
}

#[test]
fn what_no_manager_knows_goes_and_standalone_containers_stay() {
    let now = observed([(id(1), container("web-1", Some(1), Goal::Run)), (id(2), container("mine", None, Goal::Run))]);
    assert_eq!(reconcile(&Assignments::default(), &now), [Action::SetGoal { container: id(1), goal: REMOVE }]);
    let mut reported = Observed::default();
    reported.reports.insert(TaskId::from_random(9), TaskState::Rejected);
    assert_eq!(reconcile(&Assignments::default(), &reported), [Action::Forget(TaskId::from_random(9))]);
}

#[test]
fn volumes_that_are_handed_on_stay() {
    let kept = Goal::Remove { volumes: false, force: false };
    let mut old = task(1, "web-1", TaskState::Remove);
    old.volumes_since = Some(0);
    let holder = || ObservedContainer { keeps_volumes: true, ..container("web-1", Some(1), Goal::Run) };
    let goes = [Action::SetGoal { container: id(1), goal: kept }];
    assert_eq!(reconcile(&desired([old]), &observed([(id(1), holder())])), goes);
    assert_eq!(
        reconcile(&Assignments::default(), &observed([(id(1), holder())])),
        goes,
        "its manager has forgotten it"
    );
    let next = desired([task(2, "web-1", TaskState::Running)]);
    let rest =
        Observed { reports: [(TaskId::from_random(1), TaskState::Shutdown)].into(), ..observed([(id(1), holder())]) };
    assert!(reconcile(&next, &rest).contains(&goes[0]), "remains of an earlier task make room");
}

#[test]
fn an_intent_comes_before_the_goal() {
    let mut stopped = task(1, "web-1", TaskState::Running);
    stopped.intent.stopped = true;
    let now = observed([(id(1), container("web-1", Some(1), Goal::Ready))]);
    let actions = reconcile(&desired([stopped.clone()]), &now);
    assert_eq!(
        actions,
        [
            Action::SetIntent { container: id(1), intent: stopped.intent },
            Action::SetGoal { container: id(1), goal: Goal::Run }
        ]
    );
}

#[test]
fn a_name_is_waited_for() {
    let new = task(2, "web-1", TaskState::Running);
    let holder = |goal, at_rest| {
        let mut holder = container("web-1", Some(1), goal);
        holder.at_rest = at_rest;
        observed([(id(1), holder)])
    };
    let with_old = |state| desired([new.clone(), task(1, "web-1", state)]);
    // It is being removed.
    assert_eq!(reconcile(&with_old(TaskState::Remove), &holder(REMOVE, true)), []);
    // It still ends.
    assert_eq!(reconcile(&with_old(TaskState::Shutdown), &holder(Goal::End, false)), []);
    // It has ended.
    let room = [Action::SetGoal { container: id(1), goal: REMOVE }];
    assert_eq!(reconcile(&with_old(TaskState::Shutdown), &holder(Goal::End, true)), room);
    // A standalone container's name is an error, which the creation gives.
    let standalone = observed([(id(1), container("web-1", None, Goal::Run))]);
    assert_eq!(reconcile(&desired([new.clone()]), &standalone), [Action::Create(new.id)]);
}

#[test]
fn a_container_is_taken_over_by_the_task_that_continues_it() {
    let mut next = task(2, "web-1", TaskState::Running);
    next.continues = Some(TaskId::from_random(1));
    let now = observed([(id(1), container("web-1", Some(1), Goal::Run))]);
    let adopt = Action::Adopt { task: next.id, container: id(1) };
    assert_eq!(reconcile(&desired([next.clone()]), &now), std::slice::from_ref(&adopt));
    // The old task may still be known.
    assert_eq!(reconcile(&desired([next, task(1, "web-1", TaskState::Running)]), &now), [adopt]);
}

#[test]
fn an_ended_task_gets_no_second_container() {
    let one = task(1, "web-1", TaskState::Running);
    let mut now = Observed::default();
    now.reports.insert(one.id, TaskState::Rejected);
    assert_eq!(reconcile(&desired([one]), &now), []);
    let gone = task(2, "web-2", TaskState::Remove);
    assert_eq!(reconcile(&desired([gone.clone()]), &Observed::default()), [Action::ReportShutdown(gone.id)]);
}

fn states() -> impl Strategy<Value = TaskState> {
    prop_oneof![Just(TaskState::Ready), Just(TaskState::Running), Just(TaskState::Shutdown), Just(TaskState::Remove)]
}

/// Carries actions out at once, as the shell would.
fn carry_out(observed: &mut Observed, desired: &Assignments, actions: &[Action]) {
    for action in actions {
        match action {
            Action::Create(task) => {
                let task = &desired.tasks[task];
                if observed.containers.values().any(|container| container.name == task.name) {
                    observed.reports.insert(task.id, TaskState::Rejected);
                    continue;
                }
                let mut made = container(&task.name, None, goal_of(task));
                (made.task, made.intent) = (Some(task.id), task.intent);
                let free = (0u8..=255).map(id).find(|id| !observed.containers.contains_key(id)).unwrap();
                observed.containers.insert(free, made);
            }
            Action::Adopt { task, container } => {
                let task = &desired.tasks[task];
                let adopted = observed.containers.get_mut(container).unwrap();
                if let Some(before) = adopted.task {
                    observed.reports.insert(before, TaskState::Shutdown);
                }
                (adopted.task, adopted.intent, adopted.goal) = (Some(task.id), task.intent, goal_of(task));
                adopted.name = task.name.clone();
            }
            Action::SetGoal { container, goal } => observed.containers.get_mut(container).unwrap().goal = *goal,
            Action::SetIntent { container, intent } => observed.containers.get_mut(container).unwrap().intent = *intent,
            Action::ReportShutdown(task) => drop(observed.reports.insert(*task, TaskState::Shutdown)),
            Action::Forget(task) => drop(observed.reports.remove(task)),
        }
    }
    // What is to be removed goes.
    let gone: Vec<_> =
        observed.containers.iter().filter(|(_, c)| matches!(c.goal, Goal::Remove { .. })).map(|(id, _)| *id).collect();
    for id in gone {
        if let Some(task) = observed.containers.remove(&id).and_then(|container| container.task) {
            observed.reports.insert(task, TaskState::Shutdown);
        }
    }
}

proptest! {
    /// Cut off anywhere and called again, it comes to rest, and then asks for nothing.
    #[test]
    fn it_converges_and_is_idempotent(
        tasks in proptest::collection::btree_map(0u8..6, (0u8..4, states(), any::<bool>(), proptest::option::of(0u8..6)), 0..6),
        held in proptest::collection::btree_map(0u8..6, (0u8..4, proptest::option::of(0u8..8)), 0..4),
        cuts in proptest::collection::vec(0usize..4, 0..10),
    ) {
        let tasks = tasks.into_iter().map(|(n, (name, state, stopped, continues))| Task {
            intent: RunIntent { stopped, restarts: 0 },
            continues: continues.filter(|previous| *previous != n).map(|previous| TaskId::from_random(previous.into())),
            ..task(n, &format!("name-{name}"), state)
        });
        let desired = desired(tasks);
        let mut now = Observed::default();
        for (n, (name, owner)) in held {
            let name = format!("name-{name}");
            let taken = now.containers.values().any(|c| c.name == name || owner.is_some() && c.task == owner.map(|o| TaskId::from_random(o.into())));
            if !taken {
                now.containers.insert(id(n), container(&name, owner, Goal::Ready));
            }
        }
        for cut in cuts {
            let actions = reconcile(&desired, &now);
            carry_out(&mut now, &desired, &actions[..cut.min(actions.len())]);
        }
        let mut rounds = 0;
        loop {
            let actions = reconcile(&desired, &now);
            prop_assert_eq!(&actions, &reconcile(&desired, &now));
            if actions.is_empty() {
                break;
            }
            carry_out(&mut now, &desired, &actions);
            rounds += 1;
            prop_assert!(rounds < 40, "does not come to rest: {:?}", actions);
        }
        for (id, container) in &now.containers {
            if let Some(task) = container.task {
                prop_assert!(desired.tasks.contains_key(&task), "{id} belongs to nobody");
            }
        }
    }
}
