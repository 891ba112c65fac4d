//! What one node has to know of the state. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{
    Assignments, Backend, EndpointMode, EndpointNetwork, IpSubnet, MeshEnd, Network, NetworkAssignment, NetworkId,
    NodeId, PortSpec, PublishMode, Service, ServiceEndpoint, Task, TaskState,
};

use crate::state::State;

/// Everything that this node has to carry out or to know.
pub fn assignments(state: &State, node: NodeId) -> Assignments {
    // A task that was given up is no longer the node's, should the node come back: its container goes.
    let held = state.tasks_on(node).filter(|task| task.status.state != TaskState::Orphaned);
    let tasks: BTreeMap<_, Task> = held.map(|task| (task.id, task.clone())).collect();
    let networks: BTreeMap<NetworkId, NetworkAssignment> = state
        .networks
        .values()
        .filter(|network| network.leases.contains_key(&node))
        .map(|network| {
            let assignment = NetworkAssignment {
                id: network.id,
                name: network.spec.name.clone(),
                subnets: network.subnets.clone(),
                blocks: network.leases.get(&node).cloned().unwrap_or_default(),
                internal: network.spec.internal,
                attachable: network.spec.attachable,
                fixed: fixed(state, &network.spec.name),
                driver: network.spec.driver.clone(),
                options: network.spec.options.clone(),
                gateways: network.spec.ipam.gateways.clone(),
                reserved: network.spec.ipam.reserved().collect(),
                foreign: foreign(state, network, node),
            };
            (network.id, assignment)
        })
        .collect();
    let endpoints = state
        .services
        .values()
        .map(|service| (service.id, endpoint(state, service)))
        .filter(|(_, endpoint)| is_of_interest(endpoint, &networks))
        .collect();
    let secrets = tasks.values().flat_map(|task| &task.spec.container.secrets).filter_map(|file| {
        let secret = state.secrets.get(&file.id?)?;
        Some((secret.id, secret.spec.data.clone()))
    });
    let configs = tasks.values().flat_map(|task| &task.spec.container.configs).filter_map(|file| {
        let config = state.configs.get(&file.id?)?;
        Some((config.id, config.spec.data.clone()))
    });
    let (secrets, configs) = (secrets.collect(), configs.collect());
    let cluster = state.cluster.as_ref().filter(|cluster| cluster.identity.is_some());
    let data_path_port = cluster.map(|cluster| cluster.data_path_port);
    Assignments { secrets, configs, tasks, networks, endpoints, peers: peers(state, node), data_path_port }
}

/// The other nodes' ends of the mesh; one that has left has none.
fn peers(state: &State, node: NodeId) -> BTreeMap<NodeId, MeshEnd> {
    let others = state.nodes.values().filter(|other| other.id != node && !other.key.is_empty());
    others.filter_map(|other| Some((other.id, other.description.mesh?))).collect()
}

/// Which addresses of a network other nodes' containers have or may get: their parts, and what users have chosen for tasks
/// that are there, wherever in the subnet it lies.
fn foreign(state: &State, network: &Network, node: NodeId) -> BTreeMap<NodeId, Vec<IpSubnet>> {
    // One link does not reach another node.
    if network.spec.is_link() {
        return BTreeMap::new();
    }
    let others = network.leases.iter().filter(|(other, _)| **other != node);
    let mut foreign: BTreeMap<NodeId, Vec<IpSubnet>> = others.map(|(other, blocks)| (*other, blocks.clone())).collect();
    for task in state.tasks.values().filter(|task| !task.status.state.is_terminal()) {
        let Some(at) = task.node.filter(|at| *at != node) else { continue };
        let on = task.spec.network.attachments().iter().filter(|on| on.network == network.spec.name && !on.local);
        for address in on.flat_map(|on| on.ipv4_address.into_iter().chain(on.ipv6_address)) {
            let whole = IpSubnet::new(address, if address.is_ipv4() { 32 } else { 128 });
            let blocks = foreign.entry(at).or_default();
            blocks.extend(whole.filter(|whole| !blocks.contains(whole)));
        }
    }
    foreign
}

/// Addresses that services claim on a network.
fn fixed(state: &State, network: &str) -> Vec<IpAddr> {
    let attachments = state.services.values().flat_map(|service| service.spec.network.attachments());
    let on = attachments.filter(|attachment| attachment.network == network && !attachment.local);
    on.flat_map(|attachment| attachment.ipv4_address.into_iter().chain(attachment.ipv6_address)).collect()
}

fn is_of_interest(endpoint: &ServiceEndpoint, networks: &BTreeMap<NetworkId, NetworkAssignment>) -> bool {
    !endpoint.ports.is_empty() || endpoint.networks.iter().any(|network| networks.contains_key(&network.network))
}

fn endpoint(state: &State, service: &Service) -> ServiceEndpoint {
    let networks = service.spec.network.attachments().iter().filter_map(|attachment| {
        let found = state.network_named(&attachment.network)?;
        let (network, internal, elsewhere) = (found.id, found.spec.internal, found.spec.is_elsewhere());
        let vips = service.endpoint.vips.iter().filter(|vip| vip.network == network).map(|vip| vip.address);
        let vips = if service.spec.endpoint_mode == EndpointMode::Vip { vips.collect() } else { Vec::new() };
        Some(EndpointNetwork { network, vips, aliases: attachment.aliases.clone(), internal, elsewhere })
    });
    ServiceEndpoint {
        service: service.id,
        name: service.spec.name.clone(),
        stack: service.spec.stack.clone(),
        mode: service.spec.endpoint_mode,
        networks: networks.collect(),
        ports: service.endpoint.ports.iter().map(|port| published(service, port)).collect(),
        backends: state.tasks_of(service.id).filter_map(backend).collect(),
    }
}

/// What belongs to one node, as a project of `up` does, answers there alone.
fn published(service: &Service, port: &PortSpec) -> PortSpec {
    let mode = if service.spec.placement.node.is_some() { PublishMode::Host } else { port.mode };
    PortSpec { mode, ..port.clone() }
}

/// A task whose container runs; it serves unless it is about to end or its health check says otherwise.
fn backend(task: &Task) -> Option<Backend> {
    let container = task.status.container.as_ref().filter(|_| task.status.state == TaskState::Running)?;
    let ending = task.desired > TaskState::Running || task.intent.stopped;
    if container.phase != model::ContainerPhase::Running {
        return None;
    }
    Some(Backend {
        task: task.id,
        name: task.name.clone(),
        node: task.node?,
        attachments: container.attachments.clone(),
        serves: task.status.serves() && !ending,
    })
}

#[cfg(test)]
mod tests;
