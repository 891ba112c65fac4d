//! `rmi` and `image prune`. What containers use is asked for while nobody can add or collect, so that an image can't go
//! between the question and the deed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use super::Store;
use crate::catalog::{PruneRules, Record, Removal, Users};
use crate::digest::{Digest, chain_ids};
use crate::error::Result;
use crate::rfc3339;

/// What `image prune` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub removals: Vec<Removal>,
    /// Uncompressed bytes of layers that no other image has.
    pub reclaimed: u64,
}

/// An image's labels, time and layers, as far as pruning asks for them.
struct Facts {
    created: i64,
    labels: BTreeMap<String, String>,
    /// Uncompressed bytes by chain id.
    layers: BTreeMap<Digest, u64>,
}

impl Store {
    /// Removes a name or an image by Docker's rules, and the content that nothing holds any more.
    ///
    /// # Errors
    /// As [`crate::catalog::Catalog::remove`]; [`crate::Error::Io`].
    pub fn remove(&self, text: &str, force: bool, users: impl FnOnce() -> Users) -> Result<Vec<Removal>> {
        let _alone = self.collecting.write().unwrap_or_else(PoisonError::into_inner);
        let users = users();
        let removals = self.change(|catalog| catalog.remove(text, &users, force))?;
        if removals.iter().any(|removal| matches!(removal, Removal::Deleted(_))) {
            self.sweep(&BTreeSet::new())?;
        }
        Ok(removals)
    }

    /// Removes every image that `rules` take and no container uses.
    ///
    /// # Errors
    /// What is wrong with an image's documents; [`crate::Error::Io`].
    pub fn prune(&self, rules: &PruneRules, users: impl FnOnce() -> Users) -> Result<Pruned> {
        let _alone = self.collecting.write().unwrap_or_else(PoisonError::into_inner);
        let users = users();
        let facts = self.facts()?;
        let passes = |id: &Digest| {
            let facts = facts.get(id);
            facts.is_some_and(|facts| rules.filters.iter().all(|filter| filter.passes(facts.created, &facts.labels)))
        };
        let removals = self.change(|catalog| Ok(catalog.prune(&users, rules.all, passes)))?;
        self.sweep(&BTreeSet::new())?;
        let gone: BTreeSet<Digest> = removals.iter().filter_map(Removal::deleted).collect();
        let (gone, kept): (Vec<_>, Vec<_>) = facts.iter().partition(|(id, _)| gone.contains(id));
        let kept: BTreeSet<Digest> = kept.iter().flat_map(|(_, facts)| facts.layers.keys().copied()).collect();
        let mut freed: BTreeMap<Digest, u64> = gone.into_iter().flat_map(|(_, facts)| facts.layers.clone()).collect();
        freed.retain(|chain_id, _| !kept.contains(chain_id));
        let reclaimed = freed.values().sum();
        Ok(Pruned { reclaimed, removals })
    }

    fn facts(&self) -> Result<BTreeMap<Digest, Facts>> {
        let records: Vec<(Digest, Record)> = self.locked().images().map(|(id, record)| (*id, record.clone())).collect();
        let facts = |(id, record): (Digest, Record)| {
            let image = self.read_image(id, &record)?;
            let chain = chain_ids(&image.config.rootfs.diff_ids);
            let sizes = self.layer_sizes(&record, &image);
            let created = image.config.created.as_deref().and_then(rfc3339::parse_utc).unwrap_or_default();
            let layers = chain.into_iter().zip(sizes).collect();
            Ok((id, Facts { created, labels: image.config.config.labels, layers }))
        };
        records.into_iter().map(facts).collect()
    }
}

impl Removal {
    fn deleted(&self) -> Option<Digest> {
        match self {
            Removal::Deleted(id) => Some(*id),
            Removal::Untagged(_) => None,
        }
    }
}
