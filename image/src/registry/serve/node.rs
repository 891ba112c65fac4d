//! A node's images, for other nodes of its cluster: manifests and blobs by digest, which only those know that are to have the image,
//! and what names mean for managers, which know everything anyway.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Semaphore;

use super::super::client::{NAMED_AT, NAMESPACE, PULLED};
use super::answer::{self, Answer, with};
use super::route::{self, Route, Unrouted, Wanted};
use crate::reference::Reference;
use crate::store::Store;

/// How many requests work on the disk at once.
const AT_ONCE: usize = 64;

/// What a node gives to others.
pub struct NodeImages {
    store: Arc<Store>,
    turns: Semaphore,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A node that runs tasks.
    Worker,
    /// A manager.
    Manager,
}

impl NodeImages {
    /// Those of this store.
    pub fn new(store: Arc<Store>) -> NodeImages {
        NodeImages { store, turns: Semaphore::new(AT_ONCE) }
    }

    /// Answers a request, whose body does not count.
    pub async fn answer(
        &self,
        asker: Asker,
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
    ) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            let message = "nodes only read each other's images";
            return answer::refusal(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message);
        }
        let route = match route::parse(path) {
            Ok(route) => route,
            Err(why) => return answer::unrouted(why),
        };
        if !matches!(route, Route::Base | Route::Manifest { .. } | Route::Blob { .. }) {
            return answer::unrouted(Unrouted::Unknown);
        }
        let named = match &route {
            Route::Manifest { name, reference: Wanted::Tag(tag) } if asker == Asker::Manager => {
                let domain = route::parameter(query, NAMESPACE).unwrap_or_default();
                format!("{}/{name}:{tag}", domain.replace("%3A", ":")).parse::<Reference>().ok()
            }
            Route::Manifest { reference: Wanted::Tag(_), .. } => {
                let message = "only managers ask other nodes what names mean";
                return answer::refusal(StatusCode::FORBIDDEN, "DENIED", message);
            }
            _ => None,
        };
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let store = Arc::clone(&self.store);
        let work = tokio::task::spawn_blocking(move || look(&store, route, named, &method, &headers));
        work.await.unwrap_or_else(|_| answer::bare(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

fn look(store: &Store, route: Route, named: Option<Reference>, method: &Method, headers: &HeaderMap) -> Answer {
    match route {
        Route::Base => answer::bare(StatusCode::OK),
        Route::Blob { digest, .. } => match store.served_blob(&digest) {
            Some((file, size)) => answer::blob(method, headers, file, size, &digest),
            None => answer::no_blob(),
        },
        Route::Manifest { reference: Wanted::Digest(digest), .. } => match store.served_manifest(&digest) {
            Some(bytes) => answer::manifest(method, bytes, &digest),
            None => answer::no_manifest(),
        },
        _ => {
            let Some(known) = named.and_then(|name| store.known(&name)) else { return answer::no_manifest() };
            let Some(bytes) = store.served_manifest(&known.digest) else { return answer::no_manifest() };
            let answer = answer::manifest(method, bytes, &known.digest);
            let answer = with(answer, NAMED_AT, &known.named_at.to_string());
            if known.pulled { with(answer, PULLED, "true") } else { answer }
        }
    }
}
