//! `image load`: OCI layouts and `docker save` archives, old and new.
//!
//! Every file of the archive is staged (hashed, fsynced, not yet named) while it streams by, because the documents that
//! say what the files are may come last. Only what complete, verified images need is published; the rest is dropped.

mod docker;
mod oci;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::sync::PoisonError;

use super::Store;
use crate::archive::{Decoder, Kind, Limited, TarReader};
use crate::content::{Ingested, ingest, verify};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{DOCUMENT_LIMIT, Descriptor, ImageConfig, Manifest, Platform};
use crate::reference::Reference;

/// The most files of an image archive: layers and documents of a few hundred images.
const FILE_LIMIT: u64 = 20_000;
/// The most symlinks followed from one name of an archive to a file.
const LINK_LIMIT: usize = 8;

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub id: Digest,
    /// Familiar `name:tag`; empty if the archive names none.
    pub names: Vec<String>,
}

/// An image found whole in an archive.
struct Candidate {
    id: Digest,
    manifest: Descriptor,
    /// The manifest's bytes; written anew for `docker save` archives, which have none.
    manifest_bytes: Vec<u8>,
    blobs: Vec<Digest>,
    /// Uncompressed bytes of its layers, bottom first.
    sizes: Vec<u64>,
    names: Vec<Reference>,
}

impl Store {
    /// Loads all images for `platform` from an archive (plain, gzip or zstd tar) and returns them with their names. `now`
    /// is in seconds since the epoch.
    ///
    /// # Errors
    /// [`Error::NoPlatform`] naming the platforms there are, mismatched digests, truncated or malformed archives; no image
    /// is added then, not even one of several.
    pub fn load(&self, source: impl Read, platform: &Platform, now: i64) -> Result<Vec<Loaded>> {
        let files = self.stage(source)?;
        let candidates = if files.has("oci-layout") && files.has("index.json") {
            oci::images(&files, platform)?
        } else if files.has("manifest.json") {
            docker::images(&files, platform)?
        } else {
            return Err(Error::archive(
                "it has neither oci-layout with index.json nor manifest.json: it is no image archive",
            ));
        };
        if candidates.is_empty() {
            return Err(Error::archive("it has no images"));
        }
        self.add_candidates(files, candidates, now)
    }

    fn stage(&self, source: impl Read) -> Result<Files> {
        let decoder = Decoder::detect(source).map_err(|error| Error::io("read", "the archive", error))?;
        let limits = crate::archive::Limits { entries: self.limits.entries.min(FILE_LIMIT), ..self.limits };
        let mut tar = TarReader::new(Limited::new(decoder, self.limits.bytes, "bytes"), limits);
        let mut files = Files::default();
        while let Some(entry) = tar.next_entry()? {
            let Some(name) = normal_name(b"", &entry.path) else {
                return Err(Error::entry(&entry.path, "its name leads out of the archive"));
            };
            match entry.kind {
                Kind::Directory => {}
                Kind::File(_) => files.add(name, ingest(&self.content, &mut tar, self.limits.bytes)?),
                Kind::Symlink(target) => files.link(name, &entry.path, &target, true)?,
                Kind::HardLink(target) => files.link(name, &entry.path, &target, false)?,
                _ => return Err(Error::entry(&entry.path, "image archives have only files, directories and links")),
            }
        }
        Ok(files)
    }

    fn add_candidates(&self, mut files: Files, candidates: Vec<Candidate>, now: i64) -> Result<Vec<Loaded>> {
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        for digest in candidates.iter().flat_map(|candidate| &candidate.blobs) {
            if let Some(staged) = files.blobs.remove(digest) {
                self.publish(staged.blob)?;
            }
        }
        for candidate in &candidates {
            self.content.put(&candidate.manifest_bytes)?;
        }
        self.change(|catalog| {
            for candidate in &candidates {
                catalog.add(candidate.id, candidate.manifest.clone(), candidate.sizes.clone(), now);
                catalog.touch(&candidate.id, now);
                candidate.names.iter().try_for_each(|name| catalog.tag(name, &candidate.id))?;
            }
            Ok(())
        })?;
        let names =
            |names: Vec<Reference>| names.iter().map(|name| name.clone().with_default_tag().familiar()).collect();
        Ok(candidates.into_iter().map(|candidate| Loaded { id: candidate.id, names: names(candidate.names) }).collect())
    }
}

