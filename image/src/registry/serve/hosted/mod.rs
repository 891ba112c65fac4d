//! A registry: repositories on disk, pushed to and pulled from by the OCI distribution specification 1.1.
//!
//! ```text
//! lock                                 held by the one process that serves the directory
//! blobs/sha256/<hex>                   manifests, configs, layers
//! staging/                             uploads that are not whole; emptied on open
//! repositories/<name>/_manifests/<hex> what it has · _blobs/<hex> · _tags/<tag> · _referrers/<hex>/<hex>
//! ```
//!
//! A repository gives only what was pushed to it, whatever else the store has.

mod manifests;
mod repository;
mod sweep;
#[cfg(test)]
mod tests;
mod uploads;
mod users;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;

pub use sweep::GRACE;
pub use users::Users;

use self::repository::{Kind, Repository};
use self::uploads::{Uploads, failed};
use super::answer::{self, Answer, with};
use super::route::{self, Route};
use crate::content::ContentStore;
use crate::error::{Error, Result};
use crate::manifest::DOCUMENT_LIMIT;
use crate::snapshot::remove_tree;

const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// Entries of one page, where the client names no number, and at most.
const PAGE: usize = 1000;

/// A registry.
pub struct Registry {
    content: Arc<ContentStore>,
    repositories: PathBuf,
    uploads: Uploads,
    /// Taken shared by who adds content that nothing names yet, and alone to collect.
    sweeping: Arc<RwLock<()>>,
    _lock: File,
}

impl Registry {
    /// Opens or makes the registry in `dir`.
    ///
    /// # Errors
    /// [`Error::StoreBusy`] if another process serves it, [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Registry> {
        let failed = |error| Error::io("open", dir.display(), error);
        let repositories = dir.join("repositories");
        fs::create_dir_all(&repositories).map_err(failed)?;
        let lock = File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(failed)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| Error::StoreBusy { path: dir.to_owned() })?;
        let staging = dir.join("staging");
        remove_tree(&staging)?;
        let content = Arc::new(ContentStore::open(dir, &staging)?);
        Ok(Registry { content, repositories, uploads: Uploads::default(), sweeping: Arc::default(), _lock: lock })
    }

    fn repository(&self, name: &str) -> Repository {
        Repository::new(&self.repositories, name)
    }

    /// Answers a request of somebody who may make it.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let answer = match route::parse(parts.uri.path()) {
            Err(why) => answer::unrouted(why),
            Ok(Route::Uploads { name }) if parts.method == Method::POST => {
                self.begin_upload(&name, parts.uri.query(), &parts.headers, body).await
            }
            Ok(Route::Upload { name, id })
                if [Method::GET, Method::PATCH, Method::PUT, Method::DELETE].contains(&parts.method) =>
            {
                self.upload(&parts.method, &name, &id, parts.uri.query(), &parts.headers, body).await
            }
            Ok(route) => self.answer_at_once(route, parts, body).await,
        };
        with(answer, VERSION, "registry/2.0")
    }

    async fn answer_at_once(self: Arc<Self>, route: Route, parts: http::request::Parts, body: Incoming) -> Answer {
        let mut document = Vec::new();
        if parts.method == Method::PUT {
            let whole = Limited::new(body, usize::try_from(DOCUMENT_LIMIT).unwrap_or(usize::MAX)).collect().await;
            match whole {
                Ok(whole) => document = whole.to_bytes().to_vec(),
                Err(_) => {
                    let message = format!("a manifest has at most {} MiB", DOCUMENT_LIMIT >> 20);
                    return answer::refusal(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", &message);
                }
            }
        }
        let done = tokio::task::spawn_blocking(move || {
            let query = parts.uri.query().map(str::to_owned);
            self.act(&parts.method, route, query.as_deref(), &parts.headers, &document)
        });
        match done.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => failed(&error),
            Err(_) => answer::bare(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn act(
        &self,
        method: &Method,
        route: Route,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Answer> {
        let reads = method == Method::GET || method == Method::HEAD;
        match route {
            Route::Base if reads => Ok(answer::document(StatusCode::OK, &json!({}))),
            Route::Catalog if reads => {
                let names = repository::all(&self.repositories)?;
                Ok(page("/v2/_catalog", "repositories", json!({}), names, query))
            }
            Route::Tags { name } if reads => {
                let repository = self.repository(&name);
                if !repository.exists() {
                    let message = "repository name not known to registry";
                    return Ok(answer::refusal(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message));
                }
                let path = format!("/v2/{name}/tags/list");
                Ok(page(&path, "tags", json!({ "name": name }), repository.tags()?, query))
            }
            Route::Referrers { name, digest } if reads => {
                self.referrers(&name, &digest, route::parameter(query, "artifactType"))
            }
            Route::Manifest { name, reference } if reads => self.get_manifest(method, &name, &reference),
            Route::Manifest { name, reference } if method == Method::PUT => {
                let typed = headers.get(header::CONTENT_TYPE).and_then(|typed| typed.to_str().ok());
                self.put_manifest(&name, &reference, typed, body)
            }
            Route::Manifest { name, reference } if method == Method::DELETE => self.delete_manifest(&name, &reference),
            Route::Blob { name, digest } if reads => {
                if !self.repository(&name).has(Kind::Blobs, &digest) {
                    return Ok(answer::no_blob());
                }
                match self.content.file(&digest) {
                    Ok((file, size)) => Ok(answer::blob(method, headers, file, size, &digest)),
                    Err(Error::NoSuchBlob(_)) => Ok(answer::no_blob()),
                    Err(error) => Err(error),
                }
            }
            Route::Blob { name, digest } if method == Method::DELETE => {
                let was_there = self.repository(&name).unlink(Kind::Blobs, &digest)?;
                Ok(if was_there { answer::bare(StatusCode::ACCEPTED) } else { answer::no_blob() })
            }
            _ => Ok(answer::refusal(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "that cannot be done here")),
        }
    }
}

/// One page of sorted names, with where the next one is.
fn page(path: &str, key: &str, mut value: serde_json::Value, names: Vec<String>, query: Option<&str>) -> Answer {
    let wanted = route::parameter(query, "n").and_then(|number| number.parse::<usize>().ok()).unwrap_or(PAGE).min(PAGE);
    let last = route::parameter(query, "last").map(|last| last.replace("%2F", "/").replace("%2f", "/"));
    let mut rest = names.into_iter().filter(|name| last.as_ref().is_none_or(|last| name > last));
    let shown: Vec<String> = rest.by_ref().take(wanted).collect();
    let next = shown.last().filter(|_| rest.next().is_some());
    let link = next.map(|last| format!("<{path}?last={last}&n={wanted}>; rel=\"next\""));
    value[key] = json!(shown);
    let mut answer = answer::document(StatusCode::OK, &value);
    if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        answer.headers_mut().insert(header::LINK, link);
    }
    answer
}
