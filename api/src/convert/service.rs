//! Services and stacks.

use super::{WireEnum, all, map_values, optional_text, or_default, required, wires};
use crate::{Error, types};

impl From<model::ServiceSpec> for types::ServiceSpec {
    fn from(spec: model::ServiceSpec) -> Self {
        let model::ServiceSpec {
            name,
            labels,
            stack,
            mode,
            container,
            container_name,
            network,
            ports,
            endpoint_mode,
            depends_on,
            placement,
        } = spec;
        let model::ServiceMode::Replicated { replicas } = mode;
        let mode = types::service_mode::Mode::Replicated(types::Replicated { replicas });
        Self {
            name,
            labels,
            stack: stack.map(Into::into),
            mode: Some(types::ServiceMode { mode: Some(mode) }),
            container: Some(container.into()),
            container_name,
            network: Some(network.into()),
            ports: wires(ports),
            endpoint_mode: endpoint_mode.number(),
            depends_on: depends_on.into_iter().map(|(key, dependency)| (key, dependency.into())).collect(),
            placement: Some(placement.into()),
        }
    }
}

impl TryFrom<types::ServiceSpec> for model::ServiceSpec {
    type Error = Error;

    fn try_from(spec: types::ServiceSpec) -> Result<Self, Error> {
        let types::ServiceSpec {
            name,
            labels,
            stack,
            mode,
            container,
            container_name,
            network,
            ports,
            endpoint_mode,
            depends_on,
            placement,
        } = spec;
        let mode = mode.and_then(|mode| mode.mode).ok_or(Error::Missing("service.mode"))?;
        let types::service_mode::Mode::Replicated(types::Replicated { replicas }) = mode;
        Ok(Self {
            name,
            labels,
            stack: stack.map(Into::into),
            mode: model::ServiceMode::Replicated { replicas },
            container: required(container, "service.container")?,
            container_name,
            network: required(network, "service.network")?,
            ports: all(ports)?,
            endpoint_mode: WireEnum::from_number(endpoint_mode)?,
            depends_on: map_values(depends_on, model::Dependency::try_from)?,
            placement: or_default(placement)?,
        })
    }
}

impl From<model::StackMember> for types::StackMember {
    fn from(model::StackMember { stack, key }: model::StackMember) -> Self {
        Self { stack, key }
    }
}

impl From<types::StackMember> for model::StackMember {
    fn from(types::StackMember { stack, key }: types::StackMember) -> Self {
        Self { stack, key }
    }
}

impl From<model::Dependency> for types::Dependency {
    fn from(model::Dependency { condition, restart, required }: model::Dependency) -> Self {
        Self { condition: condition.number(), restart, required }
    }
}

impl TryFrom<types::Dependency> for model::Dependency {
    type Error = Error;

    fn try_from(types::Dependency { condition, restart, required }: types::Dependency) -> Result<Self, Error> {
        Ok(Self { condition: WireEnum::from_number(condition)?, restart, required })
    }
}

impl From<model::Placement> for types::Placement {
    fn from(model::Placement { node }: model::Placement) -> Self {
        Self { node: node.map(|node| node.to_string()) }
    }
}

impl TryFrom<types::Placement> for model::Placement {
    type Error = Error;

    fn try_from(types::Placement { node }: types::Placement) -> Result<Self, Error> {
        Ok(Self { node: optional_text("placement.node", node)? })
    }
}

impl From<model::SecretSpec> for types::SecretSpec {
    fn from(spec: model::SecretSpec) -> Self {
        let model::SecretSpec { name, labels, stack, data } = spec;
        Self { name, labels, stack, data: data.reveal().to_vec() }
    }
}

impl TryFrom<types::SecretSpec> for model::SecretSpec {
    type Error = Error;

    fn try_from(types::SecretSpec { name, labels, stack, data }: types::SecretSpec) -> Result<Self, Error> {
        Ok(Self { name, labels, stack, data: model::SecretData::new(data) })
    }
}

impl From<model::ConfigSpec> for types::ConfigSpec {
    fn from(model::ConfigSpec { name, labels, stack, data }: model::ConfigSpec) -> Self {
        Self { name, labels, stack, data }
    }
}

impl TryFrom<types::ConfigSpec> for model::ConfigSpec {
    type Error = Error;

    fn try_from(types::ConfigSpec { name, labels, stack, data }: types::ConfigSpec) -> Result<Self, Error> {
        Ok(Self { name, labels, stack, data })
    }
}

impl From<model::Stack> for types::Stack {
    fn from(stack: model::Stack) -> Self {
        let model::Stack { name, services, networks, external_networks, secrets, configs } = stack;
        Self {
            name,
            services: wires(services),
            networks: wires(networks),
            external_networks,
            secrets: wires(secrets),
            configs: wires(configs),
        }
    }
}

impl TryFrom<types::Stack> for model::Stack {
    type Error = Error;

    fn try_from(stack: types::Stack) -> Result<Self, Error> {
        let types::Stack { name, services, networks, external_networks, secrets, configs } = stack;
        Ok(Self {
            name,
            services: all(services)?,
            networks: all(networks)?,
            external_networks,
            secrets: all(secrets)?,
            configs: all(configs)?,
        })
    }
}
