//! Secrets and configs: versions by content, and who may remove them.

use model::{ConfigSpec, SecretData, SecretSpec, ServiceSpec, Stack};

use crate::state::Command;
use crate::world::{World, config, config_file, rolling, secret, secret_file, service, stack};

fn held(world: &World, key: &str) -> Vec<u8> {
    let task = world.tasks(key).into_iter().filter(|task| task.is_live()).max_by_key(|task| task.spec_version).unwrap();
    let id = task.spec.container.secrets[0].id.unwrap();
    world.state.secrets[&id].spec.data.reveal().to_vec()
}

fn app(word: &str) -> Stack {
    let mut web = rolling("web", |_| ());
    web.container.secrets = vec![secret_file("shop_key")];
    Stack { secrets: vec![secret("shop_key", word)], ..stack([web]) }
}

#[test]
fn another_content_is_another_object_and_the_way_back_has_the_one_before() {
    let mut world = World::new(1);
    world.up(app("one")).unwrap();
    world.finish();
    let first = world.state.secret_named("shop_key").unwrap().id;
    world.up(app("two")).unwrap();
    world.finish();
    let second = world.state.secret_named("shop_key").unwrap().id;
    assert_ne!(first, second);
    assert_eq!(held(&world, "web"), b"two");
    assert!(world.state.secrets[&first].superseded, "it is kept for the way back");
    let web = world.service("web").clone();
    world.take([Command::RollbackService { service: web.id, failed: None, seen: web.meta.version }]);
    world.finish();
    assert_eq!(held(&world, "web"), b"one");
    // The name means the newer one; what is declared next has that.
    world.up(app("two")).unwrap();
    world.finish();
    assert_eq!(held(&world, "web"), b"two");
    assert_eq!(world.state.secret_named("shop_key").unwrap().id, second);
}

#[test]
fn what_nothing_can_go_back_to_is_collected() {
    let mut world = World::new(1);
    for word in ["one", "two", "three", "four"] {
        world.up(app(word)).unwrap();
        world.finish();
    }
    let limit = |world: &mut World| {
        let spec = world.state.cluster.as_ref().unwrap().spec;
        world.take([Command::UpdateCluster { spec: model::ClusterSpec { task_history: 0, ..spec } }]);
    };
    limit(&mut world);
    world.finish();
    let held: Vec<&[u8]> = world.state.secrets.values().map(|secret| secret.spec.data.reveal()).collect();
    assert_eq!(held.len(), 2, "the present one, and the one to go back to: {}", held.len());
    assert!(held.contains(&&b"four"[..]) && held.contains(&&b"three"[..]));
}

#[test]
fn labels_are_no_content() {
    let mut world = World::new(1);
    world.up(app("one")).unwrap();
    let before = (world.state.secret_named("shop_key").unwrap().id, world.service("web").spec_version);
    let mut labelled = app("one");
    labelled.secrets[0].labels.insert("a".into(), "b".into());
    world.up(labelled).unwrap();
    assert_eq!((world.state.secret_named("shop_key").unwrap().id, world.service("web").spec_version), before);
    assert_eq!(world.state.secrets.len(), 1);
    let mut template = app("one");
    template.secrets[0].template = true;
    world.up(template).unwrap();
    assert_eq!(world.service("web").spec_version, before.1 + 1);
    assert!(world.service("web").spec.container.secrets[0].template);
}

fn create_secret(world: &mut World, name: &str, data: &[u8]) -> Result<(), String> {
    let data = SecretData::new(data.to_vec());
    let spec = SecretSpec { name: name.into(), labels: Default::default(), stack: None, data, template: false };
    let command = Command::CreateSecret { spec: Box::new(spec), ids: world.ids };
    world.ids.draw();
    world.entry([command]).map(|_| ()).map_err(|refusal| refusal.to_string())
}

fn withdraw(world: &mut World, name: &str) -> Result<(), String> {
    let secret = world.state.secret_named(name).unwrap().clone();
    let command = Command::WithdrawSecret { secret: secret.id, seen: secret.meta.version };
    world.entry([command]).map(|_| ()).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_secret_is_given_once_and_goes_when_no_service_has_it() {
    let mut world = World::new(1);
    create_secret(&mut world, "key", b"one").unwrap();
    assert_eq!(create_secret(&mut world, "key", b"two").unwrap_err(), "secret key exists already");
    assert!(create_secret(&mut world, "none", b"").unwrap_err().contains("larger than 0 bytes"));
    let large = create_secret(&mut world, "large", &[7; 500 * 1024 + 1]).unwrap_err();
    assert_eq!(large, "secret large has 512001 bytes, and at most 512000 are allowed");
    assert!(create_secret(&mut world, "a/b", b"x").unwrap_err().contains("a/b"));
    world.converge();
    assert!(world.state.secret_named("key").is_some(), "one of no stack stays though nothing uses it");

    let with = |name: &str| {
        let mut web = rolling("web", |_| ());
        web.container.secrets = vec![secret_file(name)];
        stack([web])
    };
    world.up(with("key")).unwrap();
    world.finish();
    assert_eq!(withdraw(&mut world, "key").unwrap_err(), "secret 'key' is in use by the following service: shop-web");

    // Docker's way to rotate: another one in its place, then the first is removed.
    create_secret(&mut world, "key2", b"two").unwrap();
    world.up(with("key2")).unwrap();
    world.finish();
    withdraw(&mut world, "key").unwrap();
    assert!(world.state.secret_named("key").is_none());
    create_secret(&mut world, "key", b"three").unwrap();
    // What it has been is there for the way back only, and that is not what has its name now.
    let web = world.service("web").clone();
    world.take([Command::RollbackService { service: web.id, failed: None, seen: web.meta.version }]);
    world.finish();
    assert_eq!(held(&world, "web"), b"one");
}

#[test]
fn a_stack_may_use_what_others_gave_and_may_not_take_it_over() {
    let mut world = World::new(1);
    create_secret(&mut world, "shop_key", b"one").unwrap();
    let refused = world.up(app("two")).unwrap_err().to_string();
    assert_eq!(refused, "secret shop_key belongs to no stack; choose another name");
    let mut web = service("web");
    web.container.secrets = vec![secret_file("shop_key")];
    world.up(stack([web])).unwrap();
    world.converge();
    assert_eq!(held(&world, "web"), b"one");
}

#[test]
fn configs_are_kept_alike() {
    let app = |word: &str| {
        let web = ServiceSpec { container: Default::default(), ..service("web") };
        let mut web = ServiceSpec { update: Some(Default::default()), ..web };
        web.container.configs = vec![config_file("shop_conf")];
        Stack { configs: vec![config("shop_conf", word)], ..stack([web]) }
    };
    let mut world = World::new(1);
    world.up(app("one")).unwrap();
    world.finish();
    world.up(app("two")).unwrap();
    world.finish();
    let named = world.state.config_named("shop_conf").unwrap();
    assert_eq!((named.spec.data.as_slice(), world.state.configs.len()), (&b"two"[..], 2));
    let spec =
        ConfigSpec { name: "own".into(), labels: Default::default(), stack: None, data: b"x".to_vec(), template: true };
    let command = Command::CreateConfig { spec: Box::new(spec), ids: world.ids };
    world.take([command]);
    let own = world.state.config_named("own").unwrap().clone();
    world.take([Command::WithdrawConfig { config: own.id, seen: own.meta.version }]);
    world.finish();
    assert!(!world.state.configs.contains_key(&own.id));
}
