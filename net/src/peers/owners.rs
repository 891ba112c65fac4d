//! Who has an address: the longest prefix that it lies in.

use std::collections::HashMap;
use std::net::IpAddr;

use model::IpSubnet;

/// Prefixes and whose they are, for one question a packet.
#[derive(Debug, Clone)]
pub struct Owners<T> {
    four: Vec<Level<T>>,
    six: Vec<Level<T>>,
}

/// The prefixes of one length.
#[derive(Debug, Clone)]
struct Level<T> {
    mask: u128,
    owners: HashMap<u128, T>,
}

impl<T> Default for Owners<T> {
    fn default() -> Self {
        Self { four: Vec::new(), six: Vec::new() }
    }
}

/// An address as a number that masks of its family apply to: to the left.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(u32::from(four)) << 96,
        IpAddr::V6(six) => u128::from(six),
    }
}

impl<T: Copy + PartialEq> Owners<T> {
    /// Of these prefixes; where two owners claim the same one the first has it, and the second is told.
    pub fn new(claims: impl IntoIterator<Item = (IpSubnet, T)>) -> (Self, Vec<(IpSubnet, T)>) {
        let mut owners = Self::default();
        let mut refused = Vec::new();
        for (prefix, owner) in claims {
            let levels = if prefix.is_ipv4() { &mut owners.four } else { &mut owners.six };
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.prefix())).unwrap_or(0);
            // Longer masks are greater numbers and come first.
            let at = levels.partition_point(|level| level.mask > mask);
            if levels.get(at).is_none_or(|level| level.mask != mask) {
                levels.insert(at, Level { mask, owners: HashMap::new() });
            }
            if let Some(level) = levels.get_mut(at)
                && *level.owners.entry(bits(prefix.network())).or_insert(owner) != owner
            {
                refused.push((prefix, owner));
            }
        }
        (owners, refused)
    }

    /// Whose an address is.
    pub fn of(&self, address: IpAddr) -> Option<T> {
        let levels = if address.is_ipv4() { &self.four } else { &self.six };
        let bits = bits(address);
        levels.iter().find_map(|level| level.owners.get(&(bits & level.mask)).copied())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn families_are_apart_and_doubles_told() {
        let prefix = |text: &str| text.parse::<IpSubnet>().unwrap();
        let claims = [("10.0.0.0/26", 1), ("10.0.0.7/32", 2), ("fd00::/74", 3), ("10.0.0.7/32", 4), ("0.0.0.0/0", 5)];
        let (owners, refused) = Owners::new(claims.map(|(text, owner)| (prefix(text), owner)));
        assert_eq!(refused, [(prefix("10.0.0.7/32"), 4)]);
        let of = |text: &str| owners.of(text.parse().unwrap());
        assert_eq!([of("10.0.0.6"), of("10.0.0.7"), of("10.0.0.64")], [Some(1), Some(2), Some(5)]);
        assert_eq!([of("fd00::1"), of("fd01::1"), of("::ffff:10.0.0.7")], [Some(3), None, None]);
    }

    proptest! {
        #[test]
        fn the_longest_prefix_has_it(parts in proptest::collection::btree_map((0u8..16, 20u8..=32), 0u8..9, 0..12), last: u8) {
            let claims: Vec<(IpSubnet, u8)> = parts
                .into_iter()
                .map(|((last, length), owner)| (IpSubnet::new([10, 0, 0, last].into(), length).unwrap(), owner))
                .collect();
            let (owners, _) = Owners::new(claims.iter().copied());
            let address = IpAddr::from([10, 0, 0, last % 20]);
            let longest = claims.iter().filter(|(prefix, _)| prefix.contains(address)).map(|(prefix, _)| prefix.prefix()).max();
            let expected = claims.iter().find(|(prefix, _)| prefix.contains(address) && Some(prefix.prefix()) == longest);
            prop_assert_eq!(owners.of(address), expected.map(|(_, owner)| *owner));
        }
    }
}
