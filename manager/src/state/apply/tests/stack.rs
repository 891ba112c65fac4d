//! Stacks: which change makes containers anew, and which does not.

use model::{DependencyCondition, ServiceSpec, Stack, TaskState};

use crate::state::{ApplyStack, Command, IntentAction, Recreate, StackChanges, changed_services};
use crate::world::{
    STACK, World, config, config_file, dependency, network, port, replicas, secret, secret_file, service, stack,
};

fn version(world: &World, key: &str) -> u64 {
    world.service(key).spec_version
}

/// Applies `before`, then `after`; the `spec_version` of `web` then.
fn version_after(before: Stack, after: Stack, change: impl FnOnce(&mut ApplyStack)) -> u64 {
    let mut world = World::new(1);
    world.up(before).unwrap();
    world.converge();
    world.up_with(after, change).unwrap();
    version(&world, "web")
}

fn web(change: impl FnOnce(&mut ServiceSpec)) -> Stack {
    let mut spec = service("web");
    change(&mut spec);
    stack([spec])
}

#[test]
fn a_new_stack_makes_its_objects_and_the_same_one_again_changes_nothing() {
    let mut world = World::new(1);
    world.up(web(|_| ())).unwrap();
    assert_eq!(version(&world, "web"), 1);
    assert!(world.state.network_named("shop_default").is_some());
    let before = world.state.clone();
    assert_eq!(world.up(web(|_| ())), Ok(Vec::new()));
    assert_eq!(world.state, before);
}

#[test]
fn only_what_containers_are_made_from_makes_them_anew() {
    let usual = |_: &mut ApplyStack| ();
    let changed = |change: fn(&mut ServiceSpec)| version_after(web(|_| ()), web(change), usual);
    assert_eq!(changed(|_| ()), 1);
    assert_eq!(changed(|spec| spec.container.image = "other".into()), 2);
    assert_eq!(changed(|spec| spec.container_name = Some("shopfront".into())), 2);
    assert_eq!(changed(|spec| spec.network = model::NetworkMode::Host), 2);
    assert_eq!(changed(|spec| spec.placement.node = Some(crate::world::node(1))), 2);
    assert_eq!(changed(|spec| spec.ports = vec![port(Some(8080))]), 1);
    assert_eq!(changed(|spec| spec.mode = replicas(3)), 1);
    assert_eq!(changed(|spec| drop(spec.labels.insert("a".into(), "b".into()))), 1);
    assert_eq!(
        changed(|spec| {
            spec.depends_on.insert("db".into(), dependency(DependencyCondition::ServiceStarted));
        }),
        1
    );
}

#[test]
fn force_makes_all_anew_and_never_none() {
    let image = |spec: &mut ServiceSpec| spec.container.image = "other".into();
    assert_eq!(version_after(web(|_| ()), web(|_| ()), |apply| apply.recreate = Recreate::Force), 2);
    assert_eq!(version_after(web(|_| ()), web(image), |apply| apply.recreate = Recreate::Never), 1);
}

#[test]
fn a_change_that_was_not_to_make_containers_anew_does_so_the_next_time() {
    let mut world = World::new(1);
    let other = || web(|spec| spec.container.image = "other".into());
    world.up(web(|_| ())).unwrap();
    world.up_with(other(), |apply| apply.recreate = Recreate::Never).unwrap();
    assert_eq!(version(&world, "web"), 1);
    world.up(other()).unwrap();
    assert_eq!((version(&world, "web"), world.service("web").spec.container.image.as_str()), (2, "other"));
}

#[test]
fn a_changed_secret_or_config_rolls_those_that_use_it() {
    let app = |word: &str| {
        let (mut web, mut api) = (service("web"), service("api"));
        web.container.secrets = vec![secret_file("shop_key")];
        api.container.configs = vec![config_file("shop_conf")];
        Stack {
            secrets: vec![secret("shop_key", word)],
            configs: vec![config("shop_conf", "same")],
            ..stack([web, api, service("db")])
        }
    };
    let mut world = World::new(1);
    world.up(app("one")).unwrap();
    world.up(app("two")).unwrap();
    assert_eq!((version(&world, "web"), version(&world, "api"), version(&world, "db")), (2, 1, 1));
    let mut conf = app("two");
    conf.configs[0].data = b"other".to_vec();
    world.up(conf).unwrap();
    assert_eq!((version(&world, "web"), version(&world, "api"), version(&world, "db")), (2, 2, 1));
}

