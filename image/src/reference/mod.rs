//! Image references: `[domain/]path[:tag][@digest]`, by the grammar of the distribution project's `reference` package
//! (<https://github.com/distribution/reference>), with Docker's normalisation of familiar names. Pure.

mod grammar;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Error, Result};

/// The registry of names that give none.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag of names that give neither tag nor digest, where one is needed.
pub const DEFAULT_TAG: &str = "latest";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
/// The most characters a repository path may have (`RepositoryNameTotalLengthMax`).
const PATH_LIMIT: usize = 255;

/// A normalised reference. Displays in canonical form (`docker.io/library/busybox:latest`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's host and port, such as `docker.io` or `localhost:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository inside the registry, such as `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Canonical `domain/path`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// `domain/path` as people write it: without `docker.io/` and `library/`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            // "library/a/b" isn't official: only a single component was ever given the prefix.
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people write it, such as `busybox:latest`.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// This reference with tag `latest` if it has neither tag nor digest (`TagNameOnly`).
    #[must_use]
    pub fn with_default_tag(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository at `digest`, without a tag: what Docker lists under RepoDigests.
    #[must_use]
    pub fn at_digest(&self, digest: Digest) -> Reference {
        Reference { domain: self.domain.clone(), path: self.path.clone(), tag: None, digest: Some(digest) }
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Parses and normalises as `ParseNormalizedNamed` does: `busybox` means `docker.io/library/busybox`.
    fn from_str(text: &str) -> Result<Reference> {
        parse(text).map_err(|reason| Error::InvalidReference { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("64 hex digits are an image id, not a name");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
        None => (text, None),
    };
    let (name, tag) = split_tag(rest);
    if let Some(tag) = tag
        && !grammar::is_tag(tag)
    {
        return Err("a tag has 1 to 128 letters, digits, '_', '.' or '-', and doesn't begin with '.' or '-'");
    }
    let (domain, path) = split_domain(name);
    if !grammar::is_domain(&domain) {
        return Err("the registry is not a valid host[:port]");
    }
    if path.len() > PATH_LIMIT {
        return Err("a repository name has at most 255 characters");
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("repository name must be lowercase");
    }
    if !grammar::is_path(&path) {
        return Err("a repository name is lower-case letters and digits, separated by '.', '_', '__', '-' or '/'");
    }
    Ok(Reference { domain, path, tag: tag.map(str::to_owned), digest })
}

fn parse_digest(text: &str) -> Result<Digest, &'static str> {
    text.parse().map_err(|_| "the digest is not sha256:<64 lower-case hex digits>, the only kind supported")
}

/// Whether a text is the name of a repository inside a registry.
pub(crate) fn is_repository(text: &str) -> bool {
    text.len() <= PATH_LIMIT && grammar::is_path(text)
}

/// Whether a text is a tag.
pub(crate) fn is_tag(text: &str) -> bool {
    grammar::is_tag(text)
}

/// Cuts `:tag` off; a colon before the last slash belongs to the registry's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// Docker's `splitDockerDomain`: the first component is a registry only if it looks like a host.
fn split_domain(name: &str) -> (String, String) {
    let (domain, rest) = match name.split_once('/') {
        Some((first, rest)) if looks_like_host(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == LEGACY_DEFAULT_DOMAIN { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL_PREFIX}{rest}"));
    }
    (domain.to_owned(), rest.to_owned())
}

fn looks_like_host(component: &str) -> bool {
    component == "localhost" || component.contains(['.', ':']) || component.bytes().any(|b| b.is_ascii_uppercase())
}
