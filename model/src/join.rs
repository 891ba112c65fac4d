//! Join tokens: `ORCATKN-1-DIGEST-SECRET`. The digest is of the cluster's CA, so that whoever has the token knows the cluster when
//! it answers; the secret says which role the node may take. Both are base36 of a fixed length, so that a cut-off token is known.

use std::fmt;
use std::str::FromStr;

use crate::SecretData;

/// Length of a digest in bytes (SHA-256), and of a secret.
pub const DIGEST_LEN: usize = 32;
/// Length of a secret in bytes.
pub const SECRET_LEN: usize = 16;
/// 36^50 holds 256 bits, and 36^25 128.
const DIGEST_DIGITS: usize = 50;
const SECRET_DIGITS: usize = 25;
const BEGIN: &str = "ORCATKN";
const VERSION: &str = "1";

/// What lets a node into a cluster. `Debug` hides the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the certificate of the cluster's CA (DER).
    pub digest: [u8; DIGEST_LEN],
    /// What the managers compare.
    pub secret: SecretData,
}

/// A text that is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else.
    #[error(
        "it is no join token: one begins with ORCATKN-1-, as `orca swarm join-token worker` on a manager prints it"
    )]
    Form,
    /// Docker's.
    #[error("it is a token of Docker Swarm; `orca swarm join-token worker` on a manager of the cluster prints Orca's")]
    Docker,
    /// Of a later release.
    #[error("it is of a version that this release does not know; upgrade this node first")]
    Version,
    /// Cut off, or with something behind it.
    #[error("it has {found} characters instead of {expected}: it was cut off or damaged on its way; copy it whole")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A character that none has.
    #[error("it holds characters that no join token has: it was damaged on its way; copy it again")]
    Digits,
}

/// The digits of a big-endian number.
pub(crate) fn base36(bytes: &[u8], length: usize) -> String {
    let mut digits = vec![0u8; length];
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in digits.iter_mut().rev() {
            carry += u32::from(*digit) * 256;
            *digit = (carry % 36) as u8;
            carry /= 36;
        }
    }
    digits.into_iter().map(|digit| char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::from(digit)])).collect()
}

/// The number of these digits, big-endian; `None` for other characters and too large a number.
pub(crate) fn from_base36(text: &str, bytes: &mut [u8]) -> Option<()> {
    for character in text.bytes() {
        let mut carry = match character {
            b'0'..=b'9' => u32::from(character - b'0'),
            b'a'..=b'z' => u32::from(character - b'a') + 10,
            _ => return None,
        };
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 36;
            *byte = (carry % 256) as u8;
            carry /= 256;
        }
        if carry > 0 {
            return None;
        }
    }
    Some(())
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = base36(&self.digest, DIGEST_DIGITS);
        write!(f, "{BEGIN}-{VERSION}-{digest}-{}", base36(self.secret.reveal(), SECRET_DIGITS))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.starts_with("SWMTKN-") {
            return Err(TokenError::Docker);
        }
        let rest = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_prefix('-')).ok_or(TokenError::Form)?;
        let (version, rest) = rest.split_once('-').ok_or(TokenError::Form)?;
        if version != VERSION {
            return Err(TokenError::Version);
        }
        let expected = BEGIN.len() + VERSION.len() + DIGEST_DIGITS + SECRET_DIGITS + 3;
        let (digest, secret) = rest.split_once('-').unwrap_or((rest, ""));
        if (digest.len(), secret.len()) != (DIGEST_DIGITS, SECRET_DIGITS) {
            return Err(TokenError::Length { found: text.chars().count(), expected });
        }
        let (mut digest_bytes, mut secret_bytes) = ([0; DIGEST_LEN], [0; SECRET_LEN]);
        from_base36(digest, &mut digest_bytes).ok_or(TokenError::Digits)?;
        from_base36(secret, &mut secret_bytes).ok_or(TokenError::Digits)?;
        Ok(Self { digest: digest_bytes, secret: SecretData::new(secret_bytes.to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tokens_print_and_parse(digest: [u8; DIGEST_LEN], secret: [u8; SECRET_LEN]) {
            let token = JoinToken { digest, secret: SecretData::new(secret.to_vec()) };
            prop_assert_eq!(token.to_string().parse::<JoinToken>(), Ok(token));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<JoinToken>();
            let _ = format!("ORCATKN-1-{text}").parse::<JoinToken>();
        }

        #[test]
        fn a_cut_token_is_known(digest: [u8; DIGEST_LEN], length in 10usize..86) {
            let token = JoinToken { digest, secret: SecretData::new(vec![7; SECRET_LEN]) }.to_string();
            let cut = token[..length].parse::<JoinToken>();
            prop_assert!(matches!(cut, Err(TokenError::Length { .. } | TokenError::Form)), "{:?}", cut);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = format!("ORCATKN-1-{}-{}", "0".repeat(50), "1".repeat(25));
        assert!(text.parse::<JoinToken>().is_ok());
        let error = |text: &str| text.parse::<JoinToken>().unwrap_err();
        assert_eq!(error(""), TokenError::Form);
        assert_eq!(error("SWMTKN-1-a-b"), TokenError::Docker);
        assert_eq!(error("ORCATKN-2-a-b"), TokenError::Version);
        assert_eq!(error(&text.replace("11", "1!")), TokenError::Digits);
        assert_eq!(error(&text.replace('0', "z")), TokenError::Digits, "too large a number");
        assert!(error(&text[..60]).to_string().contains("cut off"));
    }
}
