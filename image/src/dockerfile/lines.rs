//! From a Dockerfile's text to instructions' lines: directives, comments, continuations, here-documents.

use super::expand::Expander;
use super::{ParseError, Reason, Span};

/// The largest Dockerfile, in bytes.
pub const SIZE_LIMIT: usize = 1 << 20;

/// What the comments at the very top say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// The character that escapes, and continues lines: `\` or a backtick.
    pub escape: char,
    /// `# syntax=`: the frontend that is asked for, which here is always Orca's own.
    pub syntax: Option<String>,
    /// `# check=`: which checks to skip, and whether what they find is an error.
    pub check: Option<String>,
}

/// A text that an instruction carries below itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it; for COPY and ADD the name of the file that it becomes.
    pub name: String,
    /// The word as written, after `<<`.
    pub raw: String,
    /// Whether variables in it are expanded (its word is not quoted).
    pub expand: bool,
    /// Whether tabs at the beginning of its lines are dropped (`<<-`).
    pub chomp: bool,
    /// Its lines, each with its newline.
    pub content: String,
}

/// One instruction, its lines joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) span: Span,
    pub(super) text: String,
    pub(super) heredocs: Vec<Heredoc>,
}

/// Splits a Dockerfile into its instructions.
///
/// # Errors
/// A directive that is wrong or comes twice, a here-document without end.
pub(super) fn split(text: &str) -> Result<(Directives, Vec<Line>), ParseError> {
    if text.len() > SIZE_LIMIT {
        let message = format!("the Dockerfile has {} bytes, more than {SIZE_LIMIT}", text.len());
        return Err(ParseError::at(Span::line(1), message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let raw: Vec<&str> = text.lines().collect();
    let directives = directives(&raw)?;
    let mut lines = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let first = raw[at].trim_start();
        if first.trim_end().is_empty() || first.starts_with('#') {
            at += 1;
            continue;
        }
        let start = at;
        let (joined, after) = join(&raw, at, directives.escape);
        at = after;
        let mut line = Line { span: Span { first: start + 1, last: after }, text: joined, heredocs: Vec::new() };
        if carries_heredocs(&line.text) {
            for heredoc in openings(&line.text, directives.escape) {
                let (heredoc, after) = fill(heredoc, &raw, at, start)?;
                line.heredocs.push(heredoc);
                at = after;
            }
            line.span.last = at;
        }
        lines.push(line);
    }
    Ok((directives, lines))
}

/// The instruction that begins at line `at`, and where the next one may begin. Comments and empty lines in it are skipped.
fn join(raw: &[&str], mut at: usize, escape: char) -> (String, usize) {
    let mut joined = String::new();
    let mut is_first = true;
    while let Some(line) = raw.get(at) {
        let trimmed = line.trim_start();
        at += 1;
        if !is_first && (trimmed.trim_end().is_empty() || trimmed.starts_with('#')) {
            continue;
        }
        let line = if is_first { trimmed } else { line };
        is_first = false;
        match continued(line, escape) {
            Some(part) => joined.push_str(part),
            None => {
                joined.push_str(line);
                break;
            }
        }
    }
    (joined.trim_end().to_owned(), at)
}

/// The line without the escape at its end, if it has one that is not escaped itself.
fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

fn directives(raw: &[&str]) -> Result<Directives, ParseError> {
    let mut found = Directives { escape: '\\', syntax: None, check: None };
    let mut escape_seen = false;
    for (index, line) in raw.iter().enumerate() {
        let Some((key, value)) = directive(line) else { break };
        let span = Span::line(index + 1);
        let twice = || ParseError::at(span, format!("only one {key} parser directive can be used"));
        match key.as_str() {
            "escape" if escape_seen => return Err(twice()),
            "escape" => {
                escape_seen = true;
                found.escape = match value {
                    "\\" => '\\',
                    "`" => '`',
                    _ => return Err(ParseError::at(span, format!("invalid escape {value:?}: it must be ` or \\"))),
                };
            }
            "syntax" if found.syntax.is_some() => return Err(twice()),
            "syntax" => found.syntax = Some(value.to_owned()),
            "check" if found.check.is_some() => return Err(twice()),
            "check" => found.check = Some(value.to_owned()),
            // Another word with an equals sign is a comment, and ends the directives.
            _ => break,
        }
    }
    Ok(found)
}

fn directive(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_word = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_word && !value.is_empty()).then(|| (key.to_ascii_lowercase(), value))
}

fn carries_heredocs(text: &str) -> bool {
    let mut words = text.split_whitespace().map(str::to_ascii_uppercase);
    let mut name = words.next();
    if name.as_deref() == Some("ONBUILD") {
        name = words.next();
    }
    matches!(name.as_deref(), Some("ADD" | "COPY" | "RUN"))
}

/// The here-documents that a line opens.
pub(super) fn openings(text: &str, escape: char) -> Vec<Heredoc> {
    // Quotes that don't close are the shell's to complain about.
    let Ok(words) = super::expand::split(text, escape) else { return Vec::new() };
    words.iter().filter_map(|word| opening(word, escape)).collect()
}

fn opening(word: &str, escape: char) -> Option<Heredoc> {
    let word = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, raw) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    if raw.is_empty() || raw.contains('<') {
        return None;
    }
    let name = Expander::nothing(escape).word(raw).ok()?;
    let expand = name == raw;
    Some(Heredoc { name, raw: raw.to_owned(), expand, chomp, content: String::new() })
}

fn fill(mut heredoc: Heredoc, raw: &[&str], mut at: usize, start: usize) -> Result<(Heredoc, usize), ParseError> {
    while let Some(line) = raw.get(at) {
        at += 1;
        let line = if heredoc.chomp { line.trim_start_matches('\t') } else { line };
        if line == heredoc.name {
            return Ok((heredoc, at));
        }
        heredoc.content.push_str(line);
        heredoc.content.push('\n');
    }
    let message = format!("unterminated heredoc: no line says {:?}", heredoc.name);
    Err(ParseError::at(Span { first: start + 1, last: at }, message))
}

/// The first word and the rest.
pub(super) fn command(text: &str) -> (&str, &str) {
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (name, rest.trim())
}

/// The name of a flag and its value.
pub(super) type Flag = (String, Option<String>);

/// The `--name[=value]` words at the beginning of an instruction's arguments, and what follows them.
pub(super) fn flags(text: &str, escape: char) -> Result<(Vec<Flag>, &str), Reason> {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while let Some(after) = rest.strip_prefix("--") {
        let end = super::expand::word_end(rest, escape)?;
        let word = &rest[2..end];
        rest = rest[end..].trim_start();
        if after.starts_with(char::is_whitespace) || word.is_empty() {
            break;
        }
        match word.split_once('=') {
            Some((name, value)) => flags.push((name.to_owned(), Some(value.to_owned()))),
            None => flags.push((word.to_owned(), None)),
        }
    }
    Ok((flags, rest))
}
