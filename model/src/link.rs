//! Drivers of networks and their options: how containers are linked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::endpoint::is_device;

/// The option of driver `bridge` that says whether containers are routed (`l3`, as ever) or on a bridge device (`l2`).
const LINK: &str = "orca.link";
const MTU: &str = "com.docker.network.driver.mtu";
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const PARENT: &str = "parent";
const MACVLAN_MODE: &str = "macvlan_mode";
const IPVLAN_MODE: &str = "ipvlan_mode";
const IPVLAN_FLAG: &str = "ipvlan_flag";
const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";

/// How containers of a network are linked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Link {
    /// Each by a veth pair of its own; the host routes.
    #[default]
    Routed,
    /// All by ports of one bridge device, on which broadcast and multicast are heard.
    Bridge {
        /// A further name of the device, which has one of Orca's.
        name: Option<String>,
    },
    /// By devices of their own on a device of the host, in the network that this one is in.
    Macvlan {
        /// The device; `DEVICE.ID` is made where it is not there, for that VLAN of the device.
        parent: String,
        /// Who reaches whom.
        mode: MacvlanMode,
    },
    /// The same with devices that have the link address of the host's.
    Ipvlan {
        /// The device, as above.
        parent: String,
        /// What is looked at on the way out and in.
        mode: IpvlanMode,
        /// Who reaches whom.
        flag: IpvlanFlag,
    },
}

impl Link {
    /// The device of the host that containers' own lie on; their packets do not come to the host.
    pub fn parent(&self) -> Option<&str> {
        match self {
            Self::Routed | Self::Bridge { .. } => None,
            Self::Macvlan { parent, .. } | Self::Ipvlan { parent, .. } => Some(parent),
        }
    }

    /// Whether containers ask nobody on the link for the way: ipvlan routes for them.
    pub const fn is_routed_by_device(&self) -> bool {
        matches!(self, Self::Ipvlan { mode: IpvlanMode::L3 | IpvlanMode::L3s, .. })
    }
}

/// On which layer ipvlan devices of one parent are told apart (`linux/if_link.h`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum IpvlanMode {
    #[default]
    L2,
    L3,
    L3s,
}

/// What ipvlan devices of one parent see of each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum IpvlanFlag {
    #[default]
    Bridge,
    Private,
    Vepa,
}

/// What macvlan devices of one parent see of each other (`linux/if_link.h`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum MacvlanMode {
    Private,
    Vepa,
    #[default]
    Bridge,
    Passthru,
}

/// What the options of a network say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkOptions {
    /// How containers are linked.
    pub link: Link,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// Its containers may not talk to each other, but at published ports.
    pub apart: bool,
    /// What leaves for the outside keeps its source address.
    pub own_source: bool,
    /// Where ports are published that name no address.
    pub host_binding: Option<IpAddr>,
}

/// An option that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option {key}={value} is not supported: {reason}")]
pub struct LinkOptionError {
    /// Which.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Why not, or what is expected.
    pub reason: &'static str,
}

