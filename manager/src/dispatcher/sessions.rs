//! One live session per node: a newer one ends the older, whose agent has gone or has lost its stream.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use model::NodeId;
use tokio::sync::oneshot;

/// The live sessions.
#[derive(Default)]
pub struct Sessions {
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    number: u64,
    by_node: BTreeMap<NodeId, (u64, oneshot::Sender<()>)>,
}

/// A node's place; resolves when a newer session takes it.
pub struct Claim {
    node: NodeId,
    number: u64,
    /// Fires when a newer session has taken over.
    pub superseded: oneshot::Receiver<()>,
}

impl Sessions {
    /// Takes the node's place.
    pub fn claim(&self, node: NodeId) -> Claim {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.number += 1;
        let number = live.number;
        let (end, superseded) = oneshot::channel();
        if let Some((_, older)) = live.by_node.insert(node, (number, end)) {
            // It may have ended by itself.
            let _ = older.send(());
        }
        Claim { node, number, superseded }
    }

    /// Gives the place back, unless a newer session has it.
    pub fn release(&self, claim: &Claim) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.by_node.get(&claim.node).is_some_and(|(number, _)| *number == claim.number) {
            live.by_node.remove(&claim.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_session_has_the_place() {
        let (sessions, node) = (Sessions::default(), NodeId::from_random(1));
        let mut first = sessions.claim(node);
        let mut second = sessions.claim(node);
        assert!(first.superseded.try_recv().is_ok());
        sessions.release(&first);
        assert!(second.superseded.try_recv().is_err());
        let _third = sessions.claim(node);
        assert!(second.superseded.try_recv().is_ok());
    }
}
