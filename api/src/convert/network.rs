//! Networks, attachments and ports.

use super::{WireEnum, all, optional_text, port, strings, text, texts, wires};
use crate::{Error, types};

impl From<model::NetworkSpec> for types::NetworkSpec {
    fn from(spec: model::NetworkSpec) -> Self {
        let model::NetworkSpec { name, labels, stack, internal, attachable, subnets, driver, options, ipam } = spec;
        let ipam = (ipam != model::Ipam::default()).then(|| ipam.into());
        Self { name, labels, stack, internal, attachable, subnets: strings(subnets), driver, options, ipam }
    }
}

impl TryFrom<types::NetworkSpec> for model::NetworkSpec {
    type Error = Error;

    fn try_from(spec: types::NetworkSpec) -> Result<Self, Error> {
        let types::NetworkSpec { name, labels, stack, internal, attachable, subnets, driver, options, ipam } = spec;
        let (subnets, ipam) = (texts("network.subnets", subnets)?, ipam.map(TryInto::try_into).transpose()?);
        Ok(Self { name, labels, stack, internal, attachable, subnets, driver, options, ipam: ipam.unwrap_or_default() })
    }
}

impl From<model::Ipam> for types::Ipam {
    fn from(ipam: model::Ipam) -> Self {
        let model::Ipam { no_ipv4, ipv6, ranges, gateways, auxiliary } = ipam;
        let auxiliary = auxiliary.into_iter().map(|(name, address)| (name, address.to_string())).collect();
        Self { no_ipv4, ipv6, ranges: strings(ranges), gateways: strings(gateways), auxiliary }
    }
}

impl TryFrom<types::Ipam> for model::Ipam {
    type Error = Error;

    fn try_from(ipam: types::Ipam) -> Result<Self, Error> {
        let types::Ipam { no_ipv4, ipv6, ranges, gateways, auxiliary } = ipam;
        let address = |(name, address)| Ok((name, text("ipam.auxiliary", address)?));
        Ok(Self {
            no_ipv4,
            ipv6,
            ranges: texts("ipam.ranges", ranges)?,
            gateways: texts("ipam.gateways", gateways)?,
            auxiliary: auxiliary.into_iter().map(address).collect::<Result<_, Error>>()?,
        })
    }
}

impl From<model::NetworkMode> for types::NetworkMode {
    fn from(mode: model::NetworkMode) -> Self {
        use types::network_mode::Mode;
        let mode = match mode {
            model::NetworkMode::None => Mode::None(true),
            model::NetworkMode::Host => Mode::Host(true),
            model::NetworkMode::Networks(attachments) => {
                Mode::Networks(types::AttachmentSpecs { attachments: wires(attachments) })
            }
            model::NetworkMode::Container(name) => Mode::Container(name),
            model::NetworkMode::Service(key) => Mode::Service(key),
        };
        Self { mode: Some(mode) }
    }
}

impl TryFrom<types::NetworkMode> for model::NetworkMode {
    type Error = Error;

    fn try_from(types::NetworkMode { mode }: types::NetworkMode) -> Result<Self, Error> {
        use types::network_mode::Mode;
        Ok(match mode.ok_or(Error::Missing("network.mode"))? {
            Mode::None(true) => Self::None,
            Mode::Host(true) => Self::Host,
            Mode::None(false) => return Err(Error::invalid("network.none", false)),
            Mode::Host(false) => return Err(Error::invalid("network.host", false)),
            Mode::Networks(types::AttachmentSpecs { attachments }) => Self::Networks(all(attachments)?),
            Mode::Container(name) => Self::Container(name),
            Mode::Service(key) => Self::Service(key),
        })
    }
}

impl From<model::AttachmentSpec> for types::AttachmentSpec {
    fn from(spec: model::AttachmentSpec) -> Self {
        let model::AttachmentSpec {
            network,
            aliases,
            links,
            ipv4_address,
            ipv6_address,
            mac_address,
            interface_name,
            sysctls,
            link_local,
            local,
        } = spec;
        let address = |address: Option<std::net::IpAddr>| address.map(|address| address.to_string());
        Self {
            network,
            aliases,
            links,
            ipv4_address: address(ipv4_address),
            ipv6_address: address(ipv6_address),
            mac_address: mac_address.map(|address| address.to_string()),
            interface_name,
            sysctls: sysctls.into_iter().collect(),
            link_local: link_local.iter().map(ToString::to_string).collect(),
            local,
        }
    }
}

impl TryFrom<types::AttachmentSpec> for model::AttachmentSpec {
    type Error = Error;

