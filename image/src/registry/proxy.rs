//! Proxies on the way to registries, by the variables that everybody has: HTTP_PROXY, HTTPS_PROXY, NO_PROXY and their
//! lower-case forms. A registry with TLS is reached through a tunnel (CONNECT), one without by the proxy's own requests.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::resolve::Names;

/// Which proxy leads where.
#[derive(Clone, Default)]
pub struct Proxies(Option<Arc<Matcher>>);

/// Nothing of it: a proxy's URL may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Proxies(environment)" } else { "Proxies(none)" })
    }
}

/// What a variable of proxies, in capitals or not, says in this process's environment, with marks for a name and a password.
pub fn proxy_shown(variable: &str) -> String {
    let value = [variable.to_owned(), variable.to_lowercase()].into_iter().find_map(|name| std::env::var(name).ok());
    masked(&value.unwrap_or_default())
}

fn masked(text: &str) -> String {
    match text.rsplit_once('@') {
        None => text.to_owned(),
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}xxxxx:xxxxx@{host}")
        }
    }
}

impl Proxies {
    /// Those of this process's environment.
    pub fn from_environment() -> Self {
        Self(Some(Arc::new(Matcher::from_env())))
    }

    /// The proxy on the way to `uri`. This machine is never reached through one.
    fn to(&self, uri: &Uri) -> Option<Intercept> {
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let is_own = host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        self.0.as_ref().filter(|_| !is_own)?.intercept(uri)
    }

    /// What a request that the proxy makes itself must show it.
    pub fn authorization(&self, uri: &Uri) -> Option<HeaderValue> {
        let plain = uri.scheme_str() == Some("http");
        self.to(uri).filter(|_| plain)?.basic_auth().cloned()
    }
}

/// Makes connections, through a proxy where there is one.
#[derive(Clone)]
pub struct Connector {
    pub proxies: Proxies,
    pub tcp: HttpConnector<Names>,
}

/// A connection to a server, or to a proxy that stands for it.
pub struct Stream {
    inner: TokioIo<TcpStream>,
    by_proxy: bool,
}

type BoxError = Box<dyn StdError + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        let Some(proxy) = self.proxies.to(&uri) else {
            let connecting = tcp.call(uri);
            return Box::pin(async { Ok(Stream { inner: connecting.await?, by_proxy: false }) });
        };
        Box::pin(async move {
            let address = proxy.uri().clone();
            let shown =
                format!("the proxy {}:{}", address.host().unwrap_or_default(), address.port_u16().unwrap_or(80));
            if address.scheme_str() != Some("http") {
                let scheme = address.scheme_str().unwrap_or_default();
                return Err(format!("{shown} is one with {scheme}://, and only http:// is supported").into());
            }
            let failed = |error: BoxError| -> BoxError { io::Error::other(format!("{shown}: {error}")).into() };
            if uri.scheme_str() != Some("https") {
                let inner = tcp.call(address).await.map_err(|error| failed(error.into()))?;
                return Ok(Stream { inner, by_proxy: true });
            }
            let mut tunnel = Tunnel::new(address, tcp);
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let inner = tunnel.call(uri).await.map_err(|error| failed(error.into()))?;
            Ok(Stream { inner, by_proxy: false })
        })
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().proxy(self.by_proxy)
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_password() {
        assert_eq!(masked("http://me:secret@proxy:3128/"), "http://xxxxx:xxxxx@proxy:3128/");
        assert_eq!(masked("me:s3:@cret@proxy"), "xxxxx:xxxxx@proxy");
        assert_eq!((masked("http://proxy:3128").as_str(), masked("").as_str()), ("http://proxy:3128", ""));
    }

    fn proxies(no: &str) -> Proxies {
        let matcher = Matcher::builder().http("plain:3128").https("http://user:secret@tls:8080").no(no).build();
        Proxies(Some(Arc::new(matcher)))
    }

    #[test]
    fn the_environment_says_who_is_asked() {
        let all = proxies("corp.test,10.0.0.0/8");
        let to = |uri: &str| all.to(&uri.parse().unwrap()).map(|proxy| proxy.uri().to_string()).unwrap_or_default();
        assert!(to("http://r.test/v2/").contains("plain:3128"));
        assert!(to("https://r.test/v2/").contains("tls:8080"));
        for own in [
            "https://corp.test/",
            "https://a.corp.test/",
            "https://10.1.2.3:5000/",
            "http://localhost:5000/",
            "http://127.0.0.1:5000/",
            "http://[::1]:5000/",
        ] {
            assert_eq!(to(own), "", "{own}");
        }
        assert_eq!(all.authorization(&"https://r.test/".parse().unwrap()), None, "the tunnel shows it");
        assert!(!format!("{all:?}").contains("secret"));
        assert!(Proxies::default().to(&"http://r.test/".parse().unwrap()).is_none());
    }
}
