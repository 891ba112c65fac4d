//! What can be deleted: pure decisions over the images there are.

use std::collections::BTreeSet;

use crate::digest::{Digest, chain_ids};
use crate::manifest::Manifest;

/// What one image keeps alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Manifest, config and layers.
    pub blobs: BTreeSet<Digest>,
    /// The chain ids of its layers.
    pub snapshots: BTreeSet<Digest>,
}

impl Holdings {
    /// What the image with this manifest (itself stored as `manifest_digest`) and these diff ids holds.
    pub fn of(manifest_digest: Digest, manifest: &Manifest, diff_ids: &[Digest]) -> Holdings {
        let layers = manifest.layers.iter().map(|layer| layer.digest);
        Holdings {
            blobs: layers.chain([manifest_digest, manifest.config.digest]).collect(),
            snapshots: chain_ids(diff_ids).into_iter().collect(),
        }
    }
}

/// What to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub blobs: BTreeSet<Digest>,
    pub snapshots: BTreeSet<Digest>,
}

/// Blobs and snapshots on disk that no image holds. `in_use` are chain ids of containers' lower directories: they stay
/// whatever became of their image.
pub fn plan(
    images: &[Holdings],
    in_use: &BTreeSet<Digest>,
    blobs: &BTreeSet<Digest>,
    snapshots: &BTreeSet<Digest>,
) -> Plan {
    let held = |pick: fn(&Holdings) -> &BTreeSet<Digest>| -> BTreeSet<Digest> {
        images.iter().flat_map(pick).copied().collect()
    };
    let held_blobs = held(|image| &image.blobs);
    let held_snapshots = held(|image| &image.snapshots);
    Plan {
        blobs: blobs.difference(&held_blobs).copied().collect(),
        snapshots: snapshots
            .iter()
            .filter(|id| !held_snapshots.contains(id) && !in_use.contains(id))
            .copied()
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<Digest> {
        numbers.into_iter().map(|number| Digest::of(&[number])).collect()
    }

    #[test]
    fn only_what_nothing_holds_goes() {
        let image = Holdings { blobs: ids([1, 2]), snapshots: ids([10]) };
        let plan = plan(&[image], &ids([11]), &ids([1, 2, 3]), &ids([10, 11, 12]));
        assert_eq!(plan, Plan { blobs: ids([3]), snapshots: ids([12]) });
    }

    proptest! {
        #[test]
        fn nothing_held_is_ever_deleted(
            held in proptest::collection::vec(proptest::collection::btree_set(0u8..20, 0..6), 0..4),
            used in proptest::collection::btree_set(0u8..20, 0..6),
            disk in proptest::collection::btree_set(0u8..20, 0..20),
        ) {
            let images: Vec<Holdings> =
                held.iter().map(|set| Holdings { blobs: ids(set.clone()), snapshots: ids(set.clone()) }).collect();
            let plan = plan(&images, &ids(used.clone()), &ids(disk.clone()), &ids(disk.clone()));
            for number in disk {
                let digest = Digest::of(&[number]);
                let is_held = held.iter().any(|set| set.contains(&number));
                prop_assert_eq!(plan.blobs.contains(&digest), !is_held);
                prop_assert_eq!(plan.snapshots.contains(&digest), !is_held && !used.contains(&number));
            }
        }
    }
}
