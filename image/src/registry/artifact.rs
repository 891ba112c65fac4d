//! Artifacts: manifests whose layers are documents of any kind, such as a Compose application.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use serde::{Deserialize, Serialize};

use super::client::{Document, Repository, Upload};
use super::{Credentials, Error, Registries, Result};
use crate::digest::Digest;
use crate::manifest::{Descriptor, MEDIA_MANIFEST, parse_json, to_json};
use crate::reference::Reference;

/// The config of an artifact that has none, by the OCI image specification 1.1.
pub const MEDIA_EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
/// The most documents of an artifact, and the most bytes of them all.
const PARTS_MAX: usize = 256;
const BYTES_MAX: u64 = 32 << 20;

/// The manifest of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactManifest {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    /// What it is; before version 1.1 of the specification the config's media type said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Nothing, under a media type.
    pub config: Descriptor,
    /// Its documents.
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// A document of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub media_type: String,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// The document.
    pub content: Vec<u8>,
}

/// How an artifact's manifest says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed<'t> {
    /// `artifactType`: OCI 1.1.
    Artifact(&'t str),
    /// The media type of its config: OCI 1.0.
    Config(&'t str),
}

/// An artifact that is to be pushed.
#[derive(Clone, Debug)]
pub struct NewArtifact<'t> {
    /// What it is.
    pub typed: Typed<'t>,
    /// Its documents.
    pub parts: &'t [Part],
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
}

impl Part {
    fn descriptor(&self) -> Descriptor {
        let mut descriptor = Descriptor::new(&self.media_type, Digest::of(&self.content), self.content.len() as u64);
        descriptor.annotations = Some(self.annotations.clone()).filter(|annotations| !annotations.is_empty());
        descriptor
    }
}

impl NewArtifact<'_> {
    fn manifest(&self) -> ArtifactManifest {
        let (artifact_type, config) = match self.typed {
            Typed::Artifact(name) => (Some(name.to_owned()), MEDIA_EMPTY),
            Typed::Config(name) => (None, name),
        };
        ArtifactManifest {
            schema_version: 2,
            media_type: Some(MEDIA_MANIFEST.to_owned()),
            artifact_type,
            config: Descriptor::new(config, Digest::of(EMPTY), EMPTY.len() as u64),
            layers: self.parts.iter().map(Part::descriptor).collect(),
            annotations: self.annotations.clone(),
        }
    }
}

/// An index, as far as artifacts are looked for in it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactIndex {
    manifests: Vec<TypedDescriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypedDescriptor {
    digest: Digest,
    artifact_type: Option<String>,
}

impl Registries {
    fn registry(&self, reference: &Reference, credentials: Option<&Credentials>) -> Result<Arc<Repository>> {
        // Mirrors are for images.
        self.repositories(reference, credentials)?.pop().ok_or(Error::Thread("looking for a registry"))
    }

    /// Pushes an artifact under a tag.
    ///
    /// # Errors
    /// In words for who asked. Without success the tag means what it meant before.
    pub async fn push_artifact(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
        artifact: &NewArtifact<'_>,
    ) -> Result<Descriptor> {
        let name = reference.clone().with_default_tag();
        let Some(tag) = name.tag().filter(|_| name.digest().is_none()) else {
            return Err(Error::Setting { text: name.familiar(), reason: "cannot push to a digest: name a tag" });
        };
        let repository = self.registry(reference, credentials)?;
        let push = async {
            let manifest = artifact.manifest();
            put(&repository, &manifest.config, EMPTY).await?;
            let mut done = BTreeSet::new();
            for (layer, part) in manifest.layers.iter().zip(artifact.parts) {
                if done.insert(layer.digest) {
                    put(&repository, layer, &part.content).await?;
                }
            }
            let bytes = to_json("the manifest of an artifact", &manifest)?;
            let descriptor = Descriptor::new(MEDIA_MANIFEST, Digest::of(&bytes), bytes.len() as u64);
            repository.put_manifest(tag, &Document { bytes, descriptor: descriptor.clone() }).await?;
            Ok(descriptor)
        };
        push.await.map_err(|error: Error| error.of_push(reference))
    }

    /// The manifest of the artifact that `reference` names, and its digest. Of an index it is that of the first of this type.
    ///
    /// # Errors
    /// In words for who asked.
    pub async fn artifact(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
        wanted: &str,
    ) -> Result<(Digest, ArtifactManifest)> {
        let name = reference.clone().with_default_tag();
        let wanted_name = name.digest().map_or_else(|| name.tag().unwrap_or_default().to_owned(), ToString::to_string);
        let repository = self.registry(reference, credentials)?;
        let fetch = async {
            let mut document = repository.manifest(&wanted_name).await?;
            let what = name.familiar();
            if document.descriptor.is_index() {
                let index: ArtifactIndex = parse_json(&what, &document.bytes)?;
                let found = index.manifests.iter().find(|entry| entry.artifact_type.as_deref() == Some(wanted));
                let Some(found) = found else {
                    let reason = format!("it is an index that has no {wanted}");
                    return Err(crate::Error::InvalidDocument { what, reason }.into());
                };
                document = repository.manifest(&found.digest.to_string()).await?;
            }
            let manifest: ArtifactManifest = parse_json(&what, &document.bytes)?;
            let bytes = manifest.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
            if manifest.layers.len() > PARTS_MAX || bytes > BYTES_MAX {
                let reason = format!("it has more than {PARTS_MAX} documents, or more than {} MiB", BYTES_MAX >> 20);
                return Err(crate::Error::InvalidDocument { what, reason }.into());
            }
            Ok((document.descriptor.digest, manifest))
        };
        fetch.await.map_err(|error: Error| error.of_pull(&name))
    }

    /// The documents of an artifact, each verified.
    ///
    /// # Errors
    /// In words for who asked.
    pub async fn artifact_parts(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
        manifest: &ArtifactManifest,
    ) -> Result<Vec<Part>> {
        let repository = self.registry(reference, credentials)?;
        let mut parts = Vec::new();
        for layer in &manifest.layers {
            let content = repository.document(layer).await.map_err(|error| error.of_pull(reference))?;
            let annotations = layer.annotations.clone().unwrap_or_default();
            parts.push(Part { media_type: layer.media_type.clone(), annotations, content });
        }
        Ok(parts)
    }
}

/// Sends a blob that is in memory, unless it is there.
async fn put(repository: &Repository, blob: &Descriptor, content: &[u8]) -> Result<()> {
    if repository.has_blob(&blob.digest).await? {
        return Ok(());
    }
    match repository.begin(&blob.digest, None).await? {
        Upload::Mounted => Ok(()),
        Upload::To(url) => {
            let body = Full::new(content.to_vec().into()).map_err(|never| match never {}).boxed_unsync();
            repository.put_blob(&url, blob, 0, body).await
        }
    }
}
