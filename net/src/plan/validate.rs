//! What a plan must satisfy before anything is done with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{AttachmentPlan, Family, MAX_BACKENDS, NetworkPlan, NodePlan, PortPlan};
use crate::Error;

impl NodePlan {
    /// Refuses, by name, what cannot be carried out.
    pub fn validate(&self) -> Result<(), Error> {
        self.validate_networks()?;
        self.validate_addresses()?;
        for attachment in &self.attachments {
            attachment.validate()?;
        }
        self.validate_devices()?;
        self.validate_vips()?;
        self.validate_ports()
    }

    fn validate_networks(&self) -> Result<(), Error> {
        for (index, network) in self.networks.iter().enumerate() {
            network.validate()?;
            for other in self.networks.iter().take(index) {
                let shared =
                    network.subnets.iter().find(|side| other.subnets.iter().any(|o| o.subnet.overlaps(&side.subnet)));
                if other.id == network.id || shared.is_some() {
                    return Err(Error::Conflict {
                        what: shared.map_or_else(|| network.id.to_string(), |side| format!("subnet {}", side.subnet)),
                        first: format!("network {}", other.name),
                        second: format!("network {}", network.name),
                    });
                }
            }
        }
        Ok(())
    }

    /// Every address has one owner: a gateway, an attachment or a virtual address.
    fn validate_addresses(&self) -> Result<(), Error> {
        let mut owners: BTreeMap<IpAddr, String> = BTreeMap::new();
        let mut claim = |address: IpAddr, owner: String| match owners.insert(address, owner.clone()) {
            Some(first) => Err(Error::Conflict { what: format!("address {address}"), first, second: owner }),
            None => Ok(()),
        };
        for network in &self.networks {
            for side in &network.subnets {
                claim(side.gateway, format!("the gateway of network {}", network.name))?;
            }
        }
        for attachment in &self.attachments {
            let what = format!("container {}", attachment.container.short());
            let network = self.network(attachment.network);
            let network =
                network.ok_or_else(|| Error::UnknownNetwork { what: what.clone(), network: attachment.network })?;
            for &address in &attachment.addresses {
                usable(address, network, &what)?;
                claim(address, what.clone())?;
            }
        }
        for vip in &self.vips {
            let what = format!("virtual address {}", vip.address);
            let network = self.network(vip.network);
            let network = network.ok_or_else(|| Error::UnknownNetwork { what: what.clone(), network: vip.network })?;
            usable(vip.address, network, &what)?;
            claim(vip.address, what)?;
        }
        Ok(())
    }

    fn validate_devices(&self) -> Result<(), Error> {
        let mut inside = BTreeSet::new();
        let mut outside: BTreeMap<String, &AttachmentPlan> = BTreeMap::new();
        for attachment in &self.attachments {
            let container = format!("container {}", attachment.container.short());
            if !inside.insert((attachment.container, &attachment.interface)) {
                let what = format!("interface {} of {container}", attachment.interface);
                return Err(Error::Conflict { what, first: "one network".into(), second: "another".into() });
            }
            let device = self.device(attachment);
            if let Some(first) = outside.insert(device.clone(), attachment) {
                let first = format!("container {}", first.container.short());
                return Err(Error::Conflict { what: format!("device {device}"), first, second: container });
            }
        }
        Ok(())
    }

    fn validate_vips(&self) -> Result<(), Error> {
        for vip in &self.vips {
            let what = format!("virtual address {}", vip.address);
            bounded(&what, vip.backends.len())?;
            if let Some(network) = self.network(vip.network) {
                for &backend in &vip.backends {
                    usable(backend, network, &format!("a backend of {what}"))?;
                    if Family::of(backend) != Family::of(vip.address) {
                        return Err(Error::OtherFamily { what: what.clone(), address: backend });
                    }
                }
            }
        }
        Ok(())
    }

