//! What comes from registries, and goes there: layers one by one, then the image that they make.

use std::io::Read;
use std::path::PathBuf;
use std::sync::PoisonError;

use super::{Image, Store};
use crate::catalog::Record;
use crate::content::{ingest, verify};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{DOCUMENT_LIMIT, Descriptor};
use crate::reference::Reference;
use crate::snapshot::Unpacker;

/// What a layer is when uncompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerFacts {
    /// Of the uncompressed content.
    pub diff_id: Digest,
    /// Its bytes.
    pub size: u64,
}

/// What a name means to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Under which it is fetched: of the manifest, or of the index that a registry has.
    pub digest: Digest,
    /// It came from a registry, which may have another one under this name by now.
    pub pulled: bool,
    /// When it got the name: seconds since 1970.
    pub named_at: i64,
}

/// An image that is all here, to be named.
pub(crate) struct Pulled<'a> {
    pub(crate) image: &'a Image,
    pub(crate) manifest: &'a Descriptor,
    /// Uncompressed bytes of each layer, bottom first.
    pub(crate) sizes: Vec<u64>,
    /// As asked for, with its tag or digest.
    pub(crate) name: &'a Reference,
    /// Of the manifest or index that the name means at its registry.
    pub(crate) digest: Digest,
}

impl Store {
    /// Takes a layer in: all of `source` must be the blob that `expected` names, and must uncompress.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`], [`Error::SizeMismatch`], [`Error::InvalidDocument`], [`Error::Io`]; nothing stays then.
    pub(crate) fn take_layer(&self, source: impl Read, expected: &Descriptor) -> Result<LayerFacts> {
        let layer = ingest(&self.content, source, self.limits.bytes)?;
        let what = format!("layer {}", expected.digest);
        verify(&what, &expected.digest, expected.size, &layer.blob.digest, layer.blob.size)?;
        let (diff_id, size) = layer.diff.map_err(|reason| Error::document(&what, reason))?;
        self.publish(layer.blob)?;
        Ok(LayerFacts { diff_id, size })
    }

    /// What the layer `blob` is, if it is here already.
    ///
    /// # Errors
    /// [`Error::Io`]; what is wrong with it.
    pub(crate) fn known_layer(&self, blob: &Descriptor) -> Result<Option<LayerFacts>> {
        if !self.content.contains(&blob.digest) {
            return Ok(None);
        }
        let records: Vec<(Digest, Record)> = self.locked().images().map(|(id, record)| (*id, record.clone())).collect();
        for (id, record) in records {
            let Ok(image) = self.read_image(id, &record) else { continue };
            let at = image.manifest.layers.iter().position(|layer| layer.digest == blob.digest);
            let sizes = record.layer_sizes.iter().copied();
            let mut facts = image.config.rootfs.diff_ids.iter().copied().zip(sizes);
            if let Some((diff_id, size)) = at.and_then(|at| facts.nth(at)) {
                return Ok(Some(LayerFacts { diff_id, size }));
            }
        }
        // Left by a pull that didn't come to its end.
        let content = self.content.open_verified(&blob.digest, blob.size)?;
        self.take_layer(content, blob).map(Some)
    }

    /// The document `digest`, if it is here and whole.
    pub(crate) fn document(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.content.read(digest, DOCUMENT_LIMIT).ok()
    }

