//! State to wire, destructured exhaustively.

use api::{control, log as wire, types};

use super::FORMAT;
use crate::state::{ApplyStack, Command, Entry, IdSource, IntentAction, OpenCluster, Recreate, Refound, State};

fn strings<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

fn ids(source: IdSource) -> Vec<u8> {
    source.position().to_be_bytes().to_vec()
}

fn object(id: impl ToString, seen: u64) -> wire::Object {
    wire::Object { id: id.to_string(), seen }
}

impl From<Entry> for wire::Entry {
    fn from(Entry { now, commands }: Entry) -> Self {
        Self { format: FORMAT, now: now.0, commands: commands.into_iter().map(Into::into).collect() }
    }
}

impl From<Command> for wire::Command {
    fn from(command: Command) -> Self {
        use wire::command::Command as Wire;
        let command = match command {
            Command::Bootstrap { cluster, bridge } => {
                Wire::Bootstrap(wire::Bootstrap { cluster: cluster.to_string(), bridge: bridge.to_string() })
            }
            Command::RegisterNode { node, description } => {
                Wire::RegisterNode(wire::RegisterNode { node: node.to_string(), description: Some(description.into()) })
            }
            Command::SetNodeState { node, state } => {
                let state = types::NodeState::from(state).into();
                Wire::SetNodeState(wire::SetNodeState { node: node.to_string(), state })
            }
            Command::ApplyStack(apply) => Wire::ApplyStack((*apply).into()),
            Command::RemoveStack { stack, services } => Wire::RemoveStack(wire::RemoveStack { stack, services }),
            Command::SetIntent { tasks, action, ids: source } => Wire::SetIntent(wire::SetIntent {
                tasks: strings(tasks),
                action: control::IntentAction::from(action).into(),
                ids: ids(source),
            }),
            Command::ReportStatuses { node, reports } => {
                let report = |(task, status): (model::TaskId, model::TaskStatus)| wire::Report {
                    task: task.to_string(),
                    status: Some(status.into()),
                };
                let reports = reports.into_iter().map(report).collect();
                Wire::ReportStatuses(wire::ReportStatuses { node: node.to_string(), reports })
            }
            Command::CreateTask { task, seen } => {
                Wire::CreateTask(wire::CreateTask { task: Some((*task).into()), seen })
            }
            Command::SetDesired { task, desired, seen } => Wire::SetDesired(wire::SetDesired {
                task: Some(object(task, seen)),
                desired: u32::from(desired as u16),
            }),
            Command::AssignTask { task, node, seen } => {
                Wire::AssignTask(wire::AssignTask { task: Some(object(task, seen)), node: node.to_string() })
            }
            Command::OrphanTask { task, seen } => Wire::OrphanTask(object(task, seen)),
            Command::DeleteTask { task, seen } => Wire::DeleteTask(object(task, seen)),
            Command::SetSubnets { network, subnets, seen } => {
                Wire::SetSubnets(wire::SetSubnets { network: Some(object(network, seen)), subnets: strings(subnets) })
            }
            Command::SetLease { network, node, blocks, seen } => Wire::SetLease(wire::SetLease {
                network: Some(object(network, seen)),
                node: node.to_string(),
                blocks: strings(blocks),
            }),
            Command::SetEndpoint { service, endpoint, seen } => Wire::SetEndpoint(wire::SetEndpoint {
                service: Some(object(service, seen)),
                endpoint: Some(endpoint.into()),
            }),
            Command::RemoveService { service, seen } => Wire::RemoveService(object(service, seen)),
            Command::RemoveNetwork { network, seen } => Wire::RemoveNetwork(object(network, seen)),
            Command::RemoveSecret { secret, seen } => Wire::RemoveSecret(object(secret, seen)),
            Command::RemoveConfig { config, seen } => Wire::RemoveConfig(object(config, seen)),
            Command::OpenCluster(open) => Wire::OpenCluster((*open).into()),
            Command::UpdateCluster { spec } => Wire::UpdateCluster(wire::UpdateCluster { spec: Some(spec.into()) }),
            Command::RotateToken { role, secret } => {
                let role = types::NodeRole::from(role).into();
                Wire::RotateToken(wire::RotateToken { role, secret: secret.reveal().to_vec() })
            }
            Command::AdmitNode { node, key, role, address, availability } => Wire::AdmitNode(wire::AdmitNode {
                node: node.to_string(),
                key,
                role: types::NodeRole::from(role).into(),
                address,
                availability: types::Availability::from(availability).into(),
            }),
            Command::UpdateNode { node, spec, seen } => {
                Wire::UpdateNode(wire::UpdateNode { node: Some(object(node, seen)), spec: Some(spec.into()) })
            }
            Command::RemoveNode { node, force } => Wire::RemoveNode(wire::RemoveNode { node: node.to_string(), force }),
            Command::SetManager { node, manager } => {
                Wire::SetManager(wire::SetManager { node: node.to_string(), manager: manager.map(Into::into) })
            }
            Command::CreateSecret { spec, ids: source } => {
                Wire::CreateSecret(wire::CreateSecret { spec: Some((*spec).into()), ids: ids(source) })
            }
            Command::CreateConfig { spec, ids: source } => {
                Wire::CreateConfig(wire::CreateConfig { spec: Some((*spec).into()), ids: ids(source) })
            }
            Command::WithdrawSecret { secret, seen } => Wire::WithdrawSecret(object(secret, seen)),
            Command::WithdrawConfig { config, seen } => Wire::WithdrawConfig(object(config, seen)),
            Command::CreateService { spec, ids: source } => {
                Wire::CreateService(wire::CreateService { spec: Some((*spec).into()), ids: ids(source) })
            }
            Command::UpdateService { service, spec, seen } => Wire::UpdateService(wire::UpdateService {
                service: Some(object(service, seen)),
                spec: Some((*spec).into()),
            }),
            Command::RollbackService { service, failed, seen } => Wire::RollbackService(wire::RollbackService {
                service: Some(object(service, seen)),
                automatic: failed.is_some(),
                reason: failed.unwrap_or_default(),
            }),
            Command::WithdrawService { service, seen } => Wire::WithdrawService(object(service, seen)),
            Command::SetUpdate { service, status, seen } => {
                Wire::SetUpdate(wire::SetUpdate { service: Some(object(service, seen)), status: Some(status.into()) })
            }
            Command::NodeLeft { node } => Wire::NodeLeft(node.to_string()),
            Command::Refound(refound) => Wire::Refound((*refound).into()),
            Command::RotateAuthority(next) => Wire::RotateAuthority(next.into()),
            Command::FinishRotation => Wire::FinishRotation(true),
            Command::SetUnlockKey { key } => Wire::SetUnlockKey(key.reveal().to_vec()),
        };
        Self { command: Some(command) }
    }
}

