//! What a node is told, and what it is not.

use std::collections::BTreeMap;

use model::{
    AttachmentSpec, ClusterIdentity, Health, MeshEnd, MeshKey, NetworkMode, SecretData, ServiceSpec, Stack, TaskState,
};

use super::assignments;
use crate::state::{Command, IntentAction};
use crate::world::{
    NET, World, config, config_file, container, network, node, on, port, replicas, secret, secret_file, service, stack,
};

/// `a` on node 1 and `b` on node 2, each with its own network, secret and config.
fn apart() -> World {
    let spec = |key: &str, id| {
        let mut spec = service(key);
        spec.placement.node = Some(node(id));
        spec.network = model::NetworkMode::Networks(vec![on(&format!("shop_{key}"))]);
        spec.container.secrets = vec![secret_file(&format!("{key}_key"))];
        spec.container.configs = vec![config_file(&format!("{key}_conf"))];
        spec
    };
    let app = Stack {
        networks: vec![network("shop_a", &[]), network("shop_b", &[])],
        secrets: vec![secret("a_key", "a"), secret("b_key", "b")],
        configs: vec![config("a_conf", "a"), config("b_conf", "b")],
        ..stack([spec("a", 1), spec("b", 2)])
    };
    let mut world = World::new(3);
    world.up(app).unwrap();
    world.converge();
    world
}

#[test]
fn a_node_learns_only_what_its_tasks_need() {
    let world = apart();
    let told = assignments(&world.state, node(1));
    assert_eq!(told.tasks.keys().copied().collect::<Vec<_>>(), [world.task("a").id]);
    assert_eq!(told.secrets.values().map(model::SecretData::reveal).collect::<Vec<_>>(), [b"a"]);
    assert_eq!(told.configs.values().collect::<Vec<_>>(), [b"a"]);
    let mut networks: Vec<&str> = told.networks.values().map(|network| network.name.as_str()).collect();
    networks.sort_unstable();
    assert_eq!(networks, ["bridge", "shop_a"]);
    assert!(told.networks.values().all(|network| !network.blocks.is_empty() && !network.subnets.is_empty()));
    assert_eq!(told.endpoints.keys().copied().collect::<Vec<_>>(), [world.service("a").id]);
    let idle = assignments(&world.state, node(3));
    assert!(idle.tasks.is_empty() && idle.secrets.is_empty() && idle.configs.is_empty() && idle.endpoints.is_empty());
}

#[test]
fn agents_know_which_addresses_services_claim() {
    let mut world = apart();
    let fixed = model::AttachmentSpec { ipv4_address: Some("10.9.0.7".parse().unwrap()), ..on("shop_lan") };
    let web = ServiceSpec { network: model::NetworkMode::Networks(vec![fixed]), ..service("web") };
    world.up(Stack { networks: vec![network("shop_lan", &["10.9.0.0/24"])], ..stack([web]) }).unwrap();
    world.converge();
    let told = (1..=3).flat_map(|id| assignments(&world.state, node(id)).networks.into_values().collect::<Vec<_>>());
    let told: Vec<_> = told.filter(|network| network.name == "shop_lan").collect();
    assert!(
        !told.is_empty()
            && told.iter().all(|network| network.fixed == ["10.9.0.7".parse::<std::net::IpAddr>().unwrap()])
    );
}

#[test]
fn published_services_are_known_everywhere() {
    let mut world = apart();
    let web = ServiceSpec { ports: vec![port(Some(80))], ..service("web") };
    let mut own = ServiceSpec { ports: vec![port(Some(81))], ..service("own") };
    own.placement.node = Some(node(2));
    world.up(stack([web, own])).unwrap();
    world.converge();
    let mode = |id, name| {
        let endpoints = assignments(&world.state, node(id)).endpoints;
        endpoints[&world.service(name).id].ports[0].mode
    };
    for id in 1..=3 {
        assert_eq!(mode(id, "web"), model::PublishMode::Ingress);
        assert_eq!(mode(id, "own"), model::PublishMode::Host, "it belongs to one node");
    }
}

#[test]
fn the_addresses_of_a_service_are_told_on_each_network() {
    let mut world = World::new(1);
    let mut alias = on(NET);
    alias.aliases = vec!["www".into()];
    let web = ServiceSpec { network: model::NetworkMode::Networks(vec![alias]), ..service("web") };
    let names = ServiceSpec { endpoint_mode: model::EndpointMode::Dnsrr, ..service("names") };
    world.up(stack([web, names])).unwrap();
    world.converge();
    let told = assignments(&world.state, node(1)).endpoints;
    let web = world.service("web");
    let endpoint = &told[&web.id];
    assert_eq!((endpoint.networks.len(), endpoint.networks[0].aliases.as_slice()), (1, ["www".to_owned()].as_slice()));
    assert_eq!(endpoint.networks[0].vips, [web.endpoint.vips[0].address]);
    assert!(told[&world.service("names").id].networks[0].vips.is_empty());
}

