//! Wire to state, destructured exhaustively.

use std::str::FromStr;

use api::{control, log as wire, types};
use model::{Availability, NodeRole, SecretData, TaskState, Timestamp};

use super::{CodecError, FORMAT};
use crate::state::{ApplyStack, Command, Entry, IdSource, IntentAction, OpenCluster, Recreate, Refound, State};

fn text<T: FromStr>(text: String) -> Result<T, CodecError> {
    text.parse().map_err(|_| CodecError::Text(text.chars().take(100).collect()))
}

fn texts<T: FromStr>(items: Vec<String>) -> Result<Vec<T>, CodecError> {
    items.into_iter().map(text).collect()
}

fn ids(bytes: Vec<u8>) -> Result<IdSource, CodecError> {
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| api::Error::Missing("ids"))?;
    Ok(IdSource::new(u128::from_be_bytes(bytes)))
}

fn object<T: FromStr>(object: wire::Object) -> Result<(T, u64), CodecError> {
    let wire::Object { id, seen } = object;
    Ok((text(id)?, seen))
}

fn required<W, M: TryFrom<W, Error = api::Error>>(part: Option<W>, name: &'static str) -> Result<M, CodecError> {
    Ok(part.ok_or(api::Error::Missing(name))?.try_into()?)
}

fn part<W>(part: Option<W>, name: &'static str) -> Result<W, CodecError> {
    Ok(part.ok_or(api::Error::Missing(name))?)
}

fn check_format(found: u32) -> Result<(), CodecError> {
    if found == FORMAT { Ok(()) } else { Err(CodecError::Format { found }) }
}

fn role(number: i32) -> Result<NodeRole, CodecError> {
    let role = types::NodeRole::try_from(number).map_err(|_| CodecError::Text(number.to_string()))?;
    Ok(role.into())
}

fn availability(number: i32) -> Result<Availability, CodecError> {
    let availability = types::Availability::try_from(number).map_err(|_| CodecError::Text(number.to_string()))?;
    Ok(availability.into())
}

impl TryFrom<wire::OpenCluster> for OpenCluster {
    type Error = CodecError;

    fn try_from(open: wire::OpenCluster) -> Result<Self, CodecError> {
        let wire::OpenCluster {
            identity,
            spec,
            address_pools,
            node,
            key,
            manager,
            address,
            availability: number,
            data_path_port: port,
        } = open;
        let port = if port == 0 { model::MESH_PORT.into() } else { port };
        let pools: Result<Vec<_>, api::Error> = address_pools.into_iter().map(TryInto::try_into).collect();
        Ok(Self {
            identity: required(identity, "identity")?,
            spec: required(spec, "spec")?,
            address_pools: pools?,
            node: text(node)?,
            key,
            manager: required(manager, "manager")?,
            address,
            availability: availability(number)?,
            data_path_port: u16::try_from(port).map_err(|_| CodecError::Text(port.to_string()))?,
        })
    }
}

impl TryFrom<wire::Entry> for Entry {
    type Error = CodecError;

    fn try_from(wire::Entry { format, now, commands }: wire::Entry) -> Result<Self, CodecError> {
        check_format(format)?;
        let commands: Result<Vec<Command>, CodecError> = commands.into_iter().map(Command::try_from).collect();
        Ok(Self { now: Timestamp(now), commands: commands? })
    }
}

impl TryFrom<wire::Command> for Command {
    type Error = CodecError;

