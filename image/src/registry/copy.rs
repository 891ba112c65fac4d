//! Images from registry to registry, as they are: blobs pass through memory piece by piece, and nothing is unpacked.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;

use super::client::{Document, Repository, Upload};
use super::push::stalled;
use super::retry::pause;
use super::{Credentials, Error, Registries, Result};
use crate::digest::Digest;
use crate::manifest::{Descriptor, parse_json};
use crate::reference::Reference;

/// How deep indexes nest.
const NESTING_LIMIT: usize = 4;

/// A repository's name, and who one is there.
#[derive(Clone, Debug)]
pub struct Place {
    /// The name.
    pub reference: Reference,
    /// Who one is.
    pub credentials: Option<Credentials>,
}

/// What a manifest or an index holds on to.
#[derive(Deserialize)]
struct Holds {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// Two repositories, and what was copied between them.
struct Copy {
    from: Arc<Repository>,
    to: Arc<Repository>,
    /// Where both are at one registry: the path there of the first.
    mount: Option<String>,
    done: BTreeSet<Digest>,
}

impl Registries {
    /// The manifest or index that `place` names, as its registry has it.
    ///
    /// # Errors
    /// In words for who asked.
    pub async fn manifest(&self, place: &Place) -> Result<Document> {
        let name = place.reference.clone().with_default_tag();
        let wanted = name.digest().map_or_else(|| name.tag().unwrap_or_default().to_owned(), ToString::to_string);
        let repository = self.single(place)?;
        repository.manifest(&wanted).await.map_err(|error| error.of_pull(&name))
    }

    /// A document of the repository that `place` names, such as an image's config; verified.
    ///
    /// # Errors
    /// In words for who asked.
    pub async fn document(&self, place: &Place, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let document = self.single(place)?.document(descriptor).await;
        document.map_err(|error| error.of_pull(&place.reference))
    }

    /// Gives `document`, whose parts must be there, the tag that `place` names, or none if `place` names its digest.
    ///
    /// # Errors
    /// In words for who asked.
    pub async fn put_manifest(&self, place: &Place, document: &Document) -> Result<()> {
        let name = place.reference.clone().with_default_tag();
        let digest = name.digest().filter(|digest| **digest == document.descriptor.digest);
        let tag = digest.map_or_else(|| tag(&name).map(str::to_owned), |digest| Ok(digest.to_string()))?;
        let put = self.single(place)?.put_manifest(&tag, document).await;
        put.map_err(|error| error.of_push(&name))
    }

    /// Copies what `from` names, with all of its platforms, and gives it the tag that `to` names; without `tagged` it only has
    /// its digest there. Returns what it is.
    ///
    /// # Errors
    /// In words for who asked.
    pub async fn copy(&self, from: &Place, to: &Place, tagged: bool) -> Result<Descriptor> {
        let document = self.manifest(from).await?;
        let name = to.reference.clone().with_default_tag();
        let tag = if tagged { tag(&name)?.to_owned() } else { document.descriptor.digest.to_string() };
        let same = from.reference.domain() == to.reference.domain();
        let mut copy = Copy {
            from: self.single(from)?,
            to: self.single(to)?,
            mount: same.then(|| from.reference.path().to_owned()),
            done: BTreeSet::new(),
        };
        let descriptor = document.descriptor.clone();
        Box::pin(copy.tree(document, &tag, 0)).await.map_err(|error| error.of_push(&name))?;
        Ok(descriptor)
    }

    fn single(&self, place: &Place) -> Result<Arc<Repository>> {
        let repositories = self.repositories(&place.reference, place.credentials.as_ref())?;
        // Mirrors are for pulling whole images.
        repositories.into_iter().next_back().ok_or(Error::Thread("looking for a registry"))
    }
}

fn tag(name: &Reference) -> Result<&str> {
    let reason = "cannot push to a digest: name a tag";
    name.tag().filter(|_| name.digest().is_none()).ok_or_else(|| Error::Setting { text: name.familiar(), reason })
}

impl Copy {
    /// Copies a manifest after what it holds on to.
    async fn tree(&mut self, document: Document, name: &str, depth: usize) -> Result<()> {
        let what = format!("manifest {}", document.descriptor.digest);
        if depth > NESTING_LIMIT {
            let reason = format!("indexes nest more than {NESTING_LIMIT} deep");
            return Err(crate::Error::InvalidDocument { what, reason }.into());
        }
        let holds: Holds = parse_json(&what, &document.bytes)?;
        for blob in holds.config.iter().chain(&holds.layers) {
            if self.done.insert(blob.digest) {
                self.blob(blob).await?;
            }
        }
        for manifest in holds.manifests {
            if self.done.insert(manifest.digest) {
                let digest = manifest.digest.to_string();
                let child = self.from.manifest(&digest).await?;
                Box::pin(self.tree(child, &digest, depth + 1)).await?;
            }
        }
        self.to.put_manifest(name, &document).await
    }

    async fn blob(&self, blob: &Descriptor) -> Result<()> {
        if self.to.has_blob(&blob.digest).await? {
            return Ok(());
        }
        if let Some(from) = &self.mount
            && let Ok(Upload::Mounted) = self.to.begin(&blob.digest, Some(from)).await
        {
            return Ok(());
        }
        let mut failures = 0;
        while let Err(error) = self.send(blob).await {
            failures += 1;
            pause(failures, error).await?;
        }
        Ok(())
    }

    async fn send(&self, blob: &Descriptor) -> Result<()> {
        let Upload::To(to) = self.to.begin(&blob.digest, None).await? else { return Ok(()) };
        let (url, response) = self.from.blob(&blob.digest, 0).await?;
        let sent = Arc::new(AtomicU64::new(0));
        let (from, counter) = (Arc::clone(&self.from), Arc::clone(&sent));
        let pieces = futures::stream::try_unfold(response.into_body(), move |mut body| {
            let (from, url, counter) = (Arc::clone(&from), url.clone(), Arc::clone(&counter));
            async move {
                let piece =
                    from.http().chunk(&url, &mut body).await.map_err(|error| io::Error::other(error.to_string()))?;
                let Some(piece) = piece else { return Ok(None) };
                counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok::<_, io::Error>(Some((Frame::data(piece), body)))
            }
        });
        // The registry compares what came with the digest.
        let put = self.to.put_blob(&to, blob, 0, StreamBody::new(pieces).boxed_unsync());
        tokio::select! {
            result = put => result,
            error = stalled(&self.to, &sent, &|_| ()) => Err(error),
        }
    }
}
