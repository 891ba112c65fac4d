//! Pulling an image: its manifest for one platform, its layers in parallel, and only when all is here, its name.

use std::sync::Arc;

use futures::stream::{FuturesOrdered, TryStreamExt};

use super::client::{Document, Repository};
use super::event::{Done, Event, LayerState, Reporter};
use super::{Credentials, Error, Registries, Result};
use crate::digest::{Digest, chain_ids};
use crate::manifest::{DOCUMENT_LIMIT, Descriptor, ImageConfig, Index, Manifest, Platform};
use crate::reference::Reference;
use crate::snapshot::Unpacker;
use crate::store::{Image, LayerFacts, Pulled, Store};

/// How deep indexes nest.
const NESTING_LIMIT: usize = 4;

/// What to pull.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// Without tag and digest, its tag is `latest`.
    pub reference: Reference,
    /// Every tag of the repository instead.
    pub all_tags: bool,
    /// What the image is to run on.
    pub platform: Platform,
    /// Who one is.
    pub credentials: Option<Credentials>,
    /// Seconds since the epoch.
    pub now: i64,
}

/// What a pull works with.
struct Pull<'a> {
    registries: &'a Registries,
    /// Who has the image; the first is asked for its documents.
    sources: &'a [Arc<Repository>],
    repository: &'a Arc<Repository>,
    store: &'a Arc<Store>,
    unpacker: &'a Unpacker,
    reporter: &'a Reporter,
    request: &'a PullRequest,
}

/// A manifest for the platform, with its config.
struct Chosen {
    document: Document,
    manifest: Manifest,
    config: ImageConfig,
    config_bytes: Vec<u8>,
}

impl Registries {
    /// Pulls into `store`, unpacks, and tells `reporter`. Whoever drops the future stops the pull, but for layers that
    /// others wait for; what it has brought so far goes with the next collection.
    ///
    /// # Errors
    /// In words for who asked; the store's names are as before then.
    pub async fn pull(
        &self,
        store: &Arc<Store>,
        unpacker: &Unpacker,
        request: PullRequest,
        reporter: &Reporter,
    ) -> Result<()> {
        let repositories = self.repositories(&request.reference, request.credentials.as_ref())?;
        let mut names = vec![request.reference.clone().with_default_tag()];
        if request.all_tags {
            names = all_tags(&repositories, &request.reference).await?;
        }
        for name in names {
            let mut rest = repositories.iter();
            loop {
                // The registry itself is always the last.
                let Some(repository) = rest.next() else { return Err(Error::Thread("looking for a registry")) };
                let sources = std::slice::from_ref(repository);
                let pull = Pull { registries: self, sources, repository, store, unpacker, reporter, request: &request };
                match pull.run(&name).await {
                    Ok(()) => break,
                    Err(error) if repository.is_mirror() => {
                        tracing::warn!(mirror = repository.host(), image = %name, %error, "a mirror is passed over");
                    }
                    Err(error) => return Err(error.of_pull(&name)),
                }
            }
        }
        Ok(())
    }

    /// The same from nodes that all have the image: layers come from several of them.
    pub(super) async fn pull_from(
        &self,
        sources: &[Arc<Repository>],
        store: &Arc<Store>,
        unpacker: &Unpacker,
        request: &PullRequest,
        reporter: &Reporter,
    ) -> Result<()> {
        let repository = sources.first().ok_or(Error::Thread("looking for a node"))?;
        let pull = Pull { registries: self, sources, repository, store, unpacker, reporter, request };
        pull.run(&request.reference).await
    }
}

async fn all_tags(repositories: &[Arc<Repository>], reference: &Reference) -> Result<Vec<Reference>> {
    let Some(repository) = repositories.last() else { return Ok(Vec::new()) };
    let tags = repository.tags().await.map_err(|error| error.of_pull(reference))?;
    let name = |tag: &String| format!("{}:{tag}", reference.name()).parse::<Reference>();
    let names: crate::Result<Vec<Reference>> = tags.iter().map(name).collect();
    Ok(names?)
}

