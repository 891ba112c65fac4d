//! Quoting and variables: splitting an argument into words, and expanding `$name` with the operators of a shell.

use super::Reason;
use super::glob::ShellPattern;

/// How deep the words of operators may nest.
const DEPTH_LIMIT: usize = 8;

/// Where a word ends that begins `text`: at the first blank outside quotes.
///
/// # Errors
/// If a quote isn't closed.
pub(super) fn word_end(text: &str, escape: char) -> Result<usize, Reason> {
    let mut quote: Option<char> = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => return Ok(at),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), c) if c == escape => drop(chars.next()),
            _ => {}
        }
    }
    match quote {
        Some(open) => Err(format!("a {open} is not closed")),
        None => Ok(text.len()),
    }
}

/// Splits at blanks outside quotes. Quotes and escapes stay in the words; [`Expander::word`] removes them.
///
/// # Errors
/// If a quote isn't closed.
pub(super) fn split(text: &str, escape: char) -> Result<Vec<String>, Reason> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = word_end(rest, escape)?;
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    Ok(words)
}

/// Removes quotes and escapes and expands variables.
pub struct Expander<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    escape: char,
}

/// Whether text between the braces of `${…}` names a variable that is set and, for `:` operators, not empty.
struct Braced<'a> {
    name: &'a str,
    value: Option<String>,
    operator: &'a str,
    word: &'a str,
}

