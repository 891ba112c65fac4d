//! Docker's rules of `rmi`: when a name goes, when the image goes, and what holds it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalog, Record, familiar};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::reference::Reference;

/// A container that uses an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id, shortened.
    pub container: String,
    /// Whether it runs; one that doesn't may still be started.
    pub running: bool,
}

/// One container of each image that is in use; a running one if there is any.
pub type Users = BTreeMap<Digest, User>;

/// What a removal did, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A name, in familiar form, no longer means the image.
    Untagged(String),
    /// The image is gone from the catalog; its content goes with the next collection.
    Deleted(Digest),
}

impl Catalog {
    /// Removes what `text` means. A name is untagged, and with its last name the image goes; an id removes the image with
    /// its names if they are at most one tag of one repository, or by `force`. An image that a container uses stays, so
    /// that the container can be started again: `force` takes its names only, and not by id while the container runs.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::AmbiguousId`], [`Error::ManyNames`], [`Error::NameInUse`], [`Error::InUse`];
    /// nothing changes then.
    pub fn remove(&mut self, text: &str, users: &Users, force: bool) -> Result<Vec<Removal>> {
        let id = self.resolve(text)?;
        let name = self.by_name(text).and_then(|_| text.parse::<Reference>().ok()).map(Reference::with_default_tag);
        let user = users.get(&id);
        let Some(record) = self.images.get_mut(&id) else { return Err(Error::NoSuchImage(text.to_owned())) };
        let untagged = match name {
            Some(name) => record.drop_name(text, &id, &name, user, force)?,
            None => record.drop_all(&id, user, force)?,
        };
        let is_free = user.is_none() && record.tags.is_empty() && record.digests.is_empty();
        let mut removals: Vec<Removal> = untagged.iter().map(|name| Removal::Untagged(familiar(name))).collect();
        if is_free {
            self.images.remove(&id);
            removals.push(Removal::Deleted(id));
        }
        Ok(removals)
    }
}

impl Record {
    fn drop_name(
        &mut self,
        text: &str,
        id: &Digest,
        name: &Reference,
        user: Option<&User>,
        force: bool,
    ) -> Result<Vec<String>> {
        if let Some(user) = user
            && !force
            && self.has_one_name()
        {
            let (container, id) = (user.container.clone(), id.short());
            return Err(Error::NameInUse { reference: text.to_owned(), container, id });
        }
        let canonical = name.to_string();
        let mut dropped = Vec::new();
        if self.tags.remove(&canonical) || self.digests.remove(&canonical) {
            dropped.push(canonical);
        } else if let Some(digest) = name.digest() {
            // Known by its manifest's digest alone: what names the image in this repository goes.
            let other = name.at_digest(*digest).to_string();
            dropped.extend(self.digests.take(&other));
        }
        let repository = name.name();
        let tagged = self.tags.iter().any(|tag| tag.starts_with(&format!("{repository}:")));
        if !tagged {
            // Digests of a repository that has no tag of the image any more would hold it for nobody.
            let prefix = format!("{repository}@");
            let (gone, kept): (BTreeSet<_>, BTreeSet<_>) =
                std::mem::take(&mut self.digests).into_iter().partition(|digest| digest.starts_with(&prefix));
            self.digests = kept;
            dropped.extend(gone);
        }
        Ok(dropped)
    }

    fn drop_all(&mut self, id: &Digest, user: Option<&User>, force: bool) -> Result<Vec<String>> {
        if !force && !self.has_one_name() {
            let names = self.tags.iter().map(|name| familiar(name)).collect();
            return Err(Error::ManyNames { id: id.short(), names });
        }
        if let Some(user) = user.filter(|user| user.running || !force) {
            let (how, state) =
                if user.running { ("cannot be forced", "running") } else { ("must be forced", "stopped") };
            return Err(Error::InUse { id: id.short(), how, state, container: user.container.clone() });
        }
        Ok(std::mem::take(&mut self.tags).into_iter().chain(std::mem::take(&mut self.digests)).collect())
    }

    /// Whether its names are at most one tag, and all of one repository.
    fn has_one_name(&self) -> bool {
        let repository = |name: &String| name.parse::<Reference>().map_or_else(|_| name.clone(), |name| name.name());
        let repositories: BTreeSet<String> = self.tags.iter().chain(&self.digests).map(repository).collect();
        self.tags.len() <= 1 && repositories.len() <= 1
    }
}
