//! The part of `orca info` that tells of the cluster.

use api::control::GetClusterRequest;
use api::swarm::GetSwarmRequest;
use serde_json::{Value as Json, json};

use crate::client::Client;
use crate::error::Result;

/// Docker's object.
pub async fn describe(client: &mut Client) -> Result<Json> {
    let swarm = client.swarm.get_swarm(GetSwarmRequest {}).await?.into_inner();
    if swarm.cluster.is_empty() {
        return Ok(json!({
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "",
            "RemoteManagers": null,
        }));
    }
    let is_manager = swarm.role == i32::from(api::types::NodeRole::Manager);
    let managers: Vec<Json> = swarm.managers.iter().map(|address| json!({ "Addr": address })).collect();
    let mut object = json!({
        "NodeID": swarm.node,
        "NodeAddr": swarm.address,
        "LocalNodeState": match (swarm.locked, swarm.error.is_empty()) {
            (true, _) => "locked",
            (false, true) => "active",
            (false, false) => "error",
        },
        "ControlAvailable": is_manager && !swarm.locked,
        "Error": swarm.error,
        "RemoteManagers": managers,
    });
    // Without a leader there is nobody to ask, and the node's own part is worth showing all the same.
    if is_manager && let Ok(reply) = client.control.get_cluster(GetClusterRequest {}).await {
        let nodes = reply.into_inner().nodes;
        let role = |node: &&api::types::Node| node.spec.as_ref().map(|spec| spec.role) == Some(1);
        object["Nodes"] = nodes.len().into();
        object["Managers"] = nodes.iter().filter(role).count().into();
        object["Cluster"] = json!({ "ID": swarm.cluster });
    }
    Ok(object)
}

/// The lines for people.
pub fn lines(swarm: &Json, line: &mut impl FnMut(&str, String)) {
    let text = |key: &str| match &swarm[key] {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    line(" Swarm: ", text("LocalNodeState"));
    if swarm["LocalNodeState"] == "inactive" {
        return;
    }
    line("  NodeID: ", text("NodeID"));
    if swarm["Error"] != "" {
        line("  Error: ", text("Error"));
    }
    line("  Is Manager: ", text("ControlAvailable"));
    if let Some(id) = swarm.pointer("/Cluster/ID").and_then(Json::as_str) {
        line("  ClusterID: ", id.to_owned());
        line("  Managers: ", text("Managers"));
        line("  Nodes: ", text("Nodes"));
    }
    line("  Node Address: ", text("NodeAddr"));
    line("  Manager Addresses:", String::new());
    for address in swarm["RemoteManagers"].as_array().into_iter().flatten() {
        line("   ", address["Addr"].as_str().unwrap_or_default().to_owned());
    }
}
