//! Bytes that must not be shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The content of a secret. `Debug` shows its length only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretData(Vec<u8>);

impl SecretData {
    /// Takes the content over.
    pub const fn new(data: Vec<u8>) -> Self {
        Self(data)
    }

    /// The content, for the one place that writes it into a container or encrypts it.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretData({} bytes)", self.0.len())
    }
}

impl Drop for SecretData {
    fn drop(&mut self) {
        // Best effort: keeps the content out of memory that is given back; black_box stops the writes from being elided.
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_content() {
        assert_eq!(format!("{:?}", SecretData::new(b"hunter2".to_vec())), "SecretData(7 bytes)");
    }
}
