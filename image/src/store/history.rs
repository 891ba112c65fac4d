//! `history`: how an image was made, layer by layer.

use super::{Image, Store};
use crate::catalog::{Record, familiar};
use crate::digest::Digest;
use crate::error::Result;
use crate::manifest::History;

/// One step of an image's history, the last one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image, at its last step; the steps before are no images here.
    pub id: Option<Digest>,
    /// RFC 3339, or empty.
    pub created: String,
    pub created_by: String,
    /// Uncompressed bytes of the layer that the step made; 0 if it made none.
    pub size: u64,
    pub comment: String,
    /// Familiar names of the image, at its last step.
    pub tags: Vec<String>,
}

impl Store {
    /// The steps of the image that `text` means, the last one first. Layers that its history doesn't tell of come as
    /// steps without words.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn history(&self, text: &str) -> Result<Vec<HistoryEntry>> {
        let (id, record) = self.find(text)?;
        let image = self.read_image(id, &record)?;
        let mut sizes = self.layer_sizes(&record, &image).into_iter();
        let mut steps: Vec<HistoryEntry> = Vec::new();
        for step in &image.config.history {
            let size = if step.empty_layer == Some(true) { 0 } else { sizes.next().unwrap_or_default() };
            steps.push(entry(step, size));
        }
        steps.extend(sizes.map(|size| entry(&History::default(), size)));
        if let Some(last) = steps.last_mut() {
            last.id = Some(id);
            last.tags = record.tags.iter().map(|name| familiar(name)).collect();
        }
        steps.reverse();
        Ok(steps)
    }

    /// The uncompressed bytes of each layer, bottom first; the bytes as stored where the record is of before that was kept.
    pub(super) fn layer_sizes(&self, record: &Record, image: &Image) -> Vec<u64> {
        if record.layer_sizes.len() == image.manifest.layers.len() {
            return record.layer_sizes.clone();
        }
        image.manifest.layers.iter().map(|layer| layer.size).collect()
    }
}

fn entry(step: &History, size: u64) -> HistoryEntry {
    HistoryEntry {
        id: None,
        created: step.created.clone().unwrap_or_default(),
        created_by: step.created_by.clone().unwrap_or_default(),
        size,
        comment: step.comment.clone().unwrap_or_default(),
        tags: Vec::new(),
    }
}
