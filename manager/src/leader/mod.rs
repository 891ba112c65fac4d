//! What only the leader does. The loops begin when this manager is elected and are dropped with its term, wherever they stand:
//! whatever they were about to propose, the next leader finds again in the state.
//!
//! - `plan`: what is to be done now, all cores on one draft of the state. Pure
//! - `decide`: proposes plans, on every change and at the next deadline
//! - `managers`: who votes in Raft · `rotation`: the end of a rotation of the CA
//! - [`NodeWatch`]: marks nodes as ready and down

mod backoff;
mod decide;
mod managers;
mod nodes;
pub mod plan;
mod rotation;

use std::sync::Arc;

use model::NetworkId;

pub use nodes::NodeWatch;

use crate::error::Error;
use crate::raft::Leadership;
use crate::state::{Command, Refusal};
use crate::store::{Store, id_source};
use backoff::Backoff;

/// Leads whenever this manager is elected; ends with Raft.
pub async fn run(store: Arc<Store>, nodes: Arc<NodeWatch>) {
    let mut leadership = store.leadership();
    loop {
        let now = leadership.borrow_and_update().clone();
        let changed = match now {
            Leadership::Leads { term } => {
                tracing::info!(term, "this manager leads");
                tokio::select! {
                    () = lead(&store, &nodes) => Ok(()),
                    changed = leadership.changed() => changed,
                }
            }
            Leadership::Follows { .. } => leadership.changed().await,
            Leadership::Stopped { reason } => {
                tracing::info!(reason, "raft has ended");
                return;
            }
        };
        if changed.is_err() {
            return;
        }
    }
}

async fn lead(store: &Store, nodes: &NodeWatch) {
    bootstrap(store).await;
    tokio::join!(decide::run(store), nodes.run(store), managers::run(store), rotation::run(store));
}

/// Makes the cluster, in the first term of all.
async fn bootstrap(store: &Store) {
    let mut backoff = Backoff::default();
    while store.snapshot().cluster.is_none() {
        match propose_bootstrap(store).await {
            Ok(()) | Err(Error::Refused(Refusal::Exists { .. })) => return,
            Err(error) => backoff.wait("the cluster can't be made", &error).await,
        }
    }
}

async fn propose_bootstrap(store: &Store) -> Result<(), Error> {
    let bridge = NetworkId::from_random(id_source()?.draw());
    store.propose(vec![Command::Bootstrap { cluster: store.cluster(), bridge }]).await.map(|_| ())
}