    fn validate_ports(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for port in &self.ports {
            let what = format!("published port {}/{}", port.published, port.protocol);
            if port.published == 0 || port.backends.iter().any(|b| b.port() == 0) {
                return Err(Error::PortZero);
            }
            bounded(&what, port.backends.len())?;
            for family in Family::ALL.into_iter().filter(|family| port.is_on(*family)) {
                if !seen.insert((family, port.protocol, port.published, port.host_address())) {
                    return Err(Error::Conflict { what, first: "one service".into(), second: "another".into() });
                }
            }
        }
        self.validate_targets()
    }

    /// A published port leads into the networks of the plan or to another node, never elsewhere.
    fn validate_targets(&self) -> Result<(), Error> {
        let sides = self.networks.iter().flat_map(|network| &network.subnets);
        let inside = |address: IpAddr| sides.clone().any(|side| side.subnet.contains(address));
        let is_away =
            |address: &IpAddr| self.crossing().is_some_and(|(_, crossing)| crossing.away.contains_key(address));
        let stray = |port: &PortPlan| port.backends.iter().map(|b| b.ip()).find(|ip| !inside(*ip) && !is_away(ip));
        for port in &self.ports {
            if let Some(address) = stray(port) {
                let what = format!("published port {}/{}", port.published, port.protocol);
                return Err(Error::BackendOutside { what, address });
            }
        }
        Ok(())
    }
}

impl NetworkPlan {
    /// Refuses a second subnet of a family and a gateway outside its subnet.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (index, side) in self.subnets.iter().enumerate() {
            let is_same = |other: &&super::SubnetPlan| other.subnet.is_ipv4() == side.subnet.is_ipv4();
            if let Some(other) = self.subnets.iter().take(index).find(is_same) {
                let (first, second) = (other.subnet.to_string(), side.subnet.to_string());
                return Err(Error::Conflict { what: format!("network {}", self.name), first, second });
            }
            usable(side.gateway, self, &format!("the gateway of network {}", self.name))?;
        }
        Ok(())
    }
}

impl AttachmentPlan {
    /// Refuses impossible interface names and two addresses of a family.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for family in Family::ALL {
            let mut of_family = self.addresses.iter().filter(|address| Family::of(**address) == family);
            if let (Some(first), Some(second)) = (of_family.next(), of_family.next()) {
                let what = format!("container {}", self.container.short());
                return Err(Error::Conflict { what, first: first.to_string(), second: second.to_string() });
            }
        }
        let name = &self.interface;
        if !model::is_device(name) {
            return Err(Error::InterfaceName { name: name.chars().take(80).collect() });
        }
        let mut further = self.sysctls.iter().map(|(key, value)| model::check_endpoint_sysctl(key, value));
        let mut addresses = self.link_local.iter().map(|address| model::check_link_local(*address));
        if let Some(reason) = further.find_map(Result::err).or_else(|| addresses.find_map(Result::err)) {
            return Err(Error::Endpoint { container: self.container.short(), reason });
        }
        Ok(())
    }
}

fn bounded(what: &str, count: usize) -> Result<(), Error> {
    if count > MAX_BACKENDS {
        return Err(Error::TooManyBackends { what: what.into(), count, limit: MAX_BACKENDS });
    }
    Ok(())
}

/// Inside the network's subnet of its family, and neither the first nor the last of it where those are nobody's.
fn usable(address: IpAddr, network: &NetworkPlan, what: &str) -> Result<(), Error> {
    let family = Family::of(address);
    let Some(subnet) = network.side(family).map(|side| side.subnet) else {
        return Err(Error::OtherFamily { what: what.into(), address });
    };
    let edges = subnet.prefix() + 1 < family.width();
    let fits = subnet.offset_of(address).is_some_and(|offset| !edges || (offset != 0 && offset + 1 != subnet.size()));
    if fits { Ok(()) } else { Err(Error::AddressOutside { address, what: what.into(), subnet }) }
}