    /// Keeps a document.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn keep_document(&self, bytes: &[u8]) -> Result<Digest> {
        self.content.put(bytes)
    }

    /// The uncompressed bytes of each layer of the image `id`, if it is here.
    pub(crate) fn sizes_of(&self, id: &Digest) -> Option<Vec<u64>> {
        self.locked().get(id).map(|record| record.layer_sizes.clone())
    }

    /// The image that `text` means, if any.
    pub(crate) fn meaning(&self, text: &str) -> Option<Digest> {
        self.locked().by_name(text)
    }

    /// What `name`, which has a tag, means here.
    pub fn known(&self, name: &Reference) -> Option<Known> {
        let catalog = self.locked();
        let record = catalog.get(&catalog.by_name(&name.to_string())?)?;
        let of_name = record.digests_of(name);
        let pulled = !of_name.is_empty();
        // An index is what registries have and other architectures need, as far as it was kept.
        let index = of_name.into_iter().find(|digest| self.content.contains(digest));
        let digest = index.unwrap_or(record.manifest.digest);
        Some(Known { digest, pulled, named_at: record.tagged.unwrap_or(record.added) })
    }

    /// The manifest or index `digest`, if an image that is here has it.
    pub fn served_manifest(&self, digest: &Digest) -> Option<Vec<u8>> {
        {
            let catalog = self.locked();
            catalog.images().find(|(_, record)| record.has_digest(digest))?;
        }
        self.document(digest)
    }

    /// The blob `digest` as a file, and its size.
    pub fn served_blob(&self, digest: &Digest) -> Option<(std::fs::File, u64)> {
        self.content.file(digest).ok()
    }

    /// Names an image whose content is here, at `now`; returns whether the name meant another one before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn add_pulled(&self, pulled: Pulled<'_>, now: i64) -> Result<bool> {
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        let Pulled { image, manifest, sizes, name, digest } = pulled;
        self.change(|catalog| {
            let before = catalog.by_name(&name.to_string());
            if catalog.get(&image.id).is_none() {
                catalog.add(image.id, manifest.clone(), sizes, now);
            }
            catalog.touch(&image.id, now);
            catalog.add_digest(name, digest, &image.id);
            if name.digest().is_none() {
                catalog.tag(name, &image.id)?;
            }
            Ok(before != Some(image.id))
        })
    }

    /// Notes that a registry has `id` under `name@digest` now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn note_digest(&self, name: &Reference, digest: Digest, id: &Digest) -> Result<()> {
        self.change(|catalog| {
            catalog.add_digest(name, digest, id);
            Ok(())
        })
    }

    /// As [`Store::prepare`], telling of each layer before it is unpacked.
    ///
    /// # Errors
    /// As [`Store::prepare`].
    pub(crate) fn prepare_telling(
        &self,
        image: &Image,
        unpacker: &Unpacker,
        tell: impl FnMut(usize),
    ) -> Result<Vec<PathBuf>> {
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        self.unpack(image, unpacker, tell)
    }

    /// An image with its manifest's descriptor and bytes.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub(crate) fn with_manifest(&self, text: &str) -> Result<(Image, Descriptor, Vec<u8>)> {
        let (id, record) = self.find(text)?;
        let bytes = self.content.read(&record.manifest.digest, DOCUMENT_LIMIT)?;
        Ok((self.read_image(id, &record)?, record.manifest, bytes))
    }

    /// The canonical tags of `name`'s repository.
    pub(crate) fn tags_of(&self, name: &Reference) -> Vec<String> {
        self.locked().tags_of(&name.name()).into_iter().map(|(tag, _)| tag).collect()
    }

    /// Repositories of the registry `domain` that are known to have had the layer `blob`, without `except`.
    pub(crate) fn repositories_with(&self, domain: &str, blob: &Digest, except: &str) -> Vec<String> {
        let records: Vec<(Digest, Record)> = self.locked().images().map(|(id, record)| (*id, record.clone())).collect();
        let mut found: Vec<String> = Vec::new();
        for (id, record) in records.into_iter().filter(|(_, record)| !record.digests.is_empty()) {
            let names = record.digests.iter().filter_map(|name| name.parse::<Reference>().ok());
            let paths = names.filter(|name| name.domain() == domain && name.path() != except);
            let paths: Vec<String> = paths.map(|name| name.path().to_owned()).collect();
            let has = |image: Image| image.manifest.layers.iter().any(|layer| layer.digest == *blob);
            if !paths.is_empty() && self.read_image(id, &record).is_ok_and(has) {
                found.extend(paths);
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// A file of the blob's bytes, for uploads.
    ///
    /// # Errors
    /// [`Error::NoSuchBlob`], [`Error::SizeMismatch`], [`Error::Io`].
    pub(crate) fn blob_reader(&self, blob: &Descriptor) -> Result<impl Read + use<>> {
        self.content.open_verified(&blob.digest, blob.size)
    }
}
