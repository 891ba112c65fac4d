//! Pushing an image: the blobs that its registry lacks in parallel, then its manifest.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::sync::mpsc;
use url::Url;

use super::client::{Document, Repository, Upload};
use super::event::{Done, Event, LayerState, Reporter};
use super::pull::blocking;
use super::{Credentials, Error, Registries, Result, http, retry};
use crate::digest::Digest;
use crate::manifest::{Descriptor, Platform};
use crate::reference::Reference;
use crate::store::Store;

/// Bytes of a piece of a body.
const PIECE: usize = 128 << 10;
/// Pieces that wait for the network.
const AHEAD: usize = 8;
/// How often it is looked whether bytes go out.
const LOOK: Duration = Duration::from_millis(100);
/// After so many failures a registry that doesn't let uploads go on is believed.
const FRESH_STARTS: u32 = 3;
/// How many repositories are asked for a layer that they may share.
const MOUNTS_MAX: usize = 3;

/// What to push.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// A name that an image has here; without a tag, `latest`.
    pub reference: Reference,
    /// Every tag that the repository has here instead.
    pub all_tags: bool,
    /// What the image must be for, if that matters.
    pub platform: Option<Platform>,
    /// Who one is.
    pub credentials: Option<Credentials>,
}

/// What a push works with.
struct Push<'a> {
    registries: &'a Registries,
    repository: Arc<Repository>,
    store: &'a Arc<Store>,
    reporter: &'a Reporter,
    reference: &'a Reference,
}

impl Registries {
    /// Pushes an image, or every tag of a repository, and tells `reporter`.
    ///
    /// # Errors
    /// In words for who asked. A tag whose push failed means at the registry what it meant before.
    pub async fn push(&self, store: &Arc<Store>, request: PushRequest, reporter: &Reporter) -> Result<()> {
        let PushRequest { reference, all_tags, platform, credentials } = request;
        if reference.digest().is_some() {
            let (text, reason) = (reference.familiar(), "cannot push a digest reference: name a tag");
            return Err(Error::Setting { text, reason });
        }
        let tags =
            if all_tags { store.tags_of(&reference) } else { vec![reference.clone().with_default_tag().to_string()] };
        let found = tags.iter().all(|tag| store.meaning(tag).is_some());
        if tags.is_empty() || !found {
            let name = if all_tags { reference } else { reference.with_default_tag() };
            return Err(Error::NotHere(name.familiar()));
        }
        if let Some(platform) = &platform {
            tags.iter().try_for_each(|tag| store.check_platform(tag, platform))?;
        }
        let message = format!("The push refers to repository [{}]", reference.name());
        reporter.tell(Event::Message(message)).await;
        // Mirrors are for pulling.
        let repository = self.repositories(&reference, credentials.as_ref())?.pop();
        let repository = repository.ok_or(Error::Thread("looking for a registry"))?;
        for tag in tags {
            let repository = Arc::clone(&repository);
            let push = Push { registries: self, repository, store, reporter, reference: &reference };
            push.run(&tag).await.map_err(|error| error.of_push(&reference))?;
        }
        Ok(())
    }
}

