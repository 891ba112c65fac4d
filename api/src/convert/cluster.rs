//! What makes nodes a cluster.

use std::fmt;
use std::time::Duration;

use model::SecretData;

use super::secret::Hidden;
use super::{WireEnum, all, nanos, or_default, port, text, wires};
use crate::{Error, types};

impl From<model::Cluster> for types::Cluster {
    fn from(cluster: model::Cluster) -> Self {
        let model::Cluster { id, meta, address_pools, spec, identity, removed, data_path_port } = cluster;
        Self {
            id: id.to_string(),
            meta: Some(meta.into()),
            address_pools: wires(address_pools),
            // A lone node's is as releases before clusters write it.
            spec: (spec != model::ClusterSpec::default()).then(|| spec.into()),
            identity: identity.map(Into::into),
            removed: removed.into_iter().map(|(node, until)| (node.to_string(), until.0)).collect(),
            data_path_port: port_or_zero(data_path_port),
        }
    }
}

impl TryFrom<types::Cluster> for model::Cluster {
    type Error = Error;

    fn try_from(cluster: types::Cluster) -> Result<Self, Error> {
        let types::Cluster { id, meta, address_pools, spec, identity, removed, data_path_port } = cluster;
        let removed =
            removed.into_iter().map(|(node, until)| Ok((text("cluster.removed", node)?, model::Timestamp(until))));
        Ok(Self {
            id: text("cluster.id", id)?,
            meta: or_default(meta)?,
            address_pools: all(address_pools)?,
            spec: or_default(spec)?,
            identity: identity.map(TryInto::try_into).transpose()?,
            removed: removed.collect::<Result<_, Error>>()?,
            data_path_port: data_path_port_of(data_path_port)?,
        })
    }
}

/// The usual port is as before there was a choice: absent.
fn port_or_zero(port: u16) -> u32 {
    if port == model::MESH_PORT { 0 } else { port.into() }
}

/// The port that a number means; 0 is the usual one.
fn data_path_port_of(number: u32) -> Result<u16, Error> {
    Ok(Some(port("data_path_port", number)?).filter(|port| *port != 0).unwrap_or(model::MESH_PORT))
}

impl From<model::MeshEnd> for types::MeshEnd {
    fn from(model::MeshEnd { key, address, port, images }: model::MeshEnd) -> Self {
        let images = images.map(|images| images.to_string()).unwrap_or_default();
        Self { key: key.bytes().to_vec(), address: address.to_string(), port: port.into(), images }
    }
}

impl TryFrom<types::MeshEnd> for model::MeshEnd {
    type Error = Error;

    fn try_from(types::MeshEnd { key, address, port: number, images }: types::MeshEnd) -> Result<Self, Error> {
        let bytes =
            key.try_into().map_err(|key: Vec<u8>| Error::invalid("mesh.key", format!("{} bytes", key.len())))?;
        let (address, number) = (text("mesh.address", address)?, port("mesh.port", number)?);
        if number == 0 {
            return Err(Error::invalid("mesh.port", number));
        }
        let images = Some(images).filter(|images| !images.is_empty());
        let images = images.map(|images| text("mesh.images", images)).transpose()?;
        Ok(Self { key: model::MeshKey::new(bytes), address, port: number, images })
    }
}

impl From<model::NodeDescription> for types::NodeDescription {
    fn from(description: model::NodeDescription) -> Self {
        let model::NodeDescription {
            hostname,
            architecture,
            os,
            engine_version,
            nano_cpus,
            memory,
            mesh,
            labels,
            generic,
            authority,
        } = description;
        Self {
            hostname,
            architecture,
            os,
            engine_version,
            nano_cpus,
            memory,
            mesh: mesh.map(Into::into),
            labels,
            generic,
            authority,
        }
    }
}

impl TryFrom<types::NodeDescription> for model::NodeDescription {
    type Error = Error;

    fn try_from(description: types::NodeDescription) -> Result<Self, Error> {
        let types::NodeDescription {
            hostname,
            architecture,
            os,
            engine_version,
            nano_cpus,
            memory,
            mesh,
            labels,
            generic,
            authority,
        } = description;
        let mesh = mesh.map(TryInto::try_into).transpose()?;
        Ok(Self { hostname, architecture, os, engine_version, nano_cpus, memory, mesh, labels, generic, authority })
    }
}

impl From<model::ClusterSpec> for types::ClusterSpec {
    fn from(model::ClusterSpec { task_history, heartbeat, certificate_expiry }: model::ClusterSpec) -> Self {
        Self { task_history, heartbeat: nanos(heartbeat), certificate_expiry: nanos(certificate_expiry) }
    }
}