/// The archive's files by name and by digest.
#[derive(Default)]
struct Files {
    names: HashMap<String, Digest>,
    links: HashMap<String, String>,
    blobs: BTreeMap<Digest, Ingested>,
}

impl Files {
    fn add(&mut self, name: String, file: Ingested) {
        self.names.insert(name, file.blob.digest);
        self.blobs.insert(file.blob.digest, file);
    }

    fn link(&mut self, name: String, path: &[u8], target: &[u8], relative: bool) -> Result<()> {
        let dir = match path.iter().rposition(|&b| b == b'/') {
            Some(end) if relative => &path[..end],
            _ => &b""[..],
        };
        let target =
            normal_name(dir, target).ok_or_else(|| Error::entry(path, "its target leads out of the archive"))?;
        self.links.insert(name, target);
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The file `name`, through links.
    fn find(&self, name: &str) -> Option<&Ingested> {
        let mut name = normal_name(b"", name.as_bytes())?;
        for _ in 0..LINK_LIMIT {
            if let Some(digest) = self.names.get(&name) {
                return self.blobs.get(digest);
            }
            name = self.links.get(&name)?.clone();
        }
        None
    }

    /// The content of the document `name`.
    fn document(&self, name: &str) -> Result<Vec<u8>> {
        let file = self.find(name).ok_or_else(|| Error::archive(format!("it has no {name}")))?;
        file.blob.read(DOCUMENT_LIMIT)
    }

    /// The blob that `descriptor` names: the file at its place in the layout, verified.
    fn blob(&self, descriptor: &Descriptor) -> Result<&Ingested> {
        let name = format!("blobs/sha256/{}", descriptor.digest.hex());
        let file = self.find(&name).ok_or_else(|| Error::archive(format!("it has no blob {}", descriptor.digest)))?;
        verify(
            &format!("blob {}", descriptor.digest),
            &descriptor.digest,
            descriptor.size,
            &file.blob.digest,
            file.blob.size,
        )?;
        Ok(file)
    }

    /// Checks config and layers of `manifest` against each other and makes a candidate of them.
    fn candidate(
        &self,
        manifest_bytes: Vec<u8>,
        manifest: &Manifest,
        config: &ImageConfig,
        names: Vec<Reference>,
    ) -> Result<Candidate> {
        let what = || names.first().map_or_else(|| "an image".to_owned(), Reference::familiar);
        let diff_ids = &config.rootfs.diff_ids;
        manifest.check_config(&what(), config)?;
        let mut sizes = Vec::with_capacity(diff_ids.len());
        for (layer, expected) in manifest.layers.iter().zip(diff_ids) {
            let file = self.blobs.get(&layer.digest).ok_or(Error::NoSuchBlob(layer.digest))?;
            let (actual, bytes) =
                file.diff.as_ref().map_err(|reason| Error::document(format!("layer {}", layer.digest), reason))?;
            verify(&format!("layer {} uncompressed", layer.digest), expected, *bytes, actual, *bytes)?;
            sizes.push(*bytes);
        }
        let digest = Digest::of(&manifest_bytes);
        let layers = manifest.layers.iter().map(|layer| layer.digest);
        Ok(Candidate {
            id: manifest.config.digest,
            manifest: Descriptor::new(crate::manifest::MEDIA_MANIFEST, digest, manifest_bytes.len() as u64),
            blobs: layers.chain([manifest.config.digest]).collect::<HashSet<_>>().into_iter().collect(),
            manifest_bytes,
            sizes,
            names,
        })
    }
}

/// `path` seen from `dir`, without `.`, `..` and empty components; `None` if it leads out or isn't UTF-8.
fn normal_name(dir: &[u8], path: &[u8]) -> Option<String> {
    let from = if path.starts_with(b"/") { &b""[..] } else { dir };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in from.split(|&b| b == b'/').chain(path.split(|&b| b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    String::from_utf8(parts.join(&b'/')).ok()
}
