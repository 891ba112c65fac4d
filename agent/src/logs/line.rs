//! One line of a json-file log, read fast where it is as Orca's shim writes it, and by a JSON parser otherwise. Pure.

use std::collections::BTreeMap;

use memchr::memchr2;
use model::Timestamp;
use serde::Deserialize;

use super::time::parse_rfc3339;

/// The longest encoded line that is read: 16 KiB of output, each byte of which may become six, and the rest of the object.
/// What is longer was not written by Orca's shim.
pub const LONGEST_LINE: usize = 256 * 1024;

const HEAD: &[u8] = br#"{"log":""#;
const TIME: &[u8] = br#","time":""#;
const END: &[u8] = br#""}"#;
/// A time with all nine digits of its fraction, in UTC.
const STAMP: usize = "2006-01-02T15:04:05.999999999Z".len();

/// A line of output, or a piece of one that was too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written.
    pub at: Timestamp,
    /// That time as text, with nine digits of fraction, in UTC.
    pub stamp: &'a [u8],
    /// Whether it came from standard error.
    pub stderr: bool,
    /// With its newline, if it has one.
    pub text: &'a [u8],
    /// The JSON object of labels, variables and tag that belong to it; empty if there is none.
    pub attrs: &'a [u8],
}

/// Reads lines, and keeps what the next one may have in common with the last.
#[derive(Debug, Default)]
pub struct Decoder {
    text: Vec<u8>,
    stamp: Vec<u8>,
    at: Timestamp,
    attrs: Vec<u8>,
}

/// What the fast way finds beside the text.
struct Found<'a> {
    stderr: bool,
    stamp: &'a [u8],
    attrs: &'a [u8],
}

/// As Docker writes it.
#[derive(Deserialize)]
struct Encoded {
    log: String,
    stream: String,
    time: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

impl Decoder {
    /// Reads one line of the file, without its newline; `None` if it is damaged.
    pub fn decode<'a>(&'a mut self, line: &'a [u8]) -> Option<Line<'a>> {
        self.text.clear();
        let Some(found) = read_fast(line, &mut self.text) else { return self.decode_slowly(line) };
        // The lines of one reading by the shim have the same time.
        if self.stamp != found.stamp {
            self.at = parse_rfc3339(found.stamp)?;
            self.stamp.clear();
            self.stamp.extend_from_slice(found.stamp);
        }
        let Found { stderr, stamp, attrs } = found;
        Some(Line { at: self.at, stamp, stderr, text: &self.text, attrs })
    }

    fn decode_slowly(&mut self, line: &[u8]) -> Option<Line<'_>> {
        let Encoded { log, stream, time, attrs } = serde_json::from_slice(line).ok()?;
        let stderr = match stream.as_str() {
            "stdout" => false,
            "stderr" => true,
            _ => return None,
        };
        self.at = parse_rfc3339(time.as_bytes())?;
        self.stamp = self.at.to_rfc3339().into_bytes();
        self.text = log.into_bytes();
        self.attrs = if attrs.is_empty() { Vec::new() } else { serde_json::to_vec(&attrs).ok()? };
        Some(Line { at: self.at, stamp: &self.stamp, stderr, text: &self.text, attrs: &self.attrs })
    }
}