    fn try_from(spec: types::AttachmentSpec) -> Result<Self, Error> {
        let types::AttachmentSpec {
            network,
            aliases,
            ipv4_address,
            ipv6_address,
            mac_address,
            interface_name,
            local,
            links,
            sysctls,
            link_local,
        } = spec;
        let ipv4_address = optional_text("attachment.ipv4_address", ipv4_address)?;
        let ipv6_address = optional_text("attachment.ipv6_address", ipv6_address)?;
        let mac_address = optional_text("attachment.mac_address", mac_address)?;
        if let Some(error) = sysctls.iter().find_map(|(key, value)| model::check_endpoint_sysctl(key, value).err()) {
            return Err(Error::invalid("attachment.sysctls", error));
        }
        let link_local: Vec<std::net::IpAddr> =
            link_local.into_iter().map(|address| text("attachment.link_local", address)).collect::<Result<_, _>>()?;
        if let Some(error) = link_local.iter().find_map(|address| model::check_link_local(*address).err()) {
            return Err(Error::invalid("attachment.link_local", error));
        }
        Ok(Self {
            network,
            aliases,
            links,
            ipv4_address,
            ipv6_address,
            mac_address,
            interface_name,
            sysctls,
            link_local,
            local,
        })
    }
}

impl From<model::LocalNetwork> for types::LocalNetwork {
    fn from(network: model::LocalNetwork) -> Self {
        let model::LocalNetwork { id, name, created_at, labels, driver, options, internal, attachable, pools } =
            network;
        Self {
            id: id.to_string(),
            name,
            created_at: created_at.0,
            labels,
            driver,
            options,
            internal,
            attachable,
            pools: wires(pools),
        }
    }
}

impl TryFrom<types::LocalNetwork> for model::LocalNetwork {
    type Error = Error;

    fn try_from(network: types::LocalNetwork) -> Result<Self, Error> {
        let types::LocalNetwork { id, name, created_at, labels, driver, options, internal, attachable, pools } =
            network;
        Ok(Self {
            id: text("network.id", id)?,
            name,
            created_at: model::Timestamp(created_at),
            labels,
            driver,
            options,
            internal,
            attachable,
            pools: all(pools)?,
        })
    }
}

impl From<model::AddressRange> for types::AddressRange {
    fn from(pool: model::AddressRange) -> Self {
        let model::AddressRange { subnet, range, gateway, auxiliary } = pool;
        Self {
            subnet: subnet.to_string(),
            range: range.map(|range| range.to_string()),
            gateway: gateway.to_string(),
            auxiliary: auxiliary.into_iter().map(|(name, address)| (name, address.to_string())).collect(),
        }
    }
}

impl TryFrom<types::AddressRange> for model::AddressRange {
    type Error = Error;

    fn try_from(pool: types::AddressRange) -> Result<Self, Error> {
        let types::AddressRange { subnet, range, gateway, auxiliary } = pool;
        let address = |(name, address)| Ok((name, text("pool.auxiliary", address)?));
        Ok(Self {
            subnet: text("pool.subnet", subnet)?,
            range: optional_text("pool.range", range)?,
            gateway: text("pool.gateway", gateway)?,
            auxiliary: auxiliary.into_iter().map(address).collect::<Result<_, Error>>()?,
        })
    }
}

impl From<model::Attachment> for types::Attachment {
    fn from(model::Attachment { network, addresses }: model::Attachment) -> Self {
        Self { network: network.to_string(), addresses: strings(addresses) }
    }
}

impl TryFrom<types::Attachment> for model::Attachment {
    type Error = Error;

    fn try_from(types::Attachment { network, addresses }: types::Attachment) -> Result<Self, Error> {
        let addresses = texts("attachment.addresses", addresses)?;
        Ok(Self { network: text("attachment.network", network)?, addresses })
    }
}

impl From<model::PortSpec> for types::PortSpec {
    fn from(spec: model::PortSpec) -> Self {
        let model::PortSpec { host_ip, published, target, protocol, mode, choose_from } = spec;
        Self {
            host_ip: host_ip.map(|address| address.to_string()),
            published: published.map(u32::from),
            target: target.into(),
            protocol: protocol.number(),
            mode: mode.number(),
            choose_from: choose_from
                .map(|range| types::PortRange { first: range.first.into(), last: range.last.into() }),
        }
    }
}

impl TryFrom<types::PortSpec> for model::PortSpec {
    type Error = Error;

    fn try_from(spec: types::PortSpec) -> Result<Self, Error> {
        let types::PortSpec { host_ip, published, target, protocol, mode, choose_from } = spec;
        let range = |types::PortRange { first, last }| {
            let (first, last) = (port("port.choose_from", first)?, port("port.choose_from", last)?);
            Ok::<_, Error>(model::PortRange { first, last })
        };
        Ok(Self {
            host_ip: optional_text("port.host_ip", host_ip)?,
            published: published.map(|number| port("port.published", number)).transpose()?,
            target: port("port.target", target)?,
            protocol: WireEnum::from_number("port.protocol", protocol)?,
            mode: WireEnum::from_number("port.mode", mode)?,
            choose_from: choose_from.map(range).transpose()?,
        })
    }
}
