//! Registries: pulling and pushing by the OCI distribution specification 1.1 and Docker's registry API (schema 2).
//!
//! | module | | what it is |
//! |---|---|---|
//! | [`origin`] | pure | names to servers, mirrors, insecure ones, where redirects may lead |
//! | [`challenge`], [`problem`], [`range`] | pure | `WWW-Authenticate`, error documents, `Content-Range` |
//! | [`backoff`] | pure | when to try again |
//! | [`credentials`] | pure | Docker's `config.json` |
//! | [`login`] | shell | the same on disk, and credential helpers |
//! | `resolve`, `proxy`, `tls`, `http` | shell | names, ways, trust, requests with bounds on everything |
//! | `auth`, `client` | shell | tokens; manifests, blobs, tags, uploads of one repository |
//! | [`artifact`] | shell | documents that are no image's |
//! | `copy` | shell | images from registry to registry, not unpacked |
//! | `transfer`, `pull`, `push` | shell | layers that several pulls share; whole images |
//! | `peers` | shell | the same from other nodes of the cluster |
//! | [`serve`] | shell | the other side: what a node gives to others |
//!
//! The daemon asks registries; who one is there comes with each request from the command, which reads the user's
//! `config.json`. Nothing here keeps a secret.

pub mod artifact;
mod auth;
pub mod backoff;
pub mod challenge;
mod client;
mod copy;
pub mod credentials;
mod error;
mod event;
mod http;
pub mod login;
pub mod origin;
mod peers;
pub mod problem;
mod proxy;
mod pull;
mod push;
pub mod range;
mod resolve;
mod retry;
pub mod serve;
mod tls;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use url::Url;

pub use client::Document;
pub use copy::Place;
pub use credentials::Credentials;
pub use error::{Error, Result};
pub use event::{Done, Event, LayerState, Reporter};
pub use http::Body;
pub use origin::Insecure;
pub use peers::Peer;
pub use proxy::{Proxies, proxy_shown};
pub use pull::PullRequest;
pub use push::PushRequest;
pub use resolve::lookup;

use crate::digest::Digest;
use crate::reference::Reference;

/// How many layers are downloaded at once, over all pulls: Docker's default.
const DOWNLOADS: usize = 3;
/// How many layers are uploaded at once, over all pushes: Docker's default.
const UPLOADS: usize = 5;

/// What the daemon was told of registries.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Asked first for images of Docker's own registry.
    pub mirrors: Vec<Url>,
    /// May answer without TLS, besides the loopback.
    pub insecure: Vec<Insecure>,
    /// Directories like `/etc/docker/certs.d`; the first that knows a host counts.
    pub certificates: Vec<PathBuf>,
    /// How long a registry may be silent.
    pub patience: Duration,
    /// The proxies on the way to registries.
    pub proxies: Proxies,
}

/// The registries, as a node works with them.
pub struct Registries {
    settings: Arc<Settings>,
    transfers: transfer::Transfers,
    uploads: Semaphore,
}

impl Registries {
    /// Registries under these settings.
    pub fn new(settings: Settings) -> Registries {
        Registries {
            settings: Arc::new(settings),
            transfers: transfer::Transfers::new(DOWNLOADS),
            uploads: Semaphore::new(UPLOADS),
        }
    }

    /// What it was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks the registry `domain` whether it takes `credentials`; a token that it gave instead of the password comes back.
    ///
    /// # Errors
    /// [`Error::Login`] if it doesn't, and whatever kept it from answering.
    pub async fn login(&self, domain: &str, credentials: Credentials) -> Result<Option<String>> {
        let http = http::Http::new(Arc::clone(&self.settings));
        let endpoint = origin::endpoints(domain, &[], &self.settings.insecure)?.pop();
        let endpoint =
            endpoint.ok_or(Error::Setting { text: domain.to_owned(), reason: "it is no host of a registry" })?;
        client::login(&http, &endpoint, credentials).await
    }

    /// The digest under which the registry has `reference` now; without tag and digest, its tag is `latest`. Nothing is pulled.
    ///
    /// # Errors
    /// In words for who asked.
    pub async fn resolve(&self, reference: &Reference, credentials: Option<&Credentials>) -> Result<Digest> {
        let name = reference.clone().with_default_tag();
        let wanted = name.digest().map_or_else(|| name.tag().unwrap_or_default().to_owned(), ToString::to_string);
        for repository in self.repositories(&name, credentials)? {
            match repository.manifest(&wanted).await {
                Ok(found) => return Ok(found.descriptor.digest),
                Err(error) if repository.is_mirror() => {
                    tracing::warn!(mirror = repository.host(), image = %name, %error, "a mirror is passed over");
                }
                Err(error) => return Err(error.of_pull(&name)),
            }
        }
        Err(Error::Thread("looking for a registry"))
    }

    /// A client of `reference`'s repository at each of its endpoints, mirrors first.
    fn repositories(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<Arc<client::Repository>>> {
        let http = Arc::new(http::Http::new(Arc::clone(&self.settings)));
        let endpoints = origin::endpoints(reference.domain(), &self.settings.mirrors, &self.settings.insecure)?;
        let repository = |endpoint: origin::Endpoint| {
            let credentials = credentials.filter(|_| !endpoint.mirror).cloned();
            Arc::new(client::Repository::new(Arc::clone(&http), endpoint, reference.clone(), credentials))
        };
        Ok(endpoints.into_iter().map(repository).collect())
    }
}
