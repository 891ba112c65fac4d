//! Objects of the store.

use model::Timestamp;

use super::{WireEnum, all, or_default, required, strings, text, texts, wires};
use crate::{Error, types};

impl From<model::Meta> for types::Meta {
    fn from(model::Meta { version, created_at, updated_at }: model::Meta) -> Self {
        Self { version, created_at: created_at.0, updated_at: updated_at.0 }
    }
}

impl TryFrom<types::Meta> for model::Meta {
    type Error = Error;

    fn try_from(types::Meta { version, created_at, updated_at }: types::Meta) -> Result<Self, Error> {
        Ok(Self { version, created_at: Timestamp(created_at), updated_at: Timestamp(updated_at) })
    }
}

impl From<model::AddressPool> for types::AddressPool {
    fn from(model::AddressPool { base, prefix }: model::AddressPool) -> Self {
        Self { base: base.to_string(), prefix: prefix.into() }
    }
}

impl TryFrom<types::AddressPool> for model::AddressPool {
    type Error = Error;

    fn try_from(types::AddressPool { base, prefix }: types::AddressPool) -> Result<Self, Error> {
        let prefix = u8::try_from(prefix).map_err(|_| Error::invalid("address_pool.prefix", prefix))?;
        Ok(Self { base: text("address_pool.base", base)?, prefix })
    }
}

impl From<model::Service> for types::Service {
    fn from(service: model::Service) -> Self {
        let model::Service { id, meta, spec, spec_version, volumes_since, removing, held, endpoint, previous, update } =
            service;
        Self {
            id: id.to_string(),
            meta: Some(meta.into()),
            spec: Some(spec.into()),
            spec_version,
            volumes_since,
            removing,
            endpoint: Some(endpoint.into()),
            held,
            previous: previous.map(|previous| (*previous).into()),
            update: update.map(Into::into),
        }
    }
}

impl TryFrom<types::Service> for model::Service {
    type Error = Error;

    fn try_from(service: types::Service) -> Result<Self, Error> {
        let types::Service { id, meta, spec, spec_version, removing, endpoint, held, volumes_since, previous, update } =
            service;
        Ok(Self {
            id: text("service.id", id)?,
            meta: or_default(meta)?,
            spec: required(spec, "service.spec")?,
            spec_version,
            volumes_since,
            removing,
            held,
            endpoint: or_default(endpoint)?,
            previous: previous.map(TryInto::try_into).transpose()?.map(Box::new),
            update: update.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<model::PreviousSpec> for types::PreviousSpec {
    fn from(model::PreviousSpec { spec, spec_version }: model::PreviousSpec) -> Self {
        Self { spec: Some(spec.into()), spec_version }
    }
}

impl TryFrom<types::PreviousSpec> for model::PreviousSpec {
    type Error = Error;

    fn try_from(types::PreviousSpec { spec, spec_version }: types::PreviousSpec) -> Result<Self, Error> {
        Ok(Self { spec: required(spec, "previous.spec")?, spec_version })
    }
}

impl From<model::UpdateStatus> for types::UpdateStatus {
    fn from(model::UpdateStatus { state, started_at, completed_at, message }: model::UpdateStatus) -> Self {
        Self { state: state.number(), started_at: started_at.0, completed_at: completed_at.0, message }
    }
}

impl TryFrom<types::UpdateStatus> for model::UpdateStatus {
    type Error = Error;

    fn try_from(status: types::UpdateStatus) -> Result<Self, Error> {
        let types::UpdateStatus { state, started_at, completed_at, message } = status;
        let (started_at, completed_at) = (Timestamp(started_at), Timestamp(completed_at));
        Ok(Self { state: WireEnum::from_number("update_status.state", state)?, started_at, completed_at, message })
    }
}

impl From<model::Endpoint> for types::Endpoint {
    fn from(model::Endpoint { vips, ports }: model::Endpoint) -> Self {
        Self { vips: wires(vips), ports: wires(ports) }
    }
}

impl TryFrom<types::Endpoint> for model::Endpoint {
    type Error = Error;

    fn try_from(types::Endpoint { vips, ports }: types::Endpoint) -> Result<Self, Error> {
        Ok(Self { vips: all(vips)?, ports: all(ports)? })
    }
}

impl From<model::Vip> for types::Vip {
    fn from(model::Vip { network, address }: model::Vip) -> Self {
        Self { network: network.to_string(), address: address.to_string() }
    }
}

impl TryFrom<types::Vip> for model::Vip {
    type Error = Error;

    fn try_from(types::Vip { network, address }: types::Vip) -> Result<Self, Error> {
        Ok(Self { network: text("vip.network", network)?, address: text("vip.address", address)? })
    }
}

impl From<model::Network> for types::Network {
    fn from(network: model::Network) -> Self {
        let model::Network { id, meta, spec, subnets, leases } = network;
        let lease = |(node, subnets): (model::NodeId, Vec<model::IpSubnet>)| {
            (node.to_string(), types::SubnetList { subnets: strings(subnets) })
        };
        Self {
            id: id.to_string(),
            meta: Some(meta.into()),
            spec: Some(spec.into()),
            subnets: strings(subnets),
            leases: leases.into_iter().map(lease).collect(),
        }
    }
}

impl TryFrom<types::Network> for model::Network {
    type Error = Error;

    fn try_from(network: types::Network) -> Result<Self, Error> {
        let types::Network { id, meta, spec, subnets, leases } = network;
        let lease = |(node, list): (String, types::SubnetList)| {
            Ok((text("network.leases", node)?, texts("network.leases", list.subnets)?))
        };
        Ok(Self {
            id: text("network.id", id)?,
            meta: or_default(meta)?,
            spec: required(spec, "network.spec")?,
            subnets: texts("network.subnets", subnets)?,
            leases: leases.into_iter().map(lease).collect::<Result<_, Error>>()?,
        })
    }
}

impl From<model::Config> for types::Config {
    fn from(model::Config { id, meta, spec, superseded }: model::Config) -> Self {
        Self { id: id.to_string(), meta: Some(meta.into()), spec: Some(spec.into()), superseded }
    }
}

impl TryFrom<types::Config> for model::Config {
    type Error = Error;

    fn try_from(types::Config { id, meta, spec, superseded }: types::Config) -> Result<Self, Error> {
        let (id, spec) = (text("config.id", id)?, required(spec, "config.spec")?);
        Ok(Self { id, meta: or_default(meta)?, spec, superseded })
    }
}
