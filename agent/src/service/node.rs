//! The node as a whole.

use api::node as wire;
use tonic::Status;

use super::containers::is_up;
use super::{NodeService, blocking};

pub async fn get_node(service: &NodeService, _: wire::GetNodeRequest) -> Result<wire::GetNodeReply, Status> {
    let parts = &service.parts;
    let containers = parts.containers.list();
    let store = parts.containers.images().clone();
    let images = blocking("listing images", move || Ok(store.list()?.len())).await?;
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(wire::GetNodeReply {
        id: parts.id.to_string(),
        description: Some(parts.description.clone().into()),
        data_dir: parts.data_dir.display().to_string(),
        daemon_pid: std::process::id(),
        containers_running: count(containers.iter().filter(|view| is_up(view)).count()),
        containers_total: count(containers.len()),
        images: count(images),
    })
}
