//! Downloading layers: each once, however many pulls wait for it; resumed where the connection broke.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

use super::client::Repository;
use super::event::{Event, LayerState, Reporter};
use super::range::{self, Body};
use super::{Error, Result, retry};
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::store::{LayerFacts, Store};

/// Pieces that wait for the disk.
const AHEAD: usize = 32;
/// Progress that makes earlier failures not count any more.
const PROGRESS: u64 = 1 << 20;
/// Failures of one layer in all, whatever the progress between them.
const FAILURES_MAX: u32 = 60;
/// How often a listener is told of bytes.
const NEWS: Duration = Duration::from_millis(100);

/// Who has a layer, in the order in which they are asked.
pub type Sources = Arc<[Arc<Repository>]>;

/// Layers that are being downloaded.
pub struct Transfers {
    running: Mutex<HashMap<Digest, Weak<Transfer>>>,
    slots: Arc<Semaphore>,
}

/// One download. It ends when nobody waits for it any more.
struct Transfer {
    step: watch::Receiver<Step>,
    task: AbortHandle,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How far a download is.
#[derive(Clone, Debug)]
enum Step {
    Waiting,
    Downloading(u64),
    Retrying(String),
    Done(LayerFacts),
    Failed(Arc<Mutex<Option<Error>>>),
}

impl Transfers {
    pub fn new(slots: usize) -> Transfers {
        Transfers { running: Mutex::default(), slots: Arc::new(Semaphore::new(slots)) }
    }

    /// Downloads `layer` into `store`, or waits for who does so already.
    pub async fn fetch(
        &self,
        sources: &Sources,
        store: &Arc<Store>,
        layer: &Descriptor,
        reporter: &Reporter,
    ) -> Result<LayerFacts> {
        loop {
            let (transfer, own) = self.join(sources, store, layer);
            match follow(&transfer, own, layer, reporter).await {
                // Somebody else's failure may be that of his registry or his credentials.
                Err(_) if !own => self.forget(&layer.digest, &transfer),
                result => {
                    self.forget(&layer.digest, &transfer);
                    return result;
                }
            }
        }
    }

    fn join(&self, sources: &Sources, store: &Arc<Store>, layer: &Descriptor) -> (Arc<Transfer>, bool) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transfer) = running.get(&layer.digest).and_then(Weak::upgrade) {
            return (transfer, false);
        }
        running.retain(|_, transfer| transfer.strong_count() > 0);
        let (sender, step) = watch::channel(Step::Waiting);
        let (sources, store, slots) = (Arc::clone(sources), Arc::clone(store), Arc::clone(&self.slots));
        let layer = layer.clone();
        let digest = layer.digest;
        let task = tokio::spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire_owned().await;
            let end = match download(&sources, store, &layer, &sender).await {
                Ok(facts) => Step::Done(facts),
                Err(error) => Step::Failed(Arc::new(Mutex::new(Some(error)))),
            };
            sender.send_replace(end);
        });
        let transfer = Arc::new(Transfer { step, task: task.abort_handle() });
        running.insert(digest, Arc::downgrade(&transfer));
        (transfer, true)
    }

    /// Whoever comes next begins anew.
    fn forget(&self, digest: &Digest, transfer: &Arc<Transfer>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(digest).is_some_and(|known| Weak::ptr_eq(known, &Arc::downgrade(transfer))) {
            running.remove(digest);
        }
    }
}

