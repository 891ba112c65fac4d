//! The syntax of `.env` and `env_file` files.
//!
//! `KEY=VALUE` or `KEY: VALUE`, `export` allowed, `KEY` alone inherits; unquoted values end at the line or at ` #` and are
//! interpolated, `'…'` is raw, `"…"` knows escapes and is interpolated; quoted values may span lines.

use indexmap::IndexMap;

use crate::error::Error;
use crate::interpolate::{Lookup, template};

/// Variables in the order of their first appearance.
pub type Variables = IndexMap<String, String>;

/// Reads `bytes` into `into`. Values see `lookup` first, then the variables read so far.
///
/// # Errors
/// [`Error::EnvFile`] naming `file` and the line.
pub fn parse(bytes: &[u8], file: &str, lookup: &Lookup, into: &mut Variables) -> Result<(), Error> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut parser = Parser { rest: text, line: 1, lookup, into };
    loop {
        match parser.statement() {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(reason) => return Err(Error::EnvFile { file: file.to_owned(), line: parser.line, reason }),
        }
    }
}

/// Reads `KEY=VALUE` lines without interpretation: `format: raw`.
pub fn parse_raw(bytes: &[u8], into: &mut Variables) {
    for line in String::from_utf8_lossy(bytes).lines() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if let Some((key, value)) = line.split_once('=') {
            into.insert(key.trim().to_owned(), value.to_owned());
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    lookup: &'a Lookup<'a>,
    into: &'a mut Variables,
}

/// White space that doesn't end a line.
fn blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

impl Parser<'_> {
    /// Reads one statement; `false` at the end.
    fn statement(&mut self) -> Result<bool, String> {
        if !self.skip_to_statement() {
            return Ok(false);
        }
        let Some((key, inherited)) = self.key()? else { return Ok(false) };
        if key.contains(' ') {
            return Err(format!("key {key:?} cannot contain a space"));
        }
        if inherited {
            if let Some(value) = (self.lookup)(&key) {
                self.into.insert(key, value);
            }
            return Ok(true);
        }
        let value = self.value()?;
        self.into.insert(key, value);
        Ok(true)
    }

    fn skip_to_statement(&mut self) -> bool {
        loop {
            let trimmed = self.rest.trim_start();
            self.line += self.rest[..self.rest.len() - trimmed.len()].matches('\n').count();
            self.rest = trimmed;
            if !trimmed.starts_with('#') {
                return !trimmed.is_empty();
            }
            self.rest = trimmed.find('\n').map_or("", |end| &trimmed[end..]);
        }
    }

    /// The key, and whether nothing follows it. `None` when the file ends in a bare key with no newline.
    fn key(&mut self) -> Result<Option<(String, bool)>, String> {
        if let Some(rest) = self.rest.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace)) {
            self.rest = rest.trim_start_matches(blank);
        }
        for (at, c) in self.rest.char_indices() {
            match c {
                '=' | ':' | '\n' => {
                    let key = self.rest[..at].trim_end().to_owned();
                    self.rest = self.rest[at + 1..].trim_start_matches(blank);
                    self.line += usize::from(c == '\n' && !key.contains(' '));
                    return Ok(Some((key, c == '\n')));
                }
                '_' | '.' | '-' | '[' | ']' => {}
                _ if c.is_alphanumeric() || blank(c) => {}
                _ => {
                    let line = self.rest.lines().next().unwrap_or_default();
                    return Err(format!("unexpected character {:?} in variable name {line:?}", c.to_string()));
                }
            }
        }
        let key = self.rest.trim_end().to_owned();
        self.rest = "";
        Ok((!key.is_empty()).then_some((key, true)))
    }

    fn value(&mut self) -> Result<String, String> {
        match self.rest.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => self.quoted(*quote as char),
            _ => {
                let (value, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                let value = value.split_once(" #").map_or(value, |(value, _)| value).trim_end();
                let expanded = self.expand(value)?;
                self.rest = rest;
                self.line += 1;
                Ok(expanded)
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut value = String::new();
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            self.line += usize::from(c == '\n');
            if c == quote && !escaped {
                self.rest = &self.rest[at + 1..];
                return if quote == '"' { self.expand(&unescape(&value)) } else { Ok(value) };
            }
            if c == '\\' && !escaped {
                escaped = true;
                continue;
            }
            if escaped && c != quote {
                value.push('\\');
            }
            escaped = false;
            value.push(c);
        }
        let line = self.rest.lines().next().unwrap_or_default();
        Err(format!("unterminated quoted value {line}"))
    }

    fn expand(&self, value: &str) -> Result<String, String> {
        let lookup = |name: &str| (self.lookup)(name).or_else(|| self.into.get(name).cloned());
        template::substitute(value, &lookup, &mut Vec::new()).map_err(|error| format!("{error}: {value:?}"))
    }
}

/// `\n`, `\t`, `\"`, `\\`, `\$` and octal `\0…`; other backslashes stay.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let simple = match after.chars().next() {
            Some('a') => Some("\u{7}"),
            Some('b') => Some("\u{8}"),
            Some('f') => Some("\u{c}"),
            Some('n') => Some("\n"),
            Some('r') => Some("\r"),
            Some('t') => Some("\t"),
            Some('v') => Some("\u{b}"),
            Some('\\') => Some("\\"),
            Some('"') => Some("\""),
            Some('$') => Some("$$"),
            _ => None,
        };
        rest = match (simple, octal(after)) {
            (Some(simple), _) => {
                out.push_str(simple);
                &after[1..]
            }
            (None, Some((c, length))) => {
                out.push(c);
                &after[length..]
            }
            (None, None) => {
                out.push('\\');
                after
            }
        };
    }
    out.push_str(rest);
    out
}

/// `0` and three octal digits: the character and the length read.
fn octal(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix('0')?.get(..3)?;
    let code = u32::from_str_radix(digits, 8).ok()?;
    (code < 256).then(|| char::from_u32(code)).flatten().map(|c| (c, 4))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "OUTER").then(|| "outer".to_owned())
    }

    fn read(text: &str) -> Result<Vec<(String, String)>, Error> {
        let mut into = Variables::new();
        parse(text.as_bytes(), ".env", &env, &mut into)?;
        Ok(into.into_iter().collect())
    }

    #[test]
    fn the_syntax() {
        for (text, expected) in [
            ("A=b", "b"),
            ("A: b", "b"),
            ("export A=b", "b"),
            ("A = b # c", "b"),
            ("A=b#c", "b#c"),
            ("A='$OUTER \\n'", "$OUTER \\n"),
            ("A='it\\'s'", "it's"),
            ("A=\"x\\n\\\"$OUTER\\\" \\$y\\0101\"", "x\n\"outer\" $yA"),
            ("A=\"two\nlines\"", "two\nlines"),
            ("A=${B:-d}", "d"),
            ("\u{feff}A=b\r\n", "b"),
            ("A=", ""),
        ] {
            assert_eq!(read(text).unwrap(), [("A".to_owned(), expected.to_owned())], "{text:?}");
        }
        assert_eq!(read("A=1\nB=$A\nOUTER\nNONE\n# x\nC=$OUTER\n").unwrap().len(), 4);
        assert_eq!(read("OUTER").unwrap(), [("OUTER".to_owned(), "outer".to_owned())]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in
            [("A=1\nB C=2\n", "line 2"), ("A=1\n\n!=2", "line 3"), ("A='x", "line 1"), ("A=${", "line 1")]
        {
            assert!(read(text).unwrap_err().to_string().contains(line), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"[A-C=: \n"'$\\{}#0é\u{a0}]{0,40}"#) {
            let _ = read(&text);
        }
    }
}
