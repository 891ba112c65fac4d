//! Identifiers. Objects of the store have 25-character base36 ids, containers 64 hex digits, both as Docker's.
//! Randomness is an argument, so that a core never draws it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length of an object id in characters: 36^25 holds 128 bits.
pub const OBJECT_ID_LEN: usize = 25;

/// A text that is not an id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {kind} id: {expected}")]
pub struct ParseIdError {
    kind: &'static str,
    text: String,
    expected: &'static str,
}

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

fn base36(mut value: u128) -> [u8; OBJECT_ID_LEN] {
    // Twelve digits at a time fit into a machine word, which divides much faster than 128 bits do.
    const WORD: u128 = 36u128.pow(12);
    let mut digits = [b'0'; OBJECT_ID_LEN];
    for word in digits.rchunks_mut(12) {
        let mut low = (value % WORD) as u64;
        value /= WORD;
        for digit in word.iter_mut().rev() {
            *digit = DIGITS[(low % 36) as usize];
            low /= 36;
        }
    }
    digits
}

fn parse_base36(text: &str) -> Option<u128> {
    if text.len() != OBJECT_ID_LEN {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            _ => return None,
        };
        value.checked_mul(36)?.checked_add(u128::from(digit))
    })
}

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id that these 128 random bits give.
            pub const fn from_random(bits: u128) -> Self {
                Self(bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let digits = base36(self.0);
                f.pad(std::str::from_utf8(&digits).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_base36(text).map(Self).ok_or_else(|| ParseIdError {
                    kind: $kind,
                    text: text.chars().take(80).collect(),
                    expected: "25 characters of 0-9 and a-z",
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

object_id!(/// One cluster, from the first second of its first node.
    ClusterId, "a cluster");
object_id!(/// A machine (or network namespace) that runs one daemon.
    NodeId, "a node");
object_id!(/// A service.
    ServiceId, "a service");
object_id!(/// One assignment of one spec to one slot.
    TaskId, "a task");
object_id!(/// A network.
    NetworkId, "a network");
object_id!(/// A secret.
    SecretId, "a secret");
object_id!(/// A config.
    ConfigId, "a config");

/// A container: 64 hex digits; the first twelve are its short form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId([u8; 32]);

impl ContainerId {
    /// The id that these 256 random bits give.
    pub const fn from_random(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// The twelve digits that tables show and that is a container's default host name.
    pub fn short(&self) -> String {
        self.digits().iter().take(12).map(|digit| char::from(*digit)).collect()
    }

    /// Its 64 digits.
    pub fn digits(&self) -> [u8; 64] {
        let mut digits = [b'0'; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        digits
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContainerId({self})")
    }
}

impl FromStr for ContainerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error =
            || ParseIdError { kind: "a container", text: text.chars().take(80).collect(), expected: "64 hex digits" };
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(error());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| error())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for ContainerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContainerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn object_ids_print_and_parse(bits: u128) {
            let id = TaskId::from_random(bits);
            prop_assert_eq!(id.to_string().len(), OBJECT_ID_LEN);
            prop_assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
        }

        #[test]
        fn container_ids_print_and_parse(bits: [u8; 32]) {
            let id = ContainerId::from_random(bits);
            prop_assert_eq!(id.to_string().parse::<ContainerId>(), Ok(id));
            prop_assert!(id.to_string().starts_with(&id.short()));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<TaskId>();
            let _ = text.parse::<ContainerId>();
        }
    }

    #[test]
    fn digits_are_pinned() {
        let object = |bits| TaskId::from_random(bits).to_string();
        assert_eq!(object(0), "0000000000000000000000000");
        assert_eq!(object(36u128.pow(12) + 35), "000000000000100000000000z");
        assert_eq!(object(u128::MAX), "f5lxx1zz5pnorynqglhzmsp33");
        assert_eq!(ContainerId::from_random([0xa9; 32]).to_string(), "a9".repeat(32));
    }

    #[test]
    fn too_large_an_id_is_refused() {
        assert!("zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<NodeId>().is_err());
        assert!("short".parse::<NodeId>().is_err());
    }
}
