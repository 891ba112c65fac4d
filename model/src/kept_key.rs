//! Keys that people keep outside of the cluster, to unlock managers or to open a backup: `ORCAKEY-1-DIGITS`.

use std::fmt;
use std::str::FromStr;

use crate::join::{base36, from_base36};

/// Length of such a key in bytes.
pub const KEPT_KEY_LEN: usize = 32;
/// 36^50 holds 256 bits.
const DIGITS: usize = 50;
const BEGIN: &str = "ORCAKEY-1-";

/// A key that its owner keeps. `Debug` hides it, `Display` is for its owner.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptKey([u8; KEPT_KEY_LEN]);

/// A text that is no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeptKeyError {
    /// Something else.
    #[error("it is no key: one begins with ORCAKEY-1-, as `orca swarm unlock-key` and `orca swarm backup` print it")]
    Form,
    /// Docker's.
    #[error("it is a key of Docker Swarm; `orca swarm unlock-key` on a manager that is not locked prints Orca's")]
    Docker,
    /// Cut off, or with something behind it.
    #[error("it has {found} characters instead of {expected}: it was cut off or damaged on its way; copy it whole")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Characters that none has, or too large a number.
    #[error("it is damaged: no key has these characters; copy it again")]
    Digits,
}

impl KeptKey {
    /// The key of these bytes, which must be random.
    pub const fn new(bytes: [u8; KEPT_KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one place that encrypts with them.
    pub const fn reveal(&self) -> &[u8; KEPT_KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for KeptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptKey")
    }
}

impl fmt::Display for KeptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGIN}{}", base36(&self.0, DIGITS))
    }
}

impl Drop for KeptKey {
    fn drop(&mut self) {
        // Best effort, as for the content of secrets.
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

impl FromStr for KeptKey {
    type Err = KeptKeyError;

    fn from_str(text: &str) -> Result<Self, KeptKeyError> {
        let text = text.trim();
        if text.starts_with("SWMKEY-") {
            return Err(KeptKeyError::Docker);
        }
        let digits = text.strip_prefix(BEGIN).ok_or(KeptKeyError::Form)?;
        let found = digits.chars().count();
        if found != DIGITS {
            let length = |digits| BEGIN.len() + digits;
            return Err(KeptKeyError::Length { found: length(found), expected: length(DIGITS) });
        }
        let mut bytes = [0; KEPT_KEY_LEN];
        from_base36(digits, &mut bytes).ok_or(KeptKeyError::Digits)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_what_is_none_is_told_apart() {
        for bytes in [[0; KEPT_KEY_LEN], [255; KEPT_KEY_LEN], [7; KEPT_KEY_LEN]] {
            let key = KeptKey::new(bytes);
            assert_eq!(format!(" {key}\n").parse(), Ok(key.clone()));
            assert_eq!(format!("{key:?}"), "KeptKey");
        }
        let text = KeptKey::new([7; KEPT_KEY_LEN]).to_string();
        let parse = |text: &str| text.parse::<KeptKey>().unwrap_err();
        assert_eq!(parse(""), KeptKeyError::Form);
        assert_eq!(parse("SWMKEY-1-x"), KeptKeyError::Docker);
        assert_eq!(parse(&text[..59]), KeptKeyError::Length { found: 59, expected: 60 });
        assert_eq!(parse(&text.replace("-1-0", "-1-Z")), KeptKeyError::Digits);
        assert_eq!(parse(&format!("ORCAKEY-1-{}", "z".repeat(50))), KeptKeyError::Digits);
    }
}
