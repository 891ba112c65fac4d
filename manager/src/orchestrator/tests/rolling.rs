//! Tasks give way one after the other.

use std::time::Duration;

use model::{
    Availability, FailureAction, Health, NodeSpec, ServiceSpec, Task, TaskState, UpdateConfig, UpdateOrder, UpdateState,
};
use proptest::prelude::*;

use crate::state::Command;
use crate::world::{World, node, replicas, rolling, stack};

fn web(count: u32, change: impl FnOnce(&mut UpdateConfig)) -> World {
    let mut world = World::new(3);
    world.up(stack([ServiceSpec { mode: replicas(count), ..rolling("web", change) }])).unwrap();
    world.finish();
    assert_eq!(serving(&world), count as usize);
    world
}

fn serving(world: &World) -> usize {
    world.tasks("web").iter().filter(|task| task.is_live() && task.status.serves()).count()
}

fn state(world: &World) -> UpdateState {
    world.service("web").update.as_ref().unwrap().state
}

fn image(spec: &mut ServiceSpec, image: &str) {
    spec.container.image = image.into();
}

fn of(world: &World, image: &str) -> usize {
    world.live("web").iter().filter(|task| task.spec.container.image == image && task.status.serves()).count()
}

/// Plans and agents step by step; after each what `check` sees.
fn steps(world: &mut World, mut check: impl FnMut(&World)) {
    for _ in 0..200 {
        let before = world.state.version;
        world.settle();
        check(world);
        world.run_agents();
        check(world);
        if world.state.version == before && !world.wait() {
            return;
        }
    }
    panic!("no end");
}

fn fail(world: &mut World, state: TaskState) -> Task {
    let new = |task: &Task| task.spec_version == world.service("web").spec_version && task.node.is_some();
    let task = world.live("web").into_iter().find(new).unwrap();
    world.report(&task, state, |status| status.error = Some("no such image".into()));
    task
}

#[test]
fn stop_first_takes_as_many_at_a_time_as_it_may_and_old_ones_last_until_new_ones_are_ready() {
    for parallelism in [1, 2, 0] {
        let mut world = web(5, |update| update.parallelism = parallelism);
        world.update("web", |spec| image(spec, "other"));
        let most = if parallelism == 0 { 5 } else { parallelism as usize };
        let mut least = 5;
        steps(&mut world, |world| least = least.min(serving(world)));
        assert_eq!(least, 5 - most);
        assert_eq!((of(&world, "other"), state(&world)), (5, UpdateState::Completed));
    }
}

#[test]
fn start_first_never_has_fewer() {
    let mut world = web(3, |update| update.order = UpdateOrder::StartFirst);
    world.update("web", |spec| image(spec, "other"));
    steps(&mut world, |world| assert!(serving(world) >= 3));
    assert_eq!((of(&world, "other"), state(&world)), (3, UpdateState::Completed));
}

#[test]
fn the_delay_lies_between_tasks_and_the_monitor_after_the_last() {
    let mut world = web(2, |update| {
        update.delay = Duration::from_secs(30);
        update.monitor = Duration::from_secs(7);
    });
    world.update("web", |spec| image(spec, "other"));
    let begin = world.now;
    world.converge();
    assert_eq!(of(&world, "other"), 1, "the second waits");
    assert!(world.wait());
    world.converge();
    assert_eq!((of(&world, "other"), state(&world)), (2, UpdateState::Updating));
    world.finish();
    assert_eq!(state(&world), UpdateState::Completed);
    assert_eq!(world.now.since(begin).as_secs(), 60, "after the last one the longer of the two is waited for");
}

#[test]
fn what_fails_pauses_and_takes_no_old_task_with_it() {
    for failure in [TaskState::Rejected, TaskState::Failed] {
        let mut world = web(3, |_| ());
        world.update("web", |spec| image(spec, "bad"));
        world.settle();
        let failed = fail(&mut world, failure);
        world.settle();
        let update = world.service("web").update.clone().unwrap();
        assert_eq!(update.state, UpdateState::Paused);
        assert!(
            update.message.contains(&failed.id.to_string()) && update.message.ends_with("no such image"),
            "{update:?}"
        );
        world.converge();
        assert_eq!(of(&world, "orca/demo"), 3, "the old ones go on");
        // Another spec goes on from there.
        world.update("web", |spec| image(spec, "good"));
        world.finish();
        assert_eq!((of(&world, "good"), state(&world)), (3, UpdateState::Completed));
    }
}

