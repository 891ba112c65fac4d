//! Patterns: a shell's, for the operators of variables, and those of Go's `filepath.Match`, which name files.

use super::Reason;

/// The most steps of one match: beyond it text and pattern are refused together.
const WORK_LIMIT: usize = 5_000_000;

/// `*`, `?` and characters; matched against parts of a variable's value.
pub(super) struct ShellPattern(Vec<Piece>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Char(char),
}

impl ShellPattern {
    pub(super) fn new(text: &str, escape: char) -> ShellPattern {
        let mut pieces = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '*' => Piece::Any,
                '?' => Piece::One,
                c if c == escape => Piece::Char(chars.next().unwrap_or(c)),
                c => Piece::Char(c),
            });
        }
        pieces.dedup_by(|a, b| *a == Piece::Any && *b == Piece::Any);
        ShellPattern(pieces)
    }

    fn check(&self, value: &str, rounds: usize) -> Result<(), Reason> {
        let work = value.len().saturating_mul(self.0.len() + 1).saturating_mul(rounds);
        if work > WORK_LIMIT { Err("its value is too long for a pattern".to_owned()) } else { Ok(()) }
    }

    /// How many of the first characters match, for each number that does; all in one pass.
    fn ends(&self, chars: impl Iterator<Item = char>) -> Vec<usize> {
        let length = self.0.len();
        let mut at = vec![false; length + 1];
        let skip = |at: &mut Vec<bool>| {
            for index in 0..length {
                if at[index] && self.0[index] == Piece::Any {
                    at[index + 1] = true;
                }
            }
        };
        at[0] = true;
        skip(&mut at);
        let mut ends = Vec::new();
        if at[length] {
            ends.push(0);
        }
        for (count, c) in chars.enumerate() {
            let mut next = vec![false; length + 1];
            for index in (0..length).filter(|index| at[*index]) {
                match self.0[index] {
                    Piece::Any => next[index] = true,
                    Piece::One => next[index + 1] = true,
                    Piece::Char(own) if own == c => next[index + 1] = true,
                    Piece::Char(_) => {}
                }
            }
            skip(&mut next);
            at = next;
            if at[length] {
                ends.push(count + 1);
            }
            if !at.contains(&true) {
                break;
            }
        }
        ends
    }

    fn pick(ends: &[usize], longest: bool) -> usize {
        let end = if longest { ends.last() } else { ends.first() };
        end.copied().unwrap_or(0)
    }

    pub(super) fn without_prefix(&self, value: &str, longest: bool) -> Result<String, Reason> {
        self.check(value, 1)?;
        let count = Self::pick(&self.ends(value.chars()), longest);
        Ok(value.chars().skip(count).collect())
    }

    pub(super) fn without_suffix(&self, value: &str, longest: bool) -> Result<String, Reason> {
        self.check(value, 1)?;
        let reversed = ShellPattern(self.0.iter().rev().copied().collect());
        let count = Self::pick(&reversed.ends(value.chars().rev()), longest);
        let all = value.chars().count();
        Ok(value.chars().take(all - count).collect())
    }

    pub(super) fn replace(&self, value: &str, with: &str, all: bool) -> Result<String, Reason> {
        self.check(value, value.len().max(1))?;
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        while at < chars.len() {
            let count = Self::pick(&self.ends(chars[at..].iter().copied()), true);
            if count == 0 {
                out.push(chars[at]);
                at += 1;
                continue;
            }
            out.push_str(with);
            at += count;
            if !all {
                break;
            }
        }
        out.extend(&chars[at..]);
        Ok(out)
    }
}

/// Whether `name` is what Go's `filepath.Match` takes `pattern` for: `*` and `?` don't match `/`, `[a-z]` and `[^a]` are
/// classes, a backslash escapes.
///
/// # Errors
/// If the pattern is malformed.
pub fn matches(pattern: &[u8], name: &[u8]) -> Result<bool, Reason> {
    check(pattern)?;
    // The last star, and where its match may grow to.
    let mut retry: Option<(usize, usize)> = None;
    let (mut p, mut n) = (0, 0);
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p + 1, n));
            p += 1;
            continue;
        }
        if n < name.len() {
            if let Some(next) = (p < pattern.len()).then(|| one(pattern, p, name[n])).flatten() {
                (p, n) = (next, n + 1);
                continue;
            }
        } else if p == pattern.len() {
            return Ok(true);
        }
        match retry {
            Some((star, from)) if from < name.len() && name[from] != b'/' => {
                retry = Some((star, from + 1));
                (p, n) = (star, from + 1);
            }
            _ => return Ok(false),
        }
    }
}

/// The position after the element at `p`, if that matches `byte`.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match pattern[p] {
        b'?' => (byte != b'/').then_some(p + 1),
        b'\\' => (pattern.get(p + 1) == Some(&byte)).then_some(p + 2),
        b'[' => {
            let (found, end) = class(pattern, p, byte)?;
            (found && byte != b'/').then_some(end)
        }
        own => (own == byte).then_some(p + 1),
    }
}

/// Whether the class that begins at `p` has `byte`, and where it ends; `None` if it is malformed.
fn class(pattern: &[u8], p: usize, byte: u8) -> Option<(bool, usize)> {
    let mut at = p + 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    let mut ranges = 0;
    loop {
        if pattern.get(at) == Some(&b']') && ranges > 0 {
            return Some((found != negated, at + 1));
        }
        let (low, next) = member(pattern, at)?;
        let (mut high, mut end) = (low, next);
        if pattern.get(next) == Some(&b'-') {
            (high, end) = member(pattern, next + 1)?;
        }
        found |= (low..=high).contains(&byte);
        (at, ranges) = (end, ranges + 1);
    }
}

fn member(pattern: &[u8], at: usize) -> Option<(u8, usize)> {
    match pattern.get(at)? {
        b'-' | b']' => None,
        b'\\' => pattern.get(at + 1).map(|byte| (*byte, at + 2)),
        byte => Some((*byte, at + 1)),
    }
}

/// Checks that a pattern of [`matches`] is well-formed.
///
/// # Errors
/// What is wrong with it.
pub fn check(pattern: &[u8]) -> Result<(), Reason> {
    let malformed = || format!("{:?} is a malformed pattern", String::from_utf8_lossy(pattern));
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        at = match byte {
            b'\\' if at + 1 == pattern.len() => return Err(malformed()),
            b'\\' => at + 2,
            b'[' => class(pattern, at, 0).ok_or_else(malformed)?.1,
            _ => at + 1,
        };
    }
    Ok(())
}

/// Whether a path has characters that [`matches`] gives a meaning.
pub fn is_pattern(path: &[u8]) -> bool {
    path.iter().any(|byte| b"*?[\\".contains(byte))
}
