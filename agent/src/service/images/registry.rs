//! `pull`, `push`, `login`, and what a name means at its registry.

use std::time::Duration;

use api::image as wire;
use image::manifest::Platform;
use image::reference::DEFAULT_DOMAIN;
use image::registry::{Credentials, Done, Event, LayerState, PullRequest, PushRequest, Reporter};
use image::{Digest, Reference};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::server::{ImagesService, Outgoing};
use super::{blocking, now_seconds, platform};
use crate::Error;

/// How long a registry may take to say what a name means.
const RESOLVE: Duration = Duration::from_secs(15);
/// News that wait for a slow client.
const AHEAD: usize = 64;

pub async fn pull(service: &ImagesService, request: wire::PullRequest) -> Result<Outgoing<wire::Progress>, Status> {
    let wire::PullRequest { reference, platform: wanted, all_tags, credentials } = request;
    let reference = reference.parse::<Reference>().map_err(Error::from)?;
    if all_tags && (reference.tag().is_some() || reference.digest().is_some()) {
        return Err(Status::invalid_argument("tag can't be used with --all-tags/-a"));
    }
    let request = PullRequest {
        reference,
        all_tags,
        platform: platform(wanted.as_deref())?.unwrap_or_else(Platform::host),
        credentials: credentials.map(self::credentials),
        now: now_seconds(),
    };
    let service = service.clone();
    Ok(tell(|reporter| async move {
        let store = service.containers().images();
        service.registries().pull(store, service.containers().unpacker(), request, &reporter).await
    }))
}

pub async fn push(service: &ImagesService, request: wire::PushRequest) -> Result<Outgoing<wire::Progress>, Status> {
    let wire::PushRequest { reference, all_tags, credentials, platform: wanted } = request;
    let reference = reference.parse::<Reference>().map_err(Error::from)?;
    if all_tags && reference.tag().is_some() {
        return Err(Status::invalid_argument("tag can't be used with --all-tags/-a"));
    }
    let platform = platform(wanted.as_deref())?;
    let credentials = credentials.map(self::credentials);
    let request = PushRequest { reference, all_tags, platform, credentials };
    let service = service.clone();
    Ok(tell(
        |reporter| async move { service.registries().push(service.containers().images(), request, &reporter).await },
    ))
}

pub async fn login(service: &ImagesService, request: wire::LoginRequest) -> Result<wire::LoginReply, Status> {
    let wire::LoginRequest { registry, credentials } = request;
    let credentials = credentials.ok_or_else(|| Status::invalid_argument("a login needs credentials"))?;
    let domain = if registry.is_empty() { DEFAULT_DOMAIN } else { &registry };
    let token = service.registries().login(domain, self::credentials(credentials)).await.map_err(Error::from)?;
    Ok(wire::LoginReply { identity_token: token })
}

pub async fn get_registries(
    service: &ImagesService,
    _: wire::GetRegistriesRequest,
) -> Result<wire::GetRegistriesReply, Status> {
    let settings = service.registries().settings();
    Ok(wire::GetRegistriesReply {
        mirrors: settings.mirrors.iter().map(ToString::to_string).collect(),
        insecure: settings.insecure.iter().map(ToString::to_string).collect(),
        http_proxy: image::registry::proxy_shown("HTTP_PROXY"),
        https_proxy: image::registry::proxy_shown("HTTPS_PROXY"),
        no_proxy: image::registry::proxy_shown("NO_PROXY"),
    })
}

pub async fn resolve(service: &ImagesService, request: wire::ResolveRequest) -> Result<wire::ResolveReply, Status> {
    let wire::ResolveRequest { reference, credentials, cluster } = request;
    let reference = reference.parse::<Reference>().map_err(Error::from)?;
    let credentials = credentials.map(self::credentials);
    let digest = match reference.digest() {
        Some(digest) if cluster => *digest,
        _ if cluster => resolve_for_cluster(service, reference.with_default_tag(), credentials.as_ref()).await?,
        _ => service.registries().resolve(&reference, credentials.as_ref()).await.map_err(Error::from)?,
    };
    Ok(wire::ResolveReply { digest: digest.to_string() })
}