impl<'a> Expander<'a> {
    /// With these variables and this escape character.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>, escape: char) -> Expander<'a> {
        Expander { lookup, escape }
    }

    /// Of no variables at all.
    pub(super) fn nothing(escape: char) -> Expander<'static> {
        Expander { lookup: &|_| None, escape }
    }

    /// One word, quotes removed. A variable that isn't set is empty.
    ///
    /// # Errors
    /// A quote or brace that isn't closed, an operator that there is not, `${name:?message}` of one that isn't set.
    pub fn word(&self, text: &str) -> Result<String, Reason> {
        self.expand(text, 0, true)
    }

    /// The text of a here-document: quotes mean nothing in it.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn text(&self, text: &str) -> Result<String, Reason> {
        self.expand(text, 0, false)
    }

    /// Each word by itself; those that come out empty are dropped.
    pub(super) fn all<'t>(&self, words: impl IntoIterator<Item = &'t String>) -> Result<Vec<String>, Reason> {
        let words: Result<Vec<String>, Reason> = words.into_iter().map(|word| self.word(word)).collect();
        Ok(words?.into_iter().filter(|word| !word.is_empty()).collect())
    }

    fn expand(&self, text: &str, depth: usize, quotes: bool) -> Result<String, Reason> {
        if depth > DEPTH_LIMIT {
            return Err(format!("variables nest deeper than {DEPTH_LIMIT}"));
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut double_quoted = false;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '"' if quotes => double_quoted = !double_quoted,
                '\'' if quotes && !double_quoted => {
                    let (literal, after) = rest.split_once('\'').ok_or("a ' is not closed")?;
                    out.push_str(literal);
                    rest = after;
                }
                c if c == self.escape => rest = self.unescape(rest, double_quoted || !quotes, &mut out),
                '$' => {
                    let (value, after) = self.variable(rest, depth)?;
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

    /// Handles what follows an escape: inside double quotes only `"`, `$` and the escape itself are escaped.
    fn unescape<'t>(&self, rest: &'t str, double_quoted: bool, out: &mut String) -> &'t str {
        let Some(next) = rest.chars().next() else {
            out.push(self.escape);
            return rest;
        };
        if double_quoted && !(matches!(next, '"' | '$') || next == self.escape) {
            out.push(self.escape);
        }
        out.push(next);
        &rest[next.len_utf8()..]
    }

    /// The value of the variable whose name begins `text` (after the `$`), and what follows it.
    fn variable<'t>(&self, text: &'t str, depth: usize) -> Result<(String, &'t str), Reason> {
        if let Some(braced) = text.strip_prefix('{') {
            let end = self.closing_brace(braced).ok_or("a ${ is not closed")?;
            return Ok((self.braced(&braced[..end], depth)?, &braced[end + 1..]));
        }
        let end = name_length(text);
        if end > 0 {
            return Ok(((self.lookup)(&text[..end]).unwrap_or_default(), &text[end..]));
        }
        // A shell's own parameters have no value here.
        match text.chars().next() {
            Some(c) if c.is_ascii_digit() || "@*#?-!".contains(c) => Ok((String::new(), &text[1..])),
            _ => Ok(("$".to_owned(), text)),
        }
    }

    fn closing_brace(&self, text: &str) -> Option<usize> {
        let mut depth = 0;
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == self.escape => drop(chars.next()),
                '{' => depth += 1,
                '}' if depth == 0 => return Some(at),
                '}' => depth -= 1,
                _ => {}
            }
        }
        None
    }

    fn braced(&self, text: &str, depth: usize) -> Result<String, Reason> {
        let end = name_length(text);
        if end == 0 {
            return Err(format!("${{{text}}} has no variable name"));
        }
        let (name, modifier) = text.split_at(end);
        let value = (self.lookup)(name);
        if modifier.is_empty() {
            return Ok(value.unwrap_or_default());
        }
        const OPERATORS: [&str; 12] = [":-", ":+", ":?", "-", "+", "?", "##", "#", "%%", "%", "//", "/"];
        let operator = OPERATORS.into_iter().find(|operator| modifier.starts_with(operator));
        let Some(operator) = operator else {
            let known = "- + ? (with or without a colon before), # ## % %% / //";
            return Err(format!("${{{text}}} has an unsupported modifier: {known} are supported"));
        };
        let word = &modifier[operator.len()..];
        self.operate(Braced { name, value, operator, word }, depth + 1)
    }

    fn operate(&self, braced: Braced<'_>, depth: usize) -> Result<String, Reason> {
        let Braced { name, value, operator, word } = braced;
        let is_there = match operator.starts_with(':') {
            true => value.as_deref().is_some_and(|value| !value.is_empty()),
            false => value.is_some(),
        };
        let value = value.unwrap_or_default();
        match operator {
            ":-" | "-" if is_there => Ok(value),
            ":-" | "-" => self.expand(word, depth, true),
            ":+" | "+" if is_there => self.expand(word, depth, true),
            ":+" | "+" => Ok(String::new()),
            ":?" | "?" if is_there => Ok(value),
            ":?" | "?" => {
                let message = self.expand(word, depth, true)?;
                let message = if message.is_empty() { "is not allowed to be unset".to_owned() } else { message };
                Err(format!("{name}: {message}"))
            }
            "//" | "/" => {
                let (pattern, replacement) = self.halves(word);
                let pattern = ShellPattern::new(&self.pattern(pattern, depth)?, self.escape);
                pattern.replace(&value, &self.expand(replacement, depth, true)?, operator == "//")
            }
            _ => {
                let pattern = ShellPattern::new(&self.pattern(word, depth)?, self.escape);
                let longest = operator.len() == 2;
                match operator.starts_with('#') {
                    true => pattern.without_prefix(&value, longest),
                    false => pattern.without_suffix(&value, longest),
                }
            }
        }
    }

    /// A pattern: its variables expanded, its escapes kept.
    fn pattern(&self, text: &str, depth: usize) -> Result<String, Reason> {
        if depth > DEPTH_LIMIT {
            return Err(format!("variables nest deeper than {DEPTH_LIMIT}"));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                c if c == self.escape => {
                    out.push(c);
                    if let Some(next) = rest.chars().next() {
                        out.push(next);
                        rest = &rest[next.len_utf8()..];
                    }
                }
                '$' => {
                    let (value, after) = self.variable(rest, depth)?;
                    out.push_str(&value);
                    rest = after;
                }
                c => out.push(c),
            }
        }
        Ok(out)
    }

    /// `pattern/replacement` at the first slash that isn't escaped.
    fn halves<'t>(&self, text: &'t str) -> (&'t str, &'t str) {
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == self.escape => drop(chars.next()),
                '/' => return (&text[..at], &text[at + 1..]),
                _ => {}
            }
        }
        (text, "")
    }
}

fn name_length(text: &str) -> usize {
    let digit_first = text.starts_with(|c: char| c.is_ascii_digit());
    if digit_first { 0 } else { text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count() }
}
