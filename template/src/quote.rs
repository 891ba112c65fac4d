//! Go's quoted strings.

use std::fmt::Write as _;
use std::str::Chars;

/// As Go's `%q`.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    text.chars().for_each(|c| push(&mut quoted, c, '"'));
    quoted.push('"');
    quoted
}

/// As Go's `%q` of a rune.
pub fn quote_char(c: char) -> String {
    let mut quoted = String::from("'");
    push(&mut quoted, c, '\'');
    quoted.push('\'');
    quoted
}

fn push(quoted: &mut String, c: char, mark: char) {
    let _ = match c {
        '\\' => write!(quoted, "\\\\"),
        c if c == mark => write!(quoted, "\\{c}"),
        '\n' => write!(quoted, "\\n"),
        '\t' => write!(quoted, "\\t"),
        '\r' => write!(quoted, "\\r"),
        '\u{7}' => write!(quoted, "\\a"),
        '\u{8}' => write!(quoted, "\\b"),
        '\u{c}' => write!(quoted, "\\f"),
        '\u{b}' => write!(quoted, "\\v"),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(quoted, "\\x{:02x}", c as u32),
        c if c.is_control() => write!(quoted, "\\u{:04x}", c as u32),
        c => write!(quoted, "{c}"),
    };
}

/// The text between quotes, with Go's escapes resolved; none if one is malformed.
pub fn unquote(text: &str) -> Option<String> {
    let inner = text.get(1..text.len().checked_sub(1)?)?;
    if text.starts_with('`') {
        return Some(inner.replace('\r', ""));
    }
    let mut bytes = Vec::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            escape(&mut chars, &mut bytes)?;
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What follows a backslash.
fn escape(chars: &mut Chars<'_>, bytes: &mut Vec<u8>) -> Option<()> {
    let code = match chars.next()? {
        'n' => 0x0a,
        't' => 0x09,
        'r' => 0x0d,
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'v' => 0x0b,
        c @ ('\\' | '\'' | '"') => c as u32,
        'x' => return bytes_of(digits(chars, "", 2, 16)?, bytes),
        c @ '0'..='7' => return bytes_of(digits(chars, c.encode_utf8(&mut [0; 4]), 2, 8)?, bytes),
        'u' => digits(chars, "", 4, 16)?,
        'U' => digits(chars, "", 8, 16)?,
        _ => return None,
    };
    bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

fn bytes_of(code: u32, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.push(u8::try_from(code).ok()?);
    Some(())
}

fn digits(chars: &mut Chars<'_>, first: &str, count: usize, radix: u32) -> Option<u32> {
    let rest: String = chars.by_ref().take(count).collect();
    if rest.chars().count() < count {
        return None;
    }
    u32::from_str_radix(&format!("{first}{rest}"), radix).ok()
}
