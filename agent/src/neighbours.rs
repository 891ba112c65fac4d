//! The other nodes of the cluster, as far as images go: who they are, what they are given, and what is brought from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::listener::Caller;
use http::{Request, StatusCode};
use image::manifest::Platform;
use image::registry::serve::node::Asker;
use image::registry::serve::{Answer, NodeImages, answer};
use image::registry::{Peer, PullRequest, Registries, Reporter, Settings};
use image::store::Known;
use image::{Reference, Store, Unpacker};
use model::{MeshEnd, NodeId, NodeRole};
use tokio::sync::{mpsc, watch};

use crate::network::Networks;
use crate::session::Managers;
use crate::{Result, clock};

/// The other nodes, as the managers tell of them.
#[derive(Clone)]
pub struct Neighbours {
    node: NodeId,
    managers: watch::Receiver<Managers>,
    networks: Arc<Networks>,
}

impl Neighbours {
    /// Those of `node`.
    pub fn new(node: NodeId, managers: watch::Receiver<Managers>, networks: Arc<Networks>) -> Self {
        Self { node, managers, networks }
    }

    /// How to ask each of them for images.
    fn peers(&self) -> Vec<Peer> {
        let Some(identity) = self.managers.borrow().identity.clone() else { return Vec::new() };
        let known = self.networks.assigned();
        let peer = |(node, end): (&NodeId, &MeshEnd)| {
            let config = identity.client_of(*node);
            let config = config.inspect_err(|error| tracing::warn!(%error, "other nodes cannot be asked for images"));
            Some(Peer { address: end.images?, config: Arc::new(config.ok()?) })
        };
        after(&known.peers, self.node).filter_map(peer).collect()
    }

    /// What a caller may ask for; the error is for them.
    fn admit(&self, caller: &Caller) -> Result<Asker, &'static str> {
        let certificate = caller.certificate.as_ref().ok_or("this is for nodes of the cluster")?;
        let peer = api::identity::peer(certificate).ok_or("the certificate names no node of a cluster")?;
        // The certificate is of this cluster's CA; whether the node still belongs to it only the managers know.
        match self.networks.assigned().peers.contains_key(&peer.node) {
            true if peer.role == NodeRole::Manager => Ok(Asker::Manager),
            true => Ok(Asker::Worker),
            false => Err("the managers do not tell of this node"),
        }
    }
}

/// What a map has, from behind a key on, so that not every node begins with the same one.
fn after<V>(map: &BTreeMap<NodeId, V>, key: NodeId) -> impl Iterator<Item = (&NodeId, &V)> {
    map.range(key..).chain(map.range(..key))
}

/// Where images come from.
pub struct Sources {
    registries: Registries,
    neighbours: Neighbours,
}

impl Sources {
    /// These registries, and other nodes before them.
    pub fn new(registries: Settings, neighbours: Neighbours) -> Self {
        Self { registries: Registries::new(registries), neighbours }
    }

    /// The registries alone.
    pub fn registries(&self) -> &Registries {
        &self.registries
    }

    /// The other nodes.
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// Brings the image that a name with a digest means.
    ///
    /// # Errors
    /// Why neither other nodes nor its registry could give it.
    pub async fn bring(&self, store: &Arc<Store>, unpacker: &Unpacker, reference: Reference) -> Result<()> {
        let now = clock::wall().0.div_euclid(1_000_000_000);
        let request = PullRequest { reference, all_tags: false, platform: Platform::host(), credentials: None, now };
        // Nobody listens to how it comes along.
        let (events, _) = mpsc::channel(1);
        let peers = self.neighbours.peers();
        Ok(self.registries.fetch(store, unpacker, request, &peers, &Reporter::new(events)).await?)
    }

    /// What a name, which has a tag, means on other nodes.
    pub async fn known_to_others(&self, name: &Reference) -> Option<Known> {
        self.registries.known_to(name, &self.neighbours.peers()).await
    }
}

/// What this node answers others.
pub struct ForNeighbours {
    neighbours: Neighbours,
    images: NodeImages,
}

impl ForNeighbours {
    /// A server of the images of this store.
    pub fn new(neighbours: Neighbours, store: Arc<Store>) -> Self {
        Self { neighbours, images: NodeImages::new(store) }
    }

    /// Answers a request of `caller`.
    pub async fn answer<B>(&self, caller: &Caller, request: Request<B>) -> Answer {
        let (parts, _) = request.into_parts();
        match self.neighbours.admit(caller) {
            Ok(asker) => {
                let (path, query) = (parts.uri.path(), parts.uri.query());
                self.images.answer(asker, parts.method, path, query, parts.headers).await
            }
            Err(reason) => answer::refusal(StatusCode::FORBIDDEN, "DENIED", reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_begins_behind_itself() {
        let id = NodeId::from_random;
        let map: BTreeMap<NodeId, ()> = [1, 2, 4].map(|number| (id(number), ())).into();
        let order = |key| after(&map, id(key)).map(|(node, ())| *node).collect::<Vec<_>>();
        assert_eq!(order(3), [id(4), id(1), id(2)]);
        assert_eq!(order(0), [id(1), id(2), id(4)]);
        assert_eq!(order(9), [id(1), id(2), id(4)]);
    }
}