#[test]
fn a_moved_network_rolls_all_of_its_services_even_those_that_are_not_declared() {
    let mut world = World::new(1);
    let app = |subnet, services: Vec<ServiceSpec>| Stack {
        networks: vec![network("shop_default", &[subnet])],
        ..stack(services)
    };
    world.up(app("10.1.0.0/24", vec![service("web"), service("db")])).unwrap();
    world.converge();
    world.up(app("10.2.0.0/24", vec![service("web")])).unwrap();
    assert_eq!((version(&world, "web"), version(&world, "db")), (2, 2));
    assert!(world.state.network_named("shop_default").unwrap().leases.is_empty());
    world.converge();
    assert_eq!(world.task("db").spec_version, 2);
}

#[test]
fn orphans_go_only_when_asked() {
    let mut world = World::new(1);
    world.up(stack([service("web"), service("old")])).unwrap();
    world.up(stack([service("web")])).unwrap();
    assert!(!world.service("old").removing);
    let before = world.state.clone();
    let command = world.apply_command(stack([service("web")]), |apply| apply.remove_orphans = true);
    world.take([command.clone()]);
    assert!(world.service("old").removing && !world.service("web").removing);
    let Command::ApplyStack(apply) = command else { unreachable!() };
    let removed =
        StackChanges { unchanged: vec!["web".into()], removed: vec!["old".into()], ..StackChanges::default() };
    assert_eq!(changed_services(&before, &world.state, &apply), removed);
    assert_eq!(world.up_with(stack([service("web")]), |apply| apply.remove_orphans = true), Ok(Vec::new()));
}

#[test]
fn a_number_of_replicas_that_was_set_by_hand_may_stay() {
    let mut world = World::new(1);
    world.up(web(|spec| spec.mode = replicas(3))).unwrap();
    world.up_with(web(|_| ()), |apply| apply.keep_replicas = vec!["web".into()]).unwrap();
    assert_eq!(world.service("web").spec.mode, replicas(3));
    world.up(web(|_| ())).unwrap();
    assert_eq!(world.service("web").spec.mode, replicas(1));
}

#[test]
fn stopped_and_ended_tasks_run_again_when_asked() {
    let mut world = World::new(1);
    world.up(stack([service("web"), service("job")])).unwrap();
    world.converge();
    let (web, job) = (world.task("web"), world.task("job"));
    let ids = world.ids;
    world.take([Command::SetIntent { tasks: vec![web.id], action: IntentAction::Stop, ids }]);
    world.end(&job, TaskState::Complete, 0);
    world.up(stack([service("web"), service("job")])).unwrap();
    assert!(world.task("web").intent.stopped && world.task("job").status.state == TaskState::Complete);
    world.up_with(stack([service("web"), service("job")]), |apply| apply.start_stopped = true).unwrap();
    assert!(!world.task("web").intent.stopped);
    assert_eq!((world.task("web").id, world.task("job").continues), (web.id, Some(job.id)));
}

