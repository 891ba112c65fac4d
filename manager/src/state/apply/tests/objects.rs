//! The cluster, nodes, and the removal of objects.

use model::{ClusterId, NetworkId, NodeState};

use crate::state::{Command, Entry, Event, Refusal, State, apply};
use crate::world::{NET, STACK, World, description, node, secret, secret_file, service, stack};

#[test]
fn a_cluster_is_made_once() {
    let mut world = World::new(0);
    assert!(world.state.network_named("bridge").unwrap().spec.attachable);
    let again = Command::Bootstrap { cluster: ClusterId::from_random(3), bridge: NetworkId::from_random(4) };
    assert!(matches!(world.entry([again]), Err(Refusal::Exists { kind: "cluster", .. })));
}

#[test]
fn nodes_come_and_go() {
    let mut world = World::new(1);
    let mark = |state| Command::SetNodeState { node: node(1), state };
    let made = world.state.nodes[&node(1)].meta.created_at;
    assert_eq!(world.take([mark(NodeState::Down)]), [Event::Node(node(1))]);
    assert_eq!(world.take([mark(NodeState::Down)]), [], "nothing new");
    world.take([Command::RegisterNode { node: node(1), description: description() }]);
    let now = &world.state.nodes[&node(1)];
    assert_eq!((now.state, now.meta.created_at), (NodeState::Ready, made));
    let unknown = world.entry([Command::SetNodeState { node: node(9), state: NodeState::Down }]);
    assert!(matches!(unknown, Err(Refusal::NotFound { kind: "node", .. })));
}

#[test]
fn what_a_service_has_begun_to_use_since_is_not_removed() {
    let mut world = World::new(1);
    let mut app = stack([]);
    app.secrets = vec![secret("shop_key", "x")];
    world.up(app.clone()).unwrap();
    let (network, key) = (world.state.network_named(NET).unwrap(), world.state.secret_named("shop_key").unwrap());
    let removals = [
        Command::RemoveNetwork { network: network.id, seen: network.meta.version },
        Command::RemoveSecret { secret: key.id, seen: key.meta.version },
    ];
    let mut web = service("web");
    web.container.secrets = vec![secret_file("shop_key")];
    app.services = vec![web];
    world.up(app).unwrap();
    for removal in removals.clone() {
        assert!(matches!(world.entry([removal]), Err(Refusal::Stale { .. })));
    }
    world.take([Command::RemoveStack { stack: STACK.into(), services: Vec::new() }]);
    let service = world.service("web").clone();
    world.take([Command::RemoveService { service: service.id, seen: service.meta.version }]);
    world.take(removals);
    assert!(world.state.network_named(NET).is_none() && world.state.secrets.is_empty());
}

#[test]
fn the_same_entries_lead_to_the_same_state() {
    let mut world = World::new(2);
    let mut entries = Vec::new();
    let start = world.state.clone();
    let up = world.apply_command(stack([service("web"), service("db")]), |_| ());
    entries.push(Entry { now: world.now, commands: vec![up.clone()] });
    world.take([up]);
    let plan = crate::leader::plan::plan(&world.state, world.now, &mut world.ids).plan;
    entries.push(Entry { now: world.now, commands: plan.commands });
    let replay = || {
        let mut state: State = start.clone();
        let events: Vec<_> = entries.iter().map(|entry| apply(&mut state, entry).unwrap()).collect();
        (state, events)
    };
    assert_eq!(replay(), replay());
    assert_eq!(replay().0.version, start.version + 2);
}
