//! `save`: an archive that is an OCI layout and a `docker save` archive at once, as Docker has written since version 25.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde_json::{Value, json};
use tar::EntryType;

use super::{Image, Store};
use crate::archive::header;
use crate::catalog::familiar;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{Descriptor, MEDIA_INDEX, Platform, to_json};
use crate::reference::Reference;

/// An image to be saved, with the tags that it is saved under.
struct Saved {
    image: Image,
    manifest: Descriptor,
    tags: BTreeSet<String>,
}

impl Store {
    /// Writes the images that `texts` mean. A repository without a tag means all its tags, as in Docker; an id saves the
    /// image without names.
    ///
    /// # Errors
    /// As [`Store::get`], before anything is written; [`Error::NoPlatform`] for an image of another platform than the one
    /// asked for; [`Error::Io`].
    pub fn save(&self, texts: &[String], platform: Option<&Platform>, writer: impl Write) -> Result<()> {
        let chosen = self.choose(texts)?;
        let blobs = chosen.values().flat_map(|saved| {
            let Saved { image, manifest, .. } = saved;
            let layers = image.manifest.layers.iter().map(|layer| (layer.digest, layer.size));
            layers.chain([(manifest.digest, manifest.size), (image.manifest.config.digest, image.manifest.config.size)])
        });
        let blobs: BTreeMap<Digest, u64> = blobs.collect();
        // What is written stays, whatever is removed meanwhile.
        let _lease = self.lease(blobs.keys().copied());
        if let Some(wanted) = platform {
            let name =
                |saved: &Saved| saved.tags.first().map_or_else(|| saved.image.id.to_string(), |tag| familiar(tag));
            chosen.values().try_for_each(|saved| check_platform(&saved.image, &name(saved), wanted))?;
        }
        let mut tar = tar::Builder::new(writer);
        self.write(&mut tar, &chosen, &blobs).map_err(|error| Error::io("write", "the archive", error))
    }

    /// Refuses a `--platform` that the image which `text` means isn't of.
    ///
    /// # Errors
    /// As [`Store::get`]; [`Error::NoPlatform`].
    pub fn check_platform(&self, text: &str, wanted: &Platform) -> Result<()> {
        check_platform(&self.get(text)?, text, wanted)
    }

    fn choose(&self, texts: &[String]) -> Result<BTreeMap<Digest, Saved>> {
        let mut chosen: BTreeMap<Digest, Saved> = BTreeMap::new();
        for text in texts {
            for (id, tag) in self.meant(text)? {
                let (_, record) = self.find(&id.to_string())?;
                let image = self.read_image(id, &record)?;
                let saved = chosen.entry(id).or_insert_with(|| Saved {
                    image,
                    manifest: record.manifest,
                    tags: BTreeSet::new(),
                });
                saved.tags.extend(tag);
            }
        }
        Ok(chosen)
    }

    /// The images of `text`, with the tag of each.
    fn meant(&self, text: &str) -> Result<Vec<(Digest, Option<String>)>> {
        let catalog = self.locked();
        if let Ok(name) = text.parse::<Reference>() {
            if name.tag().is_none() && name.digest().is_none() {
                let tags = catalog.tags_of(&name.name());
                if !tags.is_empty() {
                    return Ok(tags.into_iter().map(|(tag, id)| (id, Some(tag))).collect());
                }
            } else if let Some(id) = catalog.by_name(text) {
                let tag = name.tag().filter(|_| name.digest().is_none()).map(|_| name.to_string());
                return Ok(vec![(id, tag)]);
            }
        }
        Ok(vec![(catalog.resolve(text)?, None)])
    }

    fn write(
        &self,
        tar: &mut tar::Builder<impl Write>,
        chosen: &BTreeMap<Digest, Saved>,
        blobs: &BTreeMap<Digest, u64>,
    ) -> io::Result<()> {
        for dir in ["blobs/", "blobs/sha256/"] {
            tar.append_data(&mut header(EntryType::Directory, 0o755, 0), dir, io::empty())?;
        }
        for (digest, size) in blobs {
            let mut content = self.content.open_verified(digest, *size)?;
            tar.append_data(&mut header(EntryType::Regular, 0o644, *size), path(digest), &mut content)?;
            // The archive stops at the size; the verification is behind it.
            io::copy(&mut content, &mut io::sink())?;
        }
        let index = json!({"schemaVersion": 2, "mediaType": MEDIA_INDEX,
            "manifests": chosen.values().flat_map(Saved::index_entries).collect::<Vec<_>>()});
        let docker: Vec<Value> = chosen.values().map(Saved::docker_entry).collect();
        for (name, document) in [
            ("index.json", index),
            ("manifest.json", Value::Array(docker)),
            ("oci-layout", json!({"imageLayoutVersion": "1.0.0"})),
        ] {
            let bytes = to_json(name, &document)?;
            tar.append_data(&mut header(EntryType::Regular, 0o644, bytes.len() as u64), name, &bytes[..])?;
        }
        tar.finish()?;
        tar.get_mut().flush()
    }
}

impl Saved {
    /// One entry a tag, each with the names that containerd and OCI tools look for.
    fn index_entries(&self) -> Vec<Value> {
        let entry = |annotations: Option<Value>| {
            let mut entry = json!({"mediaType": self.manifest.media_type, "digest": self.manifest.digest,
                "size": self.manifest.size, "platform": self.image.config.platform()});
            if let (Some(annotations), Some(map)) = (annotations, entry.as_object_mut()) {
                map.insert("annotations".to_owned(), annotations);
            }
            entry
        };
        if self.tags.is_empty() {
            return vec![entry(None)];
        }
        let named = |tag: &String| {
            let short = tag.rsplit(':').next().unwrap_or_default();
            entry(Some(json!({"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": short})))
        };
        self.tags.iter().map(named).collect()
    }

    fn docker_entry(&self) -> Value {
        let tags: Vec<String> = self.tags.iter().map(|tag| familiar(tag)).collect();
        let layers: Vec<String> = self.image.manifest.layers.iter().map(|layer| path(&layer.digest)).collect();
        json!({"Config": path(&self.image.id), "RepoTags": if tags.is_empty() { Value::Null } else { json!(tags) },
            "Layers": layers})
    }
}

fn check_platform(image: &Image, name: &str, wanted: &Platform) -> Result<()> {
    let own = image.config.platform();
    if wanted.runs(&own) {
        return Ok(());
    }
    Err(Error::NoPlatform { image: name.to_owned(), wanted: wanted.to_string(), available: vec![own.to_string()] })
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
