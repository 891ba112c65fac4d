//! Assignments and their differences.

use std::collections::BTreeMap;

use super::{WireEnum, all, port, required, strings, text, texts, wires};
use crate::{Error, types};

impl From<model::NetworkAssignment> for types::NetworkAssignment {
    fn from(network: model::NetworkAssignment) -> Self {
        let model::NetworkAssignment {
            id,
            name,
            subnets,
            blocks,
            internal,
            attachable,
            fixed,
            driver,
            options,
            gateways,
            reserved,
            foreign,
        } = network;
        let list = |subnets| types::SubnetList { subnets: strings::<model::IpSubnet>(subnets) };
        Self {
            id: id.to_string(),
            name,
            subnets: strings(subnets),
            blocks: strings(blocks),
            internal,
            attachable,
            fixed: strings(fixed),
            driver,
            options,
            gateways: strings(gateways),
            reserved: strings(reserved),
            foreign: foreign.into_iter().map(|(node, subnets)| (node.to_string(), list(subnets))).collect(),
        }
    }
}

impl TryFrom<types::NetworkAssignment> for model::NetworkAssignment {
    type Error = Error;

    fn try_from(network: types::NetworkAssignment) -> Result<Self, Error> {
        let types::NetworkAssignment {
            id,
            name,
            subnets,
            blocks,
            internal,
            attachable,
            fixed,
            driver,
            options,
            gateways,
            reserved,
            foreign,
        } = network;
        let parts = |(node, list): (String, types::SubnetList)| {
            Ok((text("network.foreign", node)?, texts("network.foreign", list.subnets)?))
        };
        Ok(Self {
            id: text("network.id", id)?,
            name,
            subnets: texts("network.subnets", subnets)?,
            blocks: texts("network.blocks", blocks)?,
            internal,
            attachable,
            fixed: texts("network.fixed", fixed)?,
            driver,
            options,
            gateways: texts("network.gateways", gateways)?,
            reserved: texts("network.reserved", reserved)?,
            foreign: foreign.into_iter().map(parts).collect::<Result<_, Error>>()?,
        })
    }
}

impl From<model::ServiceEndpoint> for types::ServiceEndpoint {
    fn from(endpoint: model::ServiceEndpoint) -> Self {
        let model::ServiceEndpoint { service, name, stack, mode, networks, ports, backends } = endpoint;
        Self {
            service: service.to_string(),
            name,
            stack: stack.map(Into::into),
            mode: mode.number(),
            networks: wires(networks),
            ports: wires(ports),
            backends: wires(backends),
        }
    }
}

impl TryFrom<types::ServiceEndpoint> for model::ServiceEndpoint {
    type Error = Error;

    fn try_from(endpoint: types::ServiceEndpoint) -> Result<Self, Error> {
        let types::ServiceEndpoint { service, name, stack, mode, networks, ports, backends } = endpoint;
        Ok(Self {
            service: text("endpoint.service", service)?,
            name,
            stack: stack.map(TryInto::try_into).transpose()?,
            mode: WireEnum::from_number("endpoint.mode", mode)?,
            networks: all(networks)?,
            ports: all(ports)?,
            backends: all(backends)?,
        })
    }
}

impl From<model::EndpointNetwork> for types::EndpointNetwork {
    fn from(on: model::EndpointNetwork) -> Self {
        let model::EndpointNetwork { network, vips, aliases, internal, elsewhere } = on;
        Self { network: network.to_string(), vips: strings(vips), aliases, internal, elsewhere }
    }
}

impl TryFrom<types::EndpointNetwork> for model::EndpointNetwork {
    type Error = Error;

    fn try_from(on: types::EndpointNetwork) -> Result<Self, Error> {
        let types::EndpointNetwork { network, vips, aliases, internal, elsewhere } = on;
        let (network, vips) = (text("endpoint.network", network)?, texts("endpoint.vips", vips)?);
        Ok(Self { network, vips, aliases, internal, elsewhere })
    }
}

impl From<model::Backend> for types::Backend {
    fn from(model::Backend { task, name, node, attachments, serves }: model::Backend) -> Self {
        Self { task: task.to_string(), name, node: node.to_string(), attachments: wires(attachments), serves }
    }
}

impl TryFrom<types::Backend> for model::Backend {
    type Error = Error;

    fn try_from(backend: types::Backend) -> Result<Self, Error> {
        let types::Backend { task, name, node, attachments, serves } = backend;
        let (task, node) = (text("backend.task", task)?, text("backend.node", node)?);
        Ok(Self { task, name, node, attachments: all(attachments)?, serves })
    }
}

