//! `action: rebuild`: the one place where watching meets building.

use std::collections::BTreeSet;

use crate::client::Client;
use crate::compose::project::Loaded;
use crate::error::{Error, Result};

/// Whether these services can be built anew when their files change.
pub fn check(_loaded: &Loaded, services: &BTreeSet<String>) -> Result<()> {
    if services.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = services.iter().map(String::as_str).collect();
    Err(Error::Unsupported {
        what: format!("develop.watch with the action rebuild (services {})", names.join(", ")),
        instead: "building images comes later; `sync`, `restart`, `sync+restart` and `sync+exec` work".into(),
    })
}

/// Builds the images of these services, and makes their containers again.
pub async fn rebuild(_client: &mut Client, loaded: &Loaded, services: &BTreeSet<String>) -> Result<()> {
    check(loaded, services)
}
