//! Quoting and variables: splitting an argument into words, and expanding `$name` from the config's environment.

use super::Reason;
use crate::manifest::RunConfig;

/// Splits at blanks outside quotes. Quotes and backslashes stay in the words; [`expand`] removes them.
pub(super) fn split(text: &str) -> Result<Vec<String>, Reason> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if let Some(open) = quote {
        return Err(format!("a {open} is not closed"));
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// Splits, then expands each word; words that come out empty are dropped.
pub(super) fn expand_all(text: &str, config: &RunConfig) -> Result<Vec<String>, Reason> {
    let words: Result<Vec<String>, Reason> = split(text)?.iter().map(|word| expand(word, config)).collect();
    Ok(words?.into_iter().filter(|word| !word.is_empty()).collect())
}

/// Removes quotes and backslashes and expands `$name`, `${name}`, `${name:-default}` and `${name:+alternative}`.
/// A variable that isn't set is empty, as in a Dockerfile.
pub(super) fn expand(text: &str, config: &RunConfig) -> Result<String, Reason> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut double_quoted = false;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => double_quoted = !double_quoted,
            '\'' if !double_quoted => {
                let (literal, after) = rest.split_once('\'').ok_or("a ' is not closed")?;
                out.push_str(literal);
                rest = after;
            }
            '\\' => rest = unescape(rest, double_quoted, &mut out),
            '$' => {
                let (value, after) = variable(rest, config)?;
                out.push_str(&value);
                rest = after;
            }
            c => out.push(c),
        }
    }
    if double_quoted {
        return Err("a \" is not closed".to_owned());
    }
    Ok(out)
}

/// Handles what follows a backslash: inside double quotes only `"`, `$` and `\` are escaped.
fn unescape<'a>(rest: &'a str, double_quoted: bool, out: &mut String) -> &'a str {
    let Some(next) = rest.chars().next() else {
        out.push('\\');
        return rest;
    };
    if double_quoted && !matches!(next, '"' | '$' | '\\') {
        out.push('\\');
    }
    out.push(next);
    &rest[next.len_utf8()..]
}

/// The value of the variable whose name begins `text` (after the `$`), and what follows it.
fn variable<'a>(text: &'a str, config: &RunConfig) -> Result<(String, &'a str), Reason> {
    if let Some(braced) = text.strip_prefix('{') {
        let end = closing_brace(braced).ok_or("a ${ is not closed")?;
        return Ok((braced_variable(&braced[..end], config)?, &braced[end + 1..]));
    }
    let end = name_length(text);
    if end == 0 {
        return Ok(("$".to_owned(), text));
    }
    Ok((config.env_value(&text[..end]).unwrap_or_default().to_owned(), &text[end..]))
}

fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn braced_variable(text: &str, config: &RunConfig) -> Result<String, Reason> {
    let end = name_length(text);
    if end == 0 {
        return Err(format!("${{{text}}} has no variable name"));
    }
    let value = config.env_value(&text[..end]).unwrap_or_default();
    let modifier = &text[end..];
    if modifier.is_empty() {
        return Ok(value.to_owned());
    }
    if modifier.matches("${").count() > 8 {
        return Err(format!("${{{text}}} nests too deep"));
    }
    if let Some(default) = modifier.strip_prefix(":-") {
        return if value.is_empty() { expand(default, config) } else { Ok(value.to_owned()) };
    }
    if let Some(alternative) = modifier.strip_prefix(":+") {
        return if value.is_empty() { Ok(String::new()) } else { expand(alternative, config) };
    }
    Err(format!("${{{text}}} has an unsupported modifier: only :- and :+ are supported"))
}

fn name_length(text: &str) -> usize {
    let digit_first = text.starts_with(|c: char| c.is_ascii_digit());
    if digit_first { 0 } else { text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count() }
}