#[test]
fn some_may_fail() {
    let mut world = web(4, |update| update.max_failure_ratio = 250_000);
    world.update("web", |spec| image(spec, "other"));
    world.settle();
    fail(&mut world, TaskState::Failed);
    world.finish();
    assert_eq!((of(&world, "other"), state(&world)), (3, UpdateState::Completed));
}

#[test]
fn a_failed_update_goes_back_by_itself() {
    let mut world = web(3, |update| update.failure_action = FailureAction::Rollback);
    let before = world.live("web");
    world.update("web", |spec| image(spec, "other"));
    while of(&world, "other") == 0 {
        world.settle();
        world.run_agents();
    }
    let task = world.live("web").into_iter().find(|task| task.spec.container.image == "other").unwrap();
    world.report(&task, TaskState::Running, |status| {
        status.container.as_mut().unwrap().health = Health::Unhealthy;
    });
    world.finish();
    assert_eq!((of(&world, "orca/demo"), state(&world)), (3, UpdateState::RollbackCompleted));
    let kept = world.live("web").iter().filter(|task| before.iter().any(|old| old.id == task.id)).count();
    assert_eq!(kept, 2, "who had not given way yet stays");
}

#[test]
fn what_never_worked_is_nothing_to_go_back_to() {
    let mut world = web(3, |_| ());
    world.update("web", |spec| image(spec, "bad"));
    world.settle();
    fail(&mut world, TaskState::Rejected);
    world.settle();
    assert_eq!(state(&world), UpdateState::Paused);
    world.update("web", |spec| {
        image(spec, "worse");
        spec.update.as_mut().unwrap().failure_action = FailureAction::Rollback;
    });
    world.settle();
    fail(&mut world, TaskState::Rejected);
    world.finish();
    assert_eq!((of(&world, "orca/demo"), state(&world)), (3, UpdateState::RollbackCompleted));
}

#[test]
fn a_user_goes_back_and_forth() {
    let mut world = web(2, |_| ());
    let back = |world: &mut World| {
        let service = world.service("web").clone();
        let command = Command::RollbackService { service: service.id, failed: None, seen: service.meta.version };
        world.entry([command])
    };
    let error = back(&mut world).unwrap_err().to_string();
    assert!(error.contains("does not have a previous spec"), "{error}");
    world.update("web", |spec| image(spec, "other"));
    world.finish();
    for expected in ["orca/demo", "other", "orca/demo"] {
        back(&mut world).unwrap();
        world.finish();
        assert_eq!((of(&world, expected), state(&world)), (2, UpdateState::RollbackCompleted));
    }
    world.update("web", |spec| spec.mode = replicas(4));
    world.finish();
    back(&mut world).unwrap();
    world.finish();
    assert_eq!(serving(&world), 2);
}

#[test]
fn each_slot_keeps_so_much_history() {
    let mut world = web(2, |_| ());
    let mut cluster = world.state.cluster.clone().unwrap().spec;
    cluster.task_history = 2;
    world.take([Command::UpdateCluster { spec: cluster }]);
    for round in 0..5 {
        world.update("web", |spec| image(spec, &round.to_string()));
        world.finish();
    }
    let tasks = world.tasks("web");
    assert_eq!((tasks.len(), world.live("web").len()), (6, 2));
    assert!(tasks.iter().all(|task| ["2", "3", "4"].contains(&task.spec.container.image.as_str())));
    cluster.task_history = 0;
    world.take([Command::UpdateCluster { spec: cluster }]);
    world.finish();
    assert_eq!(world.tasks("web").len(), 2);
    world.update("web", |spec| spec.mode = replicas(1));
    world.finish();
    assert_eq!(world.tasks("web").len(), 1);
}

