//! Randomness for ids and names: the shells draw it here and hand it to the pure parts.

use ring::rand::{SecureRandom, SystemRandom};

use crate::{Error, Result};

fn fill(bytes: &mut [u8]) -> Result<()> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| Error::io("read", "/dev/urandom")(std::io::Error::other("the kernel gives no random bytes")))
}

/// For an object id.
pub fn bits128() -> Result<u128> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(u128::from_ne_bytes(bytes))
}

/// For a container id.
pub fn bits256() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(bytes)
}
