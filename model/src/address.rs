//! IP subnets and link addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network prefix such as `10.4.0.0/24`; host bits are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpSubnet {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no subnet, or a prefix too long for its family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a subnet: expected ADDRESS/PREFIX such as 10.4.0.0/24")]
pub struct ParseSubnetError(String);

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address as a number, aligned to the low end.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn from_bits(family: IpAddr, bits: u128) -> IpAddr {
    match family {
        // The caller keeps v4 numbers below 2^32.
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(bits as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(bits)),
    }
}

impl IpSubnet {
    /// The subnet that `address` is in; `None` when the prefix is longer than the family's addresses.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let host_bits = width(address).checked_sub(prefix)?;
        let mask = u128::MAX.checked_shl(u32::from(host_bits)).unwrap_or(0);
        Some(Self { address: from_bits(address, bits(address) & mask), prefix })
    }

    /// The first address: the network's own.
    pub const fn network(&self) -> IpAddr {
        self.address
    }

    /// Length of the prefix in bits.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether this is an IPv4 subnet.
    pub const fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// How many addresses there are, saturating at `u128::MAX` for `::/0`.
    pub fn size(&self) -> u128 {
        1u128.checked_shl(u32::from(width(self.address) - self.prefix)).unwrap_or(u128::MAX)
    }

    /// The address at `offset` from the first, if it lies inside.
    pub fn nth(&self, offset: u128) -> Option<IpAddr> {
        (offset < self.size()).then(|| from_bits(self.address, bits(self.address) + offset))
    }

    /// The offset of `address` from the first, if it lies inside.
    pub fn offset_of(&self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| bits(address) - bits(self.address))
    }

    /// Whether `address` lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address, self.prefix).is_some_and(|other| other == *self && address.is_ipv4() == self.is_ipv4())
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The `index`-th part of this subnet when cut into parts of `prefix` bits.
    pub fn part(&self, prefix: u8, index: u128) -> Option<Self> {
        if prefix < self.prefix || prefix > width(self.address) {
            return None;
        }
        let part_size = u32::from(width(self.address) - prefix);
        let offset = index.checked_shl(part_size).filter(|offset| offset >> part_size == index)?;
        Self::new(self.nth(offset)?, prefix)
    }
}

impl fmt::Display for IpSubnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for IpSubnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IpSubnet({self})")
    }
}

impl FromStr for IpSubnet {
    type Err = ParseSubnetError;

    /// Host bits may be set, as in `10.4.0.1/24`; they are dropped, as Docker does.
    fn from_str(text: &str) -> Result<Self, ParseSubnetError> {
        let error = || ParseSubnetError(text.chars().take(80).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(error)?;
        let address = address.parse().map_err(|_| error())?;
        let prefix = prefix.parse().map_err(|_| error())?;
        Self::new(address, prefix).ok_or_else(error)
    }
}

impl Serialize for IpSubnet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IpSubnet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A link address such as `02:42:0a:04:00:07`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

/// A text that is no link address of a single device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a link address of one device: expected six hexadecimal bytes such as 02:42:0a:04:00:07")]
pub struct ParseMacError(String);

impl MacAddress {
    /// The one that Docker gives a container with this address, locally administered.
    /// From an IPv6 address the last four bytes are taken.
    pub const fn of(address: IpAddr) -> Self {
        let [a, b, c, d] = match address {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(address) => {
                let [.., a, b, c, d] = address.octets();
                [a, b, c, d]
            }
        };
        Self([2, 0x42, a, b, c, d])
    }

    /// Its bytes.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = ParseMacError;

    /// Bytes are divided by `:` or `-`; addresses of groups (an odd first byte) and of nobody (all zero) are none.
    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let error = || ParseMacError(text.chars().take(80).collect());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or_else(error)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() || bytes[0] & 1 == 1 || bytes == [0; 6] { Err(error()) } else { Ok(Self(bytes)) }
    }
}

impl Serialize for MacAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(text: &str) -> IpSubnet {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_and_parts() {
        let net = subnet("10.4.0.9/24");
        assert_eq!(net.to_string(), "10.4.0.0/24");
        assert_eq!(net.nth(255), Some("10.4.0.255".parse().unwrap()));
        assert_eq!(net.nth(256), None);
        assert_eq!(net.offset_of("10.4.0.7".parse().unwrap()), Some(7));
        assert_eq!(subnet("10.0.0.0/8").part(24, 65_535), Some(subnet("10.255.255.0/24")));
        assert_eq!(subnet("10.0.0.0/8").part(24, 65_536), None);
        assert!(!net.contains("::a04:1".parse().unwrap()));
    }

    #[test]
    fn link_addresses() {
        let address = MacAddress::of(Ipv4Addr::new(10, 4, 0, 255).into());
        assert_eq!(address.to_string(), "02:42:0a:04:00:ff");
        assert_eq!("02-42-0A-04-00-FF".parse(), Ok(address));
        for bad in [
            "",
            "02:42:0a:04:00",
            "02:42:0a:04:00:ff:00",
            "01:00:00:00:00:01",
            "00:00:00:00:00:00",
            "2:42:a:4:0:f",
            "+2:42:0a:04:00:ff",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_subnet_prints_and_parses(address: IpAddr, prefix in 0u8..=128) {
            if let Some(net) = IpSubnet::new(address, prefix) {
                prop_assert!(net.contains(address));
                prop_assert_eq!(net.to_string().parse::<IpSubnet>(), Ok(net));
                prop_assert!(net.overlaps(&net));
            }
        }

        #[test]
        fn no_text_panics(text: String, prefix: u8, index: u128) {
            if let Ok(net) = text.parse::<IpSubnet>() {
                let _ = net.part(prefix, index);
            }
        }
    }
}