impl From<model::AssignmentsDiff> for types::AssignmentsDiff {
    fn from(diff: model::AssignmentsDiff) -> Self {
        let model::AssignmentsDiff {
            upserts,
            removed_tasks,
            removed_networks,
            removed_endpoints,
            removed_secrets,
            removed_configs,
            removed_peers,
            data_path_port,
        } = diff;
        // Which port it is the difference says.
        let model::Assignments { tasks, networks, endpoints, secrets, configs, peers, data_path_port: _ } = upserts;
        Self {
            tasks: wires(tasks.into_values()),
            networks: wires(networks.into_values()),
            endpoints: wires(endpoints.into_values()),
            secrets: secrets.iter().map(|(id, data)| (id.to_string(), data.reveal().to_vec())).collect(),
            configs: configs.into_iter().map(|(id, data)| (id.to_string(), data)).collect(),
            removed_tasks: strings(removed_tasks),
            removed_networks: strings(removed_networks),
            removed_endpoints: strings(removed_endpoints),
            removed_secrets: strings(removed_secrets),
            removed_configs: strings(removed_configs),
            peers: peers
                .into_iter()
                .map(|(node, mesh)| types::Peer { node: node.to_string(), mesh: Some(mesh.into()) })
                .collect(),
            removed_peers: strings(removed_peers),
            data_path_port: data_path_port.map(|port| port.unwrap_or_default().into()),
        }
    }
}

impl TryFrom<types::AssignmentsDiff> for model::AssignmentsDiff {
    type Error = Error;

    fn try_from(diff: types::AssignmentsDiff) -> Result<Self, Error> {
        let types::AssignmentsDiff {
            tasks,
            networks,
            endpoints,
            secrets,
            configs,
            removed_tasks,
            removed_networks,
            removed_endpoints,
            removed_secrets,
            removed_configs,
            peers,
            removed_peers,
            data_path_port,
        } = diff;
        let port = |number| port("assignments.data_path_port", number).map(|port| Some(port).filter(|port| *port != 0));
        let upserts = model::Assignments {
            tasks: keyed("assignments.tasks", all(tasks)?, |task: &model::Task| task.id)?,
            networks: keyed("assignments.networks", all(networks)?, |network: &model::NetworkAssignment| network.id)?,
            endpoints: keyed("assignments.endpoints", all(endpoints)?, |endpoint: &model::ServiceEndpoint| {
                endpoint.service
            })?,
            secrets: contents("assignments.secrets", secrets, model::SecretData::new)?,
            configs: contents("assignments.configs", configs, |data| data)?,
            peers: keyed("assignments.peers", peers.into_iter().map(peer).collect::<Result<_, _>>()?, |peer| peer.0)?
                .into_iter()
                .map(|(node, (_, mesh))| (node, mesh))
                .collect(),
            data_path_port: None,
        };
        Ok(Self {
            upserts,
            removed_tasks: texts("assignments.removed_tasks", removed_tasks)?,
            removed_networks: texts("assignments.removed_networks", removed_networks)?,
            removed_endpoints: texts("assignments.removed_endpoints", removed_endpoints)?,
            removed_secrets: texts("assignments.removed_secrets", removed_secrets)?,
            removed_configs: texts("assignments.removed_configs", removed_configs)?,
            removed_peers: texts("assignments.removed_peers", removed_peers)?,
            data_path_port: data_path_port.map(port).transpose()?,
        })
    }
}

fn peer(types::Peer { node, mesh }: types::Peer) -> Result<(model::NodeId, model::MeshEnd), Error> {
    Ok((text("peer.node", node)?, required(mesh, "peer.mesh")?))
}

/// A map by the id that each value holds; an id that comes twice is an error, for one of the two would be lost.
fn keyed<K: Ord + Copy + ToString, V>(
    field: &'static str,
    values: Vec<V>,
    key: impl Fn(&V) -> K,
) -> Result<BTreeMap<K, V>, Error> {
    let mut map = BTreeMap::new();
    for value in values {
        let id = key(&value);
        if map.insert(id, value).is_some() {
            return Err(Error::Repeated { field, id: id.to_string() });
        }
    }
    Ok(map)
}

fn contents<K: std::str::FromStr + Ord, V>(
    field: &'static str,
    map: BTreeMap<String, Vec<u8>>,
    wrap: impl Fn(Vec<u8>) -> V,
) -> Result<BTreeMap<K, V>, Error> {
    map.into_iter().map(|(id, data)| Ok((text(field, id)?, wrap(data)))).collect()
}
