//! Parts of a network's subnets that nodes give out by themselves, so that containers start without a manager.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{IpSubnet, Network, NetworkId, NodeId, Task};

use super::endpoints::fixed_addresses;
use crate::state::{Command, State};

/// Prefix of a part of an IPv4 subnet: 64 addresses.
const BLOCK: u8 = 26;
/// Prefix of a part of a small one, as users choose them: 8 addresses, so that a /24 has room for two dozen nodes.
const SMALL_BLOCK: u8 = 29;
/// How many bits longer than a subnet's prefix that of a node's part is, as long as it is between those.
const NODES: u8 = 6;
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
        let reserved = fixed.iter().copied().chain(network.spec.ipam.reserved()).collect();
        for &subnet in &network.subnets {
            // The first address of a node's first part is the node's own.
            let spare = SPARE.min(network.spec.ipam.range_of(subnet).size() / 64);
            while usable(subnet, &blocks, &reserved) < tasks + spare + 1 {
                let Some(block) = free_block(network, subnet, taken, &fixed) else { break };
                taken.insert(block);
                blocks.push(block);
            }
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
    let is_free = |subnet: &IpSubnet| free_block(network, *subnet, &taken(), &BTreeSet::new()).is_some();
    network.leases.contains_key(&node) || network.subnets.iter().all(is_free)
}

/// How many addresses of a subnet a node can give out of its parts, its own among them: neither the subnet's ends nor a
/// reserved one.
fn usable(subnet: IpSubnet, blocks: &[IpSubnet], reserved: &BTreeSet<IpAddr>) -> u128 {
    let blocks: Vec<&IpSubnet> = blocks.iter().filter(|block| subnet.contains(block.network())).collect();
    let inside = |address: &IpAddr| blocks.iter().any(|block| block.contains(*address));
    let ends = [0, subnet.size() - 1].into_iter().filter_map(|offset| subnet.nth(offset));
    let nobodys = ends.chain(reserved.iter().copied()).filter(inside).collect::<BTreeSet<_>>().len();
    blocks.iter().map(|block| block.size()).sum::<u128>().saturating_sub(nobodys as u128)
}

/// The first part that nobody has, if possible one without a fixed address: its node has to keep that free.
fn free_block(
    network: &Network,
    subnet: IpSubnet,
    taken: &BTreeSet<IpSubnet>,
    fixed: &BTreeSet<IpAddr>,
) -> Option<IpSubnet> {
    let range = network.spec.ipam.range_of(subnet);
    let services = if network.spec.is_link() { None } else { services_part(&range) };
    // Nodes may have larger parts from before a release that cuts smaller ones.
    let is_free = |block: &IpSubnet| !taken.contains(block) && !taken.iter().any(|other| other.overlaps(block));
    let mut free = node_parts(range, services).filter(is_free).peekable();
    let first = free.peek().copied();
    free.find(|block| !fixed.iter().any(|address| block.contains(*address))).or(first)
}

/// The parts beside the services' one.
fn node_parts(range: IpSubnet, services: Option<IpSubnet>) -> impl Iterator<Item = IpSubnet> {
    let prefix = block_prefix(&range);
    let parts = (0u128..).map_while(move |index| range.part(prefix, index));
    parts.filter(move |part| !services.is_some_and(|services| services.overlaps(part)))
}

/// A sixty-fourth of a large subnet and at most a quarter of a small one. Of an IPv6 subnet there are parts for a thousand nodes.
fn block_prefix(subnet: &IpSubnet) -> u8 {
    if !subnet.is_ipv4() {
        return subnet.prefix().saturating_add(10).min(126);
    }
    let prefix = subnet.prefix();
    prefix.saturating_add(NODES).clamp(BLOCK, SMALL_BLOCK).max(prefix.saturating_add(2)).min(30)
}

/// What of a range is for the services' addresses. In IPv4 the first part: a sixteenth, but not less than 64 addresses or a
/// quarter. In IPv6 the last one, as nodes had the first before services had any; a small range is the containers' alone.
pub fn services_part(subnet: &IpSubnet) -> Option<IpSubnet> {
    let block = block_prefix(subnet);
    if subnet.is_ipv4() {
        let least = BLOCK.max(subnet.prefix().saturating_add(2)).min(30);
        return subnet.part(subnet.prefix().saturating_add(SERVICES).min(least), 0);
    }
    let bits = block.checked_sub(subnet.prefix()).filter(|bits| *bits >= 2)?;
    subnet.part(block, (1 << bits) - 1)
}