impl Pull<'_> {
    async fn run(&self, name: &Reference) -> Result<()> {
        let wanted = name.digest().map_or_else(|| name.tag().unwrap_or_default().to_owned(), ToString::to_string);
        let message = format!("{wanted}: Pulling from {}", name.path());
        self.reporter.tell(Event::Message(message)).await;
        let top = self.repository.manifest(&wanted).await?;
        let digest = top.descriptor.digest;
        // Other nodes, of other architectures too, ask for what the name means.
        let (keeper, bytes) = (Arc::clone(self.store), top.bytes.clone());
        let _top = blocking("keeping a manifest", move || {
            let lease = keeper.lease([digest]);
            keeper.keep_document(&bytes)?;
            Ok(lease)
        })
        .await?;
        let chosen = self.choose(name, top).await?;
        let Chosen { document, manifest, config, config_bytes } = chosen;
        let id = manifest.config.digest;
        let layers = manifest.layers.iter().map(|layer| layer.digest);
        let held = layers.chain([document.descriptor.digest, id]).chain(chain_ids(&config.rootfs.diff_ids));
        // From here to the end nothing of the image is collected, neither what was here nor what comes.
        let store = Arc::clone(self.store);
        let held: Vec<Digest> = held.collect();
        let _lease = blocking("leasing", move || Ok(store.lease(held))).await?;
        let image = Image { id, manifest, config };
        let sizes = self.layers(&image).await?;
        let done = self.finish(name, digest, document, config_bytes, image, sizes).await?;
        self.reporter.tell(Event::Done(done)).await;
        Ok(())
    }

    /// Follows indexes to the first manifest that runs on the platform.
    async fn choose(&self, name: &Reference, top: Document) -> Result<Chosen> {
        let mut document = top;
        for _ in 0..=NESTING_LIMIT {
            let what = format!("manifest {}", document.descriptor.digest);
            let media_type = media_type(&what, &document)?;
            document.descriptor.media_type = media_type;
            if document.descriptor.is_manifest() {
                return self.image(name, document).await;
            }
            if !document.descriptor.is_index() {
                let media_type = &document.descriptor.media_type;
                let reason = format!("its media type {media_type:?} is not supported");
                return Err(crate::Error::InvalidDocument { what, reason }.into());
            }
            let index = Index::parse(&what, &document.bytes)?;
            let next = pick(&name.familiar(), &index, &self.request.platform)?;
            let fetched = self.repository.manifest(&next.digest.to_string()).await?;
            crate::content::verify(
                &what,
                &next.digest,
                next.size,
                &fetched.descriptor.digest,
                fetched.descriptor.size,
            )?;
            document = fetched;
        }
        let reason = format!("indexes nest more than {NESTING_LIMIT} deep");
        Err(crate::Error::InvalidDocument { what: name.familiar(), reason }.into())
    }

    async fn image(&self, name: &Reference, document: Document) -> Result<Chosen> {
        let what = name.familiar();
        let manifest = Manifest::parse(&what, &document.bytes)?;
        if !manifest.is_image() {
            let reason = format!("it is no image: its config is {:?}", manifest.config.media_type);
            return Err(crate::Error::InvalidDocument { what, reason }.into());
        }
        let known = self.store.document(&manifest.config.digest);
        let config_bytes = match known {
            Some(bytes) => bytes,
            None => self.repository.document(&manifest.config).await?,
        };
        let config = ImageConfig::parse(&what, &config_bytes)?;
        manifest.check_config(&what, &config)?;
        let (wanted, own) = (&self.request.platform, config.platform());
        if !wanted.runs(&own) {
            let (wanted, available) = (wanted.to_string(), vec![own.to_string()]);
            return Err(crate::Error::NoPlatform { image: what, wanted, available }.into());
        }
        Ok(Chosen { document, manifest, config, config_bytes })
    }

    /// Brings the layers that aren't here; returns the uncompressed bytes of each.
    async fn layers(&self, image: &Image) -> Result<Vec<u64>> {
        if let Some(sizes) = self.store.sizes_of(&image.id) {
            for layer in &image.manifest.layers {
                self.reporter.layer(layer.digest, LayerState::Exists, layer.size).await;
            }
            return Ok(sizes);
        }
        for layer in &image.manifest.layers {
            self.reporter.layer(layer.digest, LayerState::Waiting, layer.size).await;
        }
        let layers = image.manifest.layers.iter().enumerate();
        let fetches: FuturesOrdered<_> = layers.map(|(index, layer)| self.layer(index, layer)).collect();
        let facts: Vec<LayerFacts> = fetches.try_collect().await?;
        for ((layer, facts), expected) in image.manifest.layers.iter().zip(&facts).zip(&image.config.rootfs.diff_ids) {
            let what = format!("layer {} uncompressed", layer.digest);
            crate::content::verify(&what, expected, facts.size, &facts.diff_id, facts.size)?;
        }
        Ok(facts.into_iter().map(|facts| facts.size).collect())
    }

    async fn layer(&self, index: usize, layer: &Descriptor) -> Result<LayerFacts> {
        let (store, blob) = (Arc::clone(self.store), layer.clone());
        // A damaged blob is as good as none.
        let known = blocking("looking for a layer", move || Ok(store.known_layer(&blob).ok().flatten())).await?;
        if let Some(facts) = known {
            self.reporter.layer(layer.digest, LayerState::Exists, layer.size).await;
            return Ok(facts);
        }
        // Each layer begins at another of those who have it.
        let mut sources = self.sources.to_vec();
        sources.rotate_left(index % self.sources.len().max(1));
        let facts = self.registries.transfers.fetch(&sources.into(), self.store, layer, self.reporter).await?;
        self.reporter.layer(layer.digest, LayerState::Downloaded, layer.size).await;
        Ok(facts)
    }

    /// Unpacks, and names the image.
    async fn finish(
        &self,
        name: &Reference,
        digest: Digest,
        document: Document,
        config_bytes: Vec<u8>,
        image: Image,
        sizes: Vec<u64>,
    ) -> Result<Done> {
        let (store, unpacker, name) = (Arc::clone(self.store), self.unpacker.clone(), name.clone());
        let (reporter, now) = (self.reporter.clone(), self.request.now);
        blocking("unpacking an image", move || {
            let is_new = store.sizes_of(&image.id).is_none();
            store.keep_document(&document.bytes)?;
            store.keep_document(&config_bytes)?;
            let mut before: Option<&Descriptor> = None;
            let tell = |layer: Option<&Descriptor>, state| {
                if let Some(layer) = layer.filter(|_| is_new) {
                    reporter.bytes(layer.digest, state, layer.size, layer.size);
                }
            };
            store.prepare_telling(&image, &unpacker, |index| {
                let layer = image.manifest.layers.get(index);
                tell(before, LayerState::Pulled);
                tell(layer, LayerState::Extracting);
                before = layer;
            })?;
            tell(before, LayerState::Pulled);
            let manifest = &document.descriptor;
            let changed = store.add_pulled(Pulled { image: &image, manifest, sizes, name: &name, digest }, now)?;
            Ok(Done { reference: name.to_string(), digest, changed, id: image.id, size: manifest.size })
        })
        .await
    }
}

