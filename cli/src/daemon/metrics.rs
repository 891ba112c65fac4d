//! `orca daemon --metrics-addr ADDRESS[:PORT]`: what the node counts, for Prometheus, at `/metrics`. Plain HTTP, as Docker's is.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use agent::containers::Containers;
use agent::stats::Reader;
use http::{Method, Request, Response, StatusCode, header};
use model::Metric;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server;
use tower_service::Service;

use super::cluster::Cluster;
use crate::error::{Error, Result};

/// Where Docker's daemon has its own.
const PORT: u16 = 9323;

/// An address, with a port or without.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = || text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    text.parse()
        .or_else(|_| bare())
        .map_err(|_| format!("expected an address of this machine, such as 127.0.0.1:{PORT}"))
}

/// What is counted, and by whom.
#[derive(Clone)]
pub struct Metrics {
    containers: Containers,
    data_dir: PathBuf,
    cluster: Arc<Cluster>,
    /// One reads at a time: who asks twice as often waits.
    reader: Arc<Mutex<Reader>>,
}

impl Metrics {
    /// Counts these.
    pub fn new(containers: Containers, data_dir: PathBuf, cluster: Arc<Cluster>) -> Self {
        Self { containers, data_dir, cluster, reader: Arc::default() }
    }

    /// Answers at this address until it is dropped.
    pub async fn serve(self, address: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(address).await.map_err(|error| Error::Start {
            action: "listen",
            reason: format!(
                "{address}: {error}; choose another address or port with --metrics-addr, or stop who has it"
            ),
        })?;
        tracing::info!(%address, "metrics are at /metrics");
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tokio::spawn(async move {
            let layer = tower::layer::layer_fn(move |_: Routes| self.clone());
            // A client that says nothing, or reads nothing, is let go.
            let server = Server::builder().accept_http1(true).timeout(TIMEOUT).concurrency_limit_per_connection(1);
            if let Err(error) = server.layer(layer).add_routes(Routes::default()).serve_with_incoming(incoming).await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
        Ok(())
    }

    async fn text(self) -> String {
        let mut metrics = vec![
            Metric::gauge("orca_build_info", "The program; always 1.")
                .of_each("version", [(env!("CARGO_PKG_VERSION").to_owned(), 1_u32)]),
            Metric::gauge("orca_session_connected", "Whether the node has a session with a manager.")
                .of(self.cluster.has_session()),
        ];
        let manager = self.cluster.manager().await;
        let read = move || {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            metrics.extend(of_process());
            metrics.extend(agent::metrics::metrics(&self.containers, &self.data_dir, &mut reader));
            metrics.extend(manager.map(|manager| manager.metrics()).unwrap_or_default());
            model::exposition(&metrics)
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }
}

/// How long an answer may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

impl Service<Request<Body>> for Metrics {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (of, is_read) = (self.clone(), matches!(*request.method(), Method::GET | Method::HEAD));
        let is_there = request.uri().path() == "/metrics";
        Box::pin(async move {
            Ok(match (is_there, is_read) {
                (false, _) => answer(StatusCode::NOT_FOUND, "Metrics are at /metrics.\n".into()),
                (true, false) => answer(StatusCode::METHOD_NOT_ALLOWED, "Metrics are read with GET.\n".into()),
                (true, true) => answer(StatusCode::OK, of.text().await),
            })
        })
    }
}

fn answer(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(text));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// What the daemon's own process uses, under the names that Prometheus's clients use. What can't be read is left out.
fn of_process() -> Vec<Metric> {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold anything; the first of these is field 3. (proc_pid_stat(5))
    let fields: Vec<u64> = stat.rsplit_once(") ").map_or_else(Vec::new, |(_, rest)| {
        rest.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect()
    });
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let field = |number: usize| fields.get(number - 3).copied();
    let mut metrics = Vec::new();
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let milliseconds = (user + system).saturating_mul(1000) / ticks;
        let seconds = std::time::Duration::from_millis(milliseconds).as_secs_f64();
        metrics.push(Metric::counter("process_cpu_seconds_total", "CPU time of the daemon.").of(seconds));
    }
    if let Some(pages) = field(24) {
        let bytes = pages.saturating_mul(rustix::param::page_size() as u64);
        metrics.push(Metric::gauge("process_resident_memory_bytes", "Memory of the daemon.").of(bytes));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // Reading the directory opens one.
        let open = open.count().saturating_sub(1);
        metrics.push(Metric::gauge("process_open_fds", "Descriptors that the daemon has open.").of(open));
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        metrics.push(Metric::gauge("process_max_fds", "Descriptors that it may have open.").of(most));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_lack_a_port() {
        assert_eq!(address("127.0.0.1").unwrap().to_string(), "127.0.0.1:9323");
        assert_eq!(address("[::1]").unwrap().to_string(), "[::1]:9323");
        assert_eq!(address("0.0.0.0:80").unwrap().to_string(), "0.0.0.0:80");
        assert!(address("localhost").unwrap_err().contains("127.0.0.1:9323"));
    }

    #[test]
    fn a_process_knows_what_it_uses() {
        let metrics = of_process();
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name).collect();
        assert_eq!(
            names,
            ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"]
        );
        assert!(metrics.iter().skip(1).all(|metric| metric.samples[0].value > 0.0));
    }
}