#[test]
fn a_drained_node_is_left_only_when_others_serve() {
    let mut world = web(3, |_| ());
    let drained = world.state.nodes[&node(1)].clone();
    let spec = NodeSpec { availability: Availability::Drain, ..drained.spec };
    world.take([Command::UpdateNode { node: node(1), spec, seen: drained.meta.version }]);
    steps(&mut world, |world| assert!(serving(world) >= 3));
    assert!(world.live("web").iter().all(|task| task.node != Some(node(1))));
}

#[test]
fn a_name_that_only_one_can_have_waits_for_the_other_to_end() {
    let mut world = World::new(1);
    world.up(stack([ServiceSpec { container_name: Some("db".into()), ..rolling("web", |_| ()) }])).unwrap();
    world.finish();
    world.update("web", |spec| image(spec, "other"));
    steps(&mut world, |world| {
        let held = world.tasks("web").iter().filter(|task| !task.status.state.is_terminal()).count();
        assert!(held <= 1);
    });
    assert_eq!(of(&world, "other"), 1);
}

/// What may happen while updates go on.
#[derive(Debug, Clone)]
enum Move {
    Image(u8),
    Scale(u32),
    Back,
    Drain(u8, bool),
    Fail(u8),
    Plan,
    Agents,
    Wait,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        (0..4u8).prop_map(Move::Image),
        (0..5u32).prop_map(Move::Scale),
        Just(Move::Back),
        (1..3u8, any::<bool>()).prop_map(|(node, on)| Move::Drain(node, on)),
        any::<u8>().prop_map(Move::Fail),
        Just(Move::Plan),
        Just(Move::Agents),
        Just(Move::Wait),
    ]
}

fn make(world: &mut World, step: Move) {
    match step {
        Move::Image(number) => world.update("web", |spec| image(spec, &number.to_string())),
        Move::Scale(count) => world.update("web", |spec| spec.mode = replicas(count)),
        Move::Back => {
            let service = world.service("web").clone();
            let _ = world.entry([Command::RollbackService {
                service: service.id,
                failed: None,
                seen: service.meta.version,
            }]);
        }
        Move::Drain(number, on) => {
            let drained = world.state.nodes[&node(number.into())].clone();
            let availability = if on { Availability::Drain } else { Availability::Active };
            let spec = NodeSpec { availability, ..drained.spec };
            world.take([Command::UpdateNode { node: drained.id, spec, seen: drained.meta.version }]);
        }
        Move::Fail(number) => {
            let tasks = world.live("web");
            let up: Vec<&Task> =
                tasks.iter().filter(|task| task.node.is_some() && !task.status.state.is_terminal()).collect();
            if let Some(task) = up.get(usize::from(number) % up.len().max(1)) {
                world.report(task, TaskState::Failed, |_| ());
            }
        }
        Move::Plan => world.settle(),
        Move::Agents => world.run_agents(),
        Move::Wait => drop(world.wait()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The state's invariants are checked after each entry; the cores decide nothing that it refuses; in the end all is as declared.
    #[test]
    fn whatever_happens_meanwhile_ends_as_declared(
        order in prop_oneof![Just(UpdateOrder::StopFirst), Just(UpdateOrder::StartFirst)],
        action in prop_oneof![Just(FailureAction::Pause), Just(FailureAction::Continue), Just(FailureAction::Rollback)],
        parallelism in 0..3u32,
        moves in proptest::collection::vec(moves(), 1..40),
    ) {
        let mut world = web(3, |update| {
            *update = UpdateConfig { order, failure_action: action, parallelism, ..*update };
        });
        for step in moves {
            make(&mut world, step);
        }
        for number in 1..3 {
            make(&mut world, Move::Drain(number, false));
        }
        // A last change, that nothing disturbs.
        world.update("web", |spec| image(spec, "last"));
        world.finish();
        let count = world.service("web").spec.mode.slots().unwrap() as usize;
        prop_assert_eq!((of(&world, "last"), world.live("web").len()), (count, count));
        prop_assert!(state(&world) == UpdateState::Completed);
    }
}