    fn try_from(wire::Command { command }: wire::Command) -> Result<Self, CodecError> {
        use wire::command::Command as Wire;
        Ok(match part(command, "command")? {
            Wire::Bootstrap(wire::Bootstrap { cluster, bridge }) => {
                Self::Bootstrap { cluster: text(cluster)?, bridge: text(bridge)? }
            }
            Wire::RegisterNode(wire::RegisterNode { node, description }) => {
                Self::RegisterNode { node: text(node)?, description: required(description, "description")? }
            }
            Wire::SetNodeState(wire::SetNodeState { node, state }) => {
                let state = types::NodeState::try_from(state).map_err(|_| CodecError::Text(state.to_string()))?;
                Self::SetNodeState { node: text(node)?, state: state.into() }
            }
            Wire::ApplyStack(apply) => Self::ApplyStack(Box::new(apply.try_into()?)),
            Wire::RemoveStack(wire::RemoveStack { stack, services }) => Self::RemoveStack { stack, services },
            Wire::SetIntent(wire::SetIntent { tasks, action, ids: source }) => {
                let action =
                    control::IntentAction::try_from(action).map_err(|_| CodecError::Text(action.to_string()))?;
                Self::SetIntent { tasks: texts(tasks)?, action: action.into(), ids: ids(source)? }
            }
            Wire::ReportStatuses(wire::ReportStatuses { node, reports }) => {
                let report =
                    |wire::Report { task, status }: wire::Report| Ok((text(task)?, required(status, "status")?));
                let reports: Result<Vec<_>, CodecError> = reports.into_iter().map(report).collect();
                Self::ReportStatuses { node: text(node)?, reports: reports? }
            }
            Wire::CreateTask(wire::CreateTask { task, seen }) => {
                Self::CreateTask { task: Box::new(required(task, "task")?), seen }
            }
            Wire::SetDesired(wire::SetDesired { task, desired }) => {
                let (task, seen) = object(part(task, "task")?)?;
                let state = u16::try_from(desired).ok().and_then(TaskState::from_number);
                Self::SetDesired { task, desired: state.ok_or_else(|| CodecError::Text(desired.to_string()))?, seen }
            }
            Wire::AssignTask(wire::AssignTask { task, node }) => {
                let (task, seen) = object(part(task, "task")?)?;
                Self::AssignTask { task, node: text(node)?, seen }
            }
            Wire::OrphanTask(task) => {
                let (task, seen) = object(task)?;
                Self::OrphanTask { task, seen }
            }
            Wire::DeleteTask(task) => {
                let (task, seen) = object(task)?;
                Self::DeleteTask { task, seen }
            }
            Wire::SetSubnets(wire::SetSubnets { network, subnets }) => {
                let (network, seen) = object(part(network, "network")?)?;
                Self::SetSubnets { network, subnets: texts(subnets)?, seen }
            }
            Wire::SetLease(wire::SetLease { network, node, blocks }) => {
                let (network, seen) = object(part(network, "network")?)?;
                Self::SetLease { network, node: text(node)?, blocks: texts(blocks)?, seen }
            }
            Wire::SetEndpoint(wire::SetEndpoint { service, endpoint }) => {
                let (service, seen) = object(part(service, "service")?)?;
                Self::SetEndpoint { service, endpoint: required(endpoint, "endpoint")?, seen }
            }
            Wire::RemoveService(service) => {
                let (service, seen) = object(service)?;
                Self::RemoveService { service, seen }
            }
            Wire::RemoveNetwork(network) => {
                let (network, seen) = object(network)?;
                Self::RemoveNetwork { network, seen }
            }
            Wire::RemoveSecret(secret) => {
                let (secret, seen) = object(secret)?;
                Self::RemoveSecret { secret, seen }
            }
            Wire::RemoveConfig(config) => {
                let (config, seen) = object(config)?;
                Self::RemoveConfig { config, seen }
            }
            Wire::OpenCluster(open) => Self::OpenCluster(Box::new(open.try_into()?)),
            Wire::UpdateCluster(wire::UpdateCluster { spec }) => Self::UpdateCluster { spec: required(spec, "spec")? },
            Wire::RotateToken(wire::RotateToken { role: number, secret }) => {
                Self::RotateToken { role: role(number)?, secret: SecretData::new(secret) }
            }
            Wire::AdmitNode(wire::AdmitNode { node, key, role: number, address, availability: word }) => {
                let (role, availability) = (role(number)?, availability(word)?);
                Self::AdmitNode { node: text(node)?, key, role, address, availability }
            }
            Wire::UpdateNode(wire::UpdateNode { node, spec }) => {
                let (node, seen) = object(part(node, "node")?)?;
                Self::UpdateNode { node, spec: required(spec, "spec")?, seen }
            }
            Wire::RemoveNode(wire::RemoveNode { node, force }) => Self::RemoveNode { node: text(node)?, force },
            Wire::SetManager(wire::SetManager { node, manager }) => {
                Self::SetManager { node: text(node)?, manager: manager.map(TryInto::try_into).transpose()? }
            }
            Wire::CreateSecret(wire::CreateSecret { spec, ids: source }) => {
                Self::CreateSecret { spec: Box::new(required(spec, "spec")?), ids: ids(source)? }
            }
            Wire::CreateConfig(wire::CreateConfig { spec, ids: source }) => {
                Self::CreateConfig { spec: Box::new(required(spec, "spec")?), ids: ids(source)? }
            }
            Wire::WithdrawSecret(secret) => {
                let (secret, seen) = object(secret)?;
                Self::WithdrawSecret { secret, seen }
            }
            Wire::WithdrawConfig(config) => {
                let (config, seen) = object(config)?;
                Self::WithdrawConfig { config, seen }
            }
            Wire::CreateService(wire::CreateService { spec, ids: source }) => {
                Self::CreateService { spec: Box::new(required(spec, "spec")?), ids: ids(source)? }
            }
            Wire::UpdateService(wire::UpdateService { service, spec }) => {
                let (service, seen) = object(part(service, "service")?)?;
                Self::UpdateService { service, spec: Box::new(required(spec, "spec")?), seen }
            }
            Wire::RollbackService(wire::RollbackService { service, automatic, reason }) => {
                let (service, seen) = object(part(service, "service")?)?;
                Self::RollbackService { service, failed: automatic.then_some(reason), seen }
            }
            Wire::WithdrawService(service) => {
                let (service, seen) = object(service)?;
                Self::WithdrawService { service, seen }
            }
            Wire::SetUpdate(wire::SetUpdate { service, status }) => {
                let (service, seen) = object(part(service, "service")?)?;
                Self::SetUpdate { service, status: required(status, "status")?, seen }
            }
            Wire::NodeLeft(node) => Self::NodeLeft { node: text(node)? },
            Wire::RotateAuthority(next) => Self::RotateAuthority(next.into()),
            Wire::FinishRotation(_) => Self::FinishRotation,
            Wire::SetUnlockKey(key) => Self::SetUnlockKey { key: SecretData::new(key) },
            Wire::Refound(wire::Refound { node, key, manager, address }) => {
                let manager = required(manager, "manager")?;
                Self::Refound(Box::new(Refound { node: text(node)?, key, manager, address }))
            }
        })
    }
}