impl TryFrom<types::ClusterSpec> for model::ClusterSpec {
    type Error = Error;

    fn try_from(spec: types::ClusterSpec) -> Result<Self, Error> {
        let types::ClusterSpec { task_history, heartbeat, certificate_expiry } = spec;
        let (heartbeat, certificate_expiry) =
            (Duration::from_nanos(heartbeat), Duration::from_nanos(certificate_expiry));
        Ok(Self { task_history, heartbeat, certificate_expiry })
    }
}

impl From<model::ClusterIdentity> for types::ClusterIdentity {
    fn from(identity: model::ClusterIdentity) -> Self {
        let model::ClusterIdentity { ca, ca_key, worker_secret, manager_secret, unlock_key, next } = identity;
        let bytes = |data: SecretData| data.reveal().to_vec();
        let (worker_secret, manager_secret) = (bytes(worker_secret), bytes(manager_secret));
        Self {
            ca,
            ca_key: bytes(ca_key),
            worker_secret,
            manager_secret,
            unlock_key: bytes(unlock_key),
            next: next.map(Into::into),
        }
    }
}

impl TryFrom<types::ClusterIdentity> for model::ClusterIdentity {
    type Error = Error;

    fn try_from(identity: types::ClusterIdentity) -> Result<Self, Error> {
        let types::ClusterIdentity { ca, ca_key, worker_secret, manager_secret, unlock_key, next } = identity;
        let (worker_secret, manager_secret) = (SecretData::new(worker_secret), SecretData::new(manager_secret));
        let (ca_key, unlock_key) = (SecretData::new(ca_key), SecretData::new(unlock_key));
        let next = next.map(Into::into);
        Ok(Self { ca, ca_key, worker_secret, manager_secret, unlock_key, next })
    }
}

impl fmt::Debug for types::ClusterIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca, ca_key, worker_secret, manager_secret, unlock_key, next } = self;
        f.debug_struct("ClusterIdentity")
            .field("ca", ca)
            .field("ca_key", &Hidden(ca_key))
            .field("worker_secret", &Hidden(worker_secret))
            .field("manager_secret", &Hidden(manager_secret))
            .field("unlock_key", &Hidden(unlock_key))
            .field("next", next)
            .finish()
    }
}

impl From<model::NextAuthority> for types::NextAuthority {
    fn from(model::NextAuthority { ca, ca_key, cross }: model::NextAuthority) -> Self {
        Self { ca, ca_key: ca_key.reveal().to_vec(), cross }
    }
}

impl From<types::NextAuthority> for model::NextAuthority {
    fn from(types::NextAuthority { ca, ca_key, cross }: types::NextAuthority) -> Self {
        Self { ca, ca_key: SecretData::new(ca_key), cross }
    }
}

impl fmt::Debug for types::NextAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca, ca_key, cross } = self;
        f.debug_struct("NextAuthority").field("ca", ca).field("ca_key", &Hidden(ca_key)).field("cross", cross).finish()
    }
}

impl From<model::Node> for types::Node {
    fn from(node: model::Node) -> Self {
        let model::Node { id, meta, description, state, spec, key, manager, address } = node;
        Self {
            id: id.to_string(),
            meta: Some(meta.into()),
            description: Some(description.into()),
            state: state.number(),
            spec: (spec != model::NodeSpec::default()).then(|| spec.into()),
            key,
            manager: manager.map(Into::into),
            address,
        }
    }
}

impl TryFrom<types::Node> for model::Node {
    type Error = Error;

    fn try_from(node: types::Node) -> Result<Self, Error> {
        let types::Node { id, meta, description, state, spec, key, manager, address } = node;
        Ok(Self {
            id: text("node.id", id)?,
            meta: or_default(meta)?,
            description: or_default(description)?,
            state: WireEnum::from_number("node.state", state)?,
            spec: or_default(spec)?,
            key,
            manager: manager.map(TryInto::try_into).transpose()?,
            address,
        })
    }
}

impl From<model::NodeSpec> for types::NodeSpec {
    fn from(model::NodeSpec { role, availability, labels }: model::NodeSpec) -> Self {
        Self { role: role.number(), availability: availability.number(), labels }
    }
}

impl TryFrom<types::NodeSpec> for model::NodeSpec {
    type Error = Error;

    fn try_from(types::NodeSpec { role, availability, labels }: types::NodeSpec) -> Result<Self, Error> {
        let role = WireEnum::from_number("node_spec.role", role)?;
        Ok(Self { role, availability: WireEnum::from_number("node_spec.availability", availability)?, labels })
    }
}