/// What a document is: as its registry says, else as it says itself.
fn media_type(what: &str, document: &Document) -> Result<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
        schema_version: Option<u64>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let typed: Typed = crate::manifest::parse_json(what, &document.bytes)?;
    if typed.schema_version == Some(1) {
        let reason = "Docker's schema 1 is not supported: push the image again with a newer tool".to_owned();
        return Err(crate::Error::InvalidDocument { what: what.to_owned(), reason }.into());
    }
    let served = &document.descriptor;
    if let Some(own) = typed.media_type {
        // A document that contradicts its label could be read as two things by two readers.
        if (served.is_manifest() || served.is_index()) && own != served.media_type {
            let reason = format!("it is served as {:?} and calls itself {own:?}", served.media_type);
            return Err(crate::Error::InvalidDocument { what: what.to_owned(), reason }.into());
        }
        return Ok(own);
    }
    if served.is_manifest() || served.is_index() {
        return Ok(served.media_type.clone());
    }
    let guess = if typed.manifests.is_some() { crate::manifest::MEDIA_INDEX } else { crate::manifest::MEDIA_MANIFEST };
    Ok(guess.to_owned())
}

/// The first manifest of `index` that runs on `platform`; one without a platform is tried if there is nothing better.
fn pick<'a>(image: &str, index: &'a Index, platform: &Platform) -> Result<&'a Descriptor> {
    let candidates = || index.manifests.iter().filter(|descriptor| !descriptor.is_attestation());
    let fits = |descriptor: &&Descriptor| descriptor.platform.as_ref().is_some_and(|own| platform.runs(own));
    let exact = |descriptor: &&Descriptor| descriptor.platform.as_ref() == Some(platform);
    let chosen = candidates().find(exact).or_else(|| candidates().find(fits));
    let chosen = chosen.or_else(|| candidates().find(|descriptor| descriptor.platform.is_none()));
    let chosen = chosen.filter(|descriptor| descriptor.size <= DOCUMENT_LIMIT);
    chosen.ok_or_else(|| {
        let mut available: Vec<String> =
            candidates().filter_map(|descriptor| Some(descriptor.platform.as_ref()?.to_string())).collect();
        available.sort();
        available.dedup();
        let (image, wanted) = (image.to_owned(), platform.to_string());
        crate::Error::NoPlatform { image, wanted, available }.into()
    })
}

/// Runs what waits for the disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Thread(what))?
}
