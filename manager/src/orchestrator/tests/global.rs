//! One task on every node that fits.

use std::collections::BTreeSet;

use model::{Availability, NodeDescription, NodeId, NodeSpec, NodeState, Place, ServiceMode, ServiceSpec, TaskState};

use crate::state::Command;
use crate::world::{World, description, node, rolling, service, stack};

fn everywhere(nodes: u128) -> World {
    let mut world = World::new(nodes);
    world.up(stack([ServiceSpec { mode: ServiceMode::Global, ..rolling("web", |_| ()) }])).unwrap();
    world.finish();
    world
}

fn places(world: &World) -> BTreeSet<NodeId> {
    let serving = world.live("web").into_iter().filter(|task| task.status.serves());
    let nodes: Vec<NodeId> = serving.filter_map(|task| task.node).collect();
    let places: BTreeSet<NodeId> = nodes.iter().copied().collect();
    assert_eq!(places.len(), nodes.len(), "two on one node");
    places
}

fn set(world: &mut World, number: u128, change: impl FnOnce(&mut NodeSpec)) {
    let known = world.state.nodes[&node(number)].clone();
    let mut spec = known.spec;
    change(&mut spec);
    world.take([Command::UpdateNode { node: known.id, spec, seen: known.meta.version }]);
    world.finish();
}

#[test]
fn nodes_that_join_get_one_and_drained_ones_lose_theirs() {
    let mut world = everywhere(2);
    assert_eq!(places(&world), [node(1), node(2)].into());
    world.take([Command::RegisterNode { node: node(3), description: description() }]);
    world.finish();
    assert_eq!(places(&world).len(), 3);
    set(&mut world, 1, |spec| spec.availability = Availability::Drain);
    assert_eq!(places(&world), [node(2), node(3)].into());
    set(&mut world, 2, |spec| spec.availability = Availability::Pause);
    assert_eq!(places(&world), [node(2), node(3)].into(), "a paused one keeps it");
    set(&mut world, 1, |spec| spec.availability = Availability::Active);
    assert_eq!(places(&world).len(), 3);
    assert!(world.live("web").iter().all(|task| task.place() == Place::Node(task.node.unwrap()) && task.slot == 0));
}

#[test]
fn a_node_that_is_gone_gets_no_other_until_it_is_back() {
    let mut world = everywhere(2);
    world.take([Command::SetNodeState { node: node(2), state: NodeState::Down }]);
    world.finish();
    assert_eq!(places(&world), [node(1)].into());
    let lost = world.live("web").into_iter().find(|task| task.bound == Some(node(2))).unwrap();
    assert_eq!(lost.status.state, TaskState::Orphaned);
    world.take([Command::RegisterNode { node: node(2), description: description() }]);
    world.finish();
    assert_eq!(places(&world).len(), 2);
}

#[test]
fn labels_decide_and_may_change() {
    let mut world = World::new(3);
    let mut spec = ServiceSpec { mode: ServiceMode::Global, ..rolling("web", |_| ()) };
    spec.placement.constraints = vec!["node.labels.disk==ssd".parse().unwrap()];
    world.up(stack([spec])).unwrap();
    world.finish();
    assert!(places(&world).is_empty());
    set(&mut world, 2, |spec| drop(spec.labels.insert("disk".into(), "ssd".into())));
    assert_eq!(places(&world), [node(2)].into());
    set(&mut world, 2, |spec| spec.labels.clear());
    assert!(places(&world).is_empty());
}

#[test]
fn an_update_goes_from_node_to_node() {
    let mut world = everywhere(3);
    world.update("web", |spec| spec.container.image = "other".into());
    world.converge();
    let new = |world: &World| world.live("web").iter().filter(|t| t.spec.container.image == "other").count();
    world.finish();
    assert_eq!((new(&world), places(&world).len()), (3, 3));
}

#[test]
fn a_composed_one_is_on_its_node_under_composes_name() {
    let mut world = World::new(2);
    let mut spec = ServiceSpec { mode: ServiceMode::Global, ..service("web") };
    spec.placement.node = Some(node(2));
    world.up(stack([spec])).unwrap();
    world.finish();
    assert_eq!((world.task("web").name.as_str(), world.task("web").node), ("shop-web-1", Some(node(2))));
}

#[test]
fn one_that_does_not_fit_its_node_says_why() {
    let mut world = World::new(1);
    world.take([Command::RegisterNode { node: node(2), description: NodeDescription::default() }]);
    let mut spec = ServiceSpec { mode: ServiceMode::Global, ..rolling("web", |_| ()) };
    spec.container.resources.reservations.memory = 1000;
    world.up(stack([spec])).unwrap();
    world.finish();
    assert_eq!(places(&world), [node(1)].into());
    let refused = crate::scheduler::schedule(&world.state).refused;
    let expected = "its node does not fit: not enough memory left for the reservation";
    assert_eq!(refused.into_values().collect::<Vec<_>>(), [expected]);
}
