//! A subnet for each network and family that asks for none.

use model::{ClusterId, IpSubnet};

use crate::state::{Command, State};

/// Length of the prefix that a cluster's IPv6 subnets are of, and theirs (RFC 4193, RFC 4291).
const PREFIXES_V6: (u8, u8) = (48, 64);

/// Takes the first free parts of the cluster's pools; of its own private prefix for IPv6.
pub fn allocate(state: &State, commands: &mut Vec<Command>) {
    let Some(cluster) = &state.cluster else { return };
    let mut taken: Vec<IpSubnet> =
        state.networks.values().flat_map(|network| network.subnets.iter().copied()).collect();
    for network in state.networks.values().filter(|network| !network.spec.is_complete(&network.subnets)) {
        let mut subnets = network.subnets.clone();
        if !network.spec.ipam.no_ipv4 && !subnets.iter().any(IpSubnet::is_ipv4) {
            let free = cluster.address_pools.iter().find_map(|pool| first_free(pool.base, pool.prefix, &taken));
            subnets.extend(free);
        }
        if network.spec.ipam.ipv6 && subnets.iter().all(IpSubnet::is_ipv4) {
            subnets.extend(ula(cluster.id).and_then(|base| first_free(base, PREFIXES_V6.1, &taken)));
        }
        if subnets != network.subnets {
            taken.extend(subnets.iter().copied());
            commands.push(Command::SetSubnets { network: network.id, subnets, seen: network.meta.version });
        }
    }
}

fn first_free(base: IpSubnet, prefix: u8, taken: &[IpSubnet]) -> Option<IpSubnet> {
    let parts = (0u128..).map_while(|index| base.part(prefix, index));
    parts.into_iter().find(|part| !taken.iter().any(|other| other.overlaps(part)))
}

/// The cluster's own prefix: `fd` and forty bits of its id, which was drawn at random.
fn ula(cluster: ClusterId) -> Option<IpSubnet> {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    // FNV-1a over the id's text: the bits of its characters alone would be few.
    let hash = cluster
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    octets[1..6].copy_from_slice(&hash.to_be_bytes()[..5]);
    IpSubnet::new(octets.into(), PREFIXES_V6.0)
}
