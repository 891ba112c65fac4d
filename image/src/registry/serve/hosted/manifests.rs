//! Manifests of a registry: what they hold on to must be there, and what they say about others is listed with those.

use std::collections::BTreeMap;

use http::{HeaderName, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::Registry;
use super::repository::{Kind, Repository};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{Descriptor, MEDIA_INDEX};
use crate::registry::client::DIGEST;
use crate::registry::serve::answer::{self, Answer, with};
use crate::registry::serve::route::Wanted;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// A manifest or index, as far as a registry looks at it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Layer {
    digest: Digest,
    /// Where else it is: such a layer need not be here.
    #[serde(default)]
    urls: Vec<String>,
}

impl Document {
    /// Reads one.
    pub fn parse(bytes: &[u8]) -> Result<Document> {
        let document: Document = crate::manifest::parse_json("the manifest", bytes)?;
        match document.schema_version {
            2 => Ok(document),
            other => Err(Error::document("the manifest", format!("schemaVersion {other} is not supported, only 2"))),
        }
    }

    /// The blobs that must be there with it.
    fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let layers = self.layers.iter().filter(|layer| layer.urls.is_empty()).map(|layer| &layer.digest);
        self.config.iter().map(|config| &config.digest).chain(layers)
    }

    /// All blobs that it keeps, those that may be elsewhere too.
    pub fn keeps(&self) -> impl Iterator<Item = Digest> {
        let layers = self.layers.iter().map(|layer| layer.digest);
        self.config.iter().map(|config| config.digest).chain(layers)
    }

    fn artifact_type(&self) -> Option<&str> {
        let config = || self.config.as_ref().map(|config| config.media_type.as_str());
        self.artifact_type.as_deref().or_else(config)
    }
}

impl Registry {
    /// `GET` and `HEAD`.
    pub(super) fn get_manifest(&self, method: &Method, name: &str, wanted: &Wanted) -> Result<Answer> {
        let repository = self.repository(name);
        let Some(digest) = meant(&repository, wanted) else { return Ok(answer::no_manifest()) };
        match self.content.read(&digest, crate::manifest::DOCUMENT_LIMIT) {
            Ok(bytes) => Ok(answer::manifest(method, bytes, &digest)),
            Err(Error::NoSuchBlob(_)) => Ok(answer::no_manifest()),
            Err(error) => Err(error),
        }
    }

    /// `PUT`.
    pub(super) fn put_manifest(
        &self,
        name: &str,
        wanted: &Wanted,
        typed: Option<&str>,
        bytes: &[u8],
    ) -> Result<Answer> {
        let _shared = self.sweeping.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let invalid = |reason: &str| answer::refusal(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", reason);
        let document = match Document::parse(bytes) {
            Ok(document) => document,
            Err(error) => return Ok(invalid(&error.to_string())),
        };
        let typed = typed.and_then(|typed| typed.split(';').next()).map(str::trim);
        if let (Some(own), Some(typed)) = (&document.media_type, typed)
            && own != typed
        {
            return Ok(invalid(&format!("it is sent as {typed:?} and calls itself {own:?}")));
        }
        let digest = Digest::of(bytes);
        if matches!(wanted, Wanted::Digest(wanted) if *wanted != digest) {
            let message = format!("the manifest is {digest}");
            return Ok(answer::refusal(StatusCode::BAD_REQUEST, "DIGEST_INVALID", &message));
        }
        let repository = self.repository(name);
        let has_blob = |digest: &Digest| repository.has(Kind::Blobs, digest) && self.content.contains(digest);
        let missing = document.blobs().find(|digest| !has_blob(digest));
        let children = document.manifests.iter().map(|child| &child.digest);
        let missing = missing.or_else(|| children.into_iter().find(|child| !repository.has(Kind::Manifests, child)));
        if let Some(missing) = missing {
            let message = format!("{missing}, which it names, is not in the repository {name}");
            return Ok(answer::refusal(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", &message));
        }
        self.content.put(bytes)?;
        repository.link(Kind::Manifests, &digest)?;
        if let Some(subject) = &document.subject {
            repository.refer(&subject.digest, &digest)?;
        }
        if let Wanted::Tag(tag) = wanted {
            repository.set_tag(tag, &digest)?;
        }
        let answer = with(answer::bare(StatusCode::CREATED), DIGEST, &digest.to_string());
        let answer = with(answer, header::LOCATION, &format!("/v2/{name}/manifests/{digest}"));
        Ok(match document.subject {
            Some(subject) => with(answer, SUBJECT, &subject.digest.to_string()),
            None => answer,
        })
    }

    /// `DELETE`: a tag alone, or a manifest with all tags that mean it.
    pub(super) fn delete_manifest(&self, name: &str, wanted: &Wanted) -> Result<Answer> {
        let repository = self.repository(name);
        let digest = match wanted {
            Wanted::Tag(tag) if repository.remove_tag(tag)? => return Ok(answer::bare(StatusCode::ACCEPTED)),
            Wanted::Digest(digest) if repository.has(Kind::Manifests, digest) => digest,
            _ => return Ok(answer::no_manifest()),
        };
        for tag in repository.tags()?.into_iter().filter(|tag| repository.tag(tag).as_ref() == Some(digest)) {
            repository.remove_tag(&tag)?;
        }
        let document = self.content.read(digest, crate::manifest::DOCUMENT_LIMIT);
        if let Some(subject) = document.ok().and_then(|bytes| Document::parse(&bytes).ok()?.subject) {
            repository.unrefer(&subject.digest, digest)?;
        }
        repository.unlink(Kind::Manifests, digest)?;
        Ok(answer::bare(StatusCode::ACCEPTED))
    }

    /// Which manifests say something about another one, as an index.
    pub(super) fn referrers(&self, name: &str, subject: &Digest, wanted: Option<&str>) -> Result<Answer> {
        let wanted = wanted.map(|wanted| wanted.replace("%2F", "/").replace("%2f", "/").replace("%2B", "+"));
        let mut manifests = Vec::new();
        for digest in self.repository(name).referrers(subject)? {
            let Ok(bytes) = self.content.read(&digest, crate::manifest::DOCUMENT_LIMIT) else { continue };
            let Ok(document) = Document::parse(&bytes) else { continue };
            if wanted.as_deref().is_some_and(|wanted| document.artifact_type() != Some(wanted)) {
                continue;
            }
            let mut descriptor = json!({
                "mediaType": answer::media_type(&bytes),
                "digest": digest.to_string(),
                "size": bytes.len(),
            });
            if let Some(kind) = document.artifact_type() {
                descriptor["artifactType"] = json!(kind);
            }
            if !document.annotations.is_empty() {
                descriptor["annotations"] = json!(document.annotations);
            }
            manifests.push(descriptor);
        }
        let index = json!({ "schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": manifests });
        let answer = with(answer::document(StatusCode::OK, &index), header::CONTENT_TYPE, MEDIA_INDEX);
        Ok(if wanted.is_some() { with(answer, FILTERS, "artifactType") } else { answer })
    }
}

fn meant(repository: &Repository, wanted: &Wanted) -> Option<Digest> {
    let digest = match wanted {
        Wanted::Tag(tag) => repository.tag(tag)?,
        Wanted::Digest(digest) => *digest,
    };
    repository.has(Kind::Manifests, &digest).then_some(digest)
}
