//! What a build makes: layers, images that live only as long as a step needs them, and in the end an image.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Image, Lease, Store};
use crate::content::ingest;
use crate::digest::{Digest, chain_ids};
use crate::error::{Error, Result};
use crate::manifest::{Descriptor, ImageConfig, MEDIA_CONFIG, Manifest, to_json};
use crate::reference::Reference;

/// A layer and what it is when unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltLayer {
    /// The blob.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Its bytes.
    pub size: u64,
}

/// An image that only this process knows, as long as this value is there.
pub struct HeldImage {
    store: Arc<Store>,
    id: Digest,
    _lease: Lease,
}

impl HeldImage {
    /// Its id, by which [`Store::get`] finds it.
    pub fn id(&self) -> Digest {
        self.id
    }
}

impl Drop for HeldImage {
    fn drop(&mut self) {
        self.store.let_go(&self.id);
    }
}

/// A directory of the store for what a build has not finished; it goes with this value, and with the next start.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = crate::snapshot::remove_tree(&self.0) {
            tracing::warn!(%error, "what a build has left stays until the daemon starts again");
        }
    }
}

impl Store {
    /// A new empty directory beside the store's content.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scratch(&self) -> Result<Scratch> {
        let number = self.next_scratch.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.root.join(format!("staging/build-{number}"));
        std::fs::create_dir_all(&path).map_err(|error| Error::io("create", path.display(), error))?;
        Ok(Scratch(path))
    }

    /// Takes a layer in from an archive that `source` reads, and keeps it from collection as long as the lease is there. An
    /// archive without entries is no layer.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`], [`Error::InvalidArchive`], [`Error::Io`]; nothing stays then.
    pub fn add_layer(&self, source: impl Read) -> Result<Option<(BuiltLayer, Lease)>> {
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        let layer = ingest(&self.content, source, self.limits.bytes)?;
        if !self.has_entries(&layer.blob)? {
            return Ok(None);
        }
        let (diff_id, size) = layer.diff.clone().map_err(|reason| Error::document("a layer", reason))?;
        let built = BuiltLayer { descriptor: layer.layer_descriptor(), diff_id, size };
        let lease = self.lease_here([built.descriptor.digest]);
        self.publish(layer.blob)?;
        Ok(Some((built, lease)))
    }

    /// As [`Store::add_layer`], of an archive that `write` writes.
    ///
    /// # Errors
    /// As [`Store::add_layer`]; whatever `write` fails with.
    pub fn write_layer(&self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Option<(BuiltLayer, Lease)>> {
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        let mut writer = io::BufWriter::with_capacity(256 << 10, self.content.writer()?);
        write(&mut writer)?;
        let writer = writer.into_inner().map_err(|error| Error::io("write", "a layer", error.into_error()))?;
        let layer = crate::content::Ingested::uncompressed(writer.finish()?);
        if !self.has_entries(&layer.blob)? {
            return Ok(None);
        }
        let (digest, size) = (layer.blob.digest, layer.blob.size);
        let built = BuiltLayer { descriptor: layer.layer_descriptor(), diff_id: digest, size };
        let lease = self.lease_here([digest]);
        self.publish(layer.blob)?;
        Ok(Some((built, lease)))
    }

    /// The layers of an image, bottom first.
    pub fn layers_of(&self, image: &Image) -> Vec<BuiltLayer> {
        let record = self.find(&image.id.to_string()).ok();
        let sizes = record.map(|(_, record)| self.layer_sizes(&record, image)).unwrap_or_default();
        let layers = image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids).enumerate();
        layers
            .map(|(index, (descriptor, diff_id))| BuiltLayer {
                descriptor: descriptor.clone(),
                diff_id: *diff_id,
                size: sizes.get(index).copied().unwrap_or(descriptor.size),
            })
            .collect()
    }

    /// An image of these layers, which nobody knows yet.
    ///
    /// # Errors
    /// [`Error::InvalidDocument`] if it has too many layers.
    pub fn assemble(config: &ImageConfig, layers: &[BuiltLayer]) -> Result<Image> {
        let mut config = config.clone();
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
        let bytes = to_json("image config", &config)?;
        let id = Digest::of(&bytes);
        let descriptors = layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let manifest = Manifest::new(Descriptor::new(MEDIA_CONFIG, id, bytes.len() as u64), descriptors);
        // Read back, so that the bounds on manifests hold for this one too.
        Manifest::parse("image manifest", &to_json("image manifest", &manifest)?)?;
        Ok(Image { id, manifest, config })
    }

    /// Lets [`Store::get`] find `image` by its id as long as the value is there; its content stays too.
    pub fn hold(self: &Arc<Store>, image: Image) -> HeldImage {
        let id = image.id;
        let blobs = image.manifest.layers.iter().map(|layer| layer.digest);
        let lease = self.lease(blobs.chain(chain_ids(&image.config.rootfs.diff_ids)));
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(id).or_insert((image, 0)).1 += 1;
        HeldImage { store: Arc::clone(self), id, _lease: lease }
    }

    fn let_go(&self, id: &Digest) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = held.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                held.remove(id);
            }
        }
    }

    pub(super) fn held_image(&self, text: &str) -> Option<Image> {
        let id: Digest = text.parse().ok()?;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(|(image, _)| image.clone())
    }

    /// Makes an image of what a build has made, and names it; returns its id and its manifest's digest.
    ///
    /// # Errors
    /// [`Error::TagNeeded`], [`Error::InvalidDocument`], [`Error::Io`].
    pub fn finish_build(
        &self,
        config: &ImageConfig,
        layers: &[BuiltLayer],
        names: &[Reference],
        now: i64,
    ) -> Result<(Digest, Digest)> {
        if let Some(name) = names.iter().find(|name| name.digest().is_some()) {
            return Err(Error::TagNeeded { reference: name.familiar() });
        }
        let image = Store::assemble(config, layers)?;
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        let descriptors = image.manifest.layers;
        let sizes = layers.iter().map(|layer| layer.size).collect();
        let id = self.add_commit(None, &image.config, descriptors, sizes, now)?;
        names.iter().try_for_each(|name| self.change(|catalog| catalog.tag(name, &id)))?;
        let (_, record) = self.find(&id.to_string())?;
        Ok((id, record.manifest.digest))
    }
}
