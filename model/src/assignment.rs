//! What a manager sends to an agent: everything that node needs to know, and the difference between two such sets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    Attachment, ConfigId, EndpointMode, IpSubnet, MeshEnd, NetworkId, NodeId, PortSpec, SecretData, SecretId,
    ServiceId, StackMember, Task, TaskId,
};

/// Everything that one node has to carry out or to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignments {
    /// Tasks of this node whose containers it must run, end or remove.
    pub tasks: BTreeMap<TaskId, Task>,
    /// Networks that it serves.
    pub networks: BTreeMap<NetworkId, NetworkAssignment>,
    /// Services reachable from those networks, or published.
    pub endpoints: BTreeMap<ServiceId, ServiceEndpoint>,
    /// Contents that its tasks refer to.
    pub secrets: BTreeMap<SecretId, SecretData>,
    /// Contents that its tasks refer to.
    pub configs: BTreeMap<ConfigId, Vec<u8>>,
    /// The other nodes' ends of the mesh.
    pub peers: BTreeMap<NodeId, MeshEnd>,
    /// Where this node is to listen for them, UDP; `None` where no other node can come.
    pub data_path_port: Option<u16>,
}

/// A network as a node needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAssignment {
    /// Which network.
    pub id: NetworkId,
    /// Its name.
    pub name: String,
    /// Its subnets.
    pub subnets: Vec<IpSubnet>,
    /// The parts whose addresses this node may give out.
    pub blocks: Vec<IpSubnet>,
    /// No way out.
    pub internal: bool,
    /// Standalone containers may join.
    pub attachable: bool,
    /// Addresses that services claim for themselves: nobody else is given one.
    pub fixed: Vec<IpAddr>,
    /// What carries it, as in its spec.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// The node's own addresses in it, where they were asked for.
    pub gateways: Vec<IpAddr>,
    /// Addresses that nobody is given.
    pub reserved: Vec<IpAddr>,
    /// The parts whose addresses other nodes may give out, and single ones that their containers have besides.
    #[serde(default)]
    pub foreign: BTreeMap<NodeId, Vec<IpSubnet>>,
}

/// A service as seen from a network: its names, addresses and the tasks behind them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEndpoint {
    /// Which service.
    pub service: ServiceId,
    /// Its full name.
    pub name: String,
    /// Its stack and key there, which is its short name.
    pub stack: Option<StackMember>,
    /// What its name means.
    pub mode: EndpointMode,
    /// Its networks.
    pub networks: Vec<EndpointNetwork>,
    /// Its published ports.
    pub ports: Vec<PortSpec>,
    /// Its tasks that have a running container.
    pub backends: Vec<Backend>,
}

/// A service on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointNetwork {
    /// Which network.
    pub network: NetworkId,
    /// Its virtual addresses there; none with `dnsrr`.
    pub vips: Vec<IpAddr>,
    /// Further names that DNS answers there.
    pub aliases: Vec<String>,
    /// No way out: published ports lead to another one, if there is one.
    #[serde(default)]
    pub internal: bool,
    /// Its containers' packets do not come by the host: published ports lead to another one, or nowhere.
    #[serde(default)]
    pub elsewhere: bool,
}

/// A task behind a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Which task.
    pub task: TaskId,
    /// Name of its container.
    pub name: String,
    /// On which node.
    pub node: NodeId,
    /// Its addresses.
    pub attachments: Vec<Attachment>,
    /// Whether traffic may go to it.
    pub serves: bool,
}

/// What turns one set of assignments into the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssignmentsDiff {
    /// New or changed.
    pub upserts: Assignments,
    /// Gone.
    pub removed_tasks: Vec<TaskId>,
    /// Gone.
    pub removed_networks: Vec<NetworkId>,
    /// Gone.
    pub removed_endpoints: Vec<ServiceId>,
    /// Gone.
    pub removed_secrets: Vec<SecretId>,
    /// Gone.
    pub removed_configs: Vec<ConfigId>,
    /// Gone.
    pub removed_peers: Vec<NodeId>,
    /// Another one, or none any more.
    pub data_path_port: Option<Option<u16>>,
}

impl Assignments {
    /// What turns `self` into `next`.
    pub fn diff(&self, next: &Self) -> AssignmentsDiff {
        let Self { tasks, networks, endpoints, secrets, configs, peers, data_path_port } = self;
        AssignmentsDiff {
            upserts: Self {
                tasks: upserts(tasks, &next.tasks),
                networks: upserts(networks, &next.networks),
                endpoints: upserts(endpoints, &next.endpoints),
                secrets: upserts(secrets, &next.secrets),
                configs: upserts(configs, &next.configs),
                peers: upserts(peers, &next.peers),
                data_path_port: None,
            },
            removed_tasks: removed(tasks, &next.tasks),
            removed_networks: removed(networks, &next.networks),
            removed_endpoints: removed(endpoints, &next.endpoints),
            removed_secrets: removed(secrets, &next.secrets),
            removed_configs: removed(configs, &next.configs),
            removed_peers: removed(peers, &next.peers),
            data_path_port: (data_path_port != &next.data_path_port).then_some(next.data_path_port),
        }
    }

    /// Applies a difference.
    pub fn apply(&mut self, diff: AssignmentsDiff) {
        let AssignmentsDiff {
            upserts,
            removed_tasks,
            removed_networks,
            removed_endpoints,
            removed_secrets,
            removed_configs,
            removed_peers,
            data_path_port,
        } = diff;
        change(&mut self.tasks, upserts.tasks, &removed_tasks);
        change(&mut self.networks, upserts.networks, &removed_networks);
        change(&mut self.endpoints, upserts.endpoints, &removed_endpoints);
        change(&mut self.secrets, upserts.secrets, &removed_secrets);
        change(&mut self.configs, upserts.configs, &removed_configs);
        change(&mut self.peers, upserts.peers, &removed_peers);
        self.data_path_port = data_path_port.unwrap_or(self.data_path_port);
    }
}

impl AssignmentsDiff {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn upserts<K: Ord + Copy, V: PartialEq + Clone>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> BTreeMap<K, V> {
    let changed = |(key, value): &(&K, &V)| old.get(key) != Some(value);
    new.iter().filter(changed).map(|(key, value)| (*key, value.clone())).collect()
}

fn removed<K: Ord + Copy, V>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Vec<K> {
    old.keys().filter(|key| !new.contains_key(key)).copied().collect()
}

fn change<K: Ord, V>(map: &mut BTreeMap<K, V>, upserts: BTreeMap<K, V>, removed: &[K]) {
    for key in removed {
        map.remove(key);
    }
    map.extend(upserts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set((configs, data_path_port): (BTreeMap<u8, u8>, Option<u16>)) -> Assignments {
        let configs = configs.into_iter().map(|(id, byte)| (ConfigId::from_random(id.into()), vec![byte]));
        Assignments { configs: configs.collect(), data_path_port, ..Assignments::default() }
    }

    proptest! {
        #[test]
        fn a_difference_leads_to_the_next_set(old: (BTreeMap<u8, u8>, Option<u16>), new: (BTreeMap<u8, u8>, Option<u16>)) {
            let (mut old, new) = (set(old), set(new));
            let diff = old.diff(&new);
            prop_assert_eq!(diff.is_empty(), old == new);
            old.apply(diff);
            prop_assert_eq!(old, new);
        }
    }
}