/// Tells of a download until its end.
async fn follow(transfer: &Transfer, own: bool, layer: &Descriptor, reporter: &Reporter) -> Result<LayerFacts> {
    let mut step = transfer.step.clone();
    let mut told: Option<Instant> = None;
    loop {
        let now = step.borrow_and_update().clone();
        match now {
            Step::Waiting => {}
            Step::Downloading(current) => {
                if told.is_none_or(|told| told.elapsed() >= NEWS) {
                    told = Some(Instant::now());
                    reporter.bytes(layer.digest, LayerState::Downloading, current, layer.size);
                }
            }
            Step::Retrying(why) => {
                let (digest, total) = (layer.digest, layer.size);
                let state = LayerState::Retrying;
                reporter.tell(Event::Layer { digest, state, current: 0, total, detail: Some(why) }).await;
            }
            Step::Done(facts) => return Ok(facts),
            Step::Failed(error) => {
                // It belongs to who began; the others try for themselves.
                let error = if own { error.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
                return Err(error.unwrap_or(Error::Thread("downloading a layer for somebody else")));
            }
        }
        if step.changed().await.is_err() {
            // Its last word may have come between.
            if matches!(*step.borrow(), Step::Done(_) | Step::Failed(_)) {
                continue;
            }
            return Err(Error::Thread("downloading a layer"));
        }
    }
}

async fn download(
    sources: &[Arc<Repository>],
    store: Arc<Store>,
    layer: &Descriptor,
    step: &watch::Sender<Step>,
) -> Result<LayerFacts> {
    // Another download may have ended between the look of who wants this one and its beginning.
    let (looking, wanted) = (Arc::clone(&store), layer.clone());
    let known = tokio::task::spawn_blocking(move || looking.known_layer(&wanted).ok().flatten()).await;
    if let Ok(Some(facts)) = known {
        return Ok(facts);
    }
    let (sender, receiver) = mpsc::channel(AHEAD);
    let expected = layer.clone();
    let taking = tokio::task::spawn_blocking(move || store.take_layer(Pieces::new(receiver), &expected));
    let sent = stream(sources, layer, &sender, step).await;
    if sent.is_ok() {
        let _ = sender.send(Piece::End).await;
    }
    drop(sender);
    let taken = taking.await.map_err(|_| Error::Thread("storing a layer"))?;
    sent?;
    Ok(taken?)
}

/// A piece of a layer on its way to the disk.
enum Piece {
    Data(Bytes),
    End,
}

/// Sends all bytes of `layer`, asking again from where an answer broke off: the next of those who have it, and when all have failed,
/// the first again after a pause.
async fn stream(
    sources: &[Arc<Repository>],
    layer: &Descriptor,
    sender: &mpsc::Sender<Piece>,
    step: &watch::Sender<Step>,
) -> Result<()> {
    let (mut have, mut counted_from, mut failures, mut in_all) = (0, 0, 0, 0);
    for (turn, repository) in (1..).zip(sources.iter().cycle()) {
        let error = match piece(repository, layer, &mut have, sender, step).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        in_all += 1;
        if have - counted_from >= PROGRESS {
            (counted_from, failures) = (have, 0);
        }
        failures += 1;
        if in_all >= FAILURES_MAX {
            return Err(error);
        }
        if turn < sources.len() {
            tracing::info!(host = repository.host(), layer = %layer.digest, %error, "the next one that has the layer is asked");
            continue;
        }
        if let Some(wait) = retry::outlook(failures, &error) {
            step.send_replace(Step::Retrying(format!("{error}; trying again in {} s", wait.as_secs_f64().ceil())));
        }
        retry::pause(failures, error).await?;
    }
    Err(Error::Thread("looking for a registry"))
}

/// One answer's share of a layer; done when all bytes are there, or when nobody takes them any more.
async fn piece(
    repository: &Repository,
    layer: &Descriptor,
    have: &mut u64,
    sender: &mpsc::Sender<Piece>,
    step: &watch::Sender<Step>,
) -> Result<()> {
    if *have == layer.size && *have > 0 {
        return Ok(());
    }
    let (url, response) = repository.blob(&layer.digest, *have).await?;
    let content_range = response.headers().get(http::header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let protocol = |reason: &str| Error::Protocol { host: repository.host(), reason: reason.to_owned() };
    let mut skip = match range::judge(response.status().as_u16(), content_range, *have, layer.size) {
        Body::Skip(count) => count,
        Body::Refuse(reason) => return Err(protocol(reason)),
    };
    let mut body = response.into_body();
    while let Some(mut chunk) = repository.http().chunk(&url, &mut body).await? {
        let skipped = skip.min(chunk.len() as u64);
        skip -= skipped;
        let chunk = chunk.split_off(usize::try_from(skipped).unwrap_or(chunk.len()));
        if chunk.is_empty() {
            continue;
        }
        *have += chunk.len() as u64;
        if *have > layer.size {
            return Err(protocol(&format!("layer {} has more bytes than its manifest says", layer.digest)));
        }
        if sender.send(Piece::Data(chunk)).await.is_err() {
            return Ok(());
        }
        step.send_replace(Step::Downloading(*have));
    }
    if *have == layer.size {
        return Ok(());
    }
    let (host, what) = (repository.host(), format!("layer {}", layer.digest.short()));
    Err(Error::Broken { host, what, reason: format!("only {have} of {} bytes came", layer.size) })
}

/// The pieces as a stream for a thread that may wait. Without [`Piece::End`] its end is an error.
struct Pieces {
    receiver: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl Pieces {
    fn new(receiver: mpsc::Receiver<Piece>) -> Pieces {
        Pieces { receiver, current: Bytes::new(), ended: false }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Piece::Data(data)) => self.current = data,
                Some(Piece::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the download broke off")),
            }
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
