//! `commit`: what a container has changed becomes a layer over its image's.

use std::io::Read;
use std::sync::PoisonError;

use super::{Image, Store};
use crate::archive::{Decoder, Limited, TarReader};
use crate::content::{Ingested, StagedBlob, ingest};
use crate::digest::Digest;
use crate::dockerfile::apply_change;
use crate::error::{Error, Result};
use crate::manifest::{Descriptor, History, ImageConfig, MEDIA_CONFIG, MEDIA_MANIFEST, Manifest, RunConfig, to_json};
use crate::reference::Reference;
use crate::rfc3339;

/// What `commit` says besides the container's changes.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// The name of the image; none leaves it untagged.
    pub name: Option<Reference>,
    /// Who made it.
    pub author: Option<String>,
    /// The commit message.
    pub message: Option<String>,
    /// How the container runs, which is how the image's containers will.
    pub config: RunConfig,
    /// Dockerfile instructions over that, in order.
    pub changes: Vec<String>,
    /// What the container ran, for the history.
    pub created_by: String,
    /// Seconds since the epoch.
    pub now: i64,
}

impl Store {
    /// Makes an image of `parent` and one more layer, an uncompressed archive; one without entries is left out.
    ///
    /// # Errors
    /// [`Error::InvalidChange`] before anything is read; what is wrong with the archive; nothing stays then.
    pub fn commit(&self, parent: &Image, layer: impl Read, options: CommitOptions) -> Result<Digest> {
        let CommitOptions { name, author, message, config: mut run, changes, created_by, now } = options;
        changes.iter().try_for_each(|change| apply_change(&mut run, change))?;
        if let Some(name) = name.as_ref().filter(|name| name.digest().is_some()) {
            return Err(Error::TagNeeded { reference: name.familiar() });
        }
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        let layer = ingest(&self.content, layer, self.limits.bytes)?;
        let layer = Some(layer).filter(|layer| self.has_entries(&layer.blob).unwrap_or(true));
        let (created, mut config, mut layers) =
            (rfc3339::format_utc(now, 0), parent.config.clone(), parent.manifest.layers.clone());
        if let Some(layer) = &layer {
            let diff = layer.diff.clone();
            config.rootfs.diff_ids.push(diff.map_err(|reason| Error::document("the container's layer", reason))?.0);
            layers.push(layer.layer_descriptor());
        }
        config.history.push(History {
            created: Some(created.clone()),
            created_by: Some(created_by),
            author: author.clone(),
            comment: message.clone(),
            empty_layer: layer.is_none().then_some(true),
        });
        let config = ImageConfig { created: Some(created), author, comment: message, config: run, ..config };
        let below = self.find(&parent.id.to_string()).map(|(_, record)| self.layer_sizes(&record, parent));
        let mut sizes = below.unwrap_or_default();
        sizes.extend(layer.as_ref().and_then(|layer| layer.diff.as_ref().ok()).map(|(_, size)| *size));
        let id = self.add_commit(layer, &config, layers, sizes, now)?;
        name.map_or(Ok(()), |name| self.change(|catalog| catalog.tag(&name, &id)))?;
        Ok(id)
    }

    pub(super) fn has_entries(&self, blob: &StagedBlob) -> Result<bool> {
        let decoder = Decoder::detect(blob.open()?).map_err(|error| Error::io("read", "the layer", error))?;
        let mut tar = TarReader::new(Limited::new(decoder, self.limits.bytes, "bytes"), self.limits);
        Ok(tar.next_entry()?.is_some())
    }

    pub(super) fn add_commit(
        &self,
        layer: Option<Ingested>,
        config: &ImageConfig,
        layers: Vec<Descriptor>,
        sizes: Vec<u64>,
        now: i64,
    ) -> Result<Digest> {
        let bytes = to_json("image config", config)?;
        let id = Digest::of(&bytes);
        let manifest = Manifest::new(Descriptor::new(MEDIA_CONFIG, id, bytes.len() as u64), layers);
        let manifest = to_json("image manifest", &manifest)?;
        // Read back, so that the bounds on manifests hold for this one too.
        Manifest::parse("image manifest", &manifest)?;
        layer.map_or(Ok(()), |layer| self.publish(layer.blob))?;
        self.content.put(&bytes)?;
        let descriptor = Descriptor::new(MEDIA_MANIFEST, self.content.put(&manifest)?, manifest.len() as u64);
        self.change(|catalog| {
            catalog.add(id, descriptor, sizes, now);
            catalog.touch(&id, now);
            Ok(id)
        })
    }
}
