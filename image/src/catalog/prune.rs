//! `image prune`: which images nobody needs.

use std::collections::BTreeMap;

use super::{Catalog, Record, Removal, Users, familiar};
use crate::digest::Digest;
use crate::error::{Error, Result};

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Only images made before this time, in seconds since the epoch.
    Until(i64),
    /// Only images with this label, and with this value if there is one.
    Label(String, Option<String>),
    /// Only images without it.
    NotLabel(String, Option<String>),
}

/// What `image prune` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneRules {
    /// Also images with names that no container uses.
    pub all: bool,
    /// All must hold.
    pub filters: Vec<Filter>,
}

impl Filter {
    /// Reads `label=KEY[=VALUE]`, `label!=KEY[=VALUE]`; `until` gives the time that its value means.
    ///
    /// # Errors
    /// [`Error::InvalidFilter`].
    pub fn parse(text: &str, until: impl Fn(&str) -> Option<i64>) -> Result<Filter> {
        let invalid = |reason| Error::InvalidFilter { text: text.to_owned(), reason };
        let (key, value) = text.split_once('=').ok_or_else(|| invalid("expected KEY=VALUE"))?;
        let label = || match value.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (value.to_owned(), None),
        };
        match key {
            "until" => until(value).map(Filter::Until).ok_or_else(|| {
                invalid("until is a duration such as 24h, a time such as 2006-01-02T15:04:05Z, or seconds since 1970")
            }),
            "label" => Ok(Filter::Label(label().0, label().1)),
            "label!" => Ok(Filter::NotLabel(label().0, label().1)),
            _ => Err(invalid("image prune knows the filters until, label and label!")),
        }
    }

    /// Whether an image that was made at `created` and has these labels passes.
    pub fn passes(&self, created: i64, labels: &BTreeMap<String, String>) -> bool {
        let has = |key: &String, value: &Option<String>| {
            labels.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| found == value))
        };
        match self {
            Filter::Until(time) => created < *time,
            Filter::Label(key, value) => has(key, value),
            Filter::NotLabel(key, value) => !has(key, value),
        }
    }
}

impl Catalog {
    /// Removes the images without a tag, and with `all` those with names, unless a container uses them or `passes` says no.
    pub fn prune(&mut self, users: &Users, all: bool, passes: impl Fn(&Digest) -> bool) -> Vec<Removal> {
        let free =
            |id: &Digest, record: &Record| !users.contains_key(id) && (all || record.tags.is_empty()) && passes(id);
        let ids: Vec<Digest> = self.images.iter().filter(|(id, record)| free(id, record)).map(|(id, _)| *id).collect();
        let mut removals = Vec::new();
        for id in ids {
            let Some(record) = self.images.remove(&id) else { continue };
            let names = record.tags.iter().chain(&record.digests);
            removals.extend(names.map(|name| Removal::Untagged(familiar(name))));
            removals.push(Removal::Deleted(id));
        }
        removals
    }
}