impl From<Refound> for wire::Refound {
    fn from(Refound { node, key, manager, address }: Refound) -> Self {
        Self { node: node.to_string(), key, manager: Some(manager.into()), address }
    }
}

impl From<OpenCluster> for wire::OpenCluster {
    fn from(open: OpenCluster) -> Self {
        let OpenCluster { identity, spec, address_pools, node, key, manager, address, availability, data_path_port } =
            open;
        Self {
            identity: Some(identity.into()),
            spec: Some(spec.into()),
            address_pools: address_pools.into_iter().map(Into::into).collect(),
            node: node.to_string(),
            key,
            manager: Some(manager.into()),
            address,
            availability: types::Availability::from(availability).into(),
            data_path_port: if data_path_port == model::MESH_PORT { 0 } else { data_path_port.into() },
        }
    }
}

impl From<ApplyStack> for wire::ApplyStack {
    fn from(apply: ApplyStack) -> Self {
        let ApplyStack {
            stack,
            recreate,
            remove_orphans,
            start_stopped,
            no_start,
            renew_volumes,
            force,
            keep_replicas,
            ids: source,
        } = apply;
        Self {
            stack: Some(stack.into()),
            recreate: control::Recreate::from(recreate).into(),
            remove_orphans,
            start_stopped,
            no_start,
            renew_volumes,
            force,
            keep_replicas,
            ids: ids(source),
        }
    }
}

impl From<Recreate> for control::Recreate {
    fn from(recreate: Recreate) -> Self {
        match recreate {
            Recreate::Changed => Self::Changed,
            Recreate::Force => Self::Force,
            Recreate::Never => Self::Never,
        }
    }
}

impl From<IntentAction> for control::IntentAction {
    fn from(action: IntentAction) -> Self {
        match action {
            IntentAction::Stop => Self::Stop,
            IntentAction::Start => Self::Start,
            IntentAction::Restart => Self::Restart,
        }
    }
}

impl From<State> for wire::State {
    fn from(state: State) -> Self {
        // The index is made anew from the objects.
        let State { version, cluster, nodes, services, tasks, networks, secrets, configs, index: _ } = state;
        Self {
            format: FORMAT,
            version,
            cluster: cluster.map(Into::into),
            nodes: nodes.into_iter().map(|(_, node)| node.into()).collect(),
            services: services.into_iter().map(|(_, service)| service.into()).collect(),
            tasks: tasks.into_iter().map(|(_, task)| task.into()).collect(),
            networks: networks.into_iter().map(|(_, network)| network.into()).collect(),
            secrets: secrets.into_iter().map(|(_, secret)| secret.into()).collect(),
            configs: configs.into_iter().map(|(_, config)| config.into()).collect(),
        }
    }
}
