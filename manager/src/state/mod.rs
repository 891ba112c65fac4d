//! The replicated state: what is desired, and what agents have reported. Persistent maps make a copy cost nothing, so readers
//! work on a version of their own.
//!
//! [`apply`] is the only way to change it; [`codec`] writes commands and states as protobuf.

mod apply;
pub mod codec;
mod command;
mod ids;
pub mod invariants;

use imbl::{OrdMap, OrdSet};
use model::{
    Cluster, Config, ConfigId, Network, NetworkId, Node, NodeId, Secret, SecretId, Service, ServiceId, Task, TaskId,
};

pub use apply::{Refusal, StackChanges, apply, changed_services};
pub use command::{ApplyStack, Command, Entry, IntentAction, OpenCluster, Recreate, Refound};
pub use ids::IdSource;

/// Everything that managers agree on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Goes up by one with every entry that changes anything.
    pub version: u64,
    /// The cluster, once it has been made.
    pub cluster: Option<Cluster>,
    /// Nodes by id.
    pub nodes: OrdMap<NodeId, Node>,
    /// Services by id.
    pub services: OrdMap<ServiceId, Service>,
    /// Tasks by id.
    pub tasks: OrdMap<TaskId, Task>,
    /// Networks by id.
    pub networks: OrdMap<NetworkId, Network>,
    /// Secrets by id.
    pub secrets: OrdMap<SecretId, Secret>,
    /// Configs by id.
    pub configs: OrdMap<ConfigId, Config>,
    index: Index,
}

/// Ways to find objects other than by id.
#[derive(Debug, Clone, Default, PartialEq)]
struct Index {
    tasks_by_service: OrdMap<ServiceId, OrdSet<TaskId>>,
    tasks_by_node: OrdMap<NodeId, OrdSet<TaskId>>,
    services_by_name: OrdMap<String, ServiceId>,
    /// By stack, then by key there.
    services_by_stack: OrdMap<String, OrdMap<String, ServiceId>>,
    networks_by_name: OrdMap<String, NetworkId>,
    secrets_by_name: OrdMap<String, SecretId>,
    configs_by_name: OrdMap<String, ConfigId>,
}

/// What an entry has touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The cluster.
    Cluster,
    /// A node.
    Node(NodeId),
    /// A service, which may be gone.
    Service(ServiceId),
    /// A task, which may be gone.
    Task(TaskId),
    /// A network, which may be gone.
    Network(NetworkId),
    /// A secret, which may be gone.
    Secret(SecretId),
    /// A config, which may be gone.
    Config(ConfigId),
}

impl State {
    /// The tasks of a service, in the order of their ids.
    pub fn tasks_of(&self, service: ServiceId) -> impl Iterator<Item = &Task> {
        let ids = self.index.tasks_by_service.get(&service);
        ids.into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }

    /// The tasks on a node, in the order of their ids.
    pub fn tasks_on(&self, node: NodeId) -> impl Iterator<Item = &Task> {
        let ids = self.index.tasks_by_node.get(&node);
        ids.into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }

    /// The service of this full name.
    pub fn service_named(&self, name: &str) -> Option<&Service> {
        self.services.get(self.index.services_by_name.get(name)?)
    }

    /// The network of this name.
    pub fn network_named(&self, name: &str) -> Option<&Network> {
        self.networks.get(self.index.networks_by_name.get(name)?)
    }

    /// The secret of this name.
    pub fn secret_named(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(self.index.secrets_by_name.get(name)?)
    }

    /// The config of this name.
    pub fn config_named(&self, name: &str) -> Option<&Config> {
        self.configs.get(self.index.configs_by_name.get(name)?)
    }

    /// The services of a stack, in the order of their keys.
    pub fn services_of_stack(&self, stack: &str) -> impl Iterator<Item = &Service> {
        let ids = self.index.services_by_stack.get(stack);
        ids.into_iter().flat_map(OrdMap::values).filter_map(|id| self.services.get(id))
    }

