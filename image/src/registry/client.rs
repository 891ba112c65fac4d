//! One repository at one server: manifests, blobs, tags, uploads.

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, LOCATION, RANGE};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

use super::auth::Auth;
use super::http::{ANSWER_MAX, Body, Call, Http};
use super::origin::{self, Endpoint, authority, join, resource};
use super::retry::persist;
use super::{Credentials, Error, Result, range};
use crate::digest::Digest;
use crate::manifest::{
    DOCUMENT_LIMIT, Descriptor, MEDIA_DOCKER_LIST, MEDIA_DOCKER_MANIFEST, MEDIA_INDEX, MEDIA_MANIFEST,
};
use crate::reference::Reference;
use crate::store::Known;

/// What is asked for, the newest forms first.
const MANIFESTS: [&str; 4] = [MEDIA_MANIFEST, MEDIA_INDEX, MEDIA_DOCKER_MANIFEST, MEDIA_DOCKER_LIST];
/// What a manifest or blob is.
pub const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The parameter that says of which registry the repository is, as containerd's mirrors have it.
pub const NAMESPACE: &str = "ns";
/// Between nodes: the image came from a registry, which may have another one by now.
pub const PULLED: HeaderName = HeaderName::from_static("orca-pulled");
/// Between nodes: when the image got its name, in seconds since 1970.
pub const NAMED_AT: HeaderName = HeaderName::from_static("orca-named-at");
/// Most tags of a repository that are listed.
const TAGS_MAX: usize = 100_000;

/// A repository, with what its server has let one do.
pub struct Repository {
    http: Arc<Http>,
    endpoint: Endpoint,
    base: OnceCell<Url>,
    auth: Auth,
    reference: Reference,
    /// Another node has images of all registries, and must be told of which.
    of_node: bool,
}

/// A document and what it is.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its bytes, as they are.
    pub bytes: Vec<u8>,
    /// What they are.
    pub descriptor: Descriptor,
}

/// What a request to begin an upload led to.
pub enum Upload {
    /// The blob is there already.
    Mounted,
    /// Where its bytes go.
    To(Url),
}

/// What one wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Pull,
    Push,
}

impl Repository {
    pub fn new(
        http: Arc<Http>,
        endpoint: Endpoint,
        reference: Reference,
        credentials: Option<Credentials>,
    ) -> Repository {
        Repository { http, endpoint, base: OnceCell::new(), auth: Auth::new(credentials), reference, of_node: false }
    }

    /// The same repository as another node has it.
    pub fn of_node(http: Arc<Http>, base: Url, reference: Reference) -> Repository {
        let endpoint = Endpoint { base, insecure: false, mirror: true };
        Repository { of_node: true, ..Repository::new(http, endpoint, reference, None) }
    }

    pub fn http(&self) -> &Http {
        &self.http
    }

    pub fn is_mirror(&self) -> bool {
        self.endpoint.mirror
    }

    /// Its server, as messages name it.
    pub fn host(&self) -> String {
        authority(&self.endpoint.base)
    }

    fn scope(&self, access: Access) -> String {
        let actions = if access == Access::Push { "pull,push" } else { "pull" };
        format!("repository:{}:{actions}", self.reference.path())
    }

    async fn url(&self, rest: &str) -> Result<Url> {
        let base = self.base.get_or_try_init(|| base(&self.http, &self.endpoint)).await?;
        let mut url = resource(base, &self.reference, rest)?;
        if self.of_node {
            url.query_pairs_mut().append_pair(NAMESPACE, self.reference.domain());
        }
        Ok(url)
    }

