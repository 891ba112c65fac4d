//! What a container's device on a network is told besides its addresses: options of the endpoint and link-local addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

const NAME: &str = "com.docker.network.endpoint.ifname";
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
/// What stands for the device's name in a kernel parameter.
const DEVICE: &str = "IFNAME";

/// Options of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Name of the device in the container.
    pub interface_name: Option<String>,
    /// Kernel parameters of the device: `net.ipv4.conf.IFNAME.log_martians`.
    pub sysctls: BTreeMap<String, String>,
}

impl EndpointOptions {
    /// Whether there is an option of this name.
    pub fn has(key: &str) -> bool {
        [NAME, SYSCTLS].contains(&key)
    }

    /// Reads one option more.
    ///
    /// # Errors
    /// In words: an option that there is not, by its name, or a value that makes no sense.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            NAME if is_device(value) => self.interface_name = Some(value.to_owned()),
            NAME => return Err(format!("{value:?} is no device name: 1 to 15 letters, digits, '-', '_' or '.'")),
            SYSCTLS => {
                for setting in value.split(',') {
                    let (key, value) =
                        setting.split_once('=').ok_or_else(|| format!("{setting:?}: expected KEY=VALUE"))?;
                    check_endpoint_sysctl(key, value)?;
                    self.sysctls.insert(key.to_owned(), value.to_owned());
                }
            }
            _ => return Err(format!("option \"{key}={value}\" is not supported: only {NAME} and {SYSCTLS}")),
        }
        Ok(())
    }
}

/// Whether a device can have this name.
pub fn is_device(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=15).contains(&name.len())
        && !matches!(name, "." | ".." | "lo" | "all" | "default")
        && name.bytes().all(allowed)
}

/// Checks that a kernel parameter is one of a container's own device: `net.ipv4.conf.IFNAME.rp_filter`.
///
/// # Errors
/// In words.
pub fn check_endpoint_sysctl(key: &str, value: &str) -> Result<(), String> {
    let parts: Vec<&str> = key.split('.').collect();
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let fits = match parts[..] {
        ["net", family, kind, DEVICE, name] => {
            ["ipv4", "ipv6", "mpls"].contains(&family) && ["conf", "neigh"].contains(&kind) && is_word(name)
        }
        _ => false,
    };
    if !fits {
        return Err(format!(
            "{key:?} is no parameter of a device: expected net.ipv4.conf.IFNAME.NAME, or ipv6, mpls, neigh"
        ));
    }
    let is_value = !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic());
    if is_value { Ok(()) } else { Err(format!("{value:?} is no value of {key}")) }
}

/// Where such a parameter is below `/proc/sys`, for a device of this name, which may have dots.
pub fn endpoint_sysctl_path(key: &str, device: &str) -> String {
    let parts = key.split('.').map(|part| if part == DEVICE { device } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Checks a further, link-local address of a container's device.
///
/// # Errors
/// In words.
pub fn check_link_local(address: IpAddr) -> Result<(), String> {
    let (fits, next_hop) = match address {
        IpAddr::V4(four) => (four.is_link_local(), four.octets() == [169, 254, 1, 1]),
        IpAddr::V6(six) => (six.is_unicast_link_local(), six.segments() == [0xfe80, 0, 0, 0, 0, 0, 0, 1]),
    };
    match (fits, next_hop) {
        (false, _) => Err(format!("{address} is not link-local: those are in 169.254.0.0/16 and fe80::/64")),
        (true, true) => Err(format!("{address} is the way out of containers")),
        (true, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused_by_name() {
        let mut options = EndpointOptions::default();
        options.set(NAME, "lan.7").unwrap();
        options.set(SYSCTLS, "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=2").unwrap();
        assert_eq!((options.interface_name.as_deref(), options.sysctls.len()), (Some("lan.7"), 2));
        let path = endpoint_sysctl_path("net.ipv4.conf.IFNAME.log_martians", "lan.7");
        assert_eq!(path, "net/ipv4/conf/lan.7/log_martians");
        for (key, value) in [
            (NAME, "a device"),
            (SYSCTLS, "net.ipv4.conf.IFNAME.rp_filter"),
            (SYSCTLS, "net.ipv4.conf.eth0.rp_filter=1"),
            (SYSCTLS, "net.ipv4.conf.all.rp_filter=1"),
            (SYSCTLS, "kernel.core_pattern=|/bin/sh"),
            (SYSCTLS, "net.ipv4.conf.IFNAME.../../../kernel/core_pattern=1"),
            (SYSCTLS, "net.ipv4.conf.IFNAME.rp_filter="),
            ("com.docker.network.windowsshim.dnsservers", "1"),
        ] {
            let error = EndpointOptions::default().set(key, value).unwrap_err();
            assert!(!error.is_empty(), "{key}={value}");
        }
    }

    #[test]
    fn only_link_local_addresses_come_besides() {
        for fine in ["169.254.7.8", "fe80::7"] {
            check_link_local(fine.parse().unwrap()).unwrap();
        }
        for bad in ["10.0.0.1", "169.254.1.1", "fe80::1", "2001:db8::1", "127.0.0.1"] {
            assert!(check_link_local(bad.parse().unwrap()).is_err(), "{bad}");
        }
    }
}
