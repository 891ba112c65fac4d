//! Volumes that are there, but not as the file has them now: Compose asks whether to make them again, and so does this.

use std::collections::{BTreeMap, BTreeSet};

use api::control::RemoveStackRequest;
use api::node::{ListVolumesRequest, RemoveVolumeRequest, Volume};
use model::{MountSource, ServiceSpec, Stack, VolumeSpec};

use super::down;
use crate::client::Client;
use crate::error::Result;
use crate::output::progress;
use crate::terminal;

/// What begins the labels that Compose itself gives.
const OWN_LABELS: &str = "com.docker.compose.";

/// Makes volumes that the file has changed again, with the containers that use them, if the user wants that: what is in them is lost.
pub async fn renew(client: &mut Client, stack: &Stack, yes: bool) -> Result<()> {
    for name in changed(client, stack).await? {
        let question = format!(
            "Volume {name:?} exists but doesn't match configuration in compose file. Recreate (data will be lost)?"
        );
        let agreed = yes || (terminal::stdin_is_terminal() && terminal::confirm(&question)?);
        if !agreed {
            eprintln!(
                "WARNING: volume {name} is not as the Compose file has it and stays as it is; --yes makes it again, without what is in it"
            );
            continue;
        }
        let users = stack.services.iter().filter(|service| uses(service, &name));
        let services: Vec<String> = users.map(|service| service.key().to_owned()).collect();
        let request = RemoveStackRequest { stack: stack.name.clone(), services: services.clone() };
        let version = client.control.remove_stack(request).await?.into_inner().version;
        down::wait(client, &stack.name, &services, version).await?;
        down::wait_for_containers(client, &stack.name, &services).await?;
        client.node.remove_volume(RemoveVolumeRequest { volume: name.clone(), force: false }).await?;
        progress::done("Volume", &name, "Removed");
    }
    Ok(())
}

/// Volumes of the project that exist with other options or labels than its file gives them.
pub async fn changed(client: &mut Client, stack: &Stack) -> Result<BTreeSet<String>> {
    let declared: BTreeMap<&str, &VolumeSpec> = stack.services.iter().flat_map(named).collect();
    if declared.is_empty() {
        return Ok(BTreeSet::new());
    }
    let there = client.node.list_volumes(ListVolumesRequest::default()).await?.into_inner().volumes;
    let differs = |volume: &Volume| {
        declared.get(volume.name.as_str()).is_some_and(|spec| {
            !spec.external
                && (spec.driver_opts != volume.options || own_labels(&spec.labels) != own_labels(&volume.labels))
        })
    };
    Ok(there.into_iter().filter(differs).map(|volume| volume.name).collect())
}

fn named(service: &ServiceSpec) -> impl Iterator<Item = (&str, &VolumeSpec)> {
    service.container.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume { name: Some(name), spec, .. } => Some((name.as_str(), spec)),
        _ => None,
    })
}

fn uses(service: &ServiceSpec, volume: &str) -> bool {
    named(service).any(|(name, _)| name == volume)
}

/// The user's own labels.
fn own_labels(all: &BTreeMap<String, String>) -> Vec<(&String, &String)> {
    all.iter().filter(|(key, _)| !key.starts_with(OWN_LABELS)).collect()
}