#[test]
fn only_running_containers_are_behind_a_service_and_only_healthy_ones_serve() {
    let mut world = World::new(1);
    world.up(stack([ServiceSpec { mode: replicas(2), ..service("web") }])).unwrap();
    world.settle();
    let serving = |world: &World| {
        let endpoint = assignments(&world.state, node(1)).endpoints.remove(&world.service("web").id).unwrap();
        endpoint.backends.into_iter().map(|backend| backend.serves).collect::<Vec<_>>()
    };
    assert!(serving(&world).is_empty());
    let tasks = world.tasks("web");
    world.run(&tasks[0], Health::Starting);
    assert_eq!(serving(&world), [false]);
    world.run(&tasks[0], Health::Healthy);
    assert_eq!(serving(&world), [true]);
    world.run(&tasks[0], Health::Unhealthy);
    world.run(&tasks[1], Health::None);
    let mut both = serving(&world);
    both.sort_unstable();
    assert_eq!(both, [false, true]);
    let ids = world.ids;
    world.take([Command::SetIntent { tasks: vec![tasks[1].id], action: IntentAction::Stop, ids }]);
    assert_eq!(serving(&world), [false, false], "no new traffic to what is about to stop");
    world.report(&tasks[1], TaskState::Running, |status| {
        status.container = Some(container(model::ContainerPhase::Exited, Health::None));
    });
    assert_eq!(serving(&world), [false], "nor to what has");
}

#[test]
fn nodes_of_an_open_cluster_know_each_others_ends_and_addresses() {
    let mut world = World::new(3);
    let fixed = AttachmentSpec { ipv4_address: Some("10.9.0.70".parse().unwrap()), ..on("shop_lan") };
    let pinned = |key: &str, id, attachment: AttachmentSpec| {
        let mut spec = ServiceSpec { network: NetworkMode::Networks(vec![attachment]), ..service(key) };
        spec.placement.node = Some(node(id));
        spec
    };
    let app = [pinned("a", 1, on("shop_lan")), pinned("b", 2, on("shop_lan")), pinned("c", 2, fixed)];
    world.up(Stack { networks: vec![network("shop_lan", &["10.9.0.0/24"])], ..stack(app) }).unwrap();
    world.converge();
    let lan = world.state.network_named("shop_lan").unwrap().clone();
    let told = |world: &World, id| assignments(&world.state, node(id));
    let foreign = &told(&world, 1).networks[&lan.id].foreign;
    let mut expected = lan.leases[&node(2)].clone();
    expected.push("10.9.0.70/32".parse().unwrap());
    assert_eq!(foreign, &BTreeMap::from([(node(2), expected)]));
    assert_eq!(told(&world, 2).networks[&lan.id].foreign, BTreeMap::from([(node(1), lan.leases[&node(1)].clone())]));
    assert!(!told(&world, 3).networks.contains_key(&lan.id), "nothing of it runs there");
    // A lone node has nobody to speak to.
    assert_eq!((told(&world, 1).data_path_port, told(&world, 1).peers.len()), (None, 0));
    let mut state = world.state.clone();
    let cluster = state.cluster.as_mut().unwrap();
    let secret = || SecretData::new(vec![1]);
    let (ca, ca_key, worker_secret, manager_secret) = (String::new(), secret(), secret(), secret());
    cluster.identity =
        Some(ClusterIdentity { ca, ca_key, worker_secret, manager_secret, unlock_key: secret(), next: None });
    for byte in 1..=3 {
        let end =
            MeshEnd { key: MeshKey::new([byte; 32]), address: [192, 0, 2, byte].into(), port: 2378, images: None };
        let node = state.nodes.get_mut(&node(byte.into())).unwrap();
        (node.key, node.description.mesh) = (vec![byte], Some(end));
    }
    // The third has left.
    state.nodes.get_mut(&node(3)).unwrap().key.clear();
    let first = assignments(&state, node(1));
    assert_eq!(first.data_path_port, Some(2378));
    assert_eq!(first.peers, BTreeMap::from([(node(2), state.nodes[&node(2)].description.mesh.unwrap())]));
}
