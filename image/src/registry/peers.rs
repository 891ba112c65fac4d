//! Images from other nodes of the cluster: who has one, and bringing it from several of them. A registry is asked only when no node
//! has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use rustls::ClientConfig;
use url::Url;

use super::client::Repository;
use super::event::Reporter;
use super::http::Http;
use super::pull::PullRequest;
use super::{Error, Registries, Result, Settings};
use crate::reference::Reference;
use crate::snapshot::Unpacker;
use crate::store::{Known, Store};

/// How many nodes are asked at once.
const AT_ONCE: usize = 16;
/// How many nodes an image comes from.
const SOURCES: usize = 4;
/// How long a node may take to say whether it has an image.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long others are waited for once one has it.
const GRACE: Duration = Duration::from_millis(200);

/// Another node of the cluster.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it answers.
    pub address: SocketAddr,
    /// How it is spoken to: what proves that it is that node, and who one is.
    pub config: Arc<ClientConfig>,
}

impl Registries {
    /// Brings an image into `store` as [`pull`](Self::pull) does: one that is asked for by its digest from those of `peers` that
    /// have it; else, or if they fail, from its registry.
    ///
    /// # Errors
    /// In words for who asked; the store's names are as before then.
    pub async fn fetch(
        &self,
        store: &Arc<Store>,
        unpacker: &Unpacker,
        request: PullRequest,
        peers: &[Peer],
        reporter: &Reporter,
    ) -> Result<()> {
        let mut sources = self.holders(&request.reference, peers).await;
        // One whose disk lies is found out by the digests, and the next one begins.
        for _ in 0..sources.len() {
            match self.pull_from(&sources, store, unpacker, &request, reporter).await {
                Ok(()) => {
                    tracing::info!(image = %request.reference, nodes = sources.len(), "an image has come from other nodes");
                    return Ok(());
                }
                Err(error) => {
                    let host = sources.first().map(|source| source.host());
                    tracing::warn!(image = %request.reference, host, %error, "an image could not be had from other nodes");
                }
            }
            sources.rotate_left(1);
        }
        let reference = request.reference.clone();
        self.pull(store, unpacker, request, reporter).await.map_err(|error| Error::Nowhere {
            image: reference.familiar(),
            nodes: peers.len(),
            reason: error.to_string(),
        })
    }

    /// What a name, which has a tag, means on other nodes: what was made or loaded on one of them goes before what one has from a
    /// registry, and the newest before others.
    pub async fn known_to(&self, name: &Reference, peers: &[Peer]) -> Option<Known> {
        let answers = self.ask_all(name, name.tag()?, peers).filter_map(std::future::ready);
        let known: Vec<Known> = answers.map(|(_, known)| known).collect().await;
        known.into_iter().max_by_key(|known| (!known.pulled, known.named_at, known.digest))
    }

    /// The nodes that have the image of this digest, in the order in which they answered.
    async fn holders(&self, name: &Reference, peers: &[Peer]) -> Vec<Arc<Repository>> {
        let mut found = Vec::new();
        let Some(digest) = name.digest().map(ToString::to_string) else { return found };
        let mut answers = self.ask_all(name, &digest, peers);
        while found.len() < SOURCES {
            let next = answers.next();
            let answer = match found.is_empty() {
                true => next.await,
                false => tokio::time::timeout(GRACE, next).await.ok().flatten(),
            };
            let Some(answer) = answer else { break };
            found.extend(answer.map(|(repository, _)| repository));
        }
        found
    }

    fn ask_all(&self, name: &Reference, wanted: &str, peers: &[Peer]) -> BoxStream<'static, Option<Holder>> {
        let asked: Vec<BoxFuture<'static, Option<Holder>>> = peers
            .iter()
            .map(|peer| ask(Arc::clone(&self.settings), peer.clone(), name.clone(), wanted.to_owned()).boxed())
            .collect();
        futures::stream::iter(asked).buffer_unordered(AT_ONCE).boxed()
    }
}

/// A node that has an image.
type Holder = (Arc<Repository>, Known);

async fn ask(settings: Arc<Settings>, peer: Peer, name: Reference, wanted: String) -> Option<Holder> {
    let base = Url::parse(&format!("https://{}/", peer.address)).ok()?;
    let http = Http::of_node(settings, peer.config);
    let repository = Repository::of_node(Arc::new(http), base, name);
    match tokio::time::timeout(PATIENCE, repository.known(&wanted)).await {
        Ok(Ok(known)) => known.map(|known| (Arc::new(repository), known)),
        Ok(Err(error)) => {
            tracing::info!(address = %peer.address, %error, "a node does not say whether it has an image");
            None
        }
        Err(_) => None,
    }
}
