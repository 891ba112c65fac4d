//! Names and the images they mean: lookup, tagging, and Docker's removal rules. Pure; [`crate::store`] persists it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

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

/// What a removal did, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A name, in familiar form, no longer means the image.
    Untagged(String),
    /// The image is gone from the catalog; its content goes with the next collection.
    Deleted(Digest),
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

    /// Adds an image. One that is there keeps its manifest and names; `added` and `size` too.
    pub fn add(&mut self, id: Digest, manifest: Descriptor, size: u64, added: i64) {
        let record = Record { manifest, size, added, tags: BTreeSet::new(), digests: BTreeSet::new() };
        self.images.entry(id).or_insert(record);
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

    fn by_name(&self, text: &str) -> Option<Digest> {
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

    /// Removes what `text` means. A name is untagged, and with its last name the image goes; an id removes the image if it
    /// has at most one name, or by `force`. An image of `in_use` stays: then only `force` untags it.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::AmbiguousId`], [`Error::ManyNames`], [`Error::InUse`]; nothing changes then.
    pub fn remove(&mut self, text: &str, in_use: &BTreeSet<Digest>, force: bool) -> Result<Vec<Removal>> {
        let id = self.resolve(text)?;
        let named = self.by_name(text).is_some();
        let Some(record) = self.images.get_mut(&id) else { return Err(Error::NoSuchImage(text.to_owned())) };
        let name = text.parse::<Reference>().ok().filter(|_| named).map(|name| name.with_default_tag().to_string());
        if let Some(name) = &name
            && record.tags.len() > 1
            && record.tags.remove(name)
        {
            return Ok(vec![Removal::Untagged(familiar(name))]);
        }
        if name.is_none() && record.tags.len() > 1 && !force {
            let names = record.tags.iter().map(|name| familiar(name)).collect();
            return Err(Error::ManyNames { id: id.short(), names });
        }
        let used = in_use.contains(&id);
        if used && !force {
            return Err(Error::InUse { reference: text.to_owned(), id: id.short() });
        }
        let names = std::mem::take(&mut record.tags).into_iter().chain(std::mem::take(&mut record.digests));
        let mut removals: Vec<Removal> = names.map(|name| Removal::Untagged(familiar(&name))).collect();
        if !used {
            self.images.remove(&id);
            removals.push(Removal::Deleted(id));
        }
        Ok(removals)
    }
}

impl Record {
    fn has_repository(&self, reference: &Reference) -> bool {
        let prefix = format!("{}:", reference.name());
        self.tags.iter().any(|tag| tag.starts_with(&prefix))
    }
}

/// A canonical name as people write it.
pub(crate) fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar())
}
