//! Virtual addresses and published ports of services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{Endpoint, EndpointMode, IpSubnet, Network, PortSpec, Protocol, Service, Task, TaskState, Vip};

use super::leases::services_part;
use crate::state::{Command, State};

/// Ports for those that ask for any, as Swarm's default range begins.
const PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// What is not free. What users have asked for by number goes before what the allocator has given away.
struct Taken {
    fixed_addresses: BTreeSet<IpAddr>,
    addresses: BTreeSet<IpAddr>,
    fixed_ports: BTreeSet<(Protocol, u16)>,
    ports: BTreeSet<(Protocol, u16)>,
}

impl Taken {
    fn of(state: &State) -> Self {
        let services = || state.services.values();
        Self {
            fixed_addresses: fixed_addresses(state).collect(),
            addresses: services().flat_map(|service| &service.endpoint.vips).map(|vip| vip.address).collect(),
            fixed_ports: services()
                .filter(|service| service.wants_containers())
                .flat_map(|service| &service.spec.ports)
                .filter_map(number)
                .collect(),
            ports: services().flat_map(|service| &service.endpoint.ports).filter_map(number).collect(),
        }
    }
}

/// Brings each service's endpoint to what its spec asks for.
pub fn allocate(state: &State, commands: &mut Vec<Command>) {
    let mut taken = Taken::of(state);
    for service in state.services.values().filter(|service| !service.removing) {
        let endpoint =
            Endpoint { vips: vips(state, service, &mut taken), ports: published(state, service, &mut taken) };
        if endpoint != service.endpoint {
            commands.push(Command::SetEndpoint { service: service.id, endpoint, seen: service.meta.version });
        }
    }
}

/// Addresses that users have chosen for containers.
pub fn fixed_addresses(state: &State) -> impl Iterator<Item = IpAddr> + '_ {
    let attachments = state.services.values().flat_map(|service| service.spec.network.attachments());
    attachments.flat_map(|attachment| attachment.ipv4_address.into_iter().chain(attachment.ipv6_address))
}

fn number(port: &PortSpec) -> Option<(Protocol, u16)> {
    Some((port.protocol, port.published?))
}

fn vips(state: &State, service: &Service, taken: &mut Taken) -> Vec<Vip> {
    if service.spec.endpoint_mode == EndpointMode::Dnsrr {
        return Vec::new();
    }
    let networks = service.spec.network.attachments().iter().filter_map(|a| state.network_named(&a.network));
    let families = networks.flat_map(|network| [true, false].map(|four| (network, four)));
    families.filter_map(|(network, four)| vip(network, four, service, taken)).collect()
}

/// The address of a family that the service has on a network, as long as it may stay; else a free one.
fn vip(network: &Network, four: bool, service: &Service, taken: &mut Taken) -> Option<Vip> {
    let ipam = &network.spec.ipam;
    let of_family = || network.subnets.iter().filter(move |subnet| subnet.network().is_ipv4() == four);
    // Nodes that were given parts before services had addresses in IPv6 keep them.
    let is_ours = |part: &IpSubnet| four || !network.leases.values().flatten().any(|block| block.overlaps(part));
    let parts = || of_family().filter_map(|subnet| services_part(&ipam.range_of(*subnet))).filter(is_ours);
    let is_reserved = |address: IpAddr| ipam.reserved().any(|reserved| reserved == address);
    let stays = |vip: &&Vip| {
        let is_inside = parts().any(|part| part.contains(vip.address)) && !is_reserved(vip.address);
        vip.network == network.id && is_inside && !taken.fixed_addresses.contains(&vip.address)
    };
    if network.spec.is_link() {
        return None;
    }
    if let Some(vip) = service.endpoint.vips.iter().find(stays) {
        return Some(*vip);
    }
    let address = parts().find_map(|part| free_address(&part, taken, is_reserved))?;
    taken.addresses.insert(address);
    Some(Vip { network: network.id, address })
}

/// The first free address of a subnet's first part; the very first is the network's own.
fn free_address(part: &IpSubnet, taken: &Taken, is_reserved: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let is_free = |address: &IpAddr| {
        let is_taken = taken.addresses.contains(address) || taken.fixed_addresses.contains(address);
        !is_taken && !is_reserved(*address)
    };
    (1..part.size()).filter_map(|offset| part.nth(offset)).find(is_free)
}

/// Without a container to answer, a port is left to whoever wants it.
fn published(state: &State, service: &Service, taken: &mut Taken) -> Vec<PortSpec> {
    let runs = |task: &Task| task.desired <= TaskState::Running && !task.intent.stopped;
    if !service.wants_containers() || service.held && !state.tasks_of(service.id).any(runs) {
        return Vec::new();
    }
    let mut held: Vec<&PortSpec> = service.endpoint.ports.iter().collect();
    let publish = |port: &PortSpec| {
        if port.published.is_some() {
            return port.clone();
        }
        let stays = |held: &&PortSpec| {
            let is_free = number(held).is_some_and(|number| !taken.fixed_ports.contains(&number));
            is_free && PortSpec { published: None, ..(*held).clone() } == *port
        };
        if let Some(index) = held.iter().position(stays) {
            return held.remove(index).clone();
        }
        let is_free = |number: &(Protocol, u16)| !taken.ports.contains(number) && !taken.fixed_ports.contains(number);
        let mut range = port.choose_from.map_or(PORTS, |range| range.first..=range.last);
        let given = range.find(|number| is_free(&(port.protocol, *number))).map(|number| (port.protocol, number));
        taken.ports.extend(given);
        PortSpec { published: given.map(|(_, number)| number), ..port.clone() }
    };
    service.spec.ports.iter().map(publish).collect()
}
