//! The way to the manager of this node, while there is one.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use manager::gate::Gate;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower_service::Service;

/// What a worker answers to commands for the cluster.
const WORKER: &str = "this node is not a manager: worker nodes can't be used to view or modify cluster state. Run this command on a \
                      manager (`orca info` lists them), choose one with --context or --host, or promote this node there";

/// Whether a request is for a manager.
fn is_a_managers(path: &str) -> bool {
    const SERVICES: [&str; 4] = [
        "/orca.control.v1.Control/",
        "/orca.dispatcher.v1.Dispatcher/",
        "/orca.swarm.v1.Membership/",
        "/orca.swarm.v1.Raft/",
    ];
    SERVICES.iter().any(|service| path.starts_with(service))
}

/// Leads requests for a manager to the one of this node, and the others to the services beside.
#[derive(Clone)]
pub struct Door {
    manager: watch::Receiver<Option<Gate>>,
    locked: watch::Receiver<bool>,
    beside: Option<Routes>,
}

impl Door {
    /// To the manager only: for agents, nodes and other managers.
    pub fn of_managers(manager: watch::Receiver<Option<Gate>>, locked: watch::Receiver<bool>) -> Self {
        Self { manager, locked, beside: None }
    }

    /// To both: for commands.
    pub fn beside(manager: watch::Receiver<Option<Gate>>, locked: watch::Receiver<bool>, services: Routes) -> Self {
        Self { manager, locked, beside: Some(services) }
    }
}

impl Service<Request<Body>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if self.beside.is_some() {
            // Who gives this node commands, here or over TLS, is root here; the certificate is not of the cluster.
            request.extensions_mut().remove::<api::listener::Caller>();
        }
        // What another node is to answer goes through a manager too.
        let of_manager = is_a_managers(request.uri().path()) || request.headers().contains_key(api::carried::NODE);
        let (gate, beside) = (self.manager.borrow().clone(), self.beside.clone());
        let is_locked = *self.locked.borrow();
        Box::pin(async move {
            match (of_manager, gate, beside) {
                (true, Some(mut gate), _) => gate.call(request).await,
                (true, None, _) if is_locked => {
                    Ok(Status::failed_precondition(manager::Error::Locked.to_string()).into_http())
                }
                (true, None, _) => Ok(Status::failed_precondition(WORKER).into_http()),
                (false, _, Some(mut services)) => services.call(request).await,
                (false, _, None) => Ok(Status::unimplemented("this port is for nodes of the cluster").into_http()),
            }
        })
    }
}
