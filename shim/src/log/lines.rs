//! Cutting output into lines and writing them as Docker's json-file driver does. Pure.

use crate::time::write_rfc3339;

/// A line longer than this is kept in pieces of this size, only the last of which ends in a newline (Docker's
/// `defaultBufSize`).
pub const MAX_LINE: usize = 16 * 1024;

/// Which output a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Cuts one stream into lines; holds at most an unfinished one.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes what was read and hands out the lines that it completes, newline included, and pieces of overlong ones.
    pub fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = piece;
            while self.partial.len() + rest.len() > MAX_LINE + usize::from(rest.ends_with(b"\n")) {
                let wanted = MAX_LINE - self.partial.len();
                if self.partial.is_empty() {
                    let cut = character_boundary(rest, wanted);
                    emit(&rest[..cut]);
                    rest = &rest[cut..];
                } else {
                    // One byte more than goes, to see whether a character is cut.
                    self.partial.extend_from_slice(&rest[..=wanted]);
                    rest = &rest[wanted + 1..];
                    let cut = character_boundary(&self.partial, MAX_LINE);
                    emit(&self.partial[..cut]);
                    self.partial.drain(..cut);
                }
            }
            if !rest.ends_with(b"\n") {
                self.partial.extend_from_slice(rest);
            } else if self.partial.is_empty() {
                emit(rest);
            } else {
                self.partial.extend_from_slice(rest);
                emit(&self.partial);
                self.partial = Vec::new();
            }
        }
    }

    /// Hands out what never got its newline.
    pub fn finish(&mut self, emit: impl FnOnce(&[u8])) {
        if !self.partial.is_empty() {
            emit(&self.partial);
            self.partial = Vec::new();
        }
    }
}

/// The greatest cut at or a few bytes below `at` that doesn't split a UTF-8 character.
fn character_boundary(bytes: &[u8], at: usize) -> usize {
    let continues = |index: &usize| bytes.get(*index).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at).rev().find(|index| *index > 0 && !continues(index)).unwrap_or(at)
}

/// Appends one json-file line: `{"log":…,"stream":…,"attrs":…,"time":…}`. Bytes that are no UTF-8 become U+FFFD, as in Docker.
/// `attrs` is encoded already: `"attrs":{…},`, or empty.
pub fn write_line(line: &[u8], stream: Stream, attrs: &[u8], time: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"log\":\"");
    for chunk in line.utf8_chunks() {
        escape(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    let stream: &[u8] = match stream {
        Stream::Stdout => b"\",\"stream\":\"stdout\",",
        Stream::Stderr => b"\",\"stream\":\"stderr\",",
    };
    out.extend_from_slice(stream);
    out.extend_from_slice(attrs);
    out.extend_from_slice(b"\"time\":\"");
    write_rfc3339(time, out);
    out.extend_from_slice(b"\"}\n");
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut plain = 0;
    for (index, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[plain..index]);
        plain = index + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.extend_from_slice(&text[plain..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, |line| out.push(line.to_vec()));
        }
        lines.finish(|line| out.push(line.to_vec()));
        out
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let mut long = vec![b'x'; 2 * MAX_LINE + 5];
        long.push(b'\n');
        let lengths: Vec<usize> = cut(&[&long[..100], &long[100..]]).iter().map(Vec::len).collect();
        assert_eq!(lengths, [MAX_LINE, MAX_LINE, 6]);
        let exact = [vec![b'x'; MAX_LINE], vec![b'\n']].concat();
        assert_eq!(cut(&[&exact]), vec![exact]);
        let umlauts = "ä".repeat(MAX_LINE).into_bytes();
        assert!(cut(&[b"x", &umlauts]).iter().all(|piece| std::str::from_utf8(piece).is_ok()));
    }

    #[test]
    fn the_format_is_dockers() {
        let mut out = Vec::new();
        write_line(b"a\"\\\x01\xff\t\n", Stream::Stderr, b"", 0, &mut out);
        let expected = "{\"log\":\"a\\\"\\\\\\u0001\u{fffd}\\t\\n\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:00.000000000Z\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled(chunks in proptest::collection::vec(proptest::collection::vec(
            prop_oneof![Just(b'\n'), any::<u8>(), Just(b'x')], 0..9000), 0..8)) {
            let views: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let lines = cut(&views);
            prop_assert_eq!(lines.concat(), chunks.concat());
            for line in &lines {
                prop_assert!(line.len() <= MAX_LINE + 1);
                prop_assert!(!line[..line.len() - 1].contains(&b'\n'));
                let mut out = Vec::new();
                write_line(line, Stream::Stdout, b"", 1, &mut out);
                let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
                let expected = String::from_utf8_lossy(line);
                prop_assert_eq!(value["log"].as_str(), Some(expected.as_ref()));
            }
        }
    }
}
