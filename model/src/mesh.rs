//! What nodes know of each other's ends of the encrypted network between them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The port of a cluster's mesh where nothing else was chosen: beside Swarm's 2377. Docker's 4789 is a VXLAN port, which some
/// virtual machines' hosts and network cards take for themselves.
pub const MESH_PORT: u16 = 2378;

/// A node's public key in the mesh (X25519), as text in hexadecimal. It is another one after each start of what holds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeshKey([u8; 32]);

/// A text that is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a key of the mesh: expected 64 hexadecimal digits")]
pub struct ParseMeshKeyError(String);

impl MeshKey {
    /// From its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeshKey({self})")
    }
}

impl FromStr for MeshKey {
    type Err = ParseMeshKeyError;

    fn from_str(text: &str) -> Result<Self, ParseMeshKeyError> {
        let error = || ParseMeshKeyError(text.chars().take(80).collect());
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(error());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            let digits = text.get(at..at + 2).ok_or_else(error)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for MeshKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MeshKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A node's end of the mesh, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshEnd {
    /// Who it is there.
    pub key: MeshKey,
    /// Where it is reached.
    pub address: IpAddr,
    /// Where it listens, UDP.
    pub port: u16,
    /// Where it answers other nodes that lack images, TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<SocketAddr>,
}

impl MeshEnd {
    /// Address and port.
    pub fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = MeshKey::new(std::array::from_fn(|index| index as u8 * 7));
        assert_eq!(key.to_string().parse(), Ok(key));
        for bad in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"+0".repeat(32), &"é".repeat(32)] {
            assert!(bad.parse::<MeshKey>().is_err(), "{bad}");
        }
    }
}
