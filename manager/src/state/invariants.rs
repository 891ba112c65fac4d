//! What holds of every state, for property tests and the simulator.

use std::collections::BTreeMap;

use imbl::{OrdMap, OrdSet};
use model::{IpSubnet, NodeId, Place, ServiceId, TaskId};

use super::State;

/// Checks a state; what is wrong with it, in words.
///
/// # Errors
/// The first thing that does not hold.
pub fn check(state: &State) -> Result<(), String> {
    indexes(state)?;
    few_live_tasks_per_place(state)?;
    subnets_and_leases(state)?;
    addresses(state)
}

fn indexes(state: &State) -> Result<(), String> {
    let mut by_service: OrdMap<ServiceId, OrdSet<TaskId>> = OrdMap::new();
    let mut by_node: OrdMap<NodeId, OrdSet<TaskId>> = OrdMap::new();
    for task in state.tasks.values() {
        by_service.entry(task.service).or_default().insert(task.id);
        if let Some(node) = task.node {
            by_node.entry(node).or_default().insert(task.id);
        }
        if !state.services.contains_key(&task.service) {
            return Err(format!("task {} is of a service that is gone", task.id));
        }
    }
    if by_service != state.index.tasks_by_service || by_node != state.index.tasks_by_node {
        return Err("the indexes of tasks differ from the tasks".into());
    }
    let names = |name: &String, found: bool| if found { Ok(()) } else { Err(format!("the name {name} leads nowhere")) };
    let mut members = 0;
    for service in state.services.values() {
        if let Some(member) = &service.spec.stack {
            let found = state.service_of_stack(&member.stack, &member.key).is_some_and(|found| found.id == service.id);
            names(&member.key, found)?;
            members += 1;
        }
        names(&service.spec.name, state.index.services_by_name.get(&service.spec.name) == Some(&service.id))?;
    }
    for network in state.networks.values() {
        names(&network.spec.name, state.index.networks_by_name.get(&network.spec.name) == Some(&network.id))?;
    }
    for secret in state.secrets.values().filter(|secret| !secret.superseded) {
        names(&secret.spec.name, state.index.secrets_by_name.get(&secret.spec.name) == Some(&secret.id))?;
    }
    for config in state.configs.values().filter(|config| !config.superseded) {
        names(&config.spec.name, state.index.configs_by_name.get(&config.spec.name) == Some(&config.id))?;
    }
    let lengths = [
        (members, state.index.services_by_stack.values().map(OrdMap::len).sum()),
        (state.services.len(), state.index.services_by_name.len()),
        (state.networks.len(), state.index.networks_by_name.len()),
        (state.secrets.values().filter(|secret| !secret.superseded).count(), state.index.secrets_by_name.len()),
        (state.configs.values().filter(|config| !config.superseded).count(), state.index.configs_by_name.len()),
    ];
    if lengths.iter().any(|(objects, names)| objects != names) {
        return Err("an index of names has another length than its objects".into());
    }
    Ok(())
}

/// Where tasks give way one by one there may be two.
fn few_live_tasks_per_place(state: &State) -> Result<(), String> {
    let mut places: BTreeMap<(ServiceId, Place), usize> = BTreeMap::new();
    for task in state.tasks.values().filter(|task| task.is_live()) {
        let service = state.services.get(&task.service);
        let rolls = service.is_some_and(|service| service.spec.rolls());
        let count = places.entry((task.service, task.place())).or_default();
        *count += 1;
        if *count > 1 + usize::from(rolls) {
            return Err(format!("{:?} of service {} has {count} tasks", task.place(), task.service));
        }
        if task.bound.is_some() && task.node.is_some_and(|node| task.bound != Some(node)) {
            return Err(format!("task {} is bound to another node than it runs on", task.id));
        }
    }
    Ok(())
}

fn subnets_and_leases(state: &State) -> Result<(), String> {
    let mut taken: Vec<IpSubnet> = Vec::new();
    for network in state.networks.values() {
        for subnet in &network.subnets {
            if let Some(other) = taken.iter().find(|other| other.overlaps(subnet)) {
                return Err(format!("subnets {subnet} and {other} overlap"));
            }
            taken.push(*subnet);
        }
        let blocks: Vec<&IpSubnet> = network.leases.values().flatten().collect();
        for (index, block) in blocks.iter().enumerate() {
            if !network
                .subnets
                .iter()
                .any(|subnet| subnet.contains(block.network()) && subnet.prefix() <= block.prefix())
            {
                return Err(format!("lease {block} is outside of network {}", network.spec.name));
            }
            if let Some(other) = blocks[index + 1..].iter().find(|other| other.overlaps(block)) {
                return Err(format!("leases {block} and {other} overlap"));
            }
        }
    }
    Ok(())
}

fn addresses(state: &State) -> Result<(), String> {
    let mut holders = BTreeMap::new();
    for service in state.services.values() {
        for vip in &service.endpoint.vips {
            if let Some(other) = holders.insert(vip.address, service.id) {
                return Err(format!("services {other} and {} share {}", service.id, vip.address));
            }
            let network = state.networks.get(&vip.network);
            if network.is_some_and(|network| network.leases.values().flatten().any(|block| block.contains(vip.address)))
            {
                return Err(format!("the address {} of service {} is leased to a node", vip.address, service.id));
            }
        }
    }
    Ok(())
}
