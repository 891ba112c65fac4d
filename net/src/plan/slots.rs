//! Slot tables: which backend each slot of a balancer leads to.
//!
//! The kernel draws a slot at random for each new connection, so a backend's share is the number of its slots. Tables
//! are filled as in Maglev (Eisenbud et al., NSDI 2016, section 3.4): shares differ by one slot at most, and the result
//! depends on the set of backends alone. A table that follows another moves the fewest slots that even shares allow:
//! when one backend of n goes or comes, its own share.

use std::collections::BTreeMap;
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

/// Fills a table that follows another of the same class: whoever stays keeps its slots, as far as even shares allow.
/// `None` were slots of those that are gone. A table of another size is filled anew.
pub fn slots_after<B: Clone + Ord + Hash + ToString>(
    previous: &[Option<B>],
    backends: &[B],
    class: SizeClass,
) -> Vec<B> {
    let size = class.slots() as usize;
    if previous.len() != size || backends.is_empty() {
        return slots(backends, class);
    }
    let mut held: BTreeMap<&B, usize> = backends.iter().map(|backend| (backend, 0)).collect();
    for backend in previous.iter().flatten() {
        held.entry(backend).and_modify(|count| *count += 1);
    }
    let mut quota = quotas(&held, size);
    let mut keep = |backend: &B| match quota.get_mut(backend) {
        Some(left @ 1..) => {
            *left -= 1;
            true
        }
        _ => false,
    };
    let kept: Vec<Option<&B>> = previous.iter().map(|slot| slot.as_ref().filter(|backend| keep(backend))).collect();
    let mut owed = quota.iter().flat_map(|(backend, left)| std::iter::repeat_n(*backend, *left));
    kept.into_iter().filter_map(|backend| backend.or_else(|| owed.next())).cloned().collect()
}

/// How many slots each may have; the one that is more than others goes to who has most.
fn quotas<'a, B: Ord>(held: &BTreeMap<&'a B, usize>, size: usize) -> BTreeMap<&'a B, usize> {
    let (least, more) = (size / held.len(), size % held.len());
    let mut by_share: Vec<(&B, usize)> = held.iter().map(|(backend, count)| (*backend, *count)).collect();
    by_share.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    by_share.into_iter().enumerate().map(|(rank, (backend, _))| (backend, least + usize::from(rank < more))).collect()
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
    use std::net::Ipv4Addr;

    fn backends(numbers: &[u16]) -> Vec<Ipv4Addr> {
        numbers.iter().map(|&n| Ipv4Addr::from(0x0a00_0000 + u32::from(n))).collect()
    }

    fn some(table: &[Ipv4Addr]) -> Vec<Option<Ipv4Addr>> {
        table.iter().copied().map(Some).collect()
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
        fn a_table_that_follows_moves_no_more_than_it_must(
            steps in proptest::collection::vec(proptest::collection::btree_set(0u16..60, 1..40), 1..8)
        ) {
            let class = SizeClass::Medium;
            let mut table: Vec<Ipv4Addr> = Vec::new();
            for numbers in steps {
                let list = backends(&numbers.into_iter().collect::<Vec<_>>());
                let next = slots_after(&some(&table), &list, class);
                let counts = shares(&next);
                prop_assert_eq!((next.len(), counts.len()), (class.slots() as usize, list.len()));
                prop_assert!(counts.values().max().unwrap() - counts.values().min().unwrap() <= 1);
                if !table.is_empty() {
                    // Only slots of who is gone move, and those that a newcomer or an even share needs.
                    let before = shares(&table);
                    let moved = table.iter().zip(&next).filter(|(a, b)| a != b).count();
                    let gained: usize = counts.iter().map(|(b, n)| n.saturating_sub(*before.get(b).unwrap_or(&0))).sum();
                    prop_assert_eq!(moved, gained);
                }
                table = next;
            }
        }

        #[test]
        fn one_that_goes_takes_only_its_own_slots(count in 2u16..100, gone in any::<prop::sample::Index>()) {
            let all = backends(&(0..count).collect::<Vec<_>>());
            let class = SizeClass::of(all.len());
            let table = slots(&all, class);
            let gone = all[gone.index(all.len())];
            let rest: Vec<_> = all.iter().copied().filter(|backend| *backend != gone).collect();
            let next = slots_after(&some(&table), &rest, class);
            prop_assert!(table.iter().zip(&next).all(|(before, after)| before == after || *before == gone));
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
