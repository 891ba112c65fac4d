//! Who may ask what of a manager over the network. Pure; [`crate::gate`] holds everybody to it.

use api::identity::Peer;
use model::{NodeId, NodeRole};

use crate::state::State;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Root on this machine, over a socket of the daemon.
    Local,
    /// Somebody without a certificate.
    Stranger,
    /// A node of the cluster.
    Node {
        /// Which.
        node: NodeId,
        /// What it may do.
        role: NodeRole,
    },
}

const ISSUE: &str = "/orca.swarm.v1.Membership/Issue";
const ENLIST: &str = "/orca.swarm.v1.Membership/Enlist";
const DEPART: &str = "/orca.swarm.v1.Membership/Depart";
const SESSION: &str = "/orca.dispatcher.v1.Dispatcher/Session";
const CARRY: &str = "/orca.dispatcher.v1.Dispatcher/Carry";
const RAFT: &str = "/orca.swarm.v1.Raft/";
const CONTROL: &str = "/orca.control.v1.Control/";

/// Whether only the leader answers it; other managers pass it on.
pub fn is_the_leaders(path: &str) -> bool {
    !path.starts_with(RAFT)
}

/// Whether its request is a stream, which cannot be asked again.
pub fn is_a_stream(path: &str) -> bool {
    path == SESSION || path == CARRY
}

/// Whether its stream has a connection of its own, so that who reads slowly holds up nobody else.
pub fn is_apart(path: &str) -> bool {
    path == CARRY
}

/// Whether `caller` may have another node answer this.
///
/// # Errors
/// Why not.
pub fn check_reach(path: &str, caller: Caller) -> Result<(), String> {
    let is_trusted = matches!(caller, Caller::Local | Caller::Node { role: NodeRole::Manager, .. });
    match (is_trusted, api::carried::is_answered(path)) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("{path} is not answered for other nodes: ask the node itself")),
        (false, _) => Err("only managers reach other nodes".to_owned()),
    }
}

/// The node that a certificate is of, as the state has it: what was removed, demoted or given another key since the certificate was
/// issued is not let in by it.
///
/// # Errors
/// Why not, for the node's operator.
pub fn identify(state: &State, peer: &Peer, path: &str) -> Result<Caller, String> {
    let Peer { node, role, cluster, key } = peer;
    let known = state.cluster.as_ref();
    if known.is_some_and(|known| known.id != *cluster) {
        return Err(format!("node {node} is of another cluster, {cluster}"));
    }
    let gone = || format!("node {node} was removed from the cluster: make it leave with `orca swarm leave --force`");
    match state.nodes.get(node) {
        Some(known) if known.key == *key => {
            // Neither a promotion nor a demotion counts before the other side knows of it too. One that is demoted has its part
            // in Raft until the others do without it.
            let in_raft = path.starts_with(RAFT) && known.manager.is_some();
            let role = if in_raft { *role } else { known.spec.role.min(*role) };
            Ok(Caller::Node { node: *node, role })
        }
        Some(known) if known.key.is_empty() => Err(format!("node {node} has left the cluster: make it join again")),
        Some(_) => Err(format!("node {node} is known by another key: was its data directory copied?")),
        // A manager that is behind may not know the one that brings it up to date.
        None if path.starts_with(RAFT) && *role == NodeRole::Manager => {
            match known.is_some_and(|known| known.removed.contains_key(node)) {
                true => Err(gone()),
                false => Ok(Caller::Node { node: *node, role: *role }),
            }
        }
        None => Err(gone()),
    }
}

