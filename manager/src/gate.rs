//! What stands before a manager's services: it knows who asks, refuses what is not theirs, and passes on to the leader what only the
//! leader answers, saying for whom.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use api::client::MESSAGE_MAX;
use api::identity::peer;
use api::listener::Caller as Connected;
use api::remote::ClientConfig;
use api::tls::CertificateDer;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower_service::Service;

use crate::access::{self, Caller};
use crate::raft::Leadership;
use crate::reach::{self, Reach};
use crate::store::Store;

/// For whom another manager asks: a certificate in base64, or [`NOBODY`].
const ON_BEHALF: HeaderName = HeaderName::from_static("orca-on-behalf-of");
const NOBODY: &str = "-";

/// Most bytes of a request of somebody without a certificate.
const STRANGERS: usize = 64 << 10;
/// How long a request may wait for a leader.
const ELECTION: Duration = Duration::from_secs(10);
/// How long is waited for another leader before one that does not answer is asked again.
const RETRY: Duration = Duration::from_millis(100);
/// How long a connection to the leader may take.
const CONNECT: Duration = Duration::from_secs(2);

/// A manager's services, guarded.
#[derive(Clone)]
pub struct Gate {
    inner: Routes,
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<Store>,
    reach: Arc<Reach>,
    /// How this manager speaks to others; `None` while it is alone.
    tls: watch::Receiver<Option<Arc<ClientConfig>>>,
    /// The connection to the leader at this address.
    leader: Mutex<Option<(String, Channel)>>,
}

impl Gate {
    /// Guards `inner`.
    pub(crate) fn new(
        inner: Routes,
        store: Arc<Store>,
        reach: Arc<Reach>,
        tls: watch::Receiver<Option<Arc<ClientConfig>>>,
    ) -> Self {
        Self { inner, shared: Arc::new(Shared { store, reach, tls, leader: Mutex::default() }) }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Service<Request<Body>> for Gate {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let gate = self.clone();
        Box::pin(async move { Ok(gate.serve(request).await.unwrap_or_else(|status| status.into_http())) })
    }
}

/// A certificate, if any, and whether there was a connection that could have shown one.
enum Origin {
    Local,
    Network(Option<CertificateDer<'static>>),
}

impl Gate {
    async fn serve(mut self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let path = request.uri().path().to_owned();
        let direct = match request.extensions().get::<Connected>() {
            None => Origin::Local,
            Some(connected) => Origin::Network(connected.certificate.clone()),
        };
        let asks = self.identify(&direct, &path)?;
        let (origin, caller) = match on_behalf(request.headers_mut())? {
            None => (direct, asks),
            // Only managers are believed when they name another.
            Some(origin) if matches!(asks, Caller::Node { role: model::NodeRole::Manager, .. }) => {
                let caller = self.identify(&origin, &path)?;
                (origin, caller)
            }
            Some(_) => return Err(Status::permission_denied("only managers ask on behalf of others")),
        };
        if let Some(node) = request.headers().get(reach::NODE) {
            access::check_reach(&path, caller).map_err(Status::permission_denied)?;
            let node = node.to_str().ok().and_then(|node| node.parse().ok());
            let node = node.ok_or_else(|| Status::invalid_argument("the node that is meant is no id of a node"))?;
            return match self.leader().await? {
                None => self.shared.reach.call(node, request).await,
                Some(leader) => self.pass_on_apart(&leader, mark(request, &origin)?).await,
            };
        }
        access::check(&path, caller).map_err(Status::permission_denied)?;
        request.extensions_mut().insert(caller);
        if !access::is_the_leaders(&path) {
            return answer(&mut self.inner, request).await;
        }
        if access::is_a_stream(&path) {
            return match self.leader().await? {
                None => answer(&mut self.inner, request).await,
                Some(leader) if access::is_apart(&path) => self.pass_on_apart(&leader, mark(request, &origin)?).await,
                Some(leader) => self.pass_on(&leader, mark(request, &origin)?).await.map_err(Lost::into_status),
            };
        }
        let longest = if caller == Caller::Stranger { STRANGERS } else { MESSAGE_MAX };
        self.serve_by_leader(request, &origin, longest).await
    }

