//! Where tasks go, and why they do not.

use std::collections::{BTreeMap, BTreeSet};

use model::{NodeDescription, NodeId, NodeState, ServiceSpec, TaskState, UpdateOrder};

use super::schedule;
use crate::state::Command;
use crate::world::{NET, World, network, node, replicas, rolling, service, stack};

fn counts(world: &World) -> BTreeMap<NodeId, usize> {
    world.state.nodes.keys().map(|node| (*node, world.state.tasks_on(*node).count())).collect()
}

/// Why the only unscheduled task of `web` has no node.
fn reason(world: &World) -> String {
    schedule(&world.state).refused.into_values().next().unwrap()
}

#[test]
fn tasks_spread_over_the_nodes() {
    let mut world = World::new(3);
    world.up(stack([ServiceSpec { mode: replicas(7), ..service("web") }])).unwrap();
    world.settle();
    let mut spread: Vec<usize> = counts(&world).into_values().collect();
    spread.sort_unstable();
    assert_eq!(spread, [2, 2, 3]);
    world.take([Command::RegisterNode { node: node(4), description: NodeDescription::default() }]);
    world.up(stack([ServiceSpec { mode: replicas(9), ..service("web") }])).unwrap();
    world.settle();
    assert_eq!(counts(&world)[&node(4)], 2, "new tasks go where there is least to do");
}

#[test]
fn tasks_stay_spread_while_they_give_way_to_others() {
    for order in [UpdateOrder::StopFirst, UpdateOrder::StartFirst] {
        for preferences in [Vec::new(), vec!["node.id".parse().unwrap()]] {
            let mut world = World::new(3);
            let mut web = ServiceSpec { mode: replicas(3), ..rolling("web", |update| update.order = order) };
            web.placement.preferences = preferences;
            world.up(stack([web])).unwrap();
            world.finish();
            for word in ["one", "two", "three"] {
                world.update("web", |spec| spec.container.image = word.into());
                world.finish();
                let live = world.tasks("web").into_iter().filter(|task| task.is_live());
                let nodes: BTreeSet<_> = live.filter_map(|task| task.node).collect();
                assert_eq!(nodes.len(), 3, "{order} {word}");
            }
        }
    }
}

#[test]
fn tasks_that_have_ended_do_not_count() {
    let mut world = World::new(2);
    world.up(stack([ServiceSpec { mode: replicas(4), ..service("job") }])).unwrap();
    world.converge();
    for task in world.state.tasks_on(node(1)).cloned().collect::<Vec<_>>() {
        world.end(&task, TaskState::Complete, 0);
    }
    world.up(stack([service("web")])).unwrap();
    world.settle();
    assert_eq!(world.task("web").node, Some(node(1)));
}

#[test]
fn a_pinned_service_stays_where_it_is_pinned() {
    let mut world = World::new(3);
    let mut web = ServiceSpec { mode: replicas(4), ..service("web") };
    web.placement.node = Some(node(2));
    world.up(stack([web])).unwrap();
    world.settle();
    assert_eq!(counts(&world)[&node(2)], 4);
    world.take([Command::SetNodeState { node: node(2), state: NodeState::Down }]);
    let mut db = service("db");
    db.placement.node = Some(node(2));
    world.up(stack([db])).unwrap();
    world.settle();
    let expected = "no node fits (1 node: down; 2 nodes: not the node where the project was brought up)";
    assert_eq!(reason(&world), expected);
}

#[test]
fn reservations_are_kept() {
    let mut world = World::new(2);
    let mut web = ServiceSpec { mode: replicas(5), ..service("web") };
    web.container.resources.reservations.nano_cpus = 2_000_000_000;
    world.up(stack([web.clone()])).unwrap();
    world.settle();
    assert_eq!(counts(&world).into_values().collect::<Vec<_>>(), [2, 2]);
    assert_eq!(reason(&world), "no node fits (2 nodes: not enough CPU left for the reservation)");
    let mut db = service("db");
    db.container.resources.reservations.memory = 9_000_000_000;
    world.up_with(stack([db]), |apply| apply.remove_orphans = true).unwrap();
    world.converge();
    assert_eq!(reason(&world), "no node fits (2 nodes: not enough memory left for the reservation)");
}

#[test]
fn nodes_that_are_not_there_are_named_as_such() {
    let mut world = World::new(0);
    world.up(stack([service("web")])).unwrap();
    world.settle();
    assert_eq!(reason(&world), "no node has joined yet");
    world.take([Command::RegisterNode { node: node(1), description: NodeDescription::default() }]);
    world.take([Command::SetNodeState { node: node(1), state: NodeState::Unknown }]);
    assert_eq!(reason(&world), "no node fits (1 node: not heard of since this manager began)");
    world.take([Command::SetNodeState { node: node(1), state: NodeState::Ready }]);
    world.converge();
    assert_eq!(world.task("web").status.state, TaskState::Running);
}

