//! Requests to registries: HTTP/1.1 over TCP or TLS, with a bound on every wait and every answer.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, LOCATION, PROXY_AUTHORIZATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::Url;

use super::origin::{authority, redirect, shown};
use super::proxy::{Connector, Proxies};
use super::resolve::Names;
use super::{Error, Result, Settings, backoff, problem, tls};

/// A request's body.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;
type Https = Client<HttpsConnector<Connector>, Body>;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// The same between nodes of a cluster.
const CONNECT_NODE: Duration = Duration::from_secs(2);
/// How many redirects are followed.
const REDIRECTS: usize = 8;
/// Largest document that tells of an error, or holds a token or tags.
pub const ANSWER_MAX: u64 = 1 << 20;

/// Requests of one pull, push or login. Connections are kept between them.
pub struct Http {
    settings: Arc<Settings>,
    names: Names,
    clients: Mutex<HashMap<(String, bool), Https>>,
    /// How another node of the cluster is spoken to; `None`: registries are.
    node: Option<Arc<rustls::ClientConfig>>,
}

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(HeaderName, String)>,
    pub authorization: Option<String>,
    /// Whether its host may be insecure.
    pub insecure: bool,
}

impl Call {
    /// A request without headers.
    pub fn new(method: Method, url: Url, insecure: bool) -> Call {
        Call { method, url, headers: Vec::new(), authorization: None, insecure }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Call {
        self.headers.push((name, value.into()));
        self
    }

    fn request(&self, body: Body) -> Result<Request<Body>> {
        let mut request = Request::builder().method(self.method.clone()).uri(self.url.as_str());
        request = request.header(USER_AGENT, concat!("orca/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = &self.authorization {
            let mut value = http::HeaderValue::from_str(authorization)
                .map_err(|_| Error::Setting { text: "credentials".into(), reason: "they hold a control character" })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request.body(body).map_err(|_| Error::Setting { text: shown(&self.url), reason: "it makes no request" })
    }
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is in memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

impl Http {
    pub fn new(settings: Arc<Settings>) -> Http {
        Http { settings, names: Names::default(), clients: Mutex::default(), node: None }
    }

    /// Requests to one node of the cluster, which `config` is for. There is no proxy on the way.
    pub fn of_node(settings: Arc<Settings>, config: Arc<rustls::ClientConfig>) -> Http {
        Http { node: Some(config), ..Http::new(settings) }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a request without a body and follows redirects; credentials stay with the origin that they are for.
    pub async fn get(&self, call: &Call) -> Result<Response<Incoming>> {
        let mut call = call.clone();
        for _ in 0..REDIRECTS {
            let response = self.bounded(&call, self.send(&call, empty())).await?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| response.status().is_redirection()) else { return Ok(response) };
            let next = redirect(&call.url, location, call.insecure);
            let next = next.map_err(|reason| Error::Redirect { url: shown(&call.url), reason })?;
            if !next.same_origin {
                call.authorization = None;
                call.insecure = super::origin::may_be_insecure(&next.url, &self.settings.insecure);
            }
            call.url = next.url;
        }
        Err(Error::Redirect { url: shown(&call.url), reason: "there are too many" })
    }

    /// Sends a request with a small body.
    pub async fn post(&self, call: &Call, body: impl Into<Bytes>) -> Result<Response<Incoming>> {
        self.bounded(call, self.send(call, full(body))).await
    }

    /// Sends a request; the wait for its answer has no bound but the caller's.
    pub async fn send(&self, call: &Call, body: Body) -> Result<Response<Incoming>> {
        let client = self.client(&call.url, call.insecure)?;
        let mut request = call.request(body)?;
        let proxies = self.node.is_none().then_some(&self.settings.proxies);
        if let Some(value) = proxies.and_then(|proxies| proxies.authorization(request.uri())) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        client.request(request).await.map_err(|error| failure(&call.url, &error))
    }

    async fn bounded<T>(&self, call: &Call, work: impl Future<Output = Result<T>>) -> Result<T> {
        let patience = self.settings.patience.max(CONNECT);
        tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
            let (host, what) = (authority(&call.url), format!("the answer to {} {}", call.method, call.url.path()));
            Err(Error::Broken { host, what, reason: silence(patience) })
        })
    }

    fn client(&self, url: &Url, insecure: bool) -> Result<Https> {
        let host = authority(url);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(host.clone(), insecure)) {
            return Ok(client.clone());
        }
        let mut tcp = HttpConnector::new_with_resolver(self.names.clone());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let (config, proxies, patience) = match &self.node {
            Some(config) => (rustls::ClientConfig::clone(config), Proxies::default(), CONNECT_NODE),
            None => {
                let config = tls::config(&host, insecure, &self.settings.certificates)?;
                (config, self.settings.proxies.clone(), CONNECT)
            }
        };
        tcp.set_connect_timeout(Some(patience));
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new()).build(connector.wrap_connector(Connector { proxies, tcp }));
        clients.insert((host, insecure), Https::clone(&client));
        Ok(client)
    }

    /// The next piece of a body, within patience; `None` at its end.
    pub async fn chunk(&self, url: &Url, body: &mut Incoming) -> Result<Option<Bytes>> {
        let broken = |reason: String| Error::Broken { host: authority(url), what: "the answer".to_owned(), reason };
        loop {
            match tokio::time::timeout(self.settings.patience, body.frame()).await {
                Err(_) => return Err(broken(silence(self.settings.patience))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(broken(reasons(&error))),
                // Trailers say nothing that is needed.
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => continue,
                },
            }
        }
    }

    /// The whole body, if it has at most `limit` bytes.
    pub async fn read(&self, url: &Url, mut body: Incoming, limit: u64, what: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(url, &mut body).await? {
            let actual = bytes.len() as u64 + chunk.len() as u64;
            if actual > limit {
                return Err(crate::Error::TooLarge { what: what.to_owned(), actual, limit }.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Makes an error of an answer with an unexpected status.
    pub async fn unexpected(&self, method: &'static str, url: &Url, response: Response<Incoming>) -> Error {
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        // What can't be read of the explanation doesn't hide the status.
        let body = self.read(url, response.into_body(), ANSWER_MAX, "the explanation").await.unwrap_or_default();
        Error::Status { method, url: shown(url), status, message: problem::message(&body), retry_after }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    backoff::retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

pub fn silence(patience: Duration) -> String {
    format!("nothing came for {} s", patience.as_secs_f64())
}

/// Why a request failed: untrusted, without TLS, or simply out of reach.
fn failure(url: &Url, error: &hyper_util::client::legacy::Error) -> Error {
    let host = authority(url);
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(reason)) => Error::Certificate { host, reason: format!("{reason}") },
        Some(rustls::Error::InvalidMessage(_)) => Error::Plain { host },
        _ if error.is_connect() => Error::Connect { host, reason: reasons(error) },
        _ => Error::Broken { host, what: format!("the answer to {}", url.path()), reason: reasons(error) },
    }
}

/// The error of TLS inside of another one.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // What an io::Error wraps is not its source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| tls_error(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with its causes, in one line.
fn reasons(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // Some say what their cause says.
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}