    /// Has the leader answer, and the next one if it goes away meanwhile: what is asked twice says the same as what is asked once.
    async fn serve_by_leader(
        &mut self,
        request: Request<Body>,
        origin: &Origin,
        longest: usize,
    ) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, longest).collect().await;
        let body = body.map_err(|error| Status::cancelled(format!("the request broke off: {error}")))?.to_bytes();
        let deadline = Instant::now() + ELECTION;
        loop {
            let request = Request::from_parts(parts.clone(), Body::new(Full::new(body.clone())));
            let leader = self.leader().await?;
            let mut leadership = self.shared.store.leadership();
            let other = |now: &Leadership| match (&leader, now) {
                (None, now) => !matches!(now, Leadership::Leads { .. }),
                (leader, Leadership::Follows { leader: now }) => leader != now,
                _ => true,
            };
            let lost = tokio::select! {
                answer = self.ask(leader.as_deref(), request, origin) => match answer {
                    Ok(answer) => return Ok(answer),
                    Err(lost) => lost,
                },
                _ = leadership.wait_for(other) => Lost::new(leader.as_deref(), "another one leads".into()),
            };
            self.forget();
            if Instant::now() > deadline {
                return Err(lost.into_status());
            }
            let _ = tokio::time::timeout(RETRY, leadership.wait_for(other)).await;
        }
    }

    /// Has the leader answer: this manager where none is named.
    async fn ask(
        &mut self,
        leader: Option<&str>,
        request: Request<Body>,
        origin: &Origin,
    ) -> Result<Response<Body>, Lost> {
        let lost = |status: Status| Lost::new(leader, status.message().to_owned());
        if let Some(leader) = leader {
            return self.pass_on(leader, mark(request, origin).map_err(lost)?).await;
        }
        let answer = answer(&mut self.inner, request).await.map_err(lost)?;
        match Status::from_header_map(answer.headers()) {
            // It took itself for the leader, and others lead or nobody does: that is over before long.
            Some(status) if status.code() == Code::Unavailable => Err(lost(status)),
            _ => Ok(answer),
        }
    }

    fn identify(&self, origin: &Origin, path: &str) -> Result<Caller, Status> {
        match origin {
            Origin::Local => Ok(Caller::Local),
            Origin::Network(None) => Ok(Caller::Stranger),
            Origin::Network(Some(certificate)) => {
                let peer = peer(certificate);
                let peer = peer.ok_or_else(|| Status::unauthenticated("the certificate names no node of a cluster"))?;
                let state = self.shared.store.snapshot();
                if state.cluster.is_none() && access::is_the_leaders(path) {
                    return Err(Status::unavailable("this manager is not up to date yet: try another one"));
                }
                access::identify(&state, &peer, path).map_err(Status::permission_denied)
            }
        }
    }

    /// Where the leader is; `None`: here.
    async fn leader(&self) -> Result<Option<String>, Status> {
        let mut leadership = self.shared.store.leadership();
        let known = leadership.wait_for(|now| !matches!(now, Leadership::Follows { leader: None }));
        let unavailable = |reason: &str| Status::unavailable(reason.to_owned());
        match tokio::time::timeout(ELECTION, known).await.map(|known| known.map(|known| known.clone())) {
            Ok(Ok(Leadership::Leads { .. })) => Ok(None),
            Ok(Ok(Leadership::Follows { leader })) => Ok(leader),
            Ok(Ok(Leadership::Stopped { reason })) => Err(unavailable(&format!("this manager has stopped: {reason}"))),
            Ok(Err(_)) => Err(unavailable("this manager has stopped")),
            Err(_) => Err(unavailable(
                "the managers have no leader: more than half of them must run and reach each other (see `orca node ls` and \
                 the daemons' logs)",
            )),
        }
    }

