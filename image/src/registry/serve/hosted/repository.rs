//! One repository on disk: which manifests and blobs it has, what its tags mean, what refers to what. The content is elsewhere.
//!
//! No component of a repository's name begins with `_`, so what does is never another repository.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::content::sync_dir;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::reference::is_repository;

/// What a repository has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Manifests,
    Blobs,
}

impl Kind {
    fn dir(self) -> &'static str {
        match self {
            Kind::Manifests => "_manifests",
            Kind::Blobs => "_blobs",
        }
    }
}

/// A repository.
pub struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// The one of this name below `root`, which there need not be yet.
    pub fn new(root: &Path, name: &str) -> Repository {
        Repository { dir: root.join(name) }
    }

    fn path(&self, kind: Kind, digest: &Digest) -> PathBuf {
        self.dir.join(kind.dir()).join(digest.hex())
    }

    /// Whether it has it.
    pub fn has(&self, kind: Kind, digest: &Digest) -> bool {
        self.path(kind, digest).exists()
    }

    /// Notes that it has it.
    pub fn link(&self, kind: Kind, digest: &Digest) -> Result<()> {
        touch(&self.path(kind, digest))
    }

    /// Forgets that it has it; whether it had.
    pub fn unlink(&self, kind: Kind, digest: &Digest) -> Result<bool> {
        remove(&self.path(kind, digest))
    }

    /// All that it has of a kind, and since when.
    pub fn links(&self, kind: Kind) -> Result<Vec<(Digest, std::time::SystemTime)>> {
        links(&self.dir.join(kind.dir()))
    }

    /// What a tag means.
    pub fn tag(&self, tag: &str) -> Option<Digest> {
        fs::read_to_string(self.dir.join("_tags").join(tag)).ok()?.trim().parse().ok()
    }

    /// Makes a tag mean `digest`, all at once.
    pub fn set_tag(&self, tag: &str, digest: &Digest) -> Result<()> {
        let dir = self.dir.join("_tags");
        let staged = self.dir.join(format!("_tag-{tag}"));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&dir)?;
            let mut file = File::create(&staged)?;
            file.write_all(digest.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&staged, dir.join(tag))
        };
        write().map_err(|error| Error::io("write", dir.join(tag).display(), error))?;
        sync_dir(&dir)
    }

    /// Removes a tag; whether it was there.
    pub fn remove_tag(&self, tag: &str) -> Result<bool> {
        remove(&self.dir.join("_tags").join(tag))
    }

    /// All tags, in order.
    pub fn tags(&self) -> Result<Vec<String>> {
        let mut tags = names(&self.dir.join("_tags"))?;
        tags.sort();
        Ok(tags)
    }

    /// Whether anything was ever pushed to it.
    pub fn exists(&self) -> bool {
        self.dir.join(Kind::Manifests.dir()).is_dir() || self.dir.join(Kind::Blobs.dir()).is_dir()
    }

    fn referrer(&self, subject: &Digest, manifest: &Digest) -> PathBuf {
        self.dir.join("_referrers").join(subject.hex()).join(manifest.hex())
    }

    /// Notes that `manifest` says something about `subject`.
    pub fn refer(&self, subject: &Digest, manifest: &Digest) -> Result<()> {
        touch(&self.referrer(subject, manifest))
    }

    /// Forgets that it does.
    pub fn unrefer(&self, subject: &Digest, manifest: &Digest) -> Result<bool> {
        remove(&self.referrer(subject, manifest))
    }

    /// The manifests that say something about `subject`.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>> {
        let mut found = links(&self.dir.join("_referrers").join(subject.hex()))?;
        found.sort();
        Ok(found.into_iter().map(|(digest, _)| digest).collect())
    }
}

/// The names of all repositories below `root`, in order.
pub fn all(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(parent) = open.pop() {
        for child in names(&root.join(&parent))? {
            let name = if parent.is_empty() { child } else { format!("{parent}/{child}") };
            if !is_repository(&name) {
                continue;
            }
            if Repository::new(root, &name).exists() {
                found.push(name.clone());
            }
            open.push(name);
        }
    }
    found.sort();
    Ok(found)
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let failed = |error| Error::io("read", dir.display(), error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let names = entries.map(|entry| Ok(entry.map_err(failed)?.file_name().into_string().unwrap_or_default()));
    names.collect()
}

fn links(dir: &Path) -> Result<Vec<(Digest, std::time::SystemTime)>> {
    let mut found = Vec::new();
    for name in names(dir)? {
        let Ok(digest) = Digest::from_hex(&name) else { continue };
        // One that goes meanwhile is none any more.
        let Ok(since) = fs::metadata(dir.join(&name)).and_then(|metadata| metadata.modified()) else { continue };
        found.push((digest, since));
    }
    Ok(found)
}

fn touch(path: &Path) -> Result<()> {
    let failed = |error| Error::io("write", path.display(), error);
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).map_err(failed)?;
    File::create(path).map_err(failed)?;
    sync_dir(dir)
}

fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path.display(), error)),
    }
}
