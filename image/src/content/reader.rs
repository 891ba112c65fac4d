//! Reading that verifies.

use std::io::{self, Read};

use super::verify;
use crate::digest::{Digest, Hasher};

/// Passes a blob through and, where it ends, fails unless its digest and size are the expected ones.
pub(crate) struct VerifiedReader<R> {
    inner: R,
    expected: Digest,
    size: u64,
    hasher: Option<Hasher>,
}

impl<R: Read> VerifiedReader<R> {
    pub(crate) fn new(inner: R, expected: Digest, size: u64) -> Self {
        VerifiedReader { inner, expected, size, hasher: Some(Hasher::new()) }
    }
}

impl<R: Read> Read for VerifiedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..count]);
            }
            return Ok(count);
        }
        if let Some(hasher) = self.hasher.take() {
            let actual = hasher.size();
            verify(&format!("blob {}", self.expected), &self.expected, self.size, &hasher.finish(), actual)?;
        }
        Ok(0)
    }
}
