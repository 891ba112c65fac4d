//! Entries and states as protobuf, for the log and for raft snapshots. Format 1; another one is an error that names it.

mod from_wire;
#[cfg(test)]
mod tests;
mod to_wire;
mod unknown;

use api::log as wire;
use prost::Message;

use super::{Entry, State};

/// The format that this version writes.
pub const FORMAT: u32 = 1;

/// Bytes that are no entry or state, or of a format or with a command that this version does not know.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// No protobuf.
    #[error("the record is no protobuf message: {0}")]
    Decode(#[from] prost::DecodeError),
    /// Written by another version.
    #[error("the record has format {found}; this version of Orca reads format {FORMAT}: run the version that wrote it")]
    Format {
        /// What was found.
        found: u32,
    },
    /// Written by a newer version.
    #[error(
        "the record holds command {number}, which this version of Orca does not know: run the version that wrote it"
    )]
    UnknownCommand {
        /// Its number in the protocol.
        number: u32,
    },
    /// A field that cannot be.
    #[error(transparent)]
    Field(#[from] api::Error),
    /// An id that is none.
    #[error("the record holds {0:?} where an id or an address belongs")]
    Text(String),
}

/// An entry's bytes.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    wire::Entry::from(entry.clone()).encode_to_vec()
}

/// The entry of these bytes.
///
/// # Errors
/// What is wrong with them.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    if let Some(number) = unknown::unknown_command(bytes)? {
        return Err(CodecError::UnknownCommand { number });
    }
    wire::Entry::decode(bytes)?.try_into()
}

/// A state's bytes.
pub fn encode_state(state: &State) -> Vec<u8> {
    wire::State::from(state.clone()).encode_to_vec()
}

/// A digest of the whole state: managers that have applied the same entries have the same.
pub fn digest(state: &State) -> [u8; 32] {
    digest_of(&encode_state(state))
}

/// The same of a state's bytes.
pub fn digest_of(encoded: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, encoded);
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(byte, from)| *byte = *from);
    bytes
}

/// The state of these bytes, with its indexes.
///
/// # Errors
/// What is wrong with them.
pub fn decode_state(bytes: &[u8]) -> Result<State, CodecError> {
    wire::State::decode(bytes)?.try_into()
}
