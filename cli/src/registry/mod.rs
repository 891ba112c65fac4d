//! `orca pull|push|login|logout`, and pulling what `run` and `up` lack.
//!
//! The daemon talks to registries; who one is there is read here, from the user's own Docker configuration.

mod cluster;
mod login;
mod missing;
mod progress;
mod pull;
mod push;
mod serve;

use std::path::PathBuf;
use std::time::Duration;

use api::image::Credentials;
use image::Reference;
use image::registry::login::Logins;
use image::registry::{Insecure, Proxies, Registries, Settings};

pub use cluster::{ResolveImage, in_cluster, pin_images, shown};
pub use login::{LoginArgs, LogoutArgs, login, logout};
pub use missing::{PullFlags, create, find};
pub use progress::Bars;
pub use pull::{PullArgs, digest, pull, pull_image, pull_request};
pub use push::{PushArgs, push, push_image};
pub use serve::{RegistryVerb, run as run_registry};

use crate::daemon::registries::CERTS;
use crate::error::{Error, Result};

/// How long a registry may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

impl From<image::registry::Error> for Error {
    fn from(error: image::registry::Error) -> Self {
        Self::Registry(error.to_string())
    }
}

/// Where the user's Docker configuration is: `$DOCKER_CONFIG`, else `~/.docker`.
pub fn configuration() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))
}

/// Registries as this program itself talks to them; of these some may be insecure.
pub fn direct(insecure: Vec<Insecure>) -> Registries {
    Registries::new(Settings {
        mirrors: Vec::new(),
        insecure,
        certificates: CERTS.iter().map(PathBuf::from).collect(),
        patience: PATIENCE,
        proxies: Proxies::from_environment(),
    })
}

/// The user's logins.
fn logins() -> Result<Logins> {
    let dir = configuration()
        .ok_or_else(|| Error::Registry("neither DOCKER_CONFIG nor HOME says where logins are kept".into()))?;
    Ok(Logins::new(&dir))
}

/// Who one is at the registry of `reference`. Without a place for logins one is nobody.
pub fn logged_in(reference: &Reference) -> Result<Option<image::registry::Credentials>> {
    let Ok(logins) = logins() else { return Ok(None) };
    Ok(logins.get(reference.domain())?)
}

fn credentials(reference: &Reference) -> Result<Option<Credentials>> {
    Ok(logged_in(reference)?.map(wire))
}

fn wire(credentials: image::registry::Credentials) -> Credentials {
    match credentials {
        image::registry::Credentials::Password { username, password } => {
            Credentials { username, password, identity_token: None }
        }
        image::registry::Credentials::IdentityToken(token) => {
            Credentials { identity_token: Some(token), ..Credentials::default() }
        }
    }
}

/// Reads a name that a registry could know.
fn parse(text: &str) -> Result<Reference> {
    text.parse::<Reference>().map_err(|error| Error::Registry(error.to_string()))
}
