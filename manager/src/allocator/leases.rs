//! Parts of a network's subnets that nodes give out by themselves, so that containers start without a manager.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{IpSubnet, Network, NetworkId, NodeId, Task};

use super::endpoints::fixed_addresses;
use crate::state::{Command, State};

/// Prefix of a part of an IPv4 subnet: 64 addresses.
const BLOCK: u8 = 26;
/// How many bits longer than a subnet's prefix that of its services' part is: 256 addresses of a default subnet.
const SERVICES: u8 = 4;
/// Addresses kept for standalone containers on each node; fewer where the network is small.
const SPARE: u128 = 16;

/// Leases as many parts as a node's tasks need; parts are never taken back while the node may hold addresses of them.
pub fn allocate(state: &State, commands: &mut Vec<Command>) {
    let mut needs: BTreeMap<(NetworkId, NodeId), u128> = BTreeMap::new();
    for task in state.tasks.values() {
        for (network, node) in uses(state, task) {
            *needs.entry((network, node)).or_default() += 1;
        }
    }
    for network in state.networks.values().filter(|network| network.spec.attachable) {
        for node in state.nodes.keys() {
            needs.entry((network.id, *node)).or_default();
        }
    }
    // A service that belongs to one node may have containers of its own there before, or besides, its tasks.
    for service in state.services.values().filter(|service| !service.removing) {
        let Some(node) = service.spec.placement.node.filter(|node| state.nodes.contains_key(node)) else { continue };
        for attachment in service.spec.network.attachments() {
            if let Some(network) = state.network_named(&attachment.network) {
                needs.entry((network.id, node)).or_default();
            }
        }
    }
    let fixed: BTreeSet<IpAddr> = fixed_addresses(state).collect();
    let mut grown: BTreeMap<NetworkId, BTreeSet<IpSubnet>> = BTreeMap::new();
    for ((network, node), tasks) in needs {
        let Some(network) = state.networks.get(&network) else { continue };
        let taken = grown.entry(network.id).or_insert_with(|| network.leases.values().flatten().copied().collect());
        let mut blocks = network.leases.get(&node).cloned().unwrap_or_default();
        let before = blocks.len();
        // The first address of a node's first part is the node's own.
        let spare = SPARE.min(network.subnets.iter().map(IpSubnet::size).sum::<u128>() / 16);
        while usable(network, &blocks, &fixed) < tasks + spare + 1 {
            let Some(block) = free_block(network, taken, &fixed) else { break };
            taken.insert(block);
            blocks.push(block);
        }
        if blocks.len() > before {
            commands.push(Command::SetLease { network: network.id, node, blocks, seen: network.meta.version });
        }
    }
}

fn uses<'a>(state: &'a State, task: &'a Task) -> impl Iterator<Item = (NetworkId, NodeId)> + 'a {
    let networks = task.spec.network.attachments().iter().filter_map(|a| state.network_named(&a.network));
    networks.filter_map(|network| Some((network.id, task.node?)))
}

/// Whether a node has addresses of a network, or there is a part left for it.
pub fn can_lease(network: &Network, node: NodeId) -> bool {
    let taken = || network.leases.values().flatten().copied().collect();
    network.leases.contains_key(&node) || free_block(network, &taken(), &BTreeSet::new()).is_some()
}

/// How many addresses a node can give out of its parts, its own among them: neither the subnet's last nor a fixed one.
fn usable(network: &Network, blocks: &[IpSubnet], fixed: &BTreeSet<IpAddr>) -> u128 {
    let inside = |address: &IpAddr| blocks.iter().any(|block| block.contains(*address));
    let last = network.subnets.iter().filter_map(|subnet| subnet.nth(subnet.size() - 1));
    let nobodys = last.chain(fixed.iter().copied()).filter(inside).collect::<BTreeSet<_>>().len();
    blocks.iter().map(IpSubnet::size).sum::<u128>().saturating_sub(nobodys as u128)
}

/// The first part that nobody has, if possible one without a fixed address: its node has to keep that free.
fn free_block(network: &Network, taken: &BTreeSet<IpSubnet>, fixed: &BTreeSet<IpAddr>) -> Option<IpSubnet> {
    let subnets = network.subnets.iter().filter(|subnet| subnet.is_ipv4());
    let mut free = subnets.flat_map(node_parts).filter(|block| !taken.contains(block)).peekable();
    let first = free.peek().copied();
    free.find(|block| !fixed.iter().any(|address| block.contains(*address))).or(first)
}

/// The parts after the services' one.
fn node_parts(subnet: &IpSubnet) -> impl Iterator<Item = IpSubnet> + use<> {
    let (subnet, prefix, services) = (*subnet, block_prefix(subnet), services_part(subnet));
    let parts = (0u128..).map_while(move |index| subnet.part(prefix, index));
    parts.skip_while(move |part| services.is_some_and(|services| services.contains(part.network())))
}

/// A quarter of a small subnet.
fn block_prefix(subnet: &IpSubnet) -> u8 {
    BLOCK.max(subnet.prefix().saturating_add(2)).min(30)
}

/// The first part of an IPv4 subnet, which is for the services' addresses: a sixteenth, but not less than a node's part.
pub fn services_part(subnet: &IpSubnet) -> Option<IpSubnet> {
    let prefix = subnet.prefix().saturating_add(SERVICES).min(block_prefix(subnet));
    if subnet.is_ipv4() { subnet.part(prefix, 0) } else { None }
}