    /// What another node says of a tag, asked once.
    pub async fn known(&self, tag: &str) -> Result<Option<Known>> {
        let url = self.url(&format!("manifests/{tag}")).await?;
        let response = self.ask(Method::HEAD, &url, "", &[]).await?;
        let said = |name: &HeaderName| text(response.headers(), name);
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let digest = said(&DIGEST).and_then(|digest| digest.parse().ok());
                let digest = digest
                    .ok_or_else(|| Error::Protocol { host: self.host(), reason: "it tells no digest".to_owned() })?;
                let named_at = said(&NAMED_AT).and_then(|at| at.parse().ok()).unwrap_or_default();
                Ok(Some(Known { digest, pulled: said(&PULLED).is_some(), named_at }))
            }
            _ => Err(self.http.unexpected("HEAD", &url, response).await),
        }
    }

    /// Sends a request without a body, with what lets it in.
    async fn ask(
        &self,
        method: Method,
        url: &Url,
        scope: &str,
        headers: &[(HeaderName, String)],
    ) -> Result<Response<Incoming>> {
        let mut call = Call::new(method, url.clone(), self.endpoint.insecure);
        call.headers = headers.to_vec();
        call.authorization = self.auth.header(scope);
        let response = self.http.get(&call).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        match self.auth.answer(&self.http, url, response.headers(), scope).await? {
            None => Ok(response),
            Some(header) => {
                call.authorization = Some(header);
                self.http.get(&call).await
            }
        }
    }

    /// The manifest or index under a tag or digest; a digest is verified.
    pub async fn manifest(&self, name: &str) -> Result<Document> {
        let url = self.url(&format!("manifests/{name}")).await?;
        let accept: Vec<(HeaderName, String)> = vec![(ACCEPT, MANIFESTS.join(", "))];
        persist(|| async {
            let response = self.ask(Method::GET, &url, &self.scope(Access::Pull), &accept).await?;
            if response.status() != StatusCode::OK {
                return Err(self.http.unexpected("GET", &url, response).await);
            }
            let claimed = text(response.headers(), &DIGEST);
            let media_type = text(response.headers(), &CONTENT_TYPE);
            let bytes = self.http.read(&url, response.into_body(), DOCUMENT_LIMIT, "the manifest").await?;
            let digest = Digest::of(&bytes);
            // The digest that was asked for, and the one that the registry says it sends.
            for expected in [Some(name), claimed.as_deref()].into_iter().flatten() {
                if let Ok(expected) = expected.parse::<Digest>()
                    && expected != digest
                {
                    let what = format!("manifest {name} of {}", self.host());
                    return Err(crate::Error::DigestMismatch { what, expected, actual: digest }.into());
                }
            }
            let media_type = media_type.as_deref().and_then(|text| text.split(';').next()).unwrap_or_default().trim();
            let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
            Ok(Document { bytes, descriptor })
        })
        .await
    }

    /// A small blob, whole and verified.
    pub async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let url = self.url(&format!("blobs/{}", descriptor.digest)).await?;
        if descriptor.size > DOCUMENT_LIMIT {
            let what = format!("blob {}", descriptor.digest);
            return Err(crate::Error::TooLarge { what, actual: descriptor.size, limit: DOCUMENT_LIMIT }.into());
        }
        persist(|| async {
            let response = self.ask(Method::GET, &url, &self.scope(Access::Pull), &[]).await?;
            if response.status() != StatusCode::OK {
                return Err(self.http.unexpected("GET", &url, response).await);
            }
            let bytes = self.http.read(&url, response.into_body(), descriptor.size, "the blob").await?;
            let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
            let what = format!("blob {} of {}", descriptor.digest, self.host());
            crate::content::verify(&what, &descriptor.digest, descriptor.size, &digest, size)?;
            Ok(bytes)
        })
        .await
    }

    /// The answer to a request for a blob from byte `have` on, and where it comes from.
    pub async fn blob(&self, digest: &Digest, have: u64) -> Result<(Url, Response<Incoming>)> {
        let url = self.url(&format!("blobs/{digest}")).await?;
        let headers: Vec<_> = range::request(have).into_iter().map(|value| (RANGE, value)).collect();
        let response = self.ask(Method::GET, &url, &self.scope(Access::Pull), &headers).await;
        let response = response.map_err(Error::in_the_middle)?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok((url, response)),
            _ => Err(self.http.unexpected("GET", &url, response).await),
        }
    }

    /// All tags, in the registry's order.
    pub async fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut url = self.url("tags/list").await?;
        let mut tags = Vec::new();
        loop {
            let (page, next) = persist(|| async {
                let response = self.ask(Method::GET, &url, &self.scope(Access::Pull), &[]).await?;
                if response.status() != StatusCode::OK {
                    return Err(self.http.unexpected("GET", &url, response).await);
                }
                let next = text(response.headers(), &LINK);
                let bytes = self.http.read(&url, response.into_body(), ANSWER_MAX * 8, "the list of tags").await?;
                let invalid = |_| Error::Protocol { host: self.host(), reason: "its list of tags is no JSON".into() };
                Ok((serde_json::from_slice::<Page>(&bytes).map_err(invalid)?, next))
            })
            .await?;
            let before = tags.len();
            tags.extend(page.tags.unwrap_or_default());
            let Some(next) = next.as_deref().and_then(next_page) else { return Ok(tags) };
            if tags.len() == before || tags.len() > TAGS_MAX {
                return Err(Error::Protocol { host: self.host(), reason: "its list of tags has no end".into() });
            }
            let next = origin::redirect(&url, next, self.endpoint.insecure).ok().filter(|next| next.same_origin);
            url = next
                .ok_or_else(|| Error::Protocol { host: self.host(), reason: "its tags go on elsewhere".into() })?
                .url;
        }
    }

    /// Whether the blob is there.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let url = self.url(&format!("blobs/{digest}")).await?;
        persist(|| async {
            let response = self.ask(Method::HEAD, &url, &self.scope(Access::Push), &[]).await?;
            match response.status() {
                StatusCode::OK => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(self.http.unexpected("HEAD", &url, response).await),
            }
        })
        .await
    }

    /// Begins an upload, or has the registry take the blob over from its repository `from`.
    pub async fn begin(&self, digest: &Digest, from: Option<&str>) -> Result<Upload> {
        let mut url = self.url("blobs/uploads/").await?;
        let mut scope = self.scope(Access::Push);
        if let Some(from) = from {
            url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", from);
            scope = format!("{scope} repository:{from}:pull");
        }
        persist(|| async {
            let response = self.ask(Method::POST, &url, &scope, &[(CONTENT_LENGTH, "0".to_owned())]).await?;
            match response.status() {
                StatusCode::CREATED => Ok(Upload::Mounted),
                StatusCode::ACCEPTED => Ok(Upload::To(self.location(&url, response.headers())?)),
                _ => Err(self.http.unexpected("POST", &url, response).await),
            }
        })
        .await
    }

    fn location(&self, url: &Url, headers: &HeaderMap) -> Result<Url> {
        let location = text(headers, &LOCATION).ok_or_else(|| Error::Protocol {
            host: self.host(),
            reason: "it begins an upload without a Location".into(),
        })?;
        let next = origin::redirect(url, &location, self.endpoint.insecure);
        Ok(next.map_err(|reason| Error::Redirect { url: origin::shown(url), reason })?.url)
    }

    /// How far an upload of `size` bytes has come, and where it goes on. `None`: from the beginning, elsewhere.
    pub async fn progress(&self, begun: &Url, size: u64) -> Option<(Url, u64)> {
        let response = self.ask(Method::GET, begun, &self.scope(Access::Push), &[]).await.ok()?;
        if response.status() != StatusCode::NO_CONTENT {
            return None;
        }
        let offset = range::uploaded(text(response.headers(), &RANGE)?.as_str(), size)?;
        let url = self.location(begun, response.headers()).ok()?;
        (url.origin() == begun.origin()).then_some((url, offset))
    }

    /// Sends a blob from byte `offset` on to where its upload began; the caller bounds the wait.
    pub async fn put_blob(&self, to: &Url, blob: &Descriptor, offset: u64, body: Body) -> Result<()> {
        let mut url = to.clone();
        url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let base = self.url("").await?;
        let mut call = Call::new(Method::PUT, url.clone(), self.endpoint.insecure)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, (blob.size - offset).to_string());
        if offset > 0 {
            call = call.header(CONTENT_RANGE, format!("{offset}-{}", blob.size - 1));
        }
        if base.origin() == url.origin() {
            call.authorization = self.auth.header(&self.scope(Access::Push));
        }
        let response = self.http.send(&call, body).await?;
        match response.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(self.http.unexpected("PUT", &url, response).await),
        }
    }

    /// Names a manifest.
    pub async fn put_manifest(&self, name: &str, document: &Document) -> Result<()> {
        let url = self.url(&format!("manifests/{name}")).await?;
        persist(|| async {
            let mut call = Call::new(Method::PUT, url.clone(), self.endpoint.insecure);
            call = call.header(CONTENT_TYPE, document.descriptor.media_type.clone());
            call.authorization = self.auth.header(&self.scope(Access::Push));
            let mut response = self.http.post(&call, document.bytes.clone()).await?;
            if response.status() == StatusCode::UNAUTHORIZED
                && let Some(header) =
                    self.auth.answer(&self.http, &url, response.headers(), &self.scope(Access::Push)).await?
            {
                call.authorization = Some(header);
                response = self.http.post(&call, document.bytes.clone()).await?;
            }
            match response.status() {
                StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED => Ok(()),
                _ => Err(self.http.unexpected("PUT", &url, response).await),
            }
        })
        .await
    }
}