fn read_fast<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Option<Found<'a>> {
    let body = line.strip_prefix(HEAD)?;
    let (body, tail) = body.split_at(body.len().checked_sub(TIME.len() + STAMP + END.len())?);
    let stamp = tail.strip_prefix(TIME)?.strip_suffix(END)?;
    if !stamp.ends_with(b"Z") {
        return None;
    }
    let rest = unescape(body, text)?;
    let (stderr, rest) = match rest.strip_prefix(br#"","stream":"stdout""#) {
        Some(rest) => (false, rest),
        None => (true, rest.strip_prefix(br#"","stream":"stderr""#)?),
    };
    let attrs = if rest.is_empty() { rest } else { rest.strip_prefix(br#","attrs":"#)? };
    // That it is an object of strings is seen when somebody asks for it.
    let is_object = attrs.starts_with(b"{") && attrs.ends_with(b"}");
    (attrs.is_empty() || is_object).then_some(Found { stderr, stamp, attrs })
}

/// Writes the string at the beginning of `body` into `text`; what follows, from its closing quote on. `None` for escapes that
/// the shim doesn't write.
fn unescape<'a>(body: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = body;
    loop {
        let at = memchr2(b'"', b'\\', rest)?;
        text.extend_from_slice(&rest[..at]);
        if rest[at] == b'"' {
            return Some(&rest[at..]);
        }
        let (byte, length) = match *rest.get(at + 1)? {
            b'n' => (b'\n', 2),
            b't' => (b'\t', 2),
            b'r' => (b'\r', 2),
            byte @ (b'"' | b'\\') => (byte, 2),
            b'u' => (control(rest.get(at + 2..at + 6)?)?, 6),
            _ => return None,
        };
        text.push(byte);
        rest = &rest[at + length..];
    }
}

/// The character below 0x80 that four hexadecimal digits are.
fn control(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits.strip_prefix(b"00")?).ok()?;
    u8::from_str_radix(text, 16).ok().filter(u8::is_ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owned(line: &[u8]) -> Option<(i64, String, bool, Vec<u8>, String)> {
        let mut decoder = Decoder::default();
        let line = decoder.decode(line)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((line.at.0, text(line.stamp), line.stderr, line.text.to_vec(), text(line.attrs)))
    }

    #[test]
    fn dockers_lines_are_read() {
        let stamp = "2026-11-24T12:39:59.999999999Z";
        let at = 1_795_523_999_999_999_999;
        let ours =
            br#"{"log":"a\u0001\t\"\n","stream":"stderr","attrs":{"x":"y"},"time":"2026-11-24T12:39:59.999999999Z"}"#;
        let expected = (at, stamp.to_owned(), true, b"a\x01\t\"\n".to_vec(), r#"{"x":"y"}"#.to_owned());
        assert_eq!(owned(ours), Some(expected));
        // Docker leaves zeros of the fraction out, and escapes more.
        let theirs = br#"{"log":"\u003ca\u00e4\ud83d\ude00\n","stream":"stdout","time":"2026-11-24T12:39:59.5Z"}"#;
        let stamp = "2026-11-24T12:39:59.500000000Z".to_owned();
        let expected = (1_795_523_999_500_000_000, stamp, false, "<aä😀\n".into(), String::new());
        assert_eq!(owned(theirs), Some(expected));
    }

    #[test]
    fn the_fast_way_is_taken_for_what_the_shim_writes() {
        for line in [
            r#"{"log":"plain\n","stream":"stdout","time":"2026-11-24T12:39:59.999999999Z"}"#,
            r#"{"log":"\u001b[1mä\\\n","stream":"stderr","attrs":{"a":"b"},"time":"2026-11-24T12:39:59.999999999Z"}"#,
        ] {
            assert!(read_fast(line.as_bytes(), &mut Vec::new()).is_some(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(nanos in 0i64..i64::MAX, log: String, stderr: bool) {
            let stamp = Timestamp(nanos).to_rfc3339();
            let stream = if stderr { "stderr" } else { "stdout" };
            let line = serde_json::json!({"log": log, "stream": stream, "time": stamp}).to_string();
            prop_assert_eq!(owned(line.as_bytes()), Some((nanos, stamp, stderr, log.into_bytes(), String::new())));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, middle in r#"[\\"nu0-9a-f{},:]{0,40}"#) {
            let _ = owned(&bytes);
            let _ = owned(format!(r#"{{"log":"{middle}","time":"2026-11-24T12:39:59.999999999Z"}}"#).as_bytes());
        }
    }
}
