//! Names that a node gives to kernel objects.

use std::fmt;

use model::{ContainerId, NetworkId, NodeId};
use serde::{Deserialize, Deserializer, Serialize};

use super::hash::{base36, stable_hash};

/// Digits of a key: 36^6 are two thousand million, enough to tell the daemons of one kernel apart.
const KEY_LEN: usize = 6;
/// Digits of a device's own part. With "o" and the key they make the 15 characters that a device name may have.
const DEVICE_LEN: usize = 8;

/// Six characters of 0-9 and a-z that tell this node's devices, tables and cgroups from another daemon's on the same
/// kernel. All keys are equally long, so none is a prefix of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NodeKey(String);

impl NodeKey {
    /// The key of a node.
    pub fn of(node: NodeId) -> Self {
        Self(base36(stable_hash(&[b"node", node.to_string().as_bytes()]), KEY_LEN))
    }

    /// The key itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the names of all this node's devices begin with.
    pub fn device_prefix(&self) -> String {
        format!("o{}", self.0)
    }

    /// Name of the host's side of a veth pair: 15 characters, derived, so that a restarted daemon finds it again.
    pub fn device(&self, container: ContainerId, network: NetworkId) -> String {
        let hash = stable_hash(&[b"veth", &container.digits(), network.to_string().as_bytes()]);
        format!("o{}{}", self.0, base36(hash, DEVICE_LEN))
    }

    /// Name of the device of the mesh. None of the others is as short.
    pub fn mesh(&self) -> String {
        format!("o{}mesh", self.0)
    }

    /// Name of the device by which clients of published ports cross to other nodes. It is shorter than the others, too.
    pub fn ingress(&self) -> String {
        format!("o{}ingress", self.0)
    }

    /// Priority of the rules that choose routes by mark: before the main table's, and another one for each daemon of a kernel.
    pub fn rule_priority(&self) -> u32 {
        10_000 + (stable_hash(&[b"rule", self.0.as_bytes()]) % 10_000) as u32
    }

    /// Name of a network's bridge device.
    pub fn bridge(&self, network: NetworkId) -> String {
        let hash = stable_hash(&[b"bridge", network.to_string().as_bytes()]);
        format!("o{}{}", self.0, base36(hash, DEVICE_LEN))
    }

    /// Marks devices whose names are not Orca's to choose.
    pub fn alias(&self) -> String {
        format!("orca {}", self.0)
    }

    /// Name of this node's nftables table.
    pub fn table(&self) -> String {
        format!("orca_{}", self.0)
    }

    /// Marks the IPv6 addresses that this node puts on the loopback device, which can bear no label: their routes have
    /// this metric.
    pub fn address_metric(&self) -> u32 {
        0x6f00_0000 | (stable_hash(&[b"metric", self.0.as_bytes()]) as u32 & 0x00ff_ffff)
    }

    /// Label of the IPv4 addresses that this node puts on the loopback device.
    pub fn address_label(&self) -> String {
        format!("lo:o{}", self.0)
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() == KEY_LEN && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z')) {
            return Ok(Self(text));
        }
        Err(serde::de::Error::custom("a node key is six characters of 0-9 and a-z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_pinned() {
        // A restarted daemon of any later release must find these again.
        let key = NodeKey::of(NodeId::from_random(1));
        let device = key.device(ContainerId::from_random([7; 32]), NetworkId::from_random(2));
        assert_eq!((key.as_str(), device.as_str()), ("2iaz4p", "o2iaz4parex5j33"));
    }

    proptest! {
        #[test]
        fn names_fit_and_differ(node: u128, container: [u8; 32], networks: (u128, u128)) {
            let key = NodeKey::of(NodeId::from_random(node));
            let device = |n| key.device(ContainerId::from_random(container), NetworkId::from_random(n));
            prop_assert_eq!(device(networks.0).len(), 15);
            prop_assert!(device(networks.0).starts_with(&key.device_prefix()));
            prop_assert_eq!(networks.0 == networks.1, device(networks.0) == device(networks.1));
            prop_assert!(key.address_label().len() <= 15);
            let json = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<NodeKey>(&json).unwrap(), key);
        }
    }
}
