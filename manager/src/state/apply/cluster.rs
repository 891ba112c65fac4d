//! Nodes, and what makes them a cluster.

use model::{
    Availability, Cluster, ClusterIdentity, ClusterSpec, ManagerMember, NextAuthority, Node, NodeDescription, NodeId,
    NodeRole, NodeSpec, NodeState, SecretData,
};

use super::{Draft, Refusal, check_seen};
use crate::state::{Event, OpenCluster, Refound};

impl Draft<'_> {
    fn cluster(&self) -> Result<Cluster, Refusal> {
        self.state.cluster.clone().ok_or(Refusal::NotOpen)
    }

    fn put_cluster(&mut self, cluster: Cluster) {
        self.state.cluster = Some(Cluster { meta: self.touched(cluster.meta), ..cluster });
        self.events.insert(Event::Cluster);
    }

    fn node(&self, id: NodeId) -> Result<Node, Refusal> {
        let node = self.state.nodes.get(&id).cloned();
        node.ok_or_else(|| Refusal::NotFound { kind: "node", name: id.to_string() })
    }

    fn put_node(&mut self, node: Node) {
        self.events.insert(Event::Node(node.id));
        self.state.nodes.insert(node.id, Node { meta: self.touched(node.meta), ..node });
    }

    /// Nodes of an open cluster have been admitted before; a lone node is its own.
    pub(super) fn register_node(&mut self, id: NodeId, description: &NodeDescription) -> Result<(), Refusal> {
        let is_open = self.state.cluster.as_ref().is_some_and(|cluster| cluster.identity.is_some());
        let node = match self.state.nodes.get(&id) {
            Some(node) => Node { description: description.clone(), state: NodeState::Ready, ..node.clone() },
            None if is_open => return Err(Refusal::NotFound { kind: "node", name: id.to_string() }),
            None => Node::new(id, self.born(), description.clone(), NodeState::Ready),
        };
        self.put_node(node);
        Ok(())
    }

    pub(super) fn set_node_state(&mut self, id: NodeId, state: NodeState) -> Result<(), Refusal> {
        let node = self.node(id)?;
        if node.state != state {
            self.put_node(Node { state, ..node });
        }
        Ok(())
    }

    pub(super) fn open_cluster(&mut self, open: &OpenCluster) -> Result<(), Refusal> {
        let cluster = self.cluster()?;
        if cluster.identity.is_some() {
            return Err(Refusal::Exists { kind: "cluster", name: cluster.id.to_string() });
        }
        let OpenCluster { identity, spec, address_pools, node, key, manager, address, availability, data_path_port } =
            open.clone();
        let address_pools = if address_pools.is_empty() { cluster.address_pools } else { address_pools };
        self.put_cluster(Cluster { spec, identity: Some(identity), address_pools, data_path_port, ..cluster });
        let known = self.state.nodes.get(&node).cloned();
        let known =
            known.unwrap_or_else(|| Node::new(node, self.born(), NodeDescription::default(), NodeState::Unknown));
        let spec = NodeSpec { role: NodeRole::Manager, availability, ..known.spec.clone() };
        self.put_node(Node { spec, key, manager: Some(manager), address, ..known });
        Ok(())
    }

    pub(super) fn update_cluster(&mut self, spec: ClusterSpec) -> Result<(), Refusal> {
        let cluster = self.cluster()?;
        if cluster.spec != spec {
            self.put_cluster(Cluster { spec, ..cluster });
        }
        Ok(())
    }

    pub(super) fn rotate_token(&mut self, role: NodeRole, secret: &SecretData) -> Result<(), Refusal> {
        let cluster = self.cluster()?;
        let mut identity = cluster.identity.clone().ok_or(Refusal::NotOpen)?;
        match role {
            NodeRole::Worker => identity.worker_secret = secret.clone(),
            NodeRole::Manager => identity.manager_secret = secret.clone(),
        }
        self.put_cluster(Cluster { identity: Some(identity), ..cluster });
        Ok(())
    }

    pub(super) fn set_unlock_key(&mut self, key: &SecretData) -> Result<(), Refusal> {
        let cluster = self.cluster()?;
        let identity = cluster.identity.clone().ok_or(Refusal::NotOpen)?;
        let identity = ClusterIdentity { unlock_key: key.clone(), ..identity };
        self.put_cluster(Cluster { identity: Some(identity), ..cluster });
        Ok(())
    }

    pub(super) fn rotate_authority(&mut self, next: &NextAuthority) -> Result<(), Refusal> {
        let cluster = self.cluster()?;
        let identity = cluster.identity.clone().ok_or(Refusal::NotOpen)?;
        if identity.next.is_some() {
            return Err(Refusal::Exists { kind: "rotation of the CA of cluster", name: cluster.id.to_string() });
        }
        let identity = ClusterIdentity { next: Some(next.clone()), ..identity };
        self.put_cluster(Cluster { identity: Some(identity), ..cluster });
        Ok(())
    }

    pub(super) fn finish_rotation(&mut self) -> Result<(), Refusal> {
        let cluster = self.cluster()?;
        let identity = cluster.identity.clone().ok_or(Refusal::NotOpen)?;
        if let Some(NextAuthority { ca, ca_key, cross: _ }) = identity.next.clone() {
            let identity = ClusterIdentity { ca, ca_key, next: None, ..identity };
            self.put_cluster(Cluster { identity: Some(identity), ..cluster });
        }
        Ok(())
    }

    pub(super) fn admit_node(
        &mut self,
        id: NodeId,
        key: &[u8],
        role: NodeRole,
        address: &str,
        availability: Availability,
    ) -> Result<(), Refusal> {
        let cluster = self.cluster()?;
        if cluster.identity.is_none() {
            return Err(Refusal::NotOpen);
        }
        let (key, address) = (key.to_vec(), address.to_owned());
        let node = match self.state.nodes.get(&id).cloned() {
            // One that has left comes back as what its token says.
            Some(node) if node.key.is_empty() => {
                let spec = NodeSpec { role, availability, ..node.spec };
                Node { key, address, spec, ..node }
            }
            Some(node) if node.key == key => Node { address, ..node },
            Some(_) => return Err(Refusal::OtherKey { node: id }),
            None => {
                let spec = NodeSpec { role, availability, ..NodeSpec::default() };
                let node = Node::new(id, self.born(), NodeDescription::default(), NodeState::Unknown);
                Node { key, address, spec, ..node }
            }
        };
        self.put_node(node);
        Ok(())
    }

    fn is_last_manager(&self, id: NodeId) -> bool {
        let is_other = |node: &&Node| node.id != id && node.manager.is_some() && node.spec.role == NodeRole::Manager;
        !self.state.nodes.values().any(|node| is_other(&node))
    }

    pub(super) fn update_node(&mut self, id: NodeId, spec: &NodeSpec, seen: u64) -> Result<(), Refusal> {
        let node = self.node(id)?;
        check_seen("node", id, node.meta, seen, self.version)?;
        let is_demoted = node.spec.role == NodeRole::Manager && spec.role == NodeRole::Worker;
        if is_demoted && self.is_last_manager(id) {
            return Err(Refusal::LastManager { node: id });
        }
        if node.spec != *spec {
            self.put_node(Node { spec: spec.clone(), ..node });
        }
        Ok(())
    }

    pub(super) fn remove_node(&mut self, id: NodeId, force: bool) -> Result<(), Refusal> {
        let node = self.node(id)?;
        if node.spec.role == NodeRole::Manager || node.manager.is_some() {
            return Err(Refusal::IsManager { node: id });
        }
        if node.state != NodeState::Down && !force {
            return Err(Refusal::NodeIsUp { node: id });
        }
        let tasks: Vec<_> = self.state.tasks_on(id).filter(|task| !task.status.state.is_terminal()).cloned().collect();
        for task in tasks {
            self.orphan_task(task.id, task.meta.version)?;
        }
        let leased: Vec<_> =
            self.state.networks.values().filter(|network| network.leases.contains_key(&id)).cloned().collect();
        for mut network in leased {
            network.leases.remove(&id);
            self.put_network(network);
        }
        self.state.nodes.remove(&id);
        self.events.insert(Event::Node(id));
        let mut cluster = self.cluster()?;
        let (now, expiry) = (self.now, cluster.spec.certificate_expiry);
        cluster.removed.retain(|_, until| *until > now);
        cluster.removed.insert(id, now.plus(expiry));
        self.put_cluster(cluster);
        Ok(())
    }

    pub(super) fn set_manager(&mut self, id: NodeId, manager: Option<&ManagerMember>) -> Result<(), Refusal> {
        let node = self.node(id)?;
        if node.manager.as_ref() != manager {
            self.put_node(Node { manager: manager.cloned(), ..node });
        }
        Ok(())
    }

    /// It stays in the list, without a key: whoever has a token may come back under its id.
    pub(super) fn node_left(&mut self, id: NodeId) -> Result<(), Refusal> {
        let node = self.node(id)?;
        if node.spec.role == NodeRole::Manager && self.is_last_manager(id) {
            return Err(Refusal::LastManager { node: id });
        }
        let spec = NodeSpec { role: NodeRole::Worker, ..node.spec.clone() };
        self.put_node(Node { key: Vec::new(), state: NodeState::Down, spec, ..node });
        Ok(())
    }

    /// The others may still run somewhere and think that they are the managers: from now on they are shut out.
    pub(super) fn refound(&mut self, refound: &Refound) -> Result<(), Refusal> {
        let Refound { node: id, key, manager, address } = refound.clone();
        if self.cluster()?.identity.is_none() {
            return Err(Refusal::NotOpen);
        }
        let is_manager = |node: &&Node| node.spec.role == NodeRole::Manager || node.manager.is_some();
        let others: Vec<Node> =
            self.state.nodes.values().filter(|node| node.id != id).filter(is_manager).cloned().collect();
        for other in others {
            let spec = NodeSpec { role: NodeRole::Worker, ..other.spec.clone() };
            self.put_node(Node { spec, manager: None, ..other.clone() });
            self.remove_node(other.id, true)?;
        }
        let mut cluster = self.cluster()?;
        cluster.removed.remove(&id);
        self.put_cluster(cluster);
        let known = self.state.nodes.get(&id).cloned();
        let known = known.unwrap_or_else(|| Node::new(id, self.born(), NodeDescription::default(), NodeState::Unknown));
        let spec = NodeSpec { role: NodeRole::Manager, ..known.spec.clone() };
        self.put_node(Node { spec, key, manager: Some(manager), address, ..known });
        Ok(())
    }
}
