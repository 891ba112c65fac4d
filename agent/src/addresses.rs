//! Which address a container gets. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::IpSubnet;

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// Every address of the blocks is in use.
    #[error("all addresses of its blocks are in use; remove containers, or give the network a larger subnet")]
    Exhausted,
    /// A fixed address is somebody else's.
    #[error("address {0} is in use")]
    Taken(IpAddr),
    /// A fixed address that no container can have.
    #[error("address {0} is not a usable address of the network's subnets")]
    Outside(IpAddr),
}

/// The lowest free address of the blocks, or the fixed one; all are of one family. The first and last address of a subnet are nobody's.
///
/// # Errors
/// [`NoAddress`].
pub fn choose(
    subnets: &[IpSubnet],
    blocks: &[IpSubnet],
    used: &BTreeSet<IpAddr>,
    fixed: Option<IpAddr>,
) -> Result<IpAddr, NoAddress> {
    let usable = |address: &IpAddr| {
        subnets.iter().any(|subnet| {
            let offset = subnet.offset_of(*address);
            offset.is_some_and(|offset| subnet.size() <= 2 || offset != 0 && offset + 1 != subnet.size())
        })
    };
    if let Some(address) = fixed {
        return match (usable(&address), used.contains(&address)) {
            (false, _) => Err(NoAddress::Outside(address)),
            (true, true) => Err(NoAddress::Taken(address)),
            (true, false) => Ok(address),
        };
    }
    let mut candidates = blocks.iter().flat_map(|block| (0..block.size()).map_while(|offset| block.nth(offset)));
    candidates.find(|address| usable(address) && !used.contains(address)).ok_or(NoAddress::Exhausted)
}

/// The node's own address in a subnet: the first usable one of its blocks there.
pub fn gateway(subnet: IpSubnet, blocks: &[IpSubnet], used: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let blocks: Vec<_> = blocks.iter().filter(|block| subnet.contains(block.network())).copied().collect();
    choose(&[subnet], &blocks, used, None).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpSubnet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn ends_of_the_subnet_are_left_out_and_blocks_used_in_order() {
        let subnets = nets(&["10.0.0.0/24"]);
        let blocks = nets(&["10.0.0.0/30", "10.0.0.252/30"]);
        let mut used = BTreeSet::new();
        let mut given = Vec::new();
        while let Ok(address) = choose(&subnets, &blocks, &used, None) {
            used.insert(address);
            given.push(address.to_string());
        }
        assert_eq!(given, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.252", "10.0.0.253", "10.0.0.254"]);
        assert_eq!(choose(&subnets, &blocks, &used, None), Err(NoAddress::Exhausted));
    }

    #[test]
    fn fixed_addresses() {
        let subnets = nets(&["10.0.0.0/24"]);
        let fixed = |text: &str| {
            choose(&subnets, &[], &BTreeSet::from(["10.0.0.9".parse().unwrap()]), Some(text.parse().unwrap()))
        };
        assert!(fixed("10.0.0.10").is_ok());
        assert!(matches!(fixed("10.0.0.9"), Err(NoAddress::Taken(_))));
        for outside in ["10.0.0.0", "10.0.0.255", "10.0.1.1", "::1"] {
            assert!(matches!(fixed(outside), Err(NoAddress::Outside(_))), "{outside}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_free_and_inside(used in proptest::collection::btree_set(0u8..=255, 0..256)) {
            let subnets = nets(&["10.0.0.0/24"]);
            let used: BTreeSet<IpAddr> = used.into_iter().map(|last| IpAddr::from([10, 0, 0, last])).collect();
            match choose(&subnets, &subnets, &used, None) {
                Ok(address) => prop_assert!(subnets[0].contains(address) && !used.contains(&address)),
                Err(error) => {
                    prop_assert_eq!(error, NoAddress::Exhausted);
                    prop_assert!(used.len() >= 254);
                }
            }
        }
    }
}
