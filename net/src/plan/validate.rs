//! What a plan must satisfy before anything is done with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use model::IpSubnet;

use super::{AttachmentPlan, MAX_BACKENDS, NetworkPlan, NodePlan, PortPlan};
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
                if other.id == network.id || other.subnet.overlaps(&network.subnet) {
                    return Err(Error::Conflict {
                        what: format!("subnet {}", network.subnet),
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
        let mut owners: BTreeMap<Ipv4Addr, String> = BTreeMap::new();
        let mut claim = |address: Ipv4Addr, owner: String| match owners.insert(address, owner.clone()) {
            Some(first) => Err(Error::Conflict { what: format!("address {address}"), first, second: owner }),
            None => Ok(()),
        };
        for network in &self.networks {
            claim(network.gateway, format!("the gateway of network {}", network.name))?;
        }
        for attachment in &self.attachments {
            let what = format!("container {}", attachment.container.short());
            let network = self.network(attachment.network);
            let network =
                network.ok_or_else(|| Error::UnknownNetwork { what: what.clone(), network: attachment.network })?;
            usable(attachment.address, network.subnet, &what)?;
            claim(attachment.address, what)?;
        }
        for vip in &self.vips {
            let what = format!("virtual address {}", vip.address);
            let network = self.network(vip.network);
            let network = network.ok_or_else(|| Error::UnknownNetwork { what: what.clone(), network: vip.network })?;
            usable(vip.address, network.subnet, &what)?;
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
                    usable(backend, network.subnet, &format!("a backend of {what}"))?;
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
            if matches!(port.host_ip, Some(IpAddr::V6(_))) {
                return Err(Error::Ipv6Unsupported { what });
            }
            bounded(&what, port.backends.len())?;
            if !seen.insert((port.protocol, port.published, port.host_ipv4())) {
                return Err(Error::Conflict { what, first: "one service".into(), second: "another".into() });
            }
        }
        self.validate_targets()
    }

    /// A published port leads into the networks of the plan, never elsewhere.
    fn validate_targets(&self) -> Result<(), Error> {
        let inside = |address: Ipv4Addr| self.networks.iter().any(|n| n.subnet.contains(address.into()));
        let stray = |port: &PortPlan| port.backends.iter().map(|b| *b.ip()).find(|&ip| !inside(ip));
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
    /// Refuses IPv6 and a gateway outside the subnet.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let what = format!("network {}", self.name);
        if self.subnet6.is_some() || !self.subnet.is_ipv4() {
            return Err(Error::Ipv6Unsupported { what });
        }
        usable(self.gateway, self.subnet, &format!("the gateway of {what}"))
    }
}

impl AttachmentPlan {
    /// Refuses IPv6 and impossible interface names.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.address6.is_some() {
            return Err(Error::Ipv6Unsupported { what: format!("container {}", self.container.short()) });
        }
        let name = &self.interface;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let reserved = matches!(name.as_str(), "." | ".." | "lo" | "all" | "default");
        if name.is_empty() || name.len() > 15 || reserved || !name.bytes().all(allowed) {
            return Err(Error::InterfaceName { name: name.chars().take(80).collect() });
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

/// Inside the subnet, and neither its network nor its broadcast address where it has those.
fn usable(address: Ipv4Addr, subnet: IpSubnet, what: &str) -> Result<(), Error> {
    let offset = subnet.offset_of(address.into());
    let edges = subnet.prefix() < 31;
    let fits = offset.is_some_and(|offset| !edges || (offset != 0 && offset + 1 != subnet.size()));
    if fits { Ok(()) } else { Err(Error::AddressOutside { address: address.into(), what: what.into(), subnet }) }
}
