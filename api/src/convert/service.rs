//! Services and stacks.

use std::time::Duration;

use super::{WireEnum, all, map_values, nanos, optional_text, or_default, required, strings, texts, wires};
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
            container_prefix,
            network,
            ports,
            endpoint_mode,
            depends_on,
            placement,
            step_of,
            update,
            rollback,
            force_update,
        } = spec;
        Self {
            name,
            labels,
            stack: stack.map(Into::into),
            mode: Some(mode.into()),
            container: Some(container.into()),
            container_name,
            container_prefix,
            network: Some(network.into()),
            ports: wires(ports),
            endpoint_mode: endpoint_mode.number(),
            depends_on: depends_on.into_iter().map(|(key, dependency)| (key, dependency.into())).collect(),
            placement: Some(placement.into()),
            step_of,
            update: update.map(Into::into),
            rollback: rollback.map(Into::into),
            force_update,
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
            container_prefix,
            network,
            ports,
            endpoint_mode,
            depends_on,
            placement,
            step_of,
            update,
            rollback,
            force_update,
        } = spec;
        Ok(Self {
            name,
            labels,
            stack: stack.map(TryInto::try_into).transpose()?,
            mode: required(mode, "service.mode")?,
            container: required(container, "service.container")?,
            container_name,
            container_prefix,
            network: required(network, "service.network")?,
            ports: all(ports)?,
            endpoint_mode: WireEnum::from_number("service.endpoint_mode", endpoint_mode)?,
            depends_on: map_values(depends_on)?,
            placement: or_default(placement)?,
            step_of,
            update: update.map(TryInto::try_into).transpose()?,
            rollback: rollback.map(TryInto::try_into).transpose()?,
            force_update,
        })
    }
}

impl From<model::ServiceMode> for types::ServiceMode {
    fn from(mode: model::ServiceMode) -> Self {
        use types::service_mode::Mode;
        let mode = match mode {
            model::ServiceMode::Replicated { replicas } => Mode::Replicated(types::Replicated { replicas }),
            model::ServiceMode::Global => Mode::Global(true),
            model::ServiceMode::ReplicatedJob { max_concurrent, total_completions } => {
                Mode::ReplicatedJob(types::ReplicatedJob { max_concurrent, total_completions })
            }
            model::ServiceMode::GlobalJob => Mode::GlobalJob(true),
        };
        Self { mode: Some(mode) }
    }
}

impl TryFrom<types::ServiceMode> for model::ServiceMode {
    type Error = Error;

    fn try_from(types::ServiceMode { mode }: types::ServiceMode) -> Result<Self, Error> {
        use types::service_mode::Mode;
        match mode.ok_or(Error::Missing("service.mode"))? {
            Mode::Replicated(types::Replicated { replicas }) => Ok(Self::Replicated { replicas }),
            Mode::Global(true) => Ok(Self::Global),
            Mode::ReplicatedJob(types::ReplicatedJob { max_concurrent, total_completions }) => {
                Ok(Self::ReplicatedJob { max_concurrent, total_completions })
            }
            Mode::GlobalJob(true) => Ok(Self::GlobalJob),
            Mode::Global(false) | Mode::GlobalJob(false) => Err(Error::invalid("service.mode", false)),
        }
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
        Ok(Self { condition: WireEnum::from_number("dependency.condition", condition)?, restart, required })
    }
}

impl From<model::Placement> for types::Placement {
    fn from(model::Placement { node, constraints, preferences, max_replicas }: model::Placement) -> Self {
        let (constraints, preferences) = (strings(constraints), strings(preferences));
        Self { node: node.map(|node| node.to_string()), constraints, preferences, max_replicas }
    }
}

impl TryFrom<types::Placement> for model::Placement {
    type Error = Error;

    fn try_from(placement: types::Placement) -> Result<Self, Error> {
        let types::Placement { node, constraints, preferences, max_replicas } = placement;
        Ok(Self {
            node: optional_text("placement.node", node)?,
            constraints: texts("placement.constraints", constraints)?,
            preferences: texts("placement.preferences", preferences)?,
            max_replicas,
        })
    }
}

impl From<model::UpdateConfig> for types::UpdateConfig {
    fn from(config: model::UpdateConfig) -> Self {
        let model::UpdateConfig { parallelism, delay, failure_action, monitor, max_failure_ratio, order } = config;
        let (delay, monitor) = (nanos(delay), nanos(monitor));
        let (failure_action, order) = (failure_action.number(), order.number());
        Self { parallelism, delay, failure_action, monitor, max_failure_ratio, order }
    }
}

impl TryFrom<types::UpdateConfig> for model::UpdateConfig {
    type Error = Error;

    fn try_from(config: types::UpdateConfig) -> Result<Self, Error> {
        let types::UpdateConfig { parallelism, delay, failure_action, monitor, max_failure_ratio, order } = config;
        Ok(Self {
            parallelism,
            delay: Duration::from_nanos(delay),
            failure_action: WireEnum::from_number("update_config.failure_action", failure_action)?,
            monitor: Duration::from_nanos(monitor),
            max_failure_ratio,
            order: WireEnum::from_number("update_config.order", order)?,
        })
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
