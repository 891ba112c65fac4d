//! A subnet for each network that asks for none.

use model::IpSubnet;

use crate::state::{Command, State};

/// Takes the first free parts of the cluster's pools.
pub fn allocate(state: &State, commands: &mut Vec<Command>) {
    let Some(cluster) = &state.cluster else { return };
    let mut taken: Vec<IpSubnet> =
        state.networks.values().flat_map(|network| network.subnets.iter().copied()).collect();
    for network in state.networks.values().filter(|network| network.subnets.is_empty()) {
        let free = cluster.address_pools.iter().find_map(|pool| first_free(pool.base, pool.prefix, &taken));
        if let Some(subnet) = free {
            taken.push(subnet);
            commands.push(Command::SetSubnets {
                network: network.id,
                subnets: vec![subnet],
                seen: network.meta.version,
            });
        }
    }
}

fn first_free(base: IpSubnet, prefix: u8, taken: &[IpSubnet]) -> Option<IpSubnet> {
    let parts = (0u128..).map_while(|index| base.part(prefix, index));
    parts.into_iter().find(|part| !taken.iter().any(|other| other.overlaps(part)))
}