#[test]
fn a_node_needs_addresses_of_the_tasks_networks() {
    let mut world = World::new(2);
    let pinned = |key: &str, id| {
        let mut spec = service(key);
        spec.placement.node = Some(node(id));
        spec
    };
    let mut app = stack([pinned("a", 1)]);
    app.networks = vec![network(NET, &["10.1.0.0/29"])];
    world.up(app.clone()).unwrap();
    world.settle();
    app.services.push(pinned("b", 2));
    world.up(app).unwrap();
    world.settle();
    let why = "no node fits (1 node: network shop_default has no addresses left; give it a larger subnet; \
               1 node: not the node where the project was brought up)";
    assert_eq!(reason(&world), why);
}

fn label(world: &mut World, number: u128, key: &str, value: &str) {
    let known = world.state.nodes[&node(number)].clone();
    let mut spec = known.spec;
    spec.labels.insert(key.into(), value.into());
    world.take([Command::UpdateNode { node: known.id, spec, seen: known.meta.version }]);
}

#[test]
fn a_services_own_tasks_are_spread_before_all_others() {
    let mut world = World::new(2);
    let mut big = ServiceSpec { mode: replicas(6), ..service("big") };
    big.placement.node = Some(node(1));
    world.up(stack([big])).unwrap();
    world.converge();
    world.up(stack([ServiceSpec { mode: replicas(4), ..service("web") }])).unwrap();
    world.settle();
    assert_eq!(world.tasks("web").iter().filter(|task| task.node == Some(node(1))).count(), 2);
}

#[test]
fn constraints_hold_and_are_named() {
    let mut world = World::new(3);
    label(&mut world, 2, "disk", "ssd");
    let mut web = ServiceSpec { mode: replicas(4), ..service("web") };
    web.placement.constraints = vec!["node.labels.disk==ssd".parse().unwrap()];
    world.up(stack([web.clone()])).unwrap();
    world.settle();
    assert_eq!(counts(&world)[&node(2)], 4);
    let mut db = service("db");
    db.placement.constraints = vec!["node.hostname!=".to_owned() + "x", "node.role==worker".into()]
        .into_iter()
        .map(|text: String| text.parse().unwrap())
        .collect();
    world.up(stack([db])).unwrap();
    world.settle();
    assert_eq!(reason(&world), "no node fits (3 nodes: constraint node.role==worker not met)");
}

#[test]
fn a_node_has_no_more_tasks_of_a_service_than_it_may() {
    let mut world = World::new(2);
    let mut web = ServiceSpec { mode: replicas(5), ..service("web") };
    web.placement.max_replicas = 2;
    world.up(stack([web])).unwrap();
    world.settle();
    assert_eq!(counts(&world).into_values().collect::<Vec<_>>(), [2, 2]);
    assert!(reason(&world).contains("2 nodes: has the most tasks of the service that a node may have, 2"));
}

#[test]
fn tasks_are_spread_over_racks_before_nodes() {
    let mut world = World::new(3);
    label(&mut world, 1, "rack", "a");
    label(&mut world, 2, "rack", "a");
    label(&mut world, 3, "rack", "b");
    let mut web = ServiceSpec { mode: replicas(8), ..service("web") };
    web.placement.preferences = vec!["node.labels.rack".parse().unwrap()];
    world.up(stack([web])).unwrap();
    world.settle();
    assert_eq!(counts(&world).into_values().collect::<Vec<_>>(), [2, 2, 4]);
}

#[test]
fn generic_resources_and_ports_of_the_host_are_counted() {
    let mut world = World::new(1);
    let mut description = crate::world::description();
    description.generic.insert("gpu".into(), 3);
    world.take([Command::RegisterNode { node: node(2), description }]);
    let mut web = ServiceSpec { mode: replicas(2), ..service("web") };
    web.container.resources.reservations.generic.insert("gpu".into(), 2);
    world.up(stack([web])).unwrap();
    world.settle();
    assert_eq!(counts(&world).into_values().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(reason(&world), "no node fits (2 nodes: not enough gpu left for the reservation)");
    let mut world = World::new(2);
    let mut web = ServiceSpec { mode: replicas(3), ..service("web") };
    web.ports = vec![model::PortSpec { mode: model::PublishMode::Host, ..crate::world::port(Some(80)) }];
    world.up(stack([web])).unwrap();
    world.settle();
    assert_eq!(counts(&world).into_values().collect::<Vec<_>>(), [1, 1]);
    assert_eq!(reason(&world), "no node fits (2 nodes: port 80/tcp of the host is taken)");
}
