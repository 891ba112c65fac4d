//! Virtual addresses and published ports of services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{Endpoint, EndpointMode, IpSubnet, Network, PortSpec, Protocol, Service, Vip};

use super::leases::block_prefix;
use crate::state::{Command, State};

/// Ports for those that ask for any, as Swarm's default range begins.
const PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// Brings each service's endpoint to what its spec asks for.
pub fn allocate(state: &State, commands: &mut Vec<Command>) {
    let mut addresses: BTreeSet<IpAddr> =
        state.services.values().flat_map(|service| &service.endpoint.vips).map(|vip| vip.address).collect();
    addresses.extend(fixed_addresses(state));
    let mut ports: BTreeSet<(Protocol, u16)> = state.services.values().flat_map(held_ports).collect();
    for service in state.services.values().filter(|service| !service.removing) {
        let endpoint = Endpoint { vips: vips(state, service, &mut addresses), ports: published(service, &mut ports) };
        if endpoint != service.endpoint {
            commands.push(Command::SetEndpoint { service: service.id, endpoint, seen: service.meta.version });
        }
    }
}

fn fixed_addresses(state: &State) -> impl Iterator<Item = IpAddr> + '_ {
    let attachments = state.services.values().flat_map(|service| service.spec.network.attachments());
    attachments.flat_map(|attachment| attachment.ipv4_address.into_iter().chain(attachment.ipv6_address))
}

fn held_ports(service: &Service) -> impl Iterator<Item = (Protocol, u16)> + '_ {
    let ports = service.spec.ports.iter().chain(&service.endpoint.ports);
    ports.filter_map(|port| Some((port.protocol, port.published?)))
}

fn vips(state: &State, service: &Service, taken: &mut BTreeSet<IpAddr>) -> Vec<Vip> {
    if service.spec.endpoint_mode == EndpointMode::Dnsrr {
        return Vec::new();
    }
    let networks = service.spec.network.attachments().iter().filter_map(|a| state.network_named(&a.network));
    let vip = |network: &Network| {
        let held = service.endpoint.vips.iter().find(|vip| vip.network == network.id);
        let held = held.filter(|vip| network.subnets.iter().any(|subnet| subnet.contains(vip.address)));
        if let Some(vip) = held {
            return Some(*vip);
        }
        let address = network.subnets.iter().find_map(|subnet| free_address(subnet, taken))?;
        taken.insert(address);
        Some(Vip { network: network.id, address })
    };
    networks.filter_map(vip).collect()
}

/// The first free address of part 0; its first is the network's own.
fn free_address(subnet: &IpSubnet, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let part = if subnet.is_ipv4() { subnet.part(block_prefix(subnet), 0)? } else { return None };
    (1..part.size()).filter_map(|offset| part.nth(offset)).find(|address| !taken.contains(address))
}

fn published(service: &Service, taken: &mut BTreeSet<(Protocol, u16)>) -> Vec<PortSpec> {
    let mut held: Vec<&PortSpec> = service.endpoint.ports.iter().collect();
    let publish = |port: &PortSpec| {
        if port.published.is_some() {
            return port.clone();
        }
        let same = |held: &&PortSpec| PortSpec { published: None, ..(*held).clone() } == *port;
        if let Some(index) = held.iter().position(same) {
            return held.remove(index).clone();
        }
        let published = PORTS.clone().find(|number| !taken.contains(&(port.protocol, *number)));
        taken.extend(published.map(|number| (port.protocol, number)));
        PortSpec { published, ..port.clone() }
    };
    service.spec.ports.iter().map(publish).collect()
}
