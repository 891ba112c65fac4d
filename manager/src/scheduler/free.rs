//! What is still free on a node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{Node, PortSpec, Protocol, PublishMode, Service, Task};

use crate::state::State;

/// What is free on a node.
#[derive(Debug, Clone)]
pub struct Free {
    pub nano_cpus: u64,
    pub memory: u64,
    pub generic: BTreeMap<String, u64>,
    /// How many tasks it has.
    pub tasks: usize,
    /// Ports of the node itself that tasks have.
    ports: BTreeSet<(u8, u16, Option<IpAddr>)>,
}

impl Free {
    /// What the tasks on the node leave.
    pub fn of(state: &State, node: &Node) -> Self {
        let description = &node.description;
        let mut free = Self {
            nano_cpus: description.nano_cpus,
            memory: description.memory,
            generic: description.generic.clone(),
            tasks: 0,
            ports: BTreeSet::new(),
        };
        for task in state.tasks_on(node.id).filter(|task| !task.status.state.is_terminal()) {
            free.take(state, task);
        }
        free
    }

    /// A task more.
    pub fn take(&mut self, state: &State, task: &Task) {
        let wanted = &task.spec.container.resources.reservations;
        self.nano_cpus = self.nano_cpus.saturating_sub(wanted.nano_cpus);
        self.memory = self.memory.saturating_sub(wanted.memory);
        for (kind, count) in &wanted.generic {
            if let Some(free) = self.generic.get_mut(kind) {
                *free = free.saturating_sub(*count);
            }
        }
        self.tasks += 1;
        self.ports.extend(host_ports(state.services.get(&task.service)).map(key));
    }

    /// A port of the node itself that a task would need and another has.
    pub fn taken_port<'a>(&self, service: Option<&'a Service>) -> Option<&'a PortSpec> {
        let clash = |port: &&PortSpec| {
            let (protocol, number, address) = key(port);
            let same = |held: &&(u8, u16, Option<IpAddr>)| {
                let apart = matches!((held.2, address), (Some(held), Some(address)) if held != address);
                (held.0, held.1) == (protocol, number) && !apart
            };
            self.ports.iter().any(|held| same(&held))
        };
        host_ports(service).find(clash)
    }
}

fn host_ports(service: Option<&Service>) -> impl Iterator<Item = &PortSpec> {
    let ports = service.into_iter().flat_map(|service| &service.spec.ports);
    ports.filter(|port| port.mode == PublishMode::Host && port.published.is_some())
}

fn key(port: &PortSpec) -> (u8, u16, Option<IpAddr>) {
    let protocol = match port.protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
        Protocol::Sctp => 2,
    };
    (protocol, port.published.unwrap_or_default(), port.host_ip)
}