#[test]
fn steps_pass_once_and_go_with_their_service() {
    let step = || model::ServiceSpec { step_of: Some("web".into()), ..service("web-pre_start-0") };
    let up = |world: &mut World, services: Vec<model::ServiceSpec>| {
        world.up_with(stack(services), |apply| apply.start_stopped = true).unwrap();
    };
    let mut world = World::new(1);
    up(&mut world, vec![service("web"), step()]);
    world.converge();
    let failed = world.task("web-pre_start-0");
    world.end(&failed, TaskState::Failed, 3);
    up(&mut world, vec![service("web"), step()]);
    assert_eq!(world.task("web-pre_start-0").continues, Some(failed.id), "one that failed is tried again");
    world.converge();
    let passed = world.task("web-pre_start-0");
    world.end(&passed, TaskState::Complete, 0);
    up(&mut world, vec![service("web"), step()]);
    assert_eq!(world.task("web-pre_start-0").id, passed.id, "it has passed");
    up(&mut world, vec![service("db")]);
    assert!(!world.service("web-pre_start-0").removing, "its service was not spoken of");
    up(&mut world, vec![service("web")]);
    assert!(world.service("web-pre_start-0").removing, "its service no longer has it");
    up(&mut world, vec![service("web"), step()]);
    let keys = vec!["web".to_owned()];
    world.take([Command::RemoveStack { stack: "shop".into(), services: keys }]);
    assert!(world.service("web-pre_start-0").removing && !world.service("db").removing);
}

#[test]
fn dependents_restart_with_what_is_made_anew_when_they_ask_for_it() {
    let app = |image: &str| {
        let (mut db, mut web, mut api) = (service("db"), service("web"), service("api"));
        db.container.image = image.into();
        let started = dependency(DependencyCondition::ServiceStarted);
        web.depends_on.insert("db".into(), model::Dependency { restart: true, ..started });
        api.depends_on.insert("db".into(), started);
        stack([db, web, api])
    };
    let mut world = World::new(1);
    world.up(app("one")).unwrap();
    world.converge();
    world.up(app("two")).unwrap();
    assert_eq!((version(&world, "db"), version(&world, "web"), version(&world, "api")), (2, 1, 1));
    assert_eq!((world.task("web").intent.restarts, world.task("api").intent.restarts), (1, 0));
}

#[test]
fn a_stack_or_some_of_its_services_are_marked_for_removal() {
    let mut world = World::new(1);
    world.up(stack([service("web"), service("db")])).unwrap();
    let unknown = world.entry([Command::RemoveStack { stack: STACK.into(), services: vec!["web".into(), "x".into()] }]);
    assert_eq!(unknown.unwrap_err().to_string(), "no such service: shop/x");
    world.take([Command::RemoveStack { stack: STACK.into(), services: vec!["web".into()] }]);
    assert!(world.service("web").removing && !world.service("db").removing);
    world.take([Command::RemoveStack { stack: STACK.into(), services: Vec::new() }]);
    assert!(world.service("db").removing);
    assert_eq!(world.take([Command::RemoveStack { stack: "unknown".into(), services: Vec::new() }]), []);
}

#[test]
fn a_service_that_was_to_go_may_stay_after_all() {
    let mut world = World::new(1);
    world.up(stack([service("web")])).unwrap();
    world.converge();
    world.take([Command::RemoveStack { stack: STACK.into(), services: Vec::new() }]);
    let before = world.state.clone();
    let command = world.apply_command(stack([service("web")]), |_| ());
    world.take([command.clone()]);
    let Command::ApplyStack(apply) = command else { unreachable!() };
    assert_eq!(changed_services(&before, &world.state, &apply).updated, ["web"]);
    assert!(!world.service("web").removing);
    world.converge();
    assert_eq!(world.task("web").status.state, TaskState::Running);
}

#[test]
fn what_an_application_does_is_told_by_key() {
    let mut world = World::new(1);
    world.up(stack([service("web"), service("db")])).unwrap();
    let before = world.state.clone();
    let mut web = service("web");
    web.container.image = "other".into();
    let command = world.apply_command(stack([web, service("db"), service("new")]), |_| ());
    world.take([command.clone()]);
    let Command::ApplyStack(apply) = command else { unreachable!() };
    let expected = StackChanges {
        created: vec!["new".into()],
        updated: vec!["web".into()],
        unchanged: vec!["db".into()],
        removed: Vec::new(),
    };
    assert_eq!(changed_services(&before, &world.state, &apply), expected);
}

