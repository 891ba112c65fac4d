//! What a pull or push tells while it goes on.

use tokio::sync::mpsc;

use crate::digest::Digest;

/// News of a pull or push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A line for people.
    Message(String),
    /// A layer has come along.
    Layer {
        /// Of the blob.
        digest: Digest,
        /// How far.
        state: LayerState,
        /// Bytes so far.
        current: u64,
        /// Bytes in all.
        total: u64,
        /// Where it was mounted from, why it is tried again.
        detail: Option<String>,
    },
    /// A tag is done.
    Done(Done),
}

/// The end of a tag's pull or push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Canonical, with its tag or digest.
    pub reference: String,
    /// Of the manifest or index.
    pub digest: Digest,
    /// Whether the name means another image than before.
    pub changed: bool,
    /// The image.
    pub id: Digest,
    /// Bytes of the manifest.
    pub size: u64,
}

/// How far a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words are Docker's
pub enum LayerState {
    Preparing,
    Waiting,
    Downloading,
    Downloaded,
    Extracting,
    Pulled,
    Exists,
    Pushing,
    Pushed,
    Mounted,
    Retrying,
}

/// Takes news. A listener that has gone is no reason to stop: whoever drops the work does that.
#[derive(Clone)]
pub struct Reporter(mpsc::Sender<Event>);

impl Reporter {
    /// Tells `events`.
    pub fn new(events: mpsc::Sender<Event>) -> Reporter {
        Reporter(events)
    }

    pub(super) async fn tell(&self, event: Event) {
        let _ = self.0.send(event).await;
    }

    pub(super) async fn layer(&self, digest: Digest, state: LayerState, total: u64) {
        self.tell(Event::Layer { digest, state, current: 0, total, detail: None }).await;
    }

    /// How many bytes a layer has; a listener that is behind misses some of it.
    pub(super) fn bytes(&self, digest: Digest, state: LayerState, current: u64, total: u64) {
        let _ = self.0.try_send(Event::Layer { digest, state, current, total, detail: None });
    }
}
