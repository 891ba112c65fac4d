//! Going on without the other managers.

use model::{
    Cluster, ClusterId, ClusterIdentity, ManagerMember, Meta, Node, NodeDescription, NodeId, NodeRole, NodeState,
    SecretData, Timestamp,
};

use crate::state::{Command, Entry, Refound, Refusal, State, apply, invariants};

const OWN: NodeId = NodeId::from_random(1);

fn member(raft: u64) -> ManagerMember {
    ManagerMember { raft, address: format!("10.0.0.{raft}:2377") }
}

fn state() -> State {
    let none = || SecretData::new(Vec::new());
    let identity = ClusterIdentity {
        ca: "ca".into(),
        ca_key: none(),
        worker_secret: none(),
        manager_secret: none(),
        unlock_key: none(),
        next: None,
    };
    let mut cluster = Cluster::new(ClusterId::from_random(9), Meta::default(), Vec::new());
    cluster.identity = Some(identity);
    let mut state = State { cluster: Some(cluster), ..State::default() };
    for (number, role) in [(1, NodeRole::Manager), (2, NodeRole::Manager), (3, NodeRole::Worker), (4, NodeRole::Worker)]
    {
        let id = NodeId::from_random(number);
        let mut node = Node::new(id, Meta::default(), NodeDescription::default(), NodeState::Ready);
        (node.key, node.spec.role) = (vec![number as u8], role);
        // The third was demoted, and the others do not do without it yet.
        node.manager = (number < 4).then(|| member(number as u64));
        state.nodes.insert(id, node);
    }
    state
}

fn refound(state: &mut State, node: NodeId) -> Result<(), Refusal> {
    let refound = Refound { node, key: vec![7], manager: member(77), address: "10.0.0.77".into() };
    let entry = Entry { now: Timestamp(5), commands: vec![Command::Refound(Box::new(refound))] };
    apply(state, &entry).map(|_| ())
}

#[test]
fn the_other_managers_are_gone_and_shut_out_and_workers_stay() {
    let mut state = state();
    refound(&mut state, OWN).unwrap();
    assert_eq!(state.nodes.keys().copied().collect::<Vec<_>>(), [OWN, NodeId::from_random(4)]);
    let own = &state.nodes[&OWN];
    assert_eq!((own.manager.clone(), own.key.clone(), own.address.as_str()), (Some(member(77)), vec![7], "10.0.0.77"));
    let removed: Vec<NodeId> = state.cluster.as_ref().unwrap().removed.keys().copied().collect();
    assert_eq!(removed, [NodeId::from_random(2), NodeId::from_random(3)]);
    invariants::check(&state).unwrap();
    // Again, at another place: nothing more is lost. A removed one may be whom it goes on with later.
    refound(&mut state, OWN).unwrap();
    refound(&mut state, NodeId::from_random(2)).unwrap();
    let cluster = state.cluster.as_ref().unwrap();
    assert!(cluster.removed.contains_key(&OWN) && !cluster.removed.contains_key(&NodeId::from_random(2)));
    assert_eq!(state.nodes[&NodeId::from_random(2)].spec.role, NodeRole::Manager);
}

#[test]
fn a_lone_node_has_nothing_to_go_on_from() {
    let mut lone = state();
    lone.cluster.as_mut().unwrap().identity = None;
    assert_eq!(refound(&mut lone, OWN), Err(Refusal::NotOpen));
    assert_eq!(refound(&mut State::default(), OWN), Err(Refusal::NotOpen));
}
