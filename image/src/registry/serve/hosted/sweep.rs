//! Collection: blobs that no manifest of any repository names go, an hour after they came.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use super::Registry;
use super::manifests::Document;
use super::repository::{Kind, Repository, all};
use crate::digest::Digest;
use crate::error::Result;
use crate::manifest::DOCUMENT_LIMIT;

/// How long a blob may wait for the manifest that names it.
pub const GRACE: Duration = Duration::from_secs(3600);

impl Registry {
    /// Removes what nothing names; `grace` is how long what has just come is left alone. Returns how many blobs went.
    ///
    /// # Errors
    /// [`crate::Error::Io`], and what is wrong with a manifest: nothing that it may name goes then.
    pub fn collect(&self, grace: Duration, now: SystemTime) -> Result<usize> {
        self.uploads.forget_old();
        let _alone = self.sweeping.write().unwrap_or_else(PoisonError::into_inner);
        let mut held = BTreeSet::new();
        for name in all(&self.repositories)? {
            self.collect_in(&self.repository(&name), grace, now, &mut held)?;
        }
        let mut removed = 0;
        for digest in self.content.list()?.into_iter().filter(|digest| !held.contains(digest)) {
            self.content.remove(&digest)?;
            removed += 1;
        }
        Ok(removed)
    }

    fn collect_in(
        &self,
        repository: &Repository,
        grace: Duration,
        now: SystemTime,
        held: &mut BTreeSet<Digest>,
    ) -> Result<()> {
        let mut named = BTreeSet::new();
        for (digest, _) in repository.links(Kind::Manifests)? {
            named.extend(Document::parse(&self.content.read(&digest, DOCUMENT_LIMIT)?)?.keeps());
            held.insert(digest);
        }
        for (digest, since) in repository.links(Kind::Blobs)? {
            let is_new = now.duration_since(since).is_ok_and(|age| age < grace) || since > now;
            if named.contains(&digest) || is_new {
                held.insert(digest);
            } else {
                repository.unlink(Kind::Blobs, &digest)?;
            }
        }
        Ok(())
    }
}
