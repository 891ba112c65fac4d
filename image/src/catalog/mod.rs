//! Names and the images they mean: lookup, tagging, and Docker's removal rules. Pure; [`crate::store`] persists it.

mod prune;
mod remove;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use prune::{Filter, PruneRules};
pub use remove::{Removal, User, Users};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{Descriptor, parse_json, to_json};
use crate::reference::Reference;

/// The version of the catalog's file.
pub const VERSION: u64 = 1;

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The image's manifest.
    pub manifest: Descriptor,
    /// Its layers' bytes when uncompressed.
    pub size: u64,
    /// When it was added here: seconds since the epoch.
    pub added: i64,
    /// Canonical `domain/path:tag`.
    pub tags: BTreeSet<String>,
    /// Canonical `domain/path@digest`.
    pub digests: BTreeSet<String>,
    /// The uncompressed bytes of each layer, bottom first; records of before this field have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_sizes: Vec<u64>,
    /// When a name of it last came from a registry or an archive, or was given: seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tagged: Option<i64>,
}

/// All images by id, which is their config's digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    version: u64,
    images: BTreeMap<Digest, Record>,
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog { version: VERSION, images: BTreeMap::new() }
    }
}

/// The version alone, read before the rest, whose shape it tells.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

impl Catalog {
    /// Reads the catalog's file.
    ///
    /// # Errors
    /// [`Error::StoreVersion`] if another version wrote it, [`Error::InvalidDocument`]. `path` is for the message.
    pub fn parse(path: &std::path::Path, bytes: &[u8]) -> Result<Catalog> {
        let what = path.display().to_string();
        let Versioned { version: found } = parse_json(&what, bytes)?;
        if found != VERSION {
            return Err(Error::StoreVersion { path: path.to_owned(), found, known: VERSION });
        }
        parse_json(&what, bytes)
    }

    /// The catalog's file.
    ///
    /// # Errors
    /// [`Error::InvalidDocument`], which can't happen to data of these types.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        to_json("image catalog", self)
    }

    /// All images.
    pub fn images(&self) -> impl Iterator<Item = (&Digest, &Record)> {
        self.images.iter()
    }

    /// The image `id`.
    pub fn get(&self, id: &Digest) -> Option<&Record> {
        self.images.get(id)
    }

    /// Adds an image of layers that have so many bytes uncompressed, bottom first. One that is there keeps its manifest,
    /// names and time.
    pub fn add(&mut self, id: Digest, manifest: Descriptor, layer_sizes: Vec<u64>, added: i64) {
        let record = self.images.entry(id).or_insert_with(|| Record {
            manifest,
            size: layer_sizes.iter().sum(),
            added,
            tags: BTreeSet::new(),
            digests: BTreeSet::new(),
            layer_sizes: Vec::new(),
            tagged: None,
        });
        record.layer_sizes = layer_sizes;
    }

    /// Keeps `id` under another manifest, of the same layers in another compression.
    pub fn replace_manifest(&mut self, id: &Digest, manifest: Descriptor) {
        if let Some(record) = self.images.get_mut(id) {
            record.manifest = manifest;
        }
    }

    /// Notes that a registry has `id` under `name@digest`.
    pub fn add_digest(&mut self, name: &Reference, digest: Digest, id: &Digest) {
        let name = name.at_digest(digest).to_string();
        if let Some(record) = self.images.get_mut(id) {
            record.digests.insert(name);
        }
    }

    /// Notes that `id` got a name, or came again, at `now`.
    pub fn touch(&mut self, id: &Digest, now: i64) {
        if let Some(record) = self.images.get_mut(id) {
            record.tagged = Some(now);
        }
    }

    /// The canonical tags of `repository` (canonical, without tag) and the images that they mean.
    pub fn tags_of(&self, repository: &str) -> Vec<(String, Digest)> {
        let prefix = format!("{repository}:");
        let tags = |(id, record): (&Digest, &Record)| {
            let of_repository = record.tags.iter().filter(|tag| tag.starts_with(&prefix));
            of_repository.map(|tag| (tag.clone(), *id)).collect::<Vec<_>>()
        };
        let mut found: Vec<_> = self.images.iter().flat_map(tags).collect();
        found.sort();
        found
    }

    /// Makes `name` (tag `latest` if it gives none) mean `id`, whatever it meant before.
    ///
    /// # Errors
    /// [`Error::TagNeeded`] if `name` has a digest, [`Error::NoSuchImage`].
    pub fn tag(&mut self, name: &Reference, id: &Digest) -> Result<()> {
        if name.digest().is_some() {
            return Err(Error::TagNeeded { reference: name.familiar() });
        }
        if !self.images.contains_key(id) {
            return Err(Error::NoSuchImage(id.to_string()));
        }
        let name = name.clone().with_default_tag().to_string();
        for record in self.images.values_mut() {
            record.tags.remove(&name);
        }
        if let Some(record) = self.images.get_mut(id) {
            record.tags.insert(name);
        }
        Ok(())
    }

    /// The image that `text` means: a name, an id with or without `sha256:`, an id's beginning, or `name@digest`. Names go
    /// before id prefixes, as in Docker.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::AmbiguousId`] with the ids it could be.
    pub fn resolve(&self, text: &str) -> Result<Digest> {
        if let Some(id) = self.by_name(text) {
            return Ok(id);
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        let is_hex = (1..=64).contains(&prefix.len()) && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let matches: Vec<Digest> = if is_hex {
            self.images
                .iter()
                .filter(|(id, record)| {
                    id.hex().starts_with(prefix) || (prefix.len() == 64 && record.manifest.digest.hex() == prefix)
                })
                .map(|(id, _)| *id)
                .collect()
        } else {
            Vec::new()
        };
        match matches.as_slice() {
            [] => Err(Error::NoSuchImage(text.to_owned())),
            [id] => Ok(*id),
            several => Err(Error::AmbiguousId {
                prefix: text.to_owned(),
                matches: several.iter().map(Digest::short).collect(),
            }),
        }
    }

    pub(super) fn by_name(&self, text: &str) -> Option<Digest> {
        let reference = text.parse::<Reference>().ok()?.with_default_tag();
        let found = match reference.digest() {
            Some(digest) => {
                let name = reference.at_digest(*digest).to_string();
                self.images.iter().find(|(id, record)| {
                    record.digests.contains(&name)
                        || ((record.manifest.digest == *digest || *id == digest) && record.has_repository(&reference))
                })
            }
            None => {
                let name = reference.to_string();
                self.images.iter().find(|(_, record)| record.tags.contains(&name))
            }
        };
        found.map(|(id, _)| *id)
    }
}

impl Record {
    /// The digests under which registries have it.
    pub fn registry_digests(&self) -> impl Iterator<Item = Digest> {
        self.digests.iter().filter_map(|name| name.rsplit_once('@')?.1.parse().ok())
    }

    /// Whether its manifest is this, or a registry has it under this.
    pub fn has_digest(&self, digest: &Digest) -> bool {
        self.manifest.digest == *digest || self.registry_digests().any(|own| own == *digest)
    }

    /// Those under which the repository of `name` has it.
    pub fn digests_of(&self, name: &Reference) -> Vec<Digest> {
        let prefix = format!("{}@", name.name());
        self.digests.iter().filter_map(|own| own.strip_prefix(&prefix)?.parse().ok()).collect()
    }

    fn has_repository(&self, reference: &Reference) -> bool {
        let prefix = format!("{}:", reference.name());
        self.tags.iter().any(|tag| tag.starts_with(&prefix))
    }
}

/// A canonical name as people write it.
pub(crate) fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar())
}
