//! `reset`: the node as it was before its first container.

use std::collections::BTreeSet;

use api::node as wire;
use futures::future::join_all;
use model::ContainerId;
use tonic::Status;

use super::{NodeService, blocking};
use crate::containers::Containers;

/// Containers first, because they hold the rest. What can't be removed is named, and the rest goes nevertheless.
pub async fn reset(service: &NodeService, _: wire::ResetRequest) -> Result<wire::ResetReply, Status> {
    let parts = service.parts.clone();
    // A client that goes away must not leave the node half reset.
    let work = tokio::spawn(async move {
        // What managers still want would be made again.
        parts.containers.close();
        let mut left_behind = remove_containers(&parts.containers).await;
        let forgotten = parts.containers.prune_networks(|_| true).await;
        left_behind.extend(forgotten.err().map(|error| format!("networks: {error}")));
        left_behind.extend(parts.networks.teardown().await.err().map(|error| format!("networks: {error}")));
        left_behind.extend(remove_volumes(&parts.containers).await);
        left_behind.extend(remove_images(&parts.containers).await);
        parts.shutdown.notify_one();
        left_behind
    });
    let left_behind = work.await.map_err(|_| Status::internal("the reset broke off; run it again"))?;
    Ok(wire::ResetReply { left_behind })
}

async fn remove_containers(containers: &Containers) -> Vec<String> {
    let remove = |id: ContainerId, name: String| async move {
        let error = containers.remove(id, true, true).await.err()?;
        // It may have removed itself meanwhile.
        containers.get(id).ok()?;
        Some(format!("container {name}: {error}"))
    };
    let removals = containers.list().into_iter().map(|view| remove(view.id, view.name));
    join_all(removals).await.into_iter().flatten().collect()
}

async fn remove_volumes(containers: &Containers) -> Vec<String> {
    let mut left_behind = Vec::new();
    for volume in containers.volumes().list() {
        if let Err(error) = containers.remove_volume(&volume.name, true).await {
            left_behind.push(format!("volume {}: {error}", volume.name));
        }
    }
    left_behind
}

async fn remove_images(containers: &Containers) -> Vec<String> {
    let containers = containers.clone();
    let done = blocking("removing images", move || {
        let store = containers.images();
        let mut left_behind = Vec::new();
        for summary in store.list()? {
            if let Err(error) = store.remove(&summary.id.to_string(), true, || containers.image_users()) {
                left_behind.push(format!("image {}: {error}", summary.id));
            }
        }
        store.prune_cache(|_| true)?;
        store.prune_cache_mounts()?;
        store.collect(&BTreeSet::new())?;
        Ok(left_behind)
    });
    done.await.unwrap_or_else(|error| vec![format!("images: {error}")])
}
