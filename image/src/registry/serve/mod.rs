//! The other side of the OCI distribution API: what servers answer.
//!
//! - [`route`]: paths, pure · [`answer`]: answers that all servers give alike · [`node`]: a node's images, for other nodes
//! - [`hosted`]: a registry

pub mod answer;
pub mod hosted;
pub mod node;
pub mod route;

pub use answer::Answer;
pub use hosted::Registry;
pub use node::NodeImages;

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

/// How long the head of a request may take, and how long a connection may say nothing between two.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers what comes over one connection, until it ends.
pub async fn connection<I, F, A>(stream: I, answer: F)
where
    I: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection of somebody who wants images broke off");
    }
}
