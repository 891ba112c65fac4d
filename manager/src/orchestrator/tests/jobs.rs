//! Tasks that end.

use model::{NodeState, RestartCondition, ServiceMode, ServiceSpec, Task, TaskState};
use proptest::prelude::*;

use crate::orchestrator::jobs::completed;
use crate::state::Command;
use crate::world::{World, description, node, rolling, stack};

fn job(mode: ServiceMode) -> ServiceSpec {
    let mut spec = ServiceSpec { mode, ..rolling("job", |_| ()) };
    spec.container.restart.condition = RestartCondition::OnFailure;
    spec
}

fn start(nodes: u128, mode: ServiceMode) -> World {
    let mut world = World::new(nodes);
    world.up(stack([job(mode)])).unwrap();
    world.converge();
    world
}

fn running(world: &World) -> Vec<Task> {
    world.live("job").into_iter().filter(|task| task.status.state == TaskState::Running).collect()
}

fn done(world: &World) -> usize {
    completed(&world.state, world.service("job"))
}

#[test]
fn so_many_run_at_a_time_until_so_many_are_done() {
    let mut world = start(2, ServiceMode::ReplicatedJob { max_concurrent: 2, total_completions: 5 });
    let mut rounds = Vec::new();
    while let [first, ..] = running(&world).as_slice() {
        rounds.push(running(&world).len());
        world.end(first, TaskState::Complete, 0);
        world.converge();
    }
    assert_eq!((rounds, done(&world)), (vec![2, 2, 2, 2, 1], 5));
    let before = world.state.version;
    world.finish();
    assert_eq!(world.state.version, before, "a job that is done rests");
}

#[test]
fn what_gives_up_is_not_replaced_and_what_is_lost_is() {
    let mut world = start(2, ServiceMode::ReplicatedJob { max_concurrent: 2, total_completions: 2 });
    let tasks = running(&world);
    world.end(&tasks[0], TaskState::Failed, 3);
    world.finish();
    assert_eq!(running(&world).len(), 1);
    let lost = running(&world)[0].node.unwrap();
    world.take([Command::SetNodeState { node: lost, state: NodeState::Down }]);
    world.finish();
    assert_eq!(running(&world).len(), 1);
    assert_ne!(running(&world)[0].node, Some(lost));
}

#[test]
fn a_new_iteration_begins_anew() {
    let mut world = start(1, ServiceMode::ReplicatedJob { max_concurrent: 1, total_completions: 1 });
    world.end(&running(&world)[0], TaskState::Complete, 0);
    world.finish();
    assert_eq!(done(&world), 1);
    world.update("job", |spec| spec.force_update += 1);
    world.converge();
    assert_eq!((done(&world), running(&world).len()), (0, 1));
    assert!(world.service("job").update.is_none(), "jobs do not roll");
}

#[test]
fn every_node_does_it_once() {
    let mut world = start(2, ServiceMode::GlobalJob);
    for task in running(&world) {
        world.end(&task, TaskState::Complete, 0);
    }
    world.finish();
    assert_eq!(done(&world), 2);
    world.take([Command::RegisterNode { node: node(3), description: description() }]);
    world.converge();
    assert_eq!(running(&world).iter().map(|task| task.node).collect::<Vec<_>>(), [Some(node(3))]);
}

#[test]
fn a_job_that_never_ends_is_refused() {
    let mut spec = job(ServiceMode::GlobalJob);
    spec.container.restart.condition = RestartCondition::Always;
    let error = World::new(1).up(stack([spec])).unwrap_err().to_string();
    assert!(error.contains("is a job"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever fails or succeeds in whatever order, no more run than may, and none is done more often than asked.
    #[test]
    fn limits_hold(most in 1..4u32, total in 0..8u32, ends in proptest::collection::vec(any::<(u8, bool)>(), 0..40)) {
        let mode = ServiceMode::ReplicatedJob { max_concurrent: most, total_completions: total };
        let mut world = start(2, mode);
        for (which, good) in ends {
            let tasks = running(&world);
            prop_assert!(tasks.len() <= most as usize && world.live("job").len() <= total as usize);
            let Some(task) = tasks.get(usize::from(which) % tasks.len().max(1)) else { break };
            let (state, code) = if good { (TaskState::Complete, 0) } else { (TaskState::Failed, 1) };
            world.end(task, state, code);
            world.converge();
        }
        while let [first, ..] = running(&world).as_slice() {
            world.end(first, TaskState::Complete, 0);
            world.converge();
        }
        let failed = world.live("job").iter().filter(|task| task.status.state == TaskState::Failed).count();
        prop_assert_eq!(done(&world) + failed, total as usize);
    }
}
