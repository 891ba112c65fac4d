//! `depends_on`.

use model::{Dependency, DependencyCondition, Health, ServiceSpec, TaskState};

use crate::orchestrator::dependencies::{Verdict, verdict};
use crate::state::Command;
use crate::world::{STACK, World, dependency, replicas, service, stack};

/// `web` depends on `db`.
fn app(dependency: Dependency) -> World {
    let mut web = service("web");
    web.depends_on.insert("db".into(), dependency);
    let mut world = World::new(1);
    world.up(stack([service("db"), web])).unwrap();
    world.settle();
    world
}

fn judged(world: &World) -> Verdict {
    verdict(&world.state, world.service("web"))
}

fn waiting(what: &str) -> Verdict {
    Verdict::Waiting(what.into())
}

fn hopeless(what: &str) -> Verdict {
    Verdict::Hopeless(what.into())
}

#[test]
fn started() {
    let mut world = app(dependency(DependencyCondition::ServiceStarted));
    assert_eq!(world.task("web").desired, TaskState::Ready, "it may be made ready meanwhile");
    assert_eq!(judged(&world), waiting("waiting for db to start"));
    world.run(&world.task("db"), Health::Starting);
    assert!(judged(&world).is_met());
    world.settle();
    assert_eq!(world.task("web").desired, TaskState::Running);
    world.end(&world.task("db"), TaskState::Complete, 0);
    assert!(judged(&world).is_met(), "it has started");
}

#[test]
fn healthy() {
    let mut world = app(dependency(DependencyCondition::ServiceHealthy));
    assert_eq!(judged(&world), waiting("waiting for db to start"));
    for (health, expected) in [
        (Health::Starting, waiting("waiting for db to be healthy")),
        (Health::Unhealthy, hopeless("db is unhealthy")),
        (Health::None, hopeless("db has no health check")),
        (Health::Healthy, Verdict::Met),
    ] {
        world.run(&world.task("db"), health);
        assert_eq!(judged(&world), expected);
        world.settle();
        assert_eq!(world.task("web").desired == TaskState::Running, expected.is_met());
    }
    world.end(&world.task("db"), TaskState::Failed, 3);
    assert_eq!(judged(&world), hopeless("db exited with code 3"));
    world.settle();
    assert_eq!(world.task("web").desired, TaskState::Running, "what has begun goes on");
}

#[test]
fn completed() {
    let condition = DependencyCondition::ServiceCompletedSuccessfully;
    let mut world = app(dependency(condition));
    world.run(&world.task("db"), Health::None);
    assert_eq!(judged(&world), waiting("waiting for db to complete"));
    let mut failed = world.clone();
    failed.end(&failed.task("db"), TaskState::Failed, 4);
    assert_eq!(judged(&failed), hopeless("db exited with code 4"));
    let mut lost = world.clone();
    lost.report(&lost.task("db"), TaskState::Failed, |status| {
        (status.error, status.container) = (Some("its disk is full".into()), None);
    });
    assert_eq!(judged(&lost), hopeless("db has ended: its disk is full"));
    world.end(&world.task("db"), TaskState::Complete, 0);
    assert!(judged(&world).is_met());
}

#[test]
fn refused() {
    let mut world = app(dependency(DependencyCondition::ServiceStarted));
    world.report(&world.task("db"), TaskState::Rejected, |status| status.error = Some("no such image: x".into()));
    assert_eq!(judged(&world), hopeless("db was refused by its node: no such image: x"));
    world.settle();
    assert_eq!(world.task("web").desired, TaskState::Ready);
}

#[test]
fn not_required() {
    let optional = Dependency { required: false, ..dependency(DependencyCondition::ServiceHealthy) };
    let mut world = app(optional);
    assert_eq!(judged(&world), waiting("waiting for db to start"), "there is still hope");
    world.end(&world.task("db"), TaskState::Failed, 1);
    assert!(judged(&world).is_met());
}

#[test]
fn all_replicas_count_and_undeclared_services_do_not() {
    let mut web = service("web");
    web.depends_on.insert("db".into(), dependency(DependencyCondition::ServiceStarted));
    web.depends_on.insert("elsewhere".into(), dependency(DependencyCondition::ServiceStarted));
    let mut world = World::new(1);
    world.up(stack([ServiceSpec { mode: replicas(2), ..service("db") }, web])).unwrap();
    assert_eq!(judged(&world), waiting("waiting for db"), "it has no tasks yet");
    world.settle();
    let tasks = world.tasks("db");
    world.run(&tasks[0], Health::None);
    assert_eq!(judged(&world), waiting("waiting for db to start"));
    world.run(&tasks[1], Health::None);
    assert!(judged(&world).is_met());
}

#[test]
fn a_task_of_an_older_spec_does_not_count() {
    let mut world = app(dependency(DependencyCondition::ServiceStarted));
    world.run(&world.task("db"), Health::None);
    let mut db = service("db");
    db.container.image = "other".into();
    world.up(stack([db])).unwrap();
    assert_eq!(judged(&world), waiting("waiting for db"));
}

#[test]
fn a_stack_starts_in_order_and_goes_in_reverse_order() {
    let mut world = World::new(1);
    let chain = ["db", "api", "web", "edge"];
    let mut services: Vec<ServiceSpec> = chain.map(service).to_vec();
    for (index, before) in chain.iter().enumerate().take(3) {
        let started = dependency(DependencyCondition::ServiceStarted);
        services[index + 1].depends_on.insert((*before).into(), started);
    }
    world.up(stack(services)).unwrap();
    let running = |world: &World| {
        let is_wanted = |key: &&&str| world.tasks(key).iter().any(|task| task.desired == TaskState::Running);
        chain.iter().filter(|key| world.state.service_of_stack(STACK, key).is_some()).filter(is_wanted).count()
    };
    for expected in 1..=4 {
        world.settle();
        assert_eq!(running(&world), expected);
        world.run_agents();
    }
    world.take([Command::RemoveStack { stack: STACK.into(), services: Vec::new() }]);
    for expected in (0..4).rev() {
        world.settle();
        assert_eq!(running(&world), expected);
        world.run_agents();
    }
    world.settle();
    assert!(world.state.services.is_empty());
}
