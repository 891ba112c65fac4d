//! Parts of a network's subnets that nodes give out by themselves, so that containers start without a manager.

use std::collections::{BTreeMap, BTreeSet};

use model::{IpSubnet, Network, NetworkId, NodeId, Task};

use crate::state::{Command, State};

/// Prefix of a part of an IPv4 subnet: 64 addresses.
const BLOCK: u8 = 26;
/// Addresses kept for standalone containers on each node.
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
    let mut grown: BTreeMap<NetworkId, BTreeSet<IpSubnet>> = BTreeMap::new();
    for ((network, node), tasks) in needs {
        let Some(network) = state.networks.get(&network) else { continue };
        let taken = grown.entry(network.id).or_insert_with(|| network.leases.values().flatten().copied().collect());
        let mut blocks = network.leases.get(&node).cloned().unwrap_or_default();
        let before = blocks.len();
        // The first address of a node's first part is the node's own.
        while blocks.iter().map(IpSubnet::size).sum::<u128>() < tasks + SPARE + 1 {
            let Some(block) = free_block(network, taken) else { break };
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

/// The first part that nobody has. Part 0 of a subnet is for the services' addresses.
fn free_block(network: &Network, taken: &BTreeSet<IpSubnet>) -> Option<IpSubnet> {
    let parts = |subnet: &IpSubnet| {
        let (subnet, prefix) = (*subnet, block_prefix(subnet));
        (1u128..).map_while(move |index| subnet.part(prefix, index))
    };
    network.subnets.iter().filter(|subnet| subnet.is_ipv4()).flat_map(parts).find(|block| !taken.contains(block))
}

/// A quarter of a small subnet.
pub fn block_prefix(subnet: &IpSubnet) -> u8 {
    BLOCK.max(subnet.prefix().saturating_add(2)).min(30)
}
