//! `docker save` archives: `manifest.json` names a config and layer tars; there is no manifest, so one is written.

use serde::Deserialize;

use super::{Candidate, Files};
use crate::content::Ingested;
use crate::error::{Error, Result};
use crate::manifest::{DOCUMENT_LIMIT, Descriptor, ImageConfig, MEDIA_CONFIG, Manifest, Platform, parse_json, to_json};
use crate::reference::Reference;

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SavedImage {
    config: String,
    pub(super) repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Reads `manifest.json`.
pub(super) fn saved_images(files: &Files) -> Result<Vec<SavedImage>> {
    parse_json("manifest.json", &files.document("manifest.json")?)
}

impl SavedImage {
    /// The image's id, if its config is in the archive.
    pub(super) fn id(&self, files: &Files) -> Option<crate::digest::Digest> {
        files.find(&self.config).map(|file| file.blob.digest)
    }

    /// Its names, as references.
    pub(super) fn names(&self) -> Result<Vec<Reference>> {
        self.repo_tags.iter().flatten().map(|name| name.parse()).collect()
    }
}

pub(super) fn images(files: &Files, platform: &Platform) -> Result<Vec<Candidate>> {
    saved_images(files)?.iter().map(|saved| image(files, saved, platform)).collect()
}

fn image(files: &Files, saved: &SavedImage, platform: &Platform) -> Result<Candidate> {
    let file = |name: &str| -> Result<&Ingested> {
        files.find(name).ok_or_else(|| Error::archive(format!("manifest.json names {name}, which it doesn't have")))
    };
    let config_file = file(&saved.config)?;
    // The config's file is named after its digest: a name that is one must hold.
    let stem = saved.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
    if let Ok(expected) = crate::digest::Digest::from_hex(stem) {
        crate::content::verify(
            &saved.config,
            &expected,
            config_file.blob.size,
            &config_file.blob.digest,
            config_file.blob.size,
        )?;
    }
    let config = ImageConfig::parse(&saved.config, &config_file.blob.read(DOCUMENT_LIMIT)?)?;
    let names = saved.names()?;
    if !platform.runs(&config.platform()) {
        let image = names.first().map_or_else(|| saved.config.clone(), Reference::familiar);
        return Err(Error::NoPlatform {
            image,
            wanted: platform.to_string(),
            available: vec![config.platform().to_string()],
        });
    }
    let layers: Result<Vec<Descriptor>> = saved.layers.iter().map(|name| Ok(file(name)?.layer_descriptor())).collect();
    let manifest =
        Manifest::new(Descriptor::new(MEDIA_CONFIG, config_file.blob.digest, config_file.blob.size), layers?);
    let bytes = to_json("image manifest", &manifest)?;
    // Read back, so that the bounds on manifests hold for this one too.
    let manifest = Manifest::parse("manifest.json", &bytes)?;
    files.candidate(bytes, &manifest, &config, names)
}
