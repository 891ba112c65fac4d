//! Commands of a newer version. Protobuf drops what it does not know; a manager must stop there instead, and name it.

use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Field number of `Entry.commands`.
const COMMANDS: u32 = 3;
/// Field numbers of the commands that this version knows.
const KNOWN: [std::ops::RangeInclusive<u32>; 4] = [1..=27, 40..=44, 60..=63, 70..=73];

/// The number of the first command of an entry that this version does not know.
///
/// # Errors
/// Bytes that are no protobuf.
pub fn unknown_command(entry: &[u8]) -> Result<Option<u32>, DecodeError> {
    let mut rest = entry;
    while !rest.is_empty() {
        let (number, kind) = decode_key(&mut rest)?;
        if number != COMMANDS || kind != WireType::LengthDelimited {
            skip_field(kind, number, &mut rest, DecodeContext::default())?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
        // One that is cut off is the decoder's to refuse.
        let Some((command, after)) = rest.split_at_checked(length) else { return Ok(None) };
        if let Some(number) = unknown_field(command)? {
            return Ok(Some(number));
        }
        rest = after;
    }
    Ok(None)
}

fn unknown_field(mut command: &[u8]) -> Result<Option<u32>, DecodeError> {
    while !command.is_empty() {
        let (number, kind) = decode_key(&mut command)?;
        if !KNOWN.iter().any(|known| known.contains(&number)) {
            return Ok(Some(number));
        }
        skip_field(kind, number, &mut command, DecodeContext::default())?;
    }
    Ok(None)
}
