//! Connections that managers call for: this node opens each, and answers its own API on it as far as that is for others.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use api::carried::{self, PIECES, WINDOW};
use api::client::{FRAME_MAX, dispatcher_client};
use api::dispatcher::{Call, Piece};
use http::{Request, Response};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server;
use tower_service::Service;

use crate::session::Managers;
use crate::{Error, Result};

/// Most connections at once. Managers ask for fewer.
const MAX: usize = 256;

/// Opens connections, which end with it.
pub struct Carrier {
    services: watch::Receiver<Option<Routes>>,
    open: Mutex<JoinSet<()>>,
}

impl Carrier {
    /// Answers with these services, once they are there.
    pub fn new(services: watch::Receiver<Option<Routes>>) -> Self {
        Self { services, open: Mutex::default() }
    }

    /// Opens the connection that a call is for, at the manager of the session that it has come in.
    pub fn open(&self, managers: Managers, failures: usize, call: Call) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while open.try_join_next().is_some() {}
        if open.len() >= MAX {
            tracing::warn!("{MAX} connections for managers are open: one more is not opened");
            return;
        }
        let services = self.services.clone();
        open.spawn(async move {
            if let Err(error) = answer(services, &managers, failures, call.ticket).await {
                tracing::info!(%error, "a manager called, and could not be answered");
            }
        });
    }
}

async fn answer(
    mut services: watch::Receiver<Option<Routes>>,
    managers: &Managers,
    failures: usize,
    ticket: Vec<u8>,
) -> Result<()> {
    let broken = |reason: &str| Error::Session(reason.to_owned());
    let known = services.wait_for(Option::is_some).await.ok().and_then(|known| known.clone());
    let services = known.ok_or_else(|| broken("the agent is shutting down"))?;
    // A connection of its own: who reads slowly must not hold up assignments and heartbeats.
    let mut client = dispatcher_client(managers.connect(failures).await?);
    let (outgoing, pieces) = mpsc::channel(PIECES);
    // The channel is new and empty.
    let _ = outgoing.try_send(Piece { data: ticket });
    let incoming = client.carry(ReceiverStream::new(pieces)).await.map_err(|status| broken(status.message()))?;
    let (stream, moved) = carried::carry(incoming.into_inner(), outgoing, |piece| piece);
    let server = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(FRAME_MAX)
        .layer(tower_layer(services))
        .add_routes(Routes::default())
        .serve_with_incoming(tokio_stream::once(Ok::<_, std::io::Error>(stream)));
    server.await.map_err(|error| broken(&error.to_string()))?;
    moved.await;
    Ok(())
}

fn tower_layer(services: Routes) -> impl tower::Layer<Routes, Service = ForOthers> + Clone {
    tower::layer::layer_fn(move |_: Routes| ForOthers { services: services.clone() })
}

/// The services, as far as they are for others.
#[derive(Clone)]
struct ForOthers {
    services: Routes,
}

impl Service<Request<Body>> for ForOthers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if !carried::is_answered(path) {
            let status = Status::permission_denied(format!("this node does not answer {path} for others"));
            return Box::pin(async move { Ok(status.into_http()) });
        }
        tracing::debug!(path, "answering for a manager");
        let mut services = self.services.clone();
        Box::pin(async move { services.call(request).await })
    }
}
