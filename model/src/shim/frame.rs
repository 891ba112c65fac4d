//! Frames on a shim's socket: a length (4 bytes, big endian, counting what follows), one byte of [`Kind`], the payload.
//!
//! Encoding and decoding are pure and bounded; who owns the socket does the reading and writing.

use thiserror::Error;

/// Most bytes that a frame may have after its length field.
pub const MAX_FRAME: usize = 1 << 20;
/// Most payload bytes of a frame.
pub const MAX_PAYLOAD: usize = MAX_FRAME - 1;
/// Bytes before the payload.
pub const HEADER: usize = 5;

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// JSON of a [`Request`](super::Request) or [`Reply`](super::Reply).
    Control = 0,
    /// Bytes for a process's standard input.
    Stdin = 1,
    /// Bytes of its standard output, or of its terminal.
    Stdout = 2,
    /// Bytes of its standard error.
    Stderr = 3,
}

/// A frame inside somebody's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// The bytes.
    pub payload: &'a [u8],
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length field exceeds [`MAX_FRAME`].
    #[error("a frame of {0} bytes exceeds the limit of {MAX_FRAME}")]
    TooLong(usize),
    /// The length field is 0: not even a kind.
    #[error("a frame has no kind byte")]
    Empty,
    /// The kind byte is none of [`Kind`].
    #[error("frame kind {0} is unknown; the other side speaks a newer protocol")]
    UnknownKind(u8),
}

/// The bytes before a payload of this length, for those who send both with one call.
///
/// # Errors
/// [`FrameError::TooLong`] if the payload exceeds [`MAX_PAYLOAD`].
pub fn header(kind: Kind, payload: usize) -> Result<[u8; HEADER], FrameError> {
    let length = payload.saturating_add(1);
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME).ok_or(FrameError::TooLong(length))?;
    let [a, b, c, d] = prefix.to_be_bytes();
    Ok([a, b, c, d, kind as u8])
}

/// Appends one frame to `out`.
///
/// # Errors
/// [`FrameError::TooLong`] if the payload exceeds [`MAX_PAYLOAD`]; `out` is unchanged then.
pub fn encode(kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    let header = header(kind, payload.len())?;
    out.reserve(HEADER + payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    Ok(())
}

/// Reads the first frame of `bytes`: the frame and how many bytes it took, or `None` if more bytes are needed.
///
/// # Errors
/// If no continuation could make a frame of it. The connection is beyond repair then.
pub fn decode(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    if length == 0 {
        return Err(FrameError::Empty);
    }
    let Some((&kind, payload)) = rest.split_first() else { return Ok(None) };
    let kind = match kind {
        0 => Kind::Control,
        1 => Kind::Stdin,
        2 => Kind::Stdout,
        3 => Kind::Stderr,
        other => return Err(FrameError::UnknownKind(other)),
    };
    Ok(payload.get(..length - 1).map(|payload| (Frame { kind, payload }, 4 + length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(payload in proptest::collection::vec(any::<u8>(), 0..4096), more in any::<u8>()) {
            let mut bytes = Vec::new();
            encode(Kind::Stderr, &payload, &mut bytes).unwrap();
            let whole = bytes.len();
            for cut in 0..whole.min(64) {
                prop_assert_eq!(decode(&bytes[..cut]), Ok(None));
            }
            bytes.push(more);
            let (frame, taken) = decode(&bytes).unwrap().unwrap();
            prop_assert_eq!(frame, Frame { kind: Kind::Stderr, payload: &payload });
            prop_assert_eq!(taken, whole);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some((frame, taken))) = decode(&bytes) {
                prop_assert!(taken <= bytes.len());
                prop_assert_eq!(frame.payload.len() + HEADER, taken);
            }
        }
    }

    #[test]
    fn bounds_hold() {
        let mut out = Vec::new();
        assert_eq!(encode(Kind::Stdout, &vec![0; MAX_PAYLOAD + 1], &mut out), Err(FrameError::TooLong(MAX_FRAME + 1)));
        assert!(out.is_empty());
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), Err(FrameError::TooLong(0xffff_ffff)));
        assert_eq!(decode(&[0, 0, 0, 0, 9]), Err(FrameError::Empty));
        assert_eq!(decode(&[0, 0, 0, 1, 9]), Err(FrameError::UnknownKind(9)));
    }
}