impl LinkOptions {
    /// Reads the options of a driver.
    ///
    /// # Errors
    /// Values that make no sense and options that would change nothing, by name.
    pub fn parse(driver: &str, options: &BTreeMap<String, String>) -> Result<Self, LinkOptionError> {
        let mut parsed = Self::default();
        if driver == "macvlan" {
            parsed.link = Link::Macvlan { parent: String::new(), mode: MacvlanMode::default() };
        }
        if driver == "ipvlan" {
            let (mode, flag) = Default::default();
            parsed.link = Link::Ipvlan { parent: String::new(), mode, flag };
        }
        for (key, value) in options {
            let refuse = |reason| LinkOptionError { key: key.clone(), value: value.clone(), reason };
            parsed.option(key, value).map_err(refuse)?;
        }
        match &parsed.link {
            link if link.parent() == Some("") => {
                let reason = "this driver needs the device of the host that containers are to be on: parent=eth0";
                Err(LinkOptionError { key: PARENT.into(), value: String::new(), reason })
            }
            Link::Bridge { .. } if parsed.apart => {
                let reason = "containers on a bridge device are on one link: leave orca.link=l2 out";
                Err(LinkOptionError { key: ICC.into(), value: "false".into(), reason })
            }
            _ => Ok(parsed),
        }
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        let flag = || value.parse::<bool>().map_err(|_| "expected true or false");
        if let Link::Macvlan { parent, mode } = &mut self.link {
            match key {
                PARENT if is_device(value) => value.clone_into(parent),
                PARENT => return Err("expected the name of a device"),
                MACVLAN_MODE => {
                    *mode = match value {
                        "private" => MacvlanMode::Private,
                        "vepa" => MacvlanMode::Vepa,
                        "bridge" => MacvlanMode::Bridge,
                        "passthru" => MacvlanMode::Passthru,
                        _ => return Err("expected bridge, private, vepa or passthru"),
                    }
                }
                MTU => return Err("macvlan devices have the parent's"),
                _ => return Err("driver macvlan has options parent and macvlan_mode"),
            }
            return Ok(());
        }
        if let Link::Ipvlan { parent, mode, flag } = &mut self.link {
            match (key, value) {
                (PARENT, _) if is_device(value) => value.clone_into(parent),
                (PARENT, _) => return Err("expected the name of a device"),
                (IPVLAN_MODE, "l2") => *mode = IpvlanMode::L2,
                (IPVLAN_MODE, "l3") => *mode = IpvlanMode::L3,
                (IPVLAN_MODE, "l3s") => *mode = IpvlanMode::L3s,
                (IPVLAN_MODE, _) => return Err("expected l2, l3 or l3s"),
                (IPVLAN_FLAG, "bridge") => *flag = IpvlanFlag::Bridge,
                (IPVLAN_FLAG, "private") => *flag = IpvlanFlag::Private,
                (IPVLAN_FLAG, "vepa") => *flag = IpvlanFlag::Vepa,
                (IPVLAN_FLAG, _) => return Err("expected bridge, private or vepa"),
                (MTU, _) => return Err("ipvlan devices have the parent's"),
                _ => return Err("driver ipvlan has options parent, ipvlan_mode and ipvlan_flag"),
            }
            return Ok(());
        }
        match key {
            MTU => {
                let mtu = value.parse().ok().filter(|mtu| (68..=65_535).contains(mtu));
                self.mtu = Some(mtu.ok_or("expected a number from 68 to 65535")?);
            }
            ICC => self.apart = !flag()?,
            MASQUERADE => self.own_source = !flag()?,
            HOST_BINDING => {
                let address = value.parse().ok().filter(IpAddr::is_ipv4);
                self.host_binding = Some(address.ok_or("expected an IPv4 address")?);
            }
            LINK => match (value, &self.link) {
                ("l2", Link::Routed) => self.link = Link::Bridge { name: None },
                ("l3", Link::Bridge { .. }) => return Err("a network whose bridge device has a name is l2"),
                ("l2" | "l3", _) => {}
                _ => return Err("expected l2 or l3"),
            },
            // Only a network with such a device can have a name for it.
            BRIDGE_NAME if is_device(value) => self.link = Link::Bridge { name: Some(value.to_owned()) },
            BRIDGE_NAME => return Err("expected the name of a device: 1 to 15 letters, digits, '-', '_' or '.'"),
            _ => return Err("no option of this name changes anything here"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(driver: &str, options: &[(&str, &str)]) -> Result<LinkOptions, LinkOptionError> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        LinkOptions::parse(driver, &options)
    }

    #[test]
    fn options_are_read_or_refused_by_name() {
        let parsed = parse("", &[(MTU, "1400"), (ICC, "false"), (MASQUERADE, "false"), (HOST_BINDING, "127.0.0.1")]);
        let expected = LinkOptions {
            link: Link::Routed,
            mtu: Some(1400),
            apart: true,
            own_source: true,
            host_binding: Some([127, 0, 0, 1].into()),
        };
        assert_eq!(parsed, Ok(expected));
        assert_eq!(parse("", &[(ICC, "true"), (MASQUERADE, "true"), (LINK, "l3")]), Ok(LinkOptions::default()));
        for (key, value) in [
            (MTU, "7"),
            (ICC, "yes"),
            (HOST_BINDING, "::1"),
            (LINK, "l7"),
            (BRIDGE_NAME, "a bridge"),
            ("com.docker.network.bridge.trusted_host_interfaces", "eth0"),
            ("parent", "eth0"),
        ] {
            assert!(parse("", &[(key, value)]).unwrap_err().to_string().contains(key), "{key}");
        }
    }

    #[test]
    fn links_are_told_by_driver_and_options() {
        let link = |driver, options: &[(&str, &str)]| parse(driver, options).map(|parsed| parsed.link);
        assert_eq!(link("", &[(LINK, "l2")]), Ok(Link::Bridge { name: None }));
        let named = Link::Bridge { name: Some("br7".into()) };
        assert_eq!(link("", &[(BRIDGE_NAME, "br7")]), Ok(named.clone()));
        assert_eq!(link("", &[(BRIDGE_NAME, "br7"), (LINK, "l2")]), Ok(named));
        let macvlan = |mode| Ok(Link::Macvlan { parent: "eth0.7".into(), mode });
        assert_eq!(link("macvlan", &[(PARENT, "eth0.7")]), macvlan(MacvlanMode::Bridge));
        assert_eq!(link("macvlan", &[(PARENT, "eth0.7"), (MACVLAN_MODE, "vepa")]), macvlan(MacvlanMode::Vepa));
        let ipvlan = |mode, flag| Ok(Link::Ipvlan { parent: "eth0.7".into(), mode, flag });
        assert_eq!(link("ipvlan", &[(PARENT, "eth0.7")]), ipvlan(IpvlanMode::L2, IpvlanFlag::Bridge));
        let options = [(PARENT, "eth0.7"), (IPVLAN_MODE, "l3s"), (IPVLAN_FLAG, "vepa")];
        assert_eq!(link("ipvlan", &options), ipvlan(IpvlanMode::L3s, IpvlanFlag::Vepa));
        for (driver, options, words) in [
            ("ipvlan", &[][..], "parent=eth0"),
            ("ipvlan", &[(PARENT, "eth0"), (IPVLAN_MODE, "l4")], "ipvlan_mode"),
            ("ipvlan", &[(PARENT, "eth0"), (IPVLAN_FLAG, "odd")], "ipvlan_flag"),
            ("ipvlan", &[(PARENT, "eth0"), (MACVLAN_MODE, "bridge")], "macvlan_mode"),
            ("macvlan", &[][..], "parent=eth0"),
            ("macvlan", &[(PARENT, "eth0"), (MACVLAN_MODE, "odd")], "macvlan_mode"),
            ("macvlan", &[(PARENT, "eth0"), (MTU, "1400")], "mtu"),
            ("", &[(LINK, "l2"), (ICC, "false")], "enable_icc"),
            ("", &[(BRIDGE_NAME, "br7"), (LINK, "l3")], "orca.link"),
        ] {
            assert!(link(driver, options).unwrap_err().to_string().contains(words), "{words}");
        }
    }
}