impl Push<'_> {
    async fn run(&self, tag: &str) -> Result<()> {
        let (store, text) = (Arc::clone(self.store), tag.to_owned());
        let compress = move || {
            let (image, ..) = store.with_manifest(&text)?;
            store.compress(&image.id)?;
            Ok(store.with_manifest(&text)?)
        };
        let (image, descriptor, bytes) = blocking("compressing an image", compress).await?;
        let blobs: Vec<Digest> = image.manifest.layers.iter().map(|layer| layer.digest).collect();
        let held: Vec<Digest> = blobs.iter().copied().chain([image.id, descriptor.digest]).collect();
        let store = Arc::clone(self.store);
        // What is pushed stays until it is, whoever removes it meanwhile.
        let _lease = blocking("leasing", move || Ok(store.lease(held))).await?;
        for layer in &image.manifest.layers {
            self.reporter.layer(layer.digest, LayerState::Preparing, layer.size).await;
        }
        let mut distinct: Vec<&Descriptor> = image.manifest.layers.iter().collect();
        distinct.sort_by_key(|layer| layer.digest);
        distinct.dedup_by_key(|layer| layer.digest);
        let uploads: FuturesUnordered<_> = distinct.into_iter().map(|layer| self.layer(layer)).collect();
        uploads.try_collect::<()>().await?;
        if !self.repository.has_blob(&image.id).await? {
            self.upload(&image.manifest.config, |_| ()).await?;
        }
        let name = tag.rsplit(':').next().unwrap_or_default();
        let (digest, size) = (descriptor.digest, descriptor.size);
        self.repository.put_manifest(name, &Document { bytes, descriptor }).await?;
        let (store, reference, id) = (Arc::clone(self.store), self.reference.clone(), image.id);
        blocking("noting a digest", move || Ok(store.note_digest(&reference, digest, &id)?)).await?;
        let done = Done { reference: tag.to_owned(), digest, changed: true, id, size };
        self.reporter.tell(Event::Done(done)).await;
        Ok(())
    }

    async fn layer(&self, layer: &Descriptor) -> Result<()> {
        // The semaphore is never closed.
        let _slot = self.registries.uploads.acquire().await;
        let (digest, size) = (layer.digest, layer.size);
        if self.repository.has_blob(&digest).await? {
            self.reporter.layer(digest, LayerState::Exists, size).await;
            return Ok(());
        }
        if let Some(from) = self.mount(layer).await? {
            let (state, detail) = (LayerState::Mounted, Some(from));
            self.reporter.tell(Event::Layer { digest, state, current: size, total: size, detail }).await;
            return Ok(());
        }
        self.upload(layer, |sent| self.reporter.bytes(digest, LayerState::Pushing, sent, size)).await?;
        self.reporter.layer(digest, LayerState::Pushed, size).await;
        Ok(())
    }

    /// Has the registry take the layer over from another of its repositories; the one that had it.
    async fn mount(&self, layer: &Descriptor) -> Result<Option<String>> {
        let (store, reference, digest) = (Arc::clone(self.store), self.reference.clone(), layer.digest);
        let looked = blocking("looking for a layer's repositories", move || {
            Ok(store.repositories_with(reference.domain(), &digest, reference.path()))
        });
        for from in looked.await?.into_iter().take(MOUNTS_MAX) {
            // One may not be allowed to read there; then the layer is sent.
            if let Ok(Upload::Mounted) = self.repository.begin(&digest, Some(&from)).await {
                return Ok(Some(from));
            }
        }
        Ok(None)
    }

    /// Sends a blob. Where the connection breaks it goes on behind what the registry has, if that one can say how much it is.
    async fn upload(&self, blob: &Descriptor, tell: impl Fn(u64)) -> Result<()> {
        let mut failures = 0;
        let mut begun = None;
        loop {
            // To begin was tried several times already.
            let Some((url, offset)) = self.place(blob, begun.as_ref()).await? else { return Ok(()) };
            let Err(error) = self.send(blob, &url, offset, &tell).await else { return Ok(()) };
            failures += 1;
            if offset > 0 && !error.is_passing() && failures < FRESH_STARTS {
                // A registry that does not take the rest gets all of it.
                begun = None;
                continue;
            }
            begun = Some(url);
            if let Some(wait) = retry::outlook(failures, &error) {
                let detail = Some(format!("{error}; trying again in {} s", wait.as_secs_f64().ceil()));
                let (digest, state, total) = (blob.digest, LayerState::Retrying, blob.size);
                self.reporter.tell(Event::Layer { digest, state, current: 0, total, detail }).await;
            }
            retry::pause(failures, error).await?;
        }
    }

    /// Where a blob's bytes go, and how many of them are there; `None`: all.
    async fn place(&self, blob: &Descriptor, begun: Option<&Url>) -> Result<Option<(Url, u64)>> {
        if let Some(begun) = begun
            && let Some(place) = self.repository.progress(begun, blob.size).await
        {
            return Ok(Some(place));
        }
        match self.repository.begin(&blob.digest, None).await? {
            Upload::Mounted => Ok(None),
            Upload::To(url) => Ok(Some((url, 0))),
        }
    }

    async fn send(&self, blob: &Descriptor, to: &Url, offset: u64, tell: &impl Fn(u64)) -> Result<()> {
        let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(AHEAD);
        let (store, read) = (Arc::clone(self.store), blob.clone());
        let reading = tokio::task::spawn_blocking(move || pieces(&store, &read, offset, &sender));
        let sent = Arc::new(AtomicU64::new(offset));
        let counter = Arc::clone(&sent);
        let body = received(receiver).map(move |piece| {
            let piece = piece?;
            counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok(Frame::data(piece))
        });
        let put = self.repository.put_blob(to, blob, offset, StreamBody::new(body).boxed_unsync());
        let watch = stalled(&self.repository, &sent, tell);
        let result = tokio::select! {
            result = put => result,
            error = watch => Err(error),
        };
        let read = reading.await.map_err(|_| Error::Thread("reading a layer"))?;
        // A blob that can't be read is the reason for the request's failure.
        read?;
        result
    }
}

/// Ends when no byte has gone out, and no answer has come, for too long.
pub(super) async fn stalled(repository: &Repository, sent: &AtomicU64, tell: &impl Fn(u64)) -> Error {
    let patience = repository.http().settings().patience;
    let (mut last, mut since) = (0, tokio::time::Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let now = sent.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, tokio::time::Instant::now());
            tell(now);
        } else if since.elapsed() > patience {
            let (host, what) = (repository.host(), "the upload".to_owned());
            return Error::Broken { host, what, reason: http::silence(patience) };
        }
    }
}

/// Reads a blob from byte `offset` on; ends early when the request has.
fn pieces(
    store: &Store,
    blob: &Descriptor,
    offset: u64,
    sender: &mpsc::Sender<Result<Bytes, std::io::Error>>,
) -> Result<()> {
    let failed = |error| Error::from(crate::Error::io("read", format!("blob {}", blob.digest), error));
    let mut content = store.blob_reader(blob)?;
    // Read all the same, since its digest is looked at.
    std::io::copy(&mut content.by_ref().take(offset), &mut std::io::sink()).map_err(failed)?;
    loop {
        let mut piece = vec![0; PIECE];
        let count = match content.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) => {
                let _ = sender.blocking_send(Err(std::io::Error::other("the blob cannot be read")));
                return Err(failed(error));
            }
        };
        piece.truncate(count);
        if sender.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
}

/// A channel as a stream.
fn received<T>(receiver: mpsc::Receiver<T>) -> impl futures::Stream<Item = T> {
    futures::stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) })
}