/// Whether `caller` may ask for `path`; what the request holds is the handler's to check.
///
/// # Errors
/// Why not.
pub fn check(path: &str, caller: Caller) -> Result<(), String> {
    let allowed = match caller {
        Caller::Local => !path.starts_with(RAFT),
        Caller::Stranger => path == ISSUE,
        Caller::Node { role: NodeRole::Worker, .. } => [ISSUE, DEPART, SESSION, CARRY].contains(&path),
        Caller::Node { role: NodeRole::Manager, .. } => {
            [ISSUE, DEPART, SESSION, CARRY, ENLIST].contains(&path)
                || path.starts_with(RAFT)
                || path.starts_with(CONTROL)
        }
    };
    match (allowed, caller) {
        (true, _) => Ok(()),
        (false, Caller::Stranger) => Err(format!("{path} is not for those without a certificate of the cluster")),
        (false, Caller::Local) => Err(format!("{path} is for other managers only")),
        (false, Caller::Node { role, .. }) => Err(format!("{path} is not for a {role}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Cluster, ClusterId, Meta, Node, NodeDescription, NodeState, Timestamp};

    const NODE: NodeId = NodeId::from_random(1);

    fn peer(role: NodeRole) -> Peer {
        Peer { node: NODE, role, cluster: ClusterId::from_random(9), key: vec![1] }
    }

    fn state(role: NodeRole) -> State {
        let mut state = State::default();
        state.cluster = Some(Cluster::new(ClusterId::from_random(9), Meta::default(), Vec::new()));
        let mut node = Node::new(NODE, Meta::default(), NodeDescription::default(), NodeState::Ready);
        (node.key, node.spec.role) = (vec![1], role);
        state.nodes.insert(NODE, node);
        state
    }

    #[test]
    fn the_state_goes_before_the_certificate() {
        use NodeRole::{Manager, Worker};
        let role = |known, shown| identify(&state(known), &peer(shown), SESSION);
        let node = |role| Ok(Caller::Node { node: NODE, role });
        assert_eq!(role(Manager, Manager), node(Manager));
        assert_eq!(role(Worker, Manager), node(Worker), "demoted");
        assert_eq!(role(Manager, Worker), node(Worker), "promoted, without its new certificate");
        let other = Peer { key: vec![2], ..peer(Worker) };
        assert!(identify(&state(Worker), &other, SESSION).unwrap_err().contains("another key"));
        let stranger = Peer { cluster: ClusterId::from_random(8), ..peer(Worker) };
        assert!(identify(&state(Worker), &stranger, SESSION).unwrap_err().contains("another cluster"));
        let mut left = state(Worker);
        left.nodes[&NODE].key.clear();
        assert!(identify(&left, &peer(Worker), SESSION).unwrap_err().contains("has left"));
    }

    #[test]
    fn the_removed_are_shut_out_and_the_unknown_may_only_bring_raft_up_to_date() {
        let mut state = state(NodeRole::Manager);
        state.nodes.remove(&NODE);
        assert!(identify(&state, &peer(NodeRole::Manager), SESSION).is_err());
        assert!(identify(&state, &peer(NodeRole::Worker), "/orca.swarm.v1.Raft/Append").is_err());
        assert!(identify(&state, &peer(NodeRole::Manager), "/orca.swarm.v1.Raft/Append").is_ok());
        state.cluster.as_mut().unwrap().removed.insert(NODE, Timestamp(1));
        assert!(identify(&state, &peer(NodeRole::Manager), "/orca.swarm.v1.Raft/Append").is_err());
    }

    #[test]
    fn each_role_has_its_calls() {
        let node = |role| Caller::Node { node: NODE, role };
        let may = |path: &str, caller| check(path, caller).is_ok();
        for path in [ISSUE, ENLIST, DEPART, SESSION, "/orca.control.v1.Control/GetCluster", "/orca.swarm.v1.Raft/Vote"]
        {
            assert_eq!(may(path, Caller::Stranger), path == ISSUE, "{path}");
            assert_eq!(may(path, node(NodeRole::Worker)), [ISSUE, DEPART, SESSION].contains(&path), "{path}");
            assert!(may(path, node(NodeRole::Manager)), "{path}");
        }
        for path in ["/orca.node.v1.Node/ListContainers", "/orca.swarm.v1.Swarm/Leave", "/x"] {
            assert!(!may(path, node(NodeRole::Manager)) && !may(path, Caller::Stranger), "{path}");
        }
        assert!(!may("/orca.swarm.v1.Raft/Vote", Caller::Local));
        assert!(may(CARRY, node(NodeRole::Worker)) && !may(CARRY, Caller::Stranger));
    }

    #[test]
    fn only_managers_reach_nodes_and_only_for_what_is_answered() {
        let exec = "/orca.node.v1.Node/Exec";
        let node = |role| Caller::Node { node: NODE, role };
        assert!(check_reach(exec, Caller::Local).is_ok() && check_reach(exec, node(NodeRole::Manager)).is_ok());
        assert!(check_reach(exec, node(NodeRole::Worker)).is_err() && check_reach(exec, Caller::Stranger).is_err());
        for path in ["/orca.node.v1.Node/Reset", "/orca.swarm.v1.Swarm/Leave", ISSUE] {
            assert!(check_reach(path, Caller::Local).is_err(), "{path}");
        }
    }
}
