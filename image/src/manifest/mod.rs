//! OCI image manifests, indexes and configs, and Docker's equal ones, as data. Pure.
//!
//! Sources: the OCI image specification 1.1 and Docker's "Image Manifest Version 2, Schema 2".

mod config;
mod platform;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use config::{Healthcheck, History, ImageConfig, RootFs, RunConfig, Unit};
pub use platform::Platform;

use crate::digest::Digest;
use crate::error::{Error, Result};

/// The most bytes a manifest, index or config may have: 8 MiB, twice what registries take.
pub const DOCUMENT_LIMIT: u64 = 8 << 20;
/// The most layers of one image: overlayfs takes 500 lower directories.
pub const LAYER_LIMIT: usize = 500;

pub const MEDIA_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const MEDIA_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MEDIA_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const MEDIA_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const MEDIA_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const MEDIA_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub const MEDIA_DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const MEDIA_DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const MEDIA_DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What a blob is and how it is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// A descriptor without platform and annotations.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor { media_type: media_type.to_owned(), digest, size, platform: None, annotations: None }
    }

    /// Whether this names an index (Docker: manifest list).
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), MEDIA_INDEX | MEDIA_DOCKER_LIST)
    }

    /// Whether this names the manifest of one image.
    pub fn is_manifest(&self) -> bool {
        matches!(self.media_type.as_str(), MEDIA_MANIFEST | MEDIA_DOCKER_MANIFEST)
    }

    /// Whether this names an OCI layer that isn't compressed.
    pub fn is_plain_layer(&self) -> bool {
        self.media_type == MEDIA_LAYER
    }

    /// Whether this names a manifest that says something about another one (Docker's provenance and SBOM).
    pub fn is_attestation(&self) -> bool {
        self.annotation("vnd.docker.reference.type").is_some()
    }

    /// The annotation `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// The manifest of one image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub config: Descriptor,
    /// Bottom first.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// An OCI manifest of `config` and `layers`, bottom first.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        Manifest { schema_version: 2, media_type: Some(MEDIA_MANIFEST.to_owned()), config, layers }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Error::InvalidDocument`] if it isn't one, is of another schema, or has over [`LAYER_LIMIT`] layers.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Manifest> {
        let manifest: Manifest = parse_json(what, bytes)?;
        if manifest.schema_version != 2 {
            return Err(Error::document(
                what,
                format!("schemaVersion {} is not supported, only 2", manifest.schema_version),
            ));
        }
        if manifest.layers.len() > LAYER_LIMIT {
            return Err(Error::document(
                what,
                format!("it has {} layers, more than {LAYER_LIMIT}", manifest.layers.len()),
            ));
        }
        Ok(manifest)
    }

    /// Checks that `config` has as many layers.
    ///
    /// # Errors
    /// [`Error::InvalidDocument`].
    pub fn check_config(&self, what: &str, config: &ImageConfig) -> Result<()> {
        let (own, other) = (self.layers.len(), config.rootfs.diff_ids.len());
        if own != other {
            return Err(Error::document(what, format!("its config has {other} layers, its manifest {own}")));
        }
        Ok(())
    }

    /// Whether the config is an image's, not that of an artifact such as a signature or attestation.
    pub fn is_image(&self) -> bool {
        matches!(self.config.media_type.as_str(), MEDIA_CONFIG | MEDIA_DOCKER_CONFIG)
    }
}

/// A list of manifests, one a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// [`Error::InvalidDocument`] if it isn't one.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Index> {
        let index: Index = parse_json(what, bytes)?;
        if index.schema_version != 2 {
            return Err(Error::document(
                what,
                format!("schemaVersion {} is not supported, only 2", index.schema_version),
            ));
        }
        Ok(index)
    }
}

impl ImageConfig {
    /// Reads an image config.
    ///
    /// # Errors
    /// [`Error::InvalidDocument`] if it isn't one.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<ImageConfig> {
        let config: ImageConfig = parse_json(what, bytes)?;
        if config.rootfs.kind != "layers" {
            return Err(Error::document(
                what,
                format!("rootfs type {:?} is not supported, only layers", config.rootfs.kind),
            ));
        }
        Ok(config)
    }
}

/// Parses JSON of `what`, naming it in the error.
pub(crate) fn parse_json<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::document(what, error))
}

/// Writes JSON of `what`.
pub(crate) fn to_json<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::document(what, error))
}
