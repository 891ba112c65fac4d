//! Drivers of networks and their options: how containers are linked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The option of driver `bridge` that says whether containers are routed (`l3`, as ever) or on a bridge device (`l2`).
const LINK: &str = "orca.link";
const MTU: &str = "com.docker.network.driver.mtu";
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";

/// How containers of a network are linked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Link {
    /// Each by a veth pair of its own; the host routes.
    #[default]
    Routed,
    /// All by ports of one bridge device, on which broadcast and multicast are heard.
    Bridge {
        /// Its name; `None`: one of Orca's.
        name: Option<String>,
    },
    /// By devices of their own on a device of the host, in the network that this one is in.
    Macvlan {
        /// The device; `None`: none, so that containers reach each other alone.
        parent: Option<String>,
        /// The VLAN of it, whose device Orca makes.
        vlan: Option<u16>,
        /// Who reaches whom.
        mode: MacvlanMode,
    },
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
        for (key, value) in options {
            let refuse = |reason| LinkOptionError { key: key.clone(), value: value.clone(), reason };
            parsed.option(driver, key, value).map_err(refuse)?;
        }
        Ok(parsed)
    }

    fn option(&mut self, driver: &str, key: &str, value: &str) -> Result<(), &'static str> {
        let flag = || value.parse::<bool>().map_err(|_| "expected true or false");
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
            LINK if value == "l3" => {}
            LINK => return Err("expected l3"),
            BRIDGE_NAME => return Err("networks are routed and have no bridge device"),
            _ if driver.is_empty() => return Err("no option of this name changes anything here"),
            _ => return Err("no option of this name changes anything for this driver"),
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
            ("com.docker.network.bridge.trusted_host_interfaces", "eth0"),
            ("parent", "eth0"),
        ] {
            assert!(parse("", &[(key, value)]).unwrap_err().to_string().contains(key), "{key}");
        }
    }
}
