//! Content digests: sha256, as in the OCI image specification's "descriptor" chapter.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// A sha256 digest, written `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The 64 hex digits without the algorithm.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first 12 hex digits, as Docker's tables show ids.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// Parses the 64 hex digits that follow `sha256:`.
    ///
    /// # Errors
    /// [`Error::InvalidDigest`] unless they are 64 lower-case hex digits.
    pub fn from_hex(hex: &str) -> Result<Digest> {
        let invalid = |reason| Error::InvalidDigest { text: hex.to_owned(), reason };
        if hex.len() != 64 {
            return Err(invalid("a sha256 digest has 64 hex digits"));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err(invalid("only 0-9 and a-f are hex digits here"));
            };
            *byte = high << 4 | low;
        }
        Ok(Digest(bytes))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest> {
        match text.split_once(':') {
            Some(("sha256", hex)) => Digest::from_hex(hex).map_err(|_| Error::InvalidDigest {
                text: text.to_owned(),
                reason: "sha256: needs 64 lower-case hex digits",
            }),
            _ => Err(Error::InvalidDigest { text: text.to_owned(), reason: "only sha256 digests are supported" }),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The chain ids of a stack of layers, bottom first: `chain(0) = diff(0)`, `chain(n) = sha256(chain(n-1) " " diff(n))`
/// (OCI image specification, "Layer ChainID").
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff in diff_ids {
        let id = match chain.last() {
            None => *diff,
            Some(parent) => Digest::of(format!("{parent} {diff}").as_bytes()),
        };
        chain.push(id);
    }
    chain
}

/// A running sha256 and byte count.
pub(crate) struct Hasher {
    context: ring::digest::Context,
    size: u64,
}

impl Hasher {
    pub(crate) fn new() -> Hasher {
        Hasher { context: ring::digest::Context::new(&ring::digest::SHA256), size: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.size += bytes.len() as u64;
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.context.finish().as_ref());
        Digest(bytes)
    }
}

/// Hashes all that is read through it and copies it to `sink`.
pub(crate) struct HashingReader<R, W> {
    inner: R,
    sink: W,
    hasher: Hasher,
}

impl<R: Read, W: Write> HashingReader<R, W> {
    pub(crate) fn new(inner: R, sink: W) -> Self {
        HashingReader { inner, sink, hasher: Hasher::new() }
    }

    /// The digest and size of what went through, and the sink.
    pub(crate) fn finish(self) -> (Digest, u64, W) {
        let size = self.hasher.size();
        (self.hasher.finish(), size, self.sink)
    }
}

impl<R: Read, W: Write> Read for HashingReader<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.sink.write_all(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn other_algorithms_and_shapes_are_refused() {
        for text in [
            "",
            "sha256:",
            "sha256:E3B0",
            "sha512:00",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert!(format!("sha256:{}", "A".repeat(64)).parse::<Digest>().is_err());
    }

    #[test]
    fn the_chain_of_one_layer_is_its_diff_id() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let chain = chain_ids(&[a, b]);
        assert_eq!(chain[0], a);
        assert_eq!(chain[1], Digest::of(format!("{a} {b}").as_bytes()));
        assert!(chain_ids(&[]).is_empty());
    }
}
