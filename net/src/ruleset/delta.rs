//! What changes from one table to the next, where only elements of sets do: with every container all others' would cost as
//! much again. Pure.

use std::collections::BTreeSet;

use super::{Element, Ruleset, Set, Type};

/// Elements that come and go in one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDelta<'a> {
    /// Name of the set.
    pub set: &'a str,
    /// Gone, each before what comes with its key.
    pub removed: Vec<&'a Element>,
    /// New.
    pub added: Vec<&'a Element>,
}

impl Ruleset {
    /// What turns this table into the next; `None` where it must be replaced whole: its rules change, a set is new or has no
    /// room, or prefixes change.
    pub fn delta<'a>(&'a self, next: &'a Self) -> Option<Vec<SetDelta<'a>>> {
        let is_same = (self.family, &self.table, &self.chains) == (next.family, &next.table, &next.chains);
        if !is_same || self.sets.len() != next.sets.len() {
            return None;
        }
        let mut changes = Vec::new();
        for (before, after) in self.sets.iter().zip(&next.sets) {
            if before.elements == after.elements && before.shape() == after.shape() {
                continue;
            }
            changes.push(delta(before, after)?);
        }
        Some(changes)
    }
}

impl Set {
    fn shape(&self) -> (&str, &[Type], &[Type], u32) {
        (&self.name, &self.key, &self.value, self.capacity)
    }
}

fn delta<'a>(before: &'a Set, after: &'a Set) -> Option<SetDelta<'a>> {
    if before.shape() != after.shape() || before.key.contains(&Type::Prefix) {
        return None;
    }
    let (old, new): (BTreeSet<&Element>, BTreeSet<&Element>) =
        (before.elements.iter().collect(), after.elements.iter().collect());
    let removed: Vec<_> = old.difference(&new).copied().collect();
    let added: Vec<_> = new.difference(&old).copied().collect();
    // The kernel counts what goes until the transaction has ended.
    let fits = before.elements.len() + added.len() <= before.capacity as usize;
    fits.then_some(SetDelta { set: &before.name, removed, added })
}

/// Room for as many again, so that one more container seldom means a new table.
pub(super) fn capacity(elements: usize) -> u32 {
    const LEAST: u32 = 64;
    u32::try_from(elements.saturating_mul(2)).unwrap_or(u32::MAX / 2).next_power_of_two().max(LEAST)
}

/// Keeps the room that a set has, as long as it is neither too little nor far too much.
pub(super) fn keep_capacity(previous: Option<&Ruleset>, sets: &mut [Set]) {
    for set in sets {
        let before = previous.and_then(|previous| previous.set(&set.name)).map(|before| before.capacity);
        let fits =
            |capacity: &u32| set.elements.len() <= *capacity as usize && *capacity <= set.capacity.saturating_mul(4);
        set.capacity = before.filter(fits).unwrap_or(set.capacity);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Family, sample};

    /// What the kernel has after a change.
    fn carry_out(ruleset: &Ruleset, changes: &[SetDelta<'_>]) -> Ruleset {
        let mut next = ruleset.clone();
        for change in changes {
            let set = next.sets.iter_mut().find(|set| set.name == change.set).unwrap();
            let mut elements: BTreeSet<Element> = set.elements.iter().cloned().collect();
            let room = set.capacity as usize - elements.len();
            assert!(change.added.len() <= room, "the kernel would have no room");
            change.removed.iter().for_each(|element| assert!(elements.remove(*element)));
            change.added.iter().for_each(|element| assert!(elements.insert((*element).clone())));
            set.elements = elements.into_iter().collect();
        }
        next
    }

    #[test]
    fn one_more_container_is_a_few_elements() {
        let mut plan = sample::plan();
        let before = Ruleset::of(Family::V4, &plan);
        plan.attachments.push(sample::attachment(9, 1, "eth0"));
        let after = Ruleset::after(Family::V4, Some(&before), &plan);
        let changes = before.delta(&after).unwrap();
        assert_eq!(carry_out(&before, &changes), after);
        let count: usize = changes.iter().map(|change| change.added.len() + change.removed.len()).sum();
        assert_eq!((changes.len(), count), (6, 6));
        // Another network is another chain.
        plan.networks.push(sample::network(3, false));
        assert_eq!(after.delta(&Ruleset::after(Family::V4, Some(&after), &plan)), None);
    }

    proptest! {
        #[test]
        fn a_change_leads_to_the_next_table((first, second) in (sample::small_plans(), sample::small_plans())) {
            for family in Family::ALL {
                let before = Ruleset::of(family, &first);
                let after = Ruleset::after(family, Some(&before), &second);
                if let Some(changes) = before.delta(&after) {
                    prop_assert_eq!(carry_out(&before, &changes), after);
                }
            }
        }
    }
}
