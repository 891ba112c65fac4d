//! What happens on the node, as `docker events` tells it: the last of it in memory, the rest to those who listen.
//!
//! - [`life`]: what a move of a container's machine means · [`filter`]: what a listener wants, both pure

pub mod filter;
pub mod life;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use model::Timestamp;
use tokio::sync::broadcast;

use crate::clock;
use crate::containers::Record;

/// Events that are kept for those who ask for the past.
const KEPT: usize = 4096;
/// Events that a slow listener may be behind before it misses some.
const BACKLOG: usize = 4096;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
}

impl Kind {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// To what kind of thing.
    pub kind: Kind,
    /// What: `start`, `die`, `health_status: healthy`.
    pub action: String,
    /// To which.
    pub id: String,
    /// Its name, image, labels, and what belongs to the action.
    pub attributes: BTreeMap<String, String>,
}

/// What happens on the node.
#[derive(Debug)]
pub struct Events {
    history: Mutex<VecDeque<Arc<Happening>>>,
    sender: broadcast::Sender<Arc<Happening>>,
}

impl Default for Events {
    fn default() -> Self {
        Self { history: Mutex::default(), sender: broadcast::Sender::new(BACKLOG) }
    }
}

impl Events {
    /// Notes that something has happened now.
    pub fn record(&self, kind: Kind, action: impl Into<String>, id: impl Into<String>, more: &[(&str, String)]) {
        let attributes = more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        self.note(kind, action.into(), id.into(), attributes);
    }

    /// Notes that something has happened to a container now.
    pub fn of_container(&self, record: &Record, action: impl Into<String>, more: &[(&str, String)]) {
        let mut attributes = record.labels.clone();
        attributes.insert("image".into(), record.spec.image.clone());
        attributes.insert("name".into(), record.name.clone());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.note(Kind::Container, action.into(), record.id.to_string(), attributes);
    }

    fn note(&self, kind: Kind, action: String, id: String, attributes: BTreeMap<String, String>) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that times never go back from one event to the next.
        let happening = Arc::new(Happening { at: clock::wall(), kind, action, id, attributes });
        if history.len() >= KEPT {
            history.pop_front();
        }
        history.push_back(happening.clone());
        // Nobody need listen.
        let _ = self.sender.send(happening);
    }

    /// What has happened since then (nothing if no time is given), and what happens from now on: none is missed between.
    pub fn follow(&self, since: Option<Timestamp>) -> (Vec<Arc<Happening>>, broadcast::Receiver<Arc<Happening>>) {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let past = since.map(|since| history.iter().filter(|event| event.at >= since).cloned().collect());
        (past.unwrap_or_default(), self.sender.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_bounded_and_the_present_follows_it() {
        let events = Events::default();
        for number in 0..KEPT + 10 {
            events.record(Kind::Volume, "create", number.to_string(), &[("driver", "local".into())]);
        }
        let (past, mut present) = events.follow(Some(Timestamp(0)));
        assert_eq!((past.len(), past[0].id.as_str()), (KEPT, "10"));
        assert!(past.windows(2).all(|pair| pair[0].at <= pair[1].at));
        assert!(events.follow(None).0.is_empty());
        events.record(Kind::Image, "delete", "x", &[]);
        assert_eq!(present.try_recv().unwrap().action, "delete");
    }
}