    async fn pass_on(&self, leader: &str, request: Request<Body>) -> Result<Response<Body>, Lost> {
        let lost = |reason: String| Lost::new(Some(leader), reason);
        let mut channel = self.channel(leader).await.map_err(|status| lost(status.message().to_owned()))?;
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.map_err(|error| lost(error.to_string()))?;
        let answer = channel.call(request).await.map_err(|error| lost(error.to_string()))?;
        // It no longer leads, or does not yet.
        match Status::from_header_map(answer.headers()) {
            Some(status) if status.code() == Code::Unavailable => Err(lost(status.message().to_owned())),
            _ => Ok(answer),
        }
    }

    /// Passes on over a connection of its own: who reads slowly holds up nobody else.
    async fn pass_on_apart(&self, leader: &str, request: Request<Body>) -> Result<Response<Body>, Status> {
        let lost = |reason: String| Lost::new(Some(leader), reason).into_status();
        let mut channel = self.connect(leader).await?;
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.map_err(|error| lost(error.to_string()))?;
        let answer = channel.call(request).await.map_err(|error| lost(error.to_string()))?;
        Ok(reach::from_manager(answer, leader, channel))
    }

    fn forget(&self) {
        *self.shared.leader.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn channel(&self, leader: &str) -> Result<Channel, Status> {
        {
            let known = self.shared.leader.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((address, channel)) = &*known
                && address == leader
            {
                return Ok(channel.clone());
            }
        }
        let channel = self.connect(leader).await?;
        let mut known = self.shared.leader.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((leader.to_owned(), channel.clone()));
        Ok(channel)
    }

    async fn connect(&self, leader: &str) -> Result<Channel, Status> {
        let tls = self.shared.tls.borrow().clone();
        let tls = tls.ok_or_else(|| Status::unavailable("this manager has no certificate yet"))?;
        let address = leader.parse().map_err(|_| Status::internal(format!("{leader:?} is no address of a manager")))?;
        let channel = api::remote::connect_manager(address, tls, CONNECT).await;
        channel.map_err(|error| Status::unavailable(error.to_string()))
    }
}

/// The leader, or this manager that leads, did not answer.
struct Lost {
    leader: Option<String>,
    reason: String,
}

impl Lost {
    fn new(leader: Option<&str>, reason: String) -> Self {
        Self { leader: leader.map(str::to_owned), reason }
    }

    fn into_status(self) -> Status {
        Status::unavailable(match self {
            Self { leader: Some(leader), reason } => {
                format!("the manager that leads ({leader}) does not answer: {reason}; look before trying again")
            }
            Self { leader: None, reason } => reason,
        })
    }
}

async fn answer(services: &mut Routes, request: Request<Body>) -> Result<Response<Body>, Status> {
    services.call(request).await.map_err(|error| match error {})
}

/// Says for whom it is asked.
fn mark(mut request: Request<Body>, origin: &Origin) -> Result<Request<Body>, Status> {
    let value = match origin {
        Origin::Local => return Ok(request),
        Origin::Network(None) => HeaderValue::from_static(NOBODY),
        Origin::Network(Some(certificate)) => HeaderValue::from_str(&api::identity::to_text(certificate))
            .map_err(|error| Status::internal(error.to_string()))?,
    };
    request.headers_mut().insert(ON_BEHALF, value);
    Ok(request)
}

fn on_behalf(headers: &mut HeaderMap) -> Result<Option<Origin>, Status> {
    let Some(value) = headers.remove(ON_BEHALF) else { return Ok(None) };
    let bad = || Status::invalid_argument("the certificate that is asked for cannot be read");
    let text = value.to_str().map_err(|_| bad())?;
    if text == NOBODY {
        return Ok(Some(Origin::Network(None)));
    }
    let certificate = api::identity::from_text(text).ok_or_else(bad)?;
    Ok(Some(Origin::Network(Some(certificate))))
}
