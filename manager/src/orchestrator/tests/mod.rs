//! From services to tasks, in a closed loop with agents that do what they are told.

mod depends;
mod global;
mod jobs;
mod rolling;

use std::time::Duration;

use model::{RestartCondition, ServiceSpec, TaskState, Timestamp};

use super::reconcile;
use crate::state::{Command, IdSource, IntentAction};
use crate::world::{NET, STACK, World, config, config_file, replicas, secret, secret_file, service, stack};

fn web(count: u32, change: impl FnOnce(&mut ServiceSpec)) -> model::Stack {
    let mut spec = ServiceSpec { mode: replicas(count), ..service("web") };
    change(&mut spec);
    stack([spec])
}

fn slots(world: &World) -> Vec<u32> {
    let mut slots: Vec<u32> = world.tasks("web").iter().map(|task| task.slot).collect();
    slots.sort_unstable();
    slots
}

#[test]
fn services_scale_up_and_down_by_their_highest_slots() {
    let mut world = World::new(2);
    for (count, expected) in [(2, vec![1, 2]), (4, vec![1, 2, 3, 4]), (1, vec![1]), (0, vec![]), (1, vec![1])] {
        world.up(web(count, |_| ())).unwrap();
        world.converge();
        assert_eq!(slots(&world), expected);
        assert!(world.tasks("web").iter().all(|task| task.status.state == TaskState::Running));
    }
}

#[test]
fn tasks_are_named_by_slot_unless_the_user_names_the_container() {
    let mut world = World::new(1);
    world.up(web(1, |_| ())).unwrap();
    world.converge();
    assert_eq!(world.task("web").name, "shop-web-1");
    world.up(web(1, |spec| spec.container_name = Some("front".into()))).unwrap();
    world.converge();
    assert_eq!(world.task("web").name, "front");
}

#[test]
fn a_new_task_waits_until_the_old_one_is_gone() {
    let mut world = World::new(1);
    world.up(web(1, |_| ())).unwrap();
    world.converge();
    let old = world.task("web");
    world.up(web(1, |spec| spec.container.image = "other".into())).unwrap();
    world.settle();
    assert_eq!((world.task("web").id, world.task("web").desired), (old.id, TaskState::Remove));
    world.settle();
    assert_eq!(world.task("web").id, old.id, "the agent has not ended it yet");
    world.report(&old, TaskState::Shutdown, |_| ());
    world.settle();
    let new = world.task("web");
    assert!(new.id != old.id && new.spec_version == 2 && new.spec.container.image == "other");
}

#[test]
fn a_task_that_has_ended_by_its_policy_rests() {
    for state in [TaskState::Complete, TaskState::Failed, TaskState::Rejected] {
        let mut world = World::new(1);
        world.up(web(1, |_| ())).unwrap();
        world.settle();
        let task = world.task("web");
        world.end(&task, state, 0);
        world.now = world.now.plus(Duration::from_secs(1_000_000));
        world.settle();
        assert_eq!(world.task("web").id, task.id, "{state}");
    }
}

#[test]
fn a_restart_that_meets_the_end_of_its_task_is_carried_out_by_the_next_one() {
    let mut world = World::new(1);
    world.up(web(1, |_| ())).unwrap();
    world.converge();
    let task = world.task("web");
    let ids = IdSource::new(world.ids.draw());
    world.take([Command::SetIntent { tasks: vec![task.id], action: IntentAction::Restart, ids }]);
    world.end(&world.task("web"), TaskState::Complete, 0);
    world.converge();
    let next = world.task("web");
    assert_eq!((next.continues, next.status.state), (Some(task.id), TaskState::Running));
}

#[test]
fn a_refused_task_is_tried_again_ever_more_slowly() {
    let mut world = World::new(1);
    world.up(web(1, |spec| spec.container.restart.condition = RestartCondition::UnlessStopped)).unwrap();
    world.settle();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let task = world.task("web");
        world.report(&task, TaskState::Rejected, |status| status.error = Some("no such image".into()));
        let refused_at = world.task("web").status.at;
        let wake = reconcile(&world.state, world.now, &mut world.ids).wake_at.unwrap();
        waits.push(wake.since(refused_at).as_secs());
        world.now = Timestamp(wake.0 - 1);
        assert_eq!(reconcile(&world.state, world.now, &mut world.ids).commands, []);
        world.now = wake;
        world.settle();
        assert_ne!(world.task("web").id, task.id);
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
}

#[test]
fn a_removed_stack_leaves_nothing_behind() {
    let mut world = World::new(2);
    let mut app = web(3, |spec| {
        spec.container.secrets = vec![secret_file("shop_key")];
        spec.container.configs = vec![config_file("shop_conf")];
    });
    app.secrets = vec![secret("shop_key", "x")];
    app.configs = vec![config("shop_conf", "y")];
    world.up(app).unwrap();
    world.converge();
    let task = &world.tasks("web")[0].spec.container;
    assert!(task.secrets[0].id == world.state.secret_named("shop_key").map(|secret| secret.id));
    assert!(task.configs[0].id == world.state.config_named("shop_conf").map(|config| config.id));
    world.take([Command::RemoveStack { stack: STACK.into(), services: Vec::new() }]);
    world.settle();
    assert!(world.state.network_named(NET).is_some() && world.state.secrets.len() == 1, "containers still use them");
    world.converge();
    let state = &world.state;
    assert!(
        state.services.is_empty() && state.tasks.is_empty() && state.secrets.is_empty() && state.configs.is_empty()
    );
    assert_eq!(state.networks.values().map(|network| network.spec.name.as_str()).collect::<Vec<_>>(), ["bridge"]);
}

#[test]
fn a_network_without_services_goes_alone() {
    let mut world = World::new(1);
    let mut app = web(1, |_| ());
    app.networks.push(crate::world::network("shop_back", &[]));
    world.up(app).unwrap();
    world.converge();
    assert!(world.state.network_named("shop_back").is_none() && world.state.network_named(NET).is_some());
}

#[test]
fn what_is_at_rest_is_left_alone() {
    let mut world = World::new(3);
    world.up(stack([service("web"), ServiceSpec { mode: replicas(5), ..service("api") }])).unwrap();
    world.converge();
    let plan = reconcile(&world.state, world.now, &mut world.ids);
    assert_eq!((plan.commands, plan.wake_at), (Vec::new(), None));
}