/// What was made or loaded here, then on other nodes, is what the name means; where all that there is has come from a registry, that
/// is asked whether it has another one by now.
async fn resolve_for_cluster(
    service: &ImagesService,
    name: Reference,
    credentials: Option<&Credentials>,
) -> Result<Digest, Status> {
    let (store, wanted) = (service.containers().images().clone(), name.clone());
    let mut known = blocking("looking up an image", move || Ok(store.known(&wanted))).await?;
    if known.is_none_or(|known| known.pulled) {
        let elsewhere = service.containers().sources().known_to_others(&name).await;
        known = elsewhere.filter(|other| known.is_none() || !other.pulled).or(known);
    }
    if let Some(known) = known.filter(|known| !known.pulled) {
        return Ok(known.digest);
    }
    let asked = tokio::time::timeout(RESOLVE, service.registries().resolve(&name, credentials)).await;
    let reason = match (asked, known) {
        (Ok(Ok(digest)), _) => return Ok(digest),
        (_, Some(known)) => return Ok(known.digest),
        (Ok(Err(error)), None) => error.to_string(),
        (Err(_), None) => format!("no answer within {} s", RESOLVE.as_secs()),
    };
    let image = name.familiar();
    Err(Status::not_found(format!("no node of the cluster has the image {image}, nor has its registry: {reason}")))
}

fn credentials(credentials: wire::Credentials) -> Credentials {
    let wire::Credentials { username, password, identity_token } = credentials;
    match identity_token.filter(|token| !token.is_empty()) {
        Some(token) => Credentials::IdentityToken(token),
        None => Credentials::Password { username, password },
    }
}

/// Does `work` and sends its news; a client that goes away ends it.
fn tell<F>(work: impl FnOnce(Reporter) -> F) -> Outgoing<wire::Progress>
where
    F: Future<Output = image::registry::Result<()>> + Send + 'static,
{
    let (events, mut news) = mpsc::channel(AHEAD);
    let work = work(Reporter::new(events));
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let forward = async {
            while let Some(event) = news.recv().await {
                if sender.send(Ok(progress(event))).await.is_err() {
                    return;
                }
            }
        };
        let work = async {
            tokio::select! {
                result = work => result,
                () = sender.closed() => Ok(()),
            }
        };
        let (result, ()) = tokio::join!(work, forward);
        if let Err(error) = result {
            let _ = sender.send(Err(Error::from(error).into())).await;
        }
    });
    ReceiverStream::new(receiver)
}

fn progress(event: Event) -> wire::Progress {
    use wire::progress::Event as Wire;
    let event = match event {
        Event::Message(message) => Wire::Message(message),
        Event::Layer { digest, state, current, total, detail } => {
            let (digest, state) = (digest.to_string(), layer_state(state).into());
            Wire::Layer(wire::LayerProgress { digest, state, current, total, detail })
        }
        Event::Done(Done { reference, digest, changed, id, size }) => {
            let (digest, id) = (digest.to_string(), id.to_string());
            Wire::Done(wire::TransferDone { reference, digest, changed, id, size })
        }
    };
    wire::Progress { event: Some(event) }
}

fn layer_state(state: LayerState) -> wire::LayerState {
    match state {
        LayerState::Preparing => wire::LayerState::Preparing,
        LayerState::Waiting => wire::LayerState::Waiting,
        LayerState::Downloading => wire::LayerState::Downloading,
        LayerState::Downloaded => wire::LayerState::Downloaded,
        LayerState::Extracting => wire::LayerState::Extracting,
        LayerState::Pulled => wire::LayerState::Pulled,
        LayerState::Exists => wire::LayerState::Exists,
        LayerState::Pushing => wire::LayerState::Pushing,
        LayerState::Pushed => wire::LayerState::Pushed,
        LayerState::Mounted => wire::LayerState::Mounted,
        LayerState::Retrying => wire::LayerState::Retrying,
    }
}