impl TryFrom<wire::ApplyStack> for ApplyStack {
    type Error = CodecError;

    fn try_from(apply: wire::ApplyStack) -> Result<Self, CodecError> {
        let wire::ApplyStack {
            stack,
            recreate,
            remove_orphans,
            start_stopped,
            keep_replicas,
            ids: source,
            no_start,
            renew_volumes,
            force,
        } = apply;
        let recreate = control::Recreate::try_from(recreate).map_err(|_| CodecError::Text(recreate.to_string()))?;
        Ok(Self {
            stack: required(stack, "stack")?,
            recreate: recreate.into(),
            remove_orphans,
            start_stopped,
            no_start,
            renew_volumes,
            force,
            keep_replicas,
            ids: ids(source)?,
        })
    }
}

impl From<control::Recreate> for Recreate {
    fn from(recreate: control::Recreate) -> Self {
        match recreate {
            control::Recreate::Changed => Self::Changed,
            control::Recreate::Force => Self::Force,
            control::Recreate::Never => Self::Never,
        }
    }
}

impl From<control::IntentAction> for IntentAction {
    fn from(action: control::IntentAction) -> Self {
        match action {
            control::IntentAction::Stop => Self::Stop,
            control::IntentAction::Start => Self::Start,
            control::IntentAction::Restart => Self::Restart,
        }
    }
}

impl TryFrom<wire::State> for State {
    type Error = CodecError;

    fn try_from(state: wire::State) -> Result<Self, CodecError> {
        let wire::State { format, version, cluster, nodes, services, tasks, networks, secrets, configs } = state;
        check_format(format)?;
        let mut state = Self { version, cluster: cluster.map(TryInto::try_into).transpose()?, ..Self::default() };
        for node in nodes {
            let node = model::Node::try_from(node)?;
            state.nodes.insert(node.id, node);
        }
        for service in services {
            state.put_service(service.try_into()?);
        }
        for task in tasks {
            state.put_task(task.try_into()?);
        }
        for network in networks {
            state.put_network(network.try_into()?);
        }
        for secret in secrets {
            state.put_secret(secret.try_into()?);
        }
        for config in configs {
            state.put_config(config.try_into()?);
        }
        Ok(state)
    }
}