#[test]
fn what_containers_are_connected_to_and_have_as_files_stays_with_them() {
    let app = |word: &str, subnet: &str| {
        let mut web = service("web");
        web.container.secrets = vec![secret_file("shop_key")];
        web.container.configs = vec![config_file("shop_conf")];
        Stack {
            networks: vec![network("shop_default", &[subnet])],
            secrets: vec![secret("shop_key", word)],
            configs: vec![config("shop_conf", word)],
            ..stack([web])
        }
    };
    let mut world = World::new(1);
    world.up(app("one", "10.1.0.0/24")).unwrap();
    world.converge();
    let before = world.state.clone();
    world.up_with(app("two", "10.2.0.0/24"), |apply| apply.recreate = Recreate::Never).unwrap();
    world.converge();
    assert_eq!(world.state, before);
    world.up(app("two", "10.2.0.0/24")).unwrap();
    assert_eq!(version(&world, "web"), 2);
    assert_eq!(world.state.secret_named("shop_key").unwrap().spec.data.reveal(), b"two");
    assert_eq!(world.state.network_named("shop_default").unwrap().subnets, ["10.2.0.0/24".parse().unwrap()]);
}

#[test]
fn what_is_not_to_start_waits_for_its_user() {
    let app = |image: &str| {
        let (mut web, mut db) = (service("web"), service("db"));
        db.container.image = image.into();
        web.depends_on.insert("db".into(), dependency(DependencyCondition::ServiceStarted));
        web.ports = vec![port(Some(8080))];
        stack([web, db])
    };
    let mut world = World::new(1);
    world.up_with(app("one"), |apply| apply.no_start = true).unwrap();
    world.settle();
    assert!(world.task("web").intent.stopped && world.task("db").intent.stopped);
    assert_eq!(world.service("web").endpoint.ports, [], "nobody answers yet");
    let (ids, web) = (world.ids, world.task("web"));
    world.take([Command::SetIntent { tasks: vec![web.id], action: IntentAction::Start, ids }]);
    world.settle();
    assert!(!world.service("web").held && world.service("db").held, "each service by itself");
    assert_eq!(world.task("web").desired, TaskState::Ready, "it waits for db as ever");
    assert_eq!(world.service("web").endpoint.ports.len(), 1);
    world.up_with(app("one"), |apply| apply.start_stopped = true).unwrap();
    world.converge();
    assert!(!world.service("db").held && !world.task("db").intent.stopped);
    assert_eq!(world.task("web").status.state, TaskState::Running);
    // What runs goes on, with its ports; what has changed is made anew, and waits.
    world.up_with(app("two"), |apply| apply.no_start = true).unwrap();
    world.converge();
    assert!(!world.task("web").intent.stopped && world.task("db").intent.stopped);
    assert_eq!((world.task("db").spec_version, world.service("web").endpoint.ports.len()), (2, 1));
}

#[test]
fn forced_services_are_made_anew_and_volumes_are_renewed_from_then_on() {
    let mut world = World::new(1);
    let pinned = |key: &str| {
        let mut spec = service(key);
        spec.placement.node = Some(crate::world::node(1));
        spec
    };
    let shop = || stack([pinned("web"), pinned("db"), service("free")]);
    world.up(shop()).unwrap();
    world.converge();
    let since = |world: &World, key: &str| world.task(key).volumes_since;
    assert_eq!((since(&world, "web"), since(&world, "free")), (Some(0), None), "what is not pinned hands nothing on");
    let force = |apply: &mut ApplyStack| {
        apply.force = vec!["web".into()];
        apply.renew_volumes = true;
    };
    world.up_with(shop(), force).unwrap();
    world.converge();
    assert_eq!((version(&world, "web"), version(&world, "db")), (2, 1));
    assert_eq!((since(&world, "web"), since(&world, "db")), (Some(2), Some(0)));
    world.up_with(shop(), |apply| apply.force = vec!["web".into(), "db".into()]).unwrap();
    world.converge();
    assert_eq!((version(&world, "web"), version(&world, "db")), (3, 2));
    assert_eq!((since(&world, "web"), since(&world, "db")), (Some(2), Some(0)), "those of version 2 are handed on");
}
