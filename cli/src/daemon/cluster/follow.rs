//! What the managers say of this node: where they are, what it is to be; and its certificate, which is renewed before it ends.

use std::sync::Arc;
use std::time::Duration;

use model::NodeRole;

use super::Cluster;
use super::file::Document;

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(30);
/// How often what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Runs as long as the daemon.
pub async fn run(cluster: Arc<Cluster>) {
    let mut places = cluster.place.subscribe();
    let mut status = cluster.status.subscribe();
    loop {
        places.mark_unchanged();
        status.mark_unchanged();
        let done = match cluster.place() {
            Some(document) => look(&cluster, &document).await,
            None => true,
        };
        let pause = if done { LOOK } else { RETRY };
        tokio::select! {
            changed = places.changed() => if changed.is_err() { return },
            changed = status.changed(), if done => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Half of a certificate's life has passed.
fn is_due(document: &Document) -> bool {
    let half = document.issued_at.0 / 2 + document.expires_at.0 / 2;
    crate::clock::now().0 >= half
}

/// Does what is due; whether nothing is left.
async fn look(cluster: &Cluster, document: &Document) -> bool {
    let view = cluster.status.borrow().view.clone();
    if document.role == NodeRole::Manager {
        let mut running = cluster.running.lock().await;
        if let Err(error) = cluster.be_in_office(&mut running, document).await {
            tracing::error!(reason = error.message(), "this node cannot be the manager that it is to be; trying again");
            return false;
        }
        match cluster.enlist(&running, document).await {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                tracing::warn!(reason = error.message(), "this manager is not one of the group yet");
                return false;
            }
        }
    }
    if document.role == NodeRole::Worker {
        cluster.be_reachable(document).await;
    }
    let role = view.as_ref().map_or(document.role, |view| view.role);
    let trusts_others = view.as_ref().is_some_and(|view| !view.ca.is_empty() && view.ca != document.ca);
    if role != document.role || trusts_others || is_due(document) {
        tracing::info!(%role, "this node gets its next certificate");
        let renewed = match cluster.renew(document).await {
            Ok(renewed) => cluster.replace(renewed).await,
            Err(error) => Err(error),
        };
        if let Err(error) = renewed {
            tracing::warn!(reason = error.message(), "the certificate could not be renewed; trying again");
        }
        return false;
    }
    if let Some(view) = view.filter(|view| !view.managers.is_empty() && view.managers != document.managers) {
        cluster.know_managers(view.managers).await;
    }
    true
}

impl Cluster {
    /// Keeps where managers are.
    async fn know_managers(&self, managers: Vec<String>) {
        let running = self.running.lock().await;
        let Some(place) = self.place() else { return };
        let mut document = (*place).clone();
        document.managers = managers;
        let kept = self.files.save(&document).and_then(|()| self.speak(&document, &self.files.key()?));
        if let Err(error) = kept {
            tracing::warn!(%error, "where managers are could not be kept");
        }
        drop(running);
    }
}
