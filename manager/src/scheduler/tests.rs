//! Where tasks go, and why they do not.

use std::collections::BTreeMap;

use model::{NodeDescription, NodeId, NodeState, ServiceSpec, TaskState};

use super::schedule;
use crate::state::Command;
use crate::world::{NET, World, network, node, replicas, service, stack};

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
fn tasks_that_have_ended_do_not_count() {
    let mut world = World::new(2);
    world.up(stack([ServiceSpec { mode: replicas(4), ..service("job") }])).unwrap();
    world.converge();
    for task in world.state.tasks_on(node(1)).cloned().collect::<Vec<_>>() {
        world.end(&task, TaskState::Complete, 0);
    }
    world.up(stack([ServiceSpec { mode: replicas(2), ..service("web") }])).unwrap();
    world.settle();
    assert!(world.tasks("web").iter().all(|task| task.node == Some(node(1))));
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
