//! Ports of the host for standalone containers that name none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use model::{PortSpec, Protocol};

use super::Networks;
use super::plan::ports_clash;
use crate::{Error, Result};

/// Ports for those that ask for any: Linux' usual range for that (ip_local_port_range).
const FREE_PORTS: std::ops::RangeInclusive<u16> = 32_768..=60_999;

impl Networks {
    /// Chooses a port for each that names none; `held` are the other containers'.
    pub fn choose_ports(&self, ports: &mut [PortSpec], held: &[PortSpec]) -> Result<()> {
        let assigned = self.assigned();
        let mut taken: Vec<PortSpec> =
            assigned.endpoints.values().flat_map(|endpoint| endpoint.ports.clone()).collect();
        taken.extend(held.iter().cloned());
        taken.extend(ports.iter().filter(|port| port.published.is_some()).cloned());
        for port in ports.iter_mut().filter(|port| port.published.is_none()) {
            let candidate = |number| PortSpec { published: Some(number), ..port.clone() };
            let free = |number: &u16| {
                let candidate = candidate(*number);
                !taken.iter().any(|other| ports_clash(&candidate, other)) && can_bind(&candidate)
            };
            let range = port.choose_from.map_or(FREE_PORTS, |range| range.first..=range.last);
            let (first, last) = (*range.start(), *range.end());
            let (target, protocol) = (port.target, port.protocol);
            let number = range.into_iter().find(free).ok_or(Error::NoFreePort { first, last, target, protocol })?;
            port.published = Some(number);
            taken.push(port.clone());
        }
        Ok(())
    }
}

/// Whether nobody else on the host has it.
fn can_bind(port: &PortSpec) -> bool {
    let address =
        SocketAddr::new(port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port.published.unwrap_or(0));
    match port.protocol {
        Protocol::Tcp => TcpListener::bind(address).is_ok(),
        Protocol::Udp => UdpSocket::bind(address).is_ok(),
        Protocol::Sctp => net::netd::can_bind(port.protocol, address).is_ok(),
    }
}
