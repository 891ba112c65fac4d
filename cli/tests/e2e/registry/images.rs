//! Images made in the test, as a registry has them.

use std::collections::BTreeMap;
use std::io::Write;

use image::Digest;
use serde_json::{Value, json};

use super::server::{Request, Response};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Blobs, and manifests by tag and digest.
#[derive(Clone, Default)]
pub struct Content {
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub manifests: BTreeMap<String, (String, Vec<u8>)>,
}

/// How a layer is compressed.
#[derive(Clone, Copy)]
pub enum Compression {
    Gzip,
    Zstd,
}

impl Content {
    /// Adds an image of one file a layer; returns its manifest's descriptor.
    pub fn image(&mut self, platform: &str, layers: &[&[u8]], compression: Compression) -> Value {
        let (mut diff_ids, mut descriptors) = (Vec::new(), Vec::new());
        for (index, content) in layers.iter().enumerate() {
            let tar = tar_of(&format!("file{index}"), content);
            diff_ids.push(Digest::of(&tar).to_string());
            let (ending, bytes) = match compression {
                Compression::Gzip => ("gzip", gzip(&tar)),
                Compression::Zstd => ("zstd", zstd::encode_all(&tar[..], 1).unwrap()),
            };
            let media_type = format!("application/vnd.oci.image.layer.v1.tar+{ending}");
            descriptors.push(self.blob(&media_type, bytes));
        }
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = json!({"os": os, "architecture": architecture, "config": {"Labels": {"platform": platform}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors});
        let mut descriptor = self.manifest(MANIFEST, &manifest);
        descriptor["platform"] = json!({"os": os, "architecture": architecture});
        descriptor
    }

    /// Adds a manifest or index under its digest.
    pub fn manifest(&mut self, media_type: &str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = Digest::of(&bytes).to_string();
        self.manifests.insert(digest.clone(), (media_type.to_owned(), bytes.clone()));
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Names a manifest.
    pub fn tag(&mut self, tag: &str, descriptor: &Value) {
        let manifest = self.manifests[descriptor["digest"].as_str().unwrap()].clone();
        self.manifests.insert(tag.to_owned(), manifest);
    }

    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes).to_string();
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.blobs.insert(digest, bytes);
        descriptor
    }

    /// The digests of an image's layers.
    pub fn layers(&self, descriptor: &Value) -> Vec<String> {
        let (_, manifest) = &self.manifests[descriptor["digest"].as_str().unwrap()];
        let manifest: Value = serde_json::from_slice(manifest).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    }

    /// As a well-behaved registry answers.
    pub fn answer(&self, request: &Request) -> Response {
        let name = request.path.rsplit('/').next().unwrap();
        if request.path == "/v2/" {
            return Response::new(200, "{}");
        }
        let unknown = || Response::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#);
        if request.path.contains("/manifests/") {
            let found = self.manifests.get(name);
            return found
                .map_or_else(unknown, |(kind, bytes)| Response::new(200, bytes.clone()).with("Content-Type", kind));
        }
        let Some(blob) = self.blobs.get(name) else { return unknown() };
        match request.range() {
            None => Response::new(200, blob.clone()),
            Some(first) => Response::new(206, &blob[first..])
                .with("Content-Range", format!("bytes {first}-{}/{}", blob.len() - 1, blob.len())),
        }
    }
}

/// Bytes that hardly compress, always the same.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
