//! `action: rebuild`: the one place where watching meets building.

use std::collections::BTreeSet;

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

/// Builds the images of these services, and makes their containers again.
pub async fn rebuild(client: &mut Client, loaded: &Loaded, services: &BTreeSet<String>) -> Result<()> {
    build::build_services(client, loaded, services, false).await?;
    let services: Vec<String> = services.iter().cloned().collect();
    up::start(client, loaded, &services).await
}
