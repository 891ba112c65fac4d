//! `image ls` and `image inspect`.

use serde::Serialize;

use super::Store;
use crate::catalog::{Record, familiar};
use crate::digest::Digest;
use crate::error::Result;
use crate::manifest::{History, ImageConfig, RunConfig};
use crate::rfc3339;

/// One line of `image ls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageSummary {
    pub id: Digest,
    /// Familiar `name:tag`; empty for a dangling image.
    pub repo_tags: Vec<String>,
    /// Familiar `name@digest`.
    pub repo_digests: Vec<String>,
    /// RFC 3339; when the image was made, which may be empty.
    pub created: String,
    /// Uncompressed bytes of all layers.
    pub size: u64,
    pub labels: std::collections::BTreeMap<String, String>,
}

/// `image inspect`, with Docker's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageDetails {
    pub id: Digest,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub comment: String,
    pub created: String,
    pub author: String,
    pub config: RunConfig,
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub os: String,
    pub size: u64,
    /// Uncompressed bytes of each layer, bottom first; Docker shows them by `system df`.
    #[serde(skip)]
    pub layer_sizes: Vec<u64>,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFsDetails,
    pub metadata: ImageMetadata,
    /// Docker shows it by `image history`.
    #[serde(skip)]
    pub history: Vec<History>,
}

/// Docker's `RootFS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFsDetails {
    #[serde(rename = "Type")]
    pub kind: String,
    /// Diff ids, bottom first.
    pub layers: Vec<Digest>,
}

/// Docker's `Metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageMetadata {
    /// RFC 3339; when the image came to this node or last got a name.
    pub last_tag_time: String,
}

impl Store {
    /// All images, by id.
    ///
    /// # Errors
    /// What is wrong with an image's documents on disk.
    pub fn list(&self) -> Result<Vec<ImageSummary>> {
        let records: Vec<(Digest, Record)> = self.locked().images().map(|(id, record)| (*id, record.clone())).collect();
        let summary = |(id, record): (Digest, Record)| {
            let config = self.read_image(id, &record)?.config;
            Ok(ImageSummary {
                id,
                repo_tags: names(&record.tags),
                repo_digests: names(&record.digests),
                created: config.created.unwrap_or_default(),
                size: record.size,
                labels: config.config.labels,
            })
        };
        records.into_iter().map(summary).collect()
    }

    /// All about the image that `text` means.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn inspect(&self, text: &str) -> Result<ImageDetails> {
        let (id, record) = self.find(text)?;
        let image = self.read_image(id, &record)?;
        let layer_sizes = self.layer_sizes(&record, &image);
        let ImageConfig { created, author, comment, architecture, os, variant, config, rootfs, history } = image.config;
        Ok(ImageDetails {
            id,
            repo_tags: names(&record.tags),
            repo_digests: names(&record.digests),
            comment: comment.unwrap_or_default(),
            created: created.unwrap_or_default(),
            author: author.unwrap_or_default(),
            config,
            architecture,
            variant,
            os,
            size: record.size,
            layer_sizes,
            root_fs: RootFsDetails { kind: rootfs.kind, layers: rootfs.diff_ids },
            metadata: ImageMetadata { last_tag_time: rfc3339::format_utc(record.tagged.unwrap_or(record.added), 0) },
            history,
        })
    }
}

fn names(canonical: &std::collections::BTreeSet<String>) -> Vec<String> {
    canonical.iter().map(|name| familiar(name)).collect()
}
