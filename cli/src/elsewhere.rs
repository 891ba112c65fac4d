//! Containers of other nodes: managers lead commands for them to where they are.

use api::control::{LocateReply, LocateRequest};
use api::node::InspectContainerRequest;
use api::swarm::GetSwarmRequest;
use tonic::Code;

use crate::client::Client;
use crate::error::{Error, Result};

/// The container of a name, and the connection to its node: one of this node, else one of the cluster's tasks, by the names and ids of
/// either.
pub async fn find(client: &Client, name: &str) -> Result<(Client, String)> {
    let mut own = client.clone();
    let request = InspectContainerRequest { container: name.into(), size: false };
    let missing = match own.node.inspect_container(request).await {
        Ok(_) => return Ok((own, name.to_owned())),
        Err(status) if status.code() == Code::NotFound => status,
        Err(status) => return Err(status.into()),
    };
    match own.control.locate(LocateRequest { name: name.into() }).await {
        Ok(reply) => {
            let LocateReply { node, container, .. } = reply.into_inner();
            let here = own.swarm.get_swarm(GetSwarmRequest {}).await?.into_inner().node;
            Ok((if node == here { own } else { client.at(&node)? }, container))
        }
        Err(status) if status.code() == Code::NotFound => Err(missing.into()),
        // A worker, or a manager that cannot tell now.
        Err(status) => Err(Error::Daemon {
            message: format!("{} on this node; on others: {}", missing.message(), status.message()),
            code: None,
            missing: true,
        }),
    }
}
