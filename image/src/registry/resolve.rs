//! Names of registries to addresses, without the C library's resolver: in a static program it could load modules that crash it
//! (rust-lang/rust#100711).

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hickory_resolver::TokioResolver;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::OnceCell;
use tower_service::Service;

/// Resolves by `/etc/hosts` and the name servers of `/etc/resolv.conf`, which are read when the first name is asked for.
#[derive(Clone, Default)]
pub struct Names {
    resolver: Arc<OnceCell<TokioResolver>>,
}

impl Names {
    async fn addresses(self, host: String) -> io::Result<std::vec::IntoIter<SocketAddr>> {
        // The name that RFC 6761 gives to this machine needs nobody's answer.
        if host == "localhost" || host.ends_with(".localhost") {
            let own = vec![SocketAddr::from(([127, 0, 0, 1], 0)), SocketAddr::from(([0u16, 0, 0, 0, 0, 0, 0, 1], 0))];
            return Ok(own.into_iter());
        }
        let failed = |error: hickory_resolver::net::NetError| io::Error::other(format!("lookup {host}: {error}"));
        let resolver = self.resolver.get_or_try_init(|| async { TokioResolver::builder_tokio()?.build() });
        let found = resolver.await.map_err(failed)?.lookup_ip(host.as_str()).await.map_err(failed)?;
        Ok(found.iter().map(|ip| SocketAddr::new(ip, 0)).collect::<Vec<_>>().into_iter())
    }
}

/// The addresses of a host, by name or as they are.
///
/// # Errors
/// What the name servers say.
pub async fn lookup(host: &str) -> io::Result<Vec<std::net::IpAddr>> {
    match host.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => Ok(Names::default().addresses(host.to_owned()).await?.map(|address| address.ip()).collect()),
    }
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().addresses(name.as_str().to_owned()))
    }
}
