//! `action: rebuild`: the one place where watching meets building.

use std::collections::BTreeSet;

use api::image::PruneRequest;

use crate::client::Client;
use crate::compose::project::Loaded;
use crate::compose::{build, up};
use crate::error::{Error, Result};

/// Whether these services can be built anew when their files change.
pub fn check(loaded: &Loaded, services: &BTreeSet<String>) -> Result<()> {
    for service in services {
        if loaded.build(service)?.is_none() {
            let what = format!("develop.watch with the action rebuild (service {service})");
            return Err(Error::Unsupported { what, instead: "the service has no build section".into() });
        }
    }
    Ok(())
}

/// How images are built again.
#[derive(Debug, Clone, Copy)]
pub struct Rebuilding {
    /// Without showing how it comes along.
    pub quiet: bool,
    /// The images of the project that lose their names go.
    pub prune: bool,
}

/// Builds the images of these services, and makes their containers again.
pub async fn rebuild(
    client: &mut Client,
    loaded: &Loaded,
    services: &BTreeSet<String>,
    rebuilding: Rebuilding,
) -> Result<()> {
    build::build_services(client, loaded, services, rebuilding.quiet).await?;
    let services: Vec<String> = services.iter().cloned().collect();
    up::start(client, loaded, &services, rebuilding.quiet).await?;
    if rebuilding.prune {
        let filters = vec![format!("label=com.docker.compose.project={}", loaded.name())];
        client.images.prune(PruneRequest { all: false, filters }).await?;
    }
    Ok(())
}
