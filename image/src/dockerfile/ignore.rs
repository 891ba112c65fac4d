//! `.dockerignore`: which files of a context are not sent. The rules are those of Docker's `patternmatcher`.

use super::Reason;
use super::glob;

/// The largest file, in bytes.
pub const SIZE_LIMIT: u64 = 1 << 20;

/// The rules of one file, in order: the last that matches a path decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// `!`: what matches is sent after all.
    excepts: bool,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`: any number of directories, none included.
    Deep,
    /// A pattern of one name, in which `**` is as `*`.
    Name(Vec<u8>),
}

impl Ignore {
    /// Reads the file's text.
    ///
    /// # Errors
    /// A pattern that is malformed, with its line.
    pub fn parse(text: &str) -> Result<Ignore, Reason> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let at = |reason: Reason| format!("line {}: {reason}", index + 1);
            rules.extend(Rule::parse(line.trim()).map_err(at)?);
        }
        Ok(Ignore { rules })
    }

    /// The rules of `--exclude`: each excludes, or with `!` brings back.
    ///
    /// # Errors
    /// A pattern that is malformed.
    pub fn of<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Result<Ignore, Reason> {
        let rules: Result<Vec<Option<Rule>>, Reason> = patterns.into_iter().map(|text| Rule::parse(text)).collect();
        Ok(Ignore { rules: rules?.into_iter().flatten().collect() })
    }

    /// Whether no rule ignores anything.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether `path`, relative to the context and without slashes around it, is ignored; so is what is in a directory that
    /// is, unless a later rule excepts it.
    pub fn ignores(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|name| !name.is_empty()).collect();
        self.decide(&names)
    }

    fn decide(&self, names: &[&[u8]]) -> bool {
        let mut ignored = false;
        for rule in &self.rules {
            if rule.excepts == ignored && (1..=names.len()).any(|depth| rule.matches(&names[..depth])) {
                ignored = !rule.excepts;
            }
        }
        ignored
    }

    /// Whether nothing below the ignored directory `path` can be excepted, so that it needs no look.
    pub fn prunes(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|name| !name.is_empty()).collect();
        self.ignores(path) && !self.rules.iter().filter(|rule| rule.excepts).any(|rule| rule.reaches_below(&names))
    }
}

impl Rule {
    /// One line; `None` if it says nothing.
    fn parse(line: &str) -> Result<Option<Rule>, Reason> {
        let (excepts, pattern) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        if line.is_empty() {
            return Ok(None);
        }
        if pattern.is_empty() {
            return Err("illegal exclusion pattern: \"!\"".to_owned());
        }
        let mut parts: Vec<Part> = Vec::new();
        for name in pattern.split('/') {
            match name {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                "**" => {
                    if parts.last() != Some(&Part::Deep) {
                        parts.push(Part::Deep);
                    }
                }
                name => {
                    glob::check(name.as_bytes())?;
                    parts.push(Part::Name(name.as_bytes().to_vec()));
                }
            }
        }
        // `.` and `/` name the context itself, which is always there.
        Ok((!parts.is_empty()).then_some(Rule { excepts, parts }))
    }

    fn matches(&self, names: &[&[u8]]) -> bool {
        parts_match(&self.parts, names)
    }

    /// Whether something below the directory of these names might match.
    fn reaches_below(&self, names: &[&[u8]]) -> bool {
        let mut parts = self.parts.as_slice();
        for name in names {
            match parts.split_first() {
                Some((Part::Deep, _)) => return true,
                Some((Part::Name(pattern), rest)) if glob::matches(pattern, name).unwrap_or(false) => parts = rest,
                _ => return false,
            }
        }
        !parts.is_empty()
    }
}

fn parts_match(parts: &[Part], names: &[&[u8]]) -> bool {
    // Positions in the pattern that the names so far may have led to.
    let mut at = vec![false; parts.len() + 1];
    at[0] = true;
    let skip = |at: &mut Vec<bool>| {
        for index in 0..parts.len() {
            // A `**` at the end needs a name, as in Docker: `a/**` is what is in `a`.
            if at[index] && parts[index] == Part::Deep && index + 1 < parts.len() {
                at[index + 1] = true;
            }
        }
    };
    skip(&mut at);
    for name in names {
        let mut next = vec![false; parts.len() + 1];
        for index in (0..parts.len()).filter(|index| at[*index]) {
            match &parts[index] {
                Part::Deep => {
                    next[index] = true;
                    next[index + 1] |= index + 1 == parts.len();
                }
                Part::Name(pattern) => next[index + 1] |= glob::matches(pattern, name).unwrap_or(false),
            }
        }
        skip(&mut next);
        at = next;
    }
    at[parts.len()]
}