    /// The service of this key in a stack.
    pub fn service_of_stack(&self, stack: &str, key: &str) -> Option<&Service> {
        self.services.get(self.index.services_by_stack.get(stack)?.get(key)?)
    }

    fn put_service(&mut self, service: Service) {
        self.drop_service(service.id);
        if let Some(member) = &service.spec.stack {
            let keys = self.index.services_by_stack.entry(member.stack.clone()).or_default();
            keys.insert(member.key.clone(), service.id);
        }
        self.index.services_by_name.insert(service.spec.name.clone(), service.id);
        self.services.insert(service.id, service);
    }

    fn drop_service(&mut self, id: ServiceId) {
        if let Some(service) = self.services.remove(&id) {
            self.index.services_by_name.remove(&service.spec.name);
            self.unlink_member(&service);
        }
    }

    fn unlink_member(&mut self, service: &Service) {
        let Some(member) = &service.spec.stack else { return };
        let Some(keys) = self.index.services_by_stack.get_mut(&member.stack) else { return };
        if keys.get(&member.key) == Some(&service.id) {
            keys.remove(&member.key);
        }
        if keys.is_empty() {
            self.index.services_by_stack.remove(&member.stack);
        }
    }

    fn put_task(&mut self, task: Task) {
        if let Some(before) = self.tasks.get(&task.id).cloned() {
            self.unlink_task(&before);
        }
        self.index.tasks_by_service.entry(task.service).or_default().insert(task.id);
        if let Some(node) = task.node {
            self.index.tasks_by_node.entry(node).or_default().insert(task.id);
        }
        self.tasks.insert(task.id, task);
    }

    fn drop_task(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.remove(&id) {
            self.unlink_task(&task);
        }
    }

    fn unlink_task(&mut self, task: &Task) {
        unlink(&mut self.index.tasks_by_service, &task.service, task.id);
        if let Some(node) = task.node {
            unlink(&mut self.index.tasks_by_node, &node, task.id);
        }
    }

    fn put_network(&mut self, network: Network) {
        self.index.networks_by_name.insert(network.spec.name.clone(), network.id);
        self.networks.insert(network.id, network);
    }

    fn drop_network(&mut self, id: NetworkId) {
        if let Some(network) = self.networks.remove(&id) {
            self.index.networks_by_name.remove(&network.spec.name);
        }
    }

    fn put_secret(&mut self, secret: Secret) {
        if !secret.superseded {
            self.index.secrets_by_name.insert(secret.spec.name.clone(), secret.id);
        } else if self.index.secrets_by_name.get(&secret.spec.name) == Some(&secret.id) {
            self.index.secrets_by_name.remove(&secret.spec.name);
        }
        self.secrets.insert(secret.id, secret);
    }

    fn drop_secret(&mut self, id: SecretId) {
        if let Some(secret) = self.secrets.remove(&id).filter(|secret| !secret.superseded) {
            self.index.secrets_by_name.remove(&secret.spec.name);
        }
    }

    fn put_config(&mut self, config: Config) {
        if !config.superseded {
            self.index.configs_by_name.insert(config.spec.name.clone(), config.id);
        } else if self.index.configs_by_name.get(&config.spec.name) == Some(&config.id) {
            self.index.configs_by_name.remove(&config.spec.name);
        }
        self.configs.insert(config.id, config);
    }

    fn drop_config(&mut self, id: ConfigId) {
        if let Some(config) = self.configs.remove(&id).filter(|config| !config.superseded) {
            self.index.configs_by_name.remove(&config.spec.name);
        }
    }
}

fn unlink<K: Ord + Clone>(index: &mut OrdMap<K, OrdSet<TaskId>>, key: &K, task: TaskId) {
    let Some(tasks) = index.get_mut(key) else { return };
    tasks.remove(&task);
    if tasks.is_empty() {
        index.remove(key);
    }
}
