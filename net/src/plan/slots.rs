//! Slot tables: which backend each slot of a balancer leads to.
//!
//! The kernel draws a slot at random for each new connection, so a backend's share is the number of its slots. Tables
//! are filled as in Maglev (Eisenbud et al., NSDI 2016, section 3.4): shares differ by one slot at most, the result
//! depends on the set of backends alone, and a change of one backend moves few slots of the others.

use std::hash::Hash;

use super::hash::stable_hash;

/// How many slots a balancer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizeClass {
    /// 64 slots, up to 16 backends.
    Small,
    /// 1,024 slots, up to 256 backends.
    Medium,
    /// 16,384 slots, up to [`MAX_BACKENDS`].
    Large,
}

/// The most backends that one balancer may have: four slots each in the largest table.
pub const MAX_BACKENDS: usize = 4096;

impl SizeClass {
    /// All classes, the smallest first.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// The class for a number of backends: four slots each at least, so that shares differ by a quarter at most.
    pub const fn of(backends: usize) -> Self {
        match backends {
            0..=16 => Self::Small,
            17..=256 => Self::Medium,
            _ => Self::Large,
        }
    }

    /// Number of slots, a power of two.
    pub const fn slots(self) -> u32 {
        match self {
            Self::Small => 64,
            Self::Medium => 1024,
            Self::Large => 16_384,
        }
    }
}

/// Fills a table of the given class. Empty without backends; backends beyond the number of slots get none. Duplicates
/// count once, the order does not matter.
pub fn slots<B: Clone + Ord + Hash + ToString>(backends: &[B], class: SizeClass) -> Vec<B> {
    let mut backends = backends.to_vec();
    backends.sort();
    backends.dedup();
    if backends.is_empty() {
        return Vec::new();
    }
    let size = u64::from(class.slots());
    let mut preferences: Vec<Preference> = backends.iter().map(|b| Preference::new(&b.to_string(), size)).collect();
    let mut table: Vec<Option<usize>> = vec![None; class.slots() as usize];
    let mut left = table.len();
    'fill: loop {
        for (index, preference) in preferences.iter_mut().enumerate() {
            if left == 0 {
                break 'fill;
            }
            // Each preference list visits every slot once, so a free one is found within `size` steps.
            let slot = preference.by_ref().find(|&slot| table.get(slot).is_some_and(Option::is_none));
            let Some(slot) = slot else { break 'fill };
            table[slot] = Some(index);
            left -= 1;
        }
    }
    table.into_iter().flatten().filter_map(|index| backends.get(index).cloned()).collect()
}

/// A backend's own order of all slots: `offset + n * skip` modulo a power of two, with an odd skip.
struct Preference {
    next: u64,
    skip: u64,
    size: u64,
    left: u64,
}

impl Preference {
    fn new(backend: &str, size: u64) -> Self {
        let next = stable_hash(&[b"offset", backend.as_bytes()]) % size;
        let skip = (stable_hash(&[b"skip", backend.as_bytes()]) % size) | 1;
        Self { next, skip, size, left: size }
    }
}

impl Iterator for Preference {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let slot = self.next;
        self.next = (self.next + self.skip) % self.size;
        Some(slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    fn backends(numbers: &[u16]) -> Vec<Ipv4Addr> {
        numbers.iter().map(|&n| Ipv4Addr::from(0x0a00_0000 + u32::from(n))).collect()
    }

    fn shares(table: &[Ipv4Addr]) -> BTreeMap<Ipv4Addr, usize> {
        table.iter().fold(BTreeMap::new(), |mut map, b| {
            *map.entry(*b).or_default() += 1;
            map
        })
    }

    #[test]
    fn classes_leave_four_slots_each() {
        for count in [1, 16, 17, 256, 257, MAX_BACKENDS] {
            assert!(SizeClass::of(count).slots() as usize >= 4 * count);
        }
    }

    #[test]
    fn removing_one_of_many_moves_few() {
        // One of n backends holds 1/n of the slots; those must move. Even shares have their price in slots of others:
        // measured about five shares with hundreds of backends, and never a large part of the table.
        for (count, class) in
            [(4u16, SizeClass::Small), (10, SizeClass::Small), (100, SizeClass::Medium), (400, SizeClass::Large)]
        {
            let before = backends(&(0..count).collect::<Vec<_>>());
            let table = slots(&before, class);
            let mut moved = 0;
            for gone in &before {
                let rest: Vec<_> = before.iter().filter(|b| *b != gone).copied().collect();
                let next = slots(&rest, class);
                moved += table.iter().zip(&next).filter(|(a, b)| a != b && *a != gone).count();
            }
            let average = moved as f64 / f64::from(count);
            let share = f64::from(class.slots()) / f64::from(count);
            assert!(
                average <= 6.0 * share && average <= 0.15 * f64::from(class.slots()),
                "{count} backends: {average} slots of others moved, a share is {share}"
            );
        }
    }

    proptest! {
        #[test]
        fn shares_are_even(numbers in proptest::collection::hash_set(any::<u16>(), 1..40)) {
            let list = backends(&numbers.iter().copied().collect::<Vec<_>>());
            let class = SizeClass::of(list.len());
            let table = slots(&list, class);
            prop_assert_eq!(table.len(), class.slots() as usize);
            let shares = shares(&table);
            prop_assert_eq!(shares.len(), list.len());
            let (min, max) = (shares.values().min().unwrap(), shares.values().max().unwrap());
            prop_assert!(max - min <= 1);
        }

        #[test]
        fn order_and_duplicates_do_not_matter(mut numbers in proptest::collection::vec(any::<u16>(), 0..20)) {
            let table = slots(&backends(&numbers), SizeClass::Small);
            numbers.reverse();
            numbers.extend(numbers.clone());
            prop_assert_eq!(slots(&backends(&numbers), SizeClass::Small), table);
        }
    }
}
