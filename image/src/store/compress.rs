//! Layers that were never compressed, such as those of imported images, before they go to a registry.

use std::io::{self, Write};
use std::sync::PoisonError;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Store;
use crate::content::StagedBlob;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{Descriptor, MEDIA_LAYER_GZIP, to_json};

impl Store {
    /// Compresses the layers of the image `id` that aren't yet; the image is kept under the manifest that follows. The same
    /// layers always give the same bytes, so that a registry that has them is found to have them.
    ///
    /// # Errors
    /// As [`Store::get`]; [`Error::Io`].
    pub(crate) fn compress(&self, id: &Digest) -> Result<()> {
        let (mut image, descriptor, _bytes) = self.with_manifest(&id.to_string())?;
        if !image.manifest.layers.iter().any(Descriptor::is_plain_layer) {
            return Ok(());
        }
        let _lease = self.lease(image.manifest.layers.iter().map(|layer| layer.digest));
        let mut staged = Vec::new();
        for layer in image.manifest.layers.iter_mut().filter(|layer| layer.is_plain_layer()) {
            let blob = self.compressed(layer)?;
            *layer = Descriptor::new(MEDIA_LAYER_GZIP, blob.digest, blob.size);
            staged.push(blob);
        }
        let manifest = to_json("image manifest", &image.manifest)?;
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        staged.into_iter().try_for_each(|blob| self.publish(blob))?;
        let digest = self.content.put(&manifest)?;
        let descriptor = Descriptor::new(&descriptor.media_type, digest, manifest.len() as u64);
        self.change(|catalog| {
            catalog.replace_manifest(id, descriptor);
            Ok(())
        })
    }

    fn compressed(&self, layer: &Descriptor) -> Result<StagedBlob> {
        let failed = |error| Error::io("compress", format!("layer {}", layer.digest), error);
        let mut content = self.content.open_verified(&layer.digest, layer.size)?;
        let mut encoder = GzEncoder::new(io::BufWriter::new(self.content.writer()?), Compression::default());
        io::copy(&mut content, &mut encoder).map_err(failed)?;
        let mut writer = encoder.finish().map_err(failed)?;
        writer.flush().map_err(failed)?;
        writer.into_inner().map_err(|error| failed(error.into_error()))?.finish()
    }
}
