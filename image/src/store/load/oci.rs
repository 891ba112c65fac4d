//! OCI image layouts: `index.json`, which may nest indexes, one manifest a platform.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Candidate, Files, docker};
use crate::error::{Error, Result};
use crate::manifest::{DOCUMENT_LIMIT, Descriptor, ImageConfig, Index, Manifest, Platform, parse_json};
use crate::reference::Reference;

/// The version of layouts.
const VERSION: &str = "1.0.0";
/// How deep indexes nest.
const NESTING_LIMIT: usize = 4;
/// The most manifests looked at.
const MANIFEST_LIMIT: usize = 1000;
/// containerd's and Docker's annotation with the full name; OCI's may be a bare tag.
const FULL_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The marker of a layout.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

pub(super) fn images(files: &Files, platform: &Platform) -> Result<Vec<Candidate>> {
    let marker: Marker = parse_json("oci-layout", &files.document("oci-layout")?)?;
    if marker.image_layout_version != VERSION {
        let version = marker.image_layout_version;
        return Err(Error::archive(format!("its layout is of version {version:?}: this release reads {VERSION}")));
    }
    let index = Index::parse("index.json", &files.document("index.json")?)?;
    let mut candidates = Vec::new();
    for (name, descriptors) in grouped(index)? {
        let mut leaves = Vec::new();
        for descriptor in &descriptors {
            flatten(files, descriptor, 0, &mut leaves)?;
        }
        if leaves.is_empty() {
            continue;
        }
        candidates.push(pick(files, name, leaves, platform)?);
    }
    name_from_docker(files, &mut candidates)?;
    Ok(candidates)
}

/// The index's entries by name; those without a name are images each.
fn grouped(index: Index) -> Result<Vec<(Option<Reference>, Vec<Descriptor>)>> {
    let mut named: BTreeMap<Reference, Vec<Descriptor>> = BTreeMap::new();
    let mut groups = Vec::new();
    for descriptor in index.manifests {
        match name(&descriptor)? {
            Some(name) => named.entry(name).or_default().push(descriptor),
            None => groups.push((None, vec![descriptor])),
        }
    }
    groups.extend(named.into_iter().map(|(name, descriptors)| (Some(name), descriptors)));
    Ok(groups)
}

fn name(descriptor: &Descriptor) -> Result<Option<Reference>> {
    if let Some(full) = descriptor.annotation(FULL_NAME) {
        return full.parse().map(Some);
    }
    match descriptor.annotation(REF_NAME) {
        Some(text) if text.contains(['/', ':']) => text.parse().map(Some),
        _ => Ok(None),
    }
}

/// The manifests below `descriptor`, without attestations; those of nested indexes that the archive lacks keep their
/// descriptor, so that their platforms can be named.
fn flatten(files: &Files, descriptor: &Descriptor, depth: usize, leaves: &mut Vec<Descriptor>) -> Result<()> {
    if leaves.len() >= MANIFEST_LIMIT || depth > NESTING_LIMIT {
        return Err(Error::archive("its indexes nest too deep or have too many manifests"));
    }
    if descriptor.is_attestation() {
        return Ok(());
    }
    if descriptor.is_manifest() {
        leaves.push(descriptor.clone());
        return Ok(());
    }
    // The specification: what an implementation does not know is no error.
    if !descriptor.is_index() {
        return Ok(());
    }
    let bytes = files.blob(descriptor)?.blob.read(DOCUMENT_LIMIT)?;
    let index = Index::parse(&format!("index {}", descriptor.digest), &bytes)?;
    index.manifests.iter().try_for_each(|nested| flatten(files, nested, depth + 1, leaves))
}

/// The first image that runs on `platform`. A manifest's platform is its descriptor's, else its config's.
fn pick(files: &Files, name: Option<Reference>, leaves: Vec<Descriptor>, platform: &Platform) -> Result<Candidate> {
    let mut available = Vec::new();
    for leaf in leaves {
        if let Some(declared) = leaf.platform.as_ref().filter(|declared| !platform.runs(declared)) {
            available.push(declared.to_string());
            continue;
        }
        let bytes = files.blob(&leaf)?.blob.read(DOCUMENT_LIMIT)?;
        let manifest = Manifest::parse(&format!("manifest {}", leaf.digest), &bytes)?;
        if !manifest.is_image() {
            return Err(Error::archive(format!(
                "manifest {} is no image: its config is {:?}",
                leaf.digest, manifest.config.media_type
            )));
        }
        let config = files.blob(&manifest.config)?.blob.read(DOCUMENT_LIMIT)?;
        let config = ImageConfig::parse(&format!("config {}", manifest.config.digest), &config)?;
        if !platform.runs(&config.platform()) {
            available.push(config.platform().to_string());
            continue;
        }
        for layer in &manifest.layers {
            files.blob(layer)?;
        }
        return files.candidate(bytes, &manifest, &config, name.into_iter().collect());
    }
    available.sort();
    available.dedup();
    let image = name.map_or_else(|| "the archive".to_owned(), |name| name.familiar());
    Err(Error::NoPlatform { image, wanted: platform.to_string(), available })
}

/// `docker save` writes both forms; where the layout has no names, `manifest.json` has.
fn name_from_docker(files: &Files, candidates: &mut [Candidate]) -> Result<()> {
    if !files.has("manifest.json") || candidates.iter().all(|candidate| !candidate.names.is_empty()) {
        return Ok(());
    }
    for saved in docker::saved_images(files)? {
        let id = saved.id(files);
        for candidate in candidates.iter_mut().filter(|candidate| Some(candidate.id) == id) {
            candidate.names.extend(saved.names()?);
            candidate.names.sort();
            candidate.names.dedup();
        }
    }
    Ok(())
}
