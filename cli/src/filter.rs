//! `--filter`: what listings leave out. Pure.

use std::collections::BTreeMap;

use regex::Regex;

use crate::error::{Error, Result};

/// Largest pattern that is compiled, in bytes of its program.
const PATTERN_MAX: usize = 1 << 20;

/// The conditions of a command line: of several values of one key any may hold, and every key must.
#[derive(Debug, Default)]
pub struct Filters {
    given: BTreeMap<String, Vec<(String, Regex)>>,
}

impl Filters {
    /// Reads `KEY=VALUE`s; other keys than these are refused.
    pub fn parse(pairs: &[String], keys: &[&str]) -> Result<Self> {
        let mut filters = Self::default();
        for pair in pairs {
            let refuse = |reason: String| Error::Flag { flag: "--filter", value: pair.clone(), reason };
            let (key, value) = pair.split_once('=').ok_or_else(|| refuse("expected KEY=VALUE".into()))?;
            let key = key.trim().to_ascii_lowercase();
            if !keys.contains(&key.as_str()) {
                return Err(refuse(format!("invalid filter '{key}': there are {}", keys.join(", "))));
            }
            filters.add(&key, value.trim()).map_err(refuse)?;
        }
        Ok(filters)
    }

    /// A condition more.
    pub fn add(&mut self, key: &str, value: &str) -> Result<(), String> {
        let pattern = |text: &str| regex::RegexBuilder::new(text).size_limit(PATTERN_MAX).build();
        // What is no pattern is looked for as it stands.
        let regex = pattern(value).or_else(|_| pattern(&regex::escape(value))).map_err(|error| error.to_string())?;
        self.given.entry(key.to_owned()).or_default().push((value.to_owned(), regex));
        Ok(())
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Whether there is a condition of this key.
    pub fn has(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// The values of a key.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.given.get(key).into_iter().flatten().map(|(value, _)| value.as_str())
    }

    /// Whether any value of the key fits, or there is none.
    pub fn any(&self, key: &str, mut fits: impl FnMut(&str) -> bool) -> bool {
        !self.has(key) || self.values(key).any(&mut fits)
    }

    /// Whether the text has what any value of the key looks for.
    pub fn matches(&self, key: &str, text: &str) -> bool {
        let patterns = self.given.get(key).into_iter().flatten();
        !self.has(key) || patterns.into_iter().any(|(value, regex)| value == text || regex.is_match(text))
    }

    /// Whether every `KEY` or `KEY=VALUE` of the filter `label` is there.
    pub fn fits_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.values("label").all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        })
    }

    /// The switch of a key: true or false.
    pub fn switch(&self, key: &'static str) -> Result<Option<bool>> {
        let read = |value: &str| match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(Error::Flag {
                flag: "--filter",
                value: format!("{key}={value}"),
                reason: "expected true or false".into(),
            }),
        };
        self.values(key).last().map(read).transpose()
    }

    /// Refuses values of a key that there are not.
    pub fn only(&self, key: &str, known: &[&str]) -> Result<()> {
        match self.values(key).find(|value| !known.contains(value)) {
            None => Ok(()),
            Some(value) => Err(Error::Flag {
                flag: "--filter",
                value: format!("{key}={value}"),
                reason: format!("invalid filter '{key}={value}': there are {}", known.join(", ")),
            }),
        }
    }
}

/// Whether a name fits a pattern of shells, whose `*` and `?` stop at slashes (Go's `path.Match`).
pub fn glob(pattern: &str, name: &str) -> bool {
    let mut text = String::from("^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => text.push_str("[^/]*"),
            '?' => text.push_str("[^/]"),
            '[' => {
                let class: String = chars.by_ref().take_while(|c| *c != ']').collect();
                text.push('[');
                text.push_str(&class.replace('[', r"\["));
                text.push(']');
            }
            '\\' => text.push_str(&chars.next().map(|c| regex::escape(&c.to_string())).unwrap_or_default()),
            c => text.push_str(&regex::escape(&c.to_string())),
        }
    }
    text.push('$');
    regex::RegexBuilder::new(&text).size_limit(PATTERN_MAX).build().is_ok_and(|regex| regex.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pairs: &[&str]) -> Filters {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        Filters::parse(&pairs, &["name", "label", "dangling"]).unwrap()
    }

    #[test]
    fn values_are_alternatives_and_keys_are_not() {
        let filters = filters(&["name=^web", "name=db$", "label=a", "label=b=2"]);
        assert!(filters.matches("name", "web-1") && filters.matches("name", "my-db") && !filters.matches("name", "x"));
        assert!(filters.matches("id", "anything"), "no filter of this key");
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert!(filters.fits_labels(&labels(&[("a", ""), ("b", "2")])));
        assert!(!filters.fits_labels(&labels(&[("a", ""), ("b", "3")])));
    }

    #[test]
    fn what_cannot_be_a_condition_is_refused() {
        for bad in ["name", "colour=red"] {
            assert!(Filters::parse(&[bad.to_owned()], &["name"]).is_err(), "{bad}");
        }
        assert!(filters(&["dangling=perhaps"]).switch("dangling").is_err());
        assert_eq!(filters(&["dangling=1"]).switch("dangling").unwrap(), Some(true));
        assert!(filters(&["name=["]).matches("name", "a[b"), "no pattern: as it stands");
    }

    #[test]
    fn globs_stop_at_slashes() {
        assert!(glob("busy*", "busybox") && glob("b?sybox:[0-9]*", "busybox:1.36") && glob("*/*", "a/b"));
        assert!(!glob("*", "a/b") && !glob("busy", "busybox") && !glob("[", "["));
    }
}