/// The URL below which a server answers: one that may be insecure is asked with TLS first.
async fn base(http: &Http, endpoint: &Endpoint) -> Result<Url> {
    let base = endpoint.base.clone();
    if !endpoint.insecure || base.scheme() == "http" {
        return Ok(base);
    }
    let call = |base: &Url| Ok::<_, Error>(Call::new(Method::GET, join(base, "v2/")?, true));
    let error = match http.get(&call(&base)?).await {
        Ok(_) => return Ok(base),
        Err(error @ (Error::Plain { .. } | Error::Connect { .. } | Error::Broken { .. })) => error,
        Err(error) => return Err(error),
    };
    let mut plain = base;
    // A URL's port that isn't written is its scheme's.
    let set = plain.set_scheme("http");
    match http.get(&call(&plain)?).await {
        Ok(_) if set.is_ok() => Ok(plain),
        _ => Err(error),
    }
}

/// Asks whether `credentials` are taken; a token to be kept instead of a password comes back.
pub async fn login(http: &Http, endpoint: &Endpoint, credentials: Credentials) -> Result<Option<String>> {
    let base = persist(|| base(http, endpoint)).await?;
    let url = join(&base, "v2/")?;
    let refused = |message: String| Error::Login { registry: url.to_string(), message };
    let mut call = Call::new(Method::GET, url.clone(), endpoint.insecure);
    let response = persist(|| http.get(&call)).await?;
    if response.status() == StatusCode::OK {
        // It takes everybody.
        return Ok(None);
    }
    if response.status() != StatusCode::UNAUTHORIZED {
        return Err(http.unexpected("GET", &url, response).await);
    }
    let auth = Auth::new(Some(credentials));
    let entry = match auth.enter(http, &url, response.headers(), "", true).await {
        Err(Error::Status { status: status @ (401 | 403), message, .. }) => {
            return Err(refused(format!("{status}: {message}")));
        }
        entry => entry?,
    };
    let entry = entry.ok_or_else(|| refused("it asks for an authentication that is not known here".to_owned()))?;
    call.authorization = Some(entry.header);
    let response = persist(|| http.get(&call)).await?;
    match response.status() {
        StatusCode::OK => Ok(entry.identity),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let status = response.status();
            match http.unexpected("GET", &url, response).await {
                Error::Status { message, .. } => Err(refused(format!("{status}: {message}"))),
                error => Err(error),
            }
        }
        _ => Err(http.unexpected("GET", &url, response).await),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The target of `Link: <...>; rel="next"` (RFC 8288).
fn next_page(value: &str) -> Option<&str> {
    value.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        parameters.contains("next").then_some(target)
    })
}
