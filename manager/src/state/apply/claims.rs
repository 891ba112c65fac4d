//! What a service refers to must exist; what it claims for itself (ports, fixed addresses) nobody else may have.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{PortSpec, RestartCondition, Service, ServiceSpec};

use super::{Draft, Refusal};

impl Draft<'_> {
    /// Checks one service's spec against networks, secrets and configs.
    pub(super) fn check_service(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        let slots = spec.mode.slots();
        let service = || spec.name.clone();
        let many = |why| match slots {
            Some(replicas) => Refusal::Replicas { service: service(), replicas, why },
            None => Refusal::Global { service: service(), why },
        };
        let is_many = spec.placement.node.is_none() && slots.is_none() || slots.is_some_and(|slots| slots > 1);
        let ends = matches!(spec.container.restart.condition, RestartCondition::No | RestartCondition::OnFailure);
        if spec.mode.is_job() && !ends {
            return Err(Refusal::JobRestarts { service: service() });
        }
        if let Some(name) = &spec.container_name {
            model::check_object_name("container", name)?;
            if is_many {
                return Err(many("a container_name"));
            }
        }
        let too_many = |error| Refusal::TooManyPorts { service: spec.name.clone(), error };
        model::check_port_count(spec.ports.len()).map_err(too_many)?;
        self.check_attachments(spec)?;
        self.check_way_in(spec)?;
        if fixed_addresses(spec).next().is_some() && is_many {
            return Err(many("a fixed address"));
        }
        self.check_contents(spec)
    }

    fn check_attachments(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        // The node's own networks are its agent's to know.
        for attachment in spec.network.attachments().iter().filter(|attachment| !attachment.local) {
            let Some(network) = self.state.network_named(&attachment.network) else {
                return Err(Refusal::NotFound { kind: "network", name: attachment.network.clone() });
            };
            for address in attachment.ipv4_address.iter().chain(&attachment.ipv6_address) {
                if !network.spec.subnets.iter().any(|subnet| subnet.contains(*address)) {
                    let (service, network) = (spec.name.clone(), attachment.network.clone());
                    return Err(Refusal::AddressOutside { service, address: *address, network });
                }
            }
        }
        Ok(())
    }

    /// A published port leads by way of the host.
    fn check_way_in(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        let attachments = spec.network.attachments();
        let known = |name: &str| self.state.network_named(name).is_some_and(|network| network.spec.is_elsewhere());
        let is_elsewhere = attachments.iter().all(|attachment| !attachment.local && known(&attachment.network));
        match attachments.first().filter(|_| !spec.ports.is_empty() && is_elsewhere) {
            None => Ok(()),
            Some(first) => {
                let (service, network) = (spec.name.clone(), first.network.clone());
                Err(Refusal::PortsElsewhere { service, network })
            }
        }
    }

    /// Checks what a service claims once the whole stack is in the draft, so that services may swap ports in one application.
    pub(super) fn check_claims(&self, name: &str) -> Result<(), Refusal> {
        let Some(service) = self.state.service_named(name) else { return Ok(()) };
        self.check_ports(service)?;
        let addresses: BTreeSet<IpAddr> = fixed_addresses(&service.spec).collect();
        for other in self.state.services.values().filter(|other| other.id != service.id && !other.removing) {
            if let Some(address) = fixed_addresses(&other.spec).find(|address| addresses.contains(address)) {
                let (service, holder) = (name.to_owned(), other.spec.name.clone());
                return Err(Refusal::AddressInUse { service, address, holder });
            }
        }
        Ok(())
    }

    /// A published port belongs to one service, unless both bind different addresses, or one has no containers.
    fn check_ports(&self, service: &Service) -> Result<(), Refusal> {
        let in_use = |port: &PortSpec, holder: &Service| Refusal::PortInUse {
            service: service.spec.name.clone(),
            port: port.published.unwrap_or_default(),
            protocol: port.protocol,
            holder: holder.spec.name.clone(),
        };
        if !service.wants_containers() {
            return Ok(());
        }
        let others = || {
            let others = self.state.services.values().filter(|other| other.id != service.id);
            others.filter(|other| other.wants_containers())
        };
        for (index, port) in service.spec.ports.iter().enumerate().filter(|(_, port)| port.published.is_some()) {
            if service.spec.ports[..index].iter().any(|before| clash(before, port)) {
                return Err(in_use(port, service));
            }
            if let Some(holder) = others().find(|other| held_ports(other).any(|held| clash(held, port))) {
                return Err(in_use(port, holder));
            }
        }
        Ok(())
    }
}

fn fixed_addresses(spec: &ServiceSpec) -> impl Iterator<Item = IpAddr> + '_ {
    let attachments = spec.network.attachments().iter();
    attachments.flat_map(|attachment| attachment.ipv4_address.into_iter().chain(attachment.ipv6_address))
}

/// Ports that the spec names, and those given to it that the spec still asks for.
fn held_ports(service: &Service) -> impl Iterator<Item = &PortSpec> {
    let asked = |given: &&PortSpec| service.spec.ports.contains(&PortSpec { published: None, ..(*given).clone() });
    service.spec.ports.iter().chain(service.endpoint.ports.iter().filter(asked))
}

fn clash(held: &PortSpec, port: &PortSpec) -> bool {
    let apart = matches!((held.host_ip, port.host_ip), (Some(held), Some(port)) if held != port);
    held.published.is_some() && held.published == port.published && held.protocol == port.protocol && !apart
}
