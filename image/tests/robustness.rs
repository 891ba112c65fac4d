//! Whatever a registry or an archive sends as a manifest, index, config or name is read or refused by name, in bounded time.
#![allow(clippy::unwrap_used)]

use image::manifest::{ImageConfig, Index, Manifest, Platform};
use image::{Digest, Reference};
use proptest::prelude::*;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":
    "application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2},"layers":[
    {"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "size":9,"annotations":{"a":"b"}}]}"#;
const INDEX: &str = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":7,"platform":{"os":"linux","architecture":"arm64","variant":"v8",
    "os.version":"1"}}]}"#;
const CONFIG: &str = r#"{"created":"2024-01-02T03:04:05Z","architecture":"amd64","os":"linux","config":{"User":"1:2","Env":["A=b"],"Cmd":["sh"],
    "Volumes":{"/data":{}},"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD","x"],"Interval":5}},"rootfs":{"type":"layers","diff_ids":[
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created_by":"x","empty_layer":true}]}"#;

/// A change of a document: bytes replaced, removed, doubled or put in.
#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, u8),
    Remove(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let words = prop::sample::select(vec![
        "null",
        "-1",
        "18446744073709551616",
        "1e999",
        "[]",
        "{}",
        "\"\"",
        "\\u0000",
        "\\ud800",
        "[[[[[[[[",
        "{\"a\":",
        "true",
        "\u{feff}",
    ]);
    let mutation = prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<usize>(), 1usize..40).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (any::<usize>(), 1usize..60).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        (any::<usize>(), words).prop_map(|(at, word)| Mutation::Insert(at, word.as_bytes().to_vec())),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
    ];
    prop::collection::vec(mutation, 1..6)
}

fn mutated(text: &str, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for mutation in mutations {
        let length = bytes.len().max(1);
        match mutation {
            Mutation::Set(at, byte) => {
                if let Some(place) = bytes.get_mut(at % length) {
                    *place = *byte;
                }
            }
            Mutation::Remove(at, count) => {
                let at = (at % length).min(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Mutation::Repeat(at, count) => {
                let at = (at % length).min(bytes.len());
                let part = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            Mutation::Insert(at, new) => {
                let at = (at % length).min(bytes.len());
                bytes.splice(at..at, new.iter().copied());
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn documents(mutations in mutations()) {
        if let Ok(manifest) = Manifest::parse("m", &mutated(MANIFEST, &mutations)) {
            prop_assert!(manifest.layers.len() <= image::manifest::LAYER_LIMIT);
            // What was read is written so that it is read the same.
            let again = serde_json::to_vec(&manifest).unwrap();
            prop_assert_eq!(Manifest::parse("m", &again).unwrap(), manifest);
        }
        if let Ok(index) = Index::parse("i", &mutated(INDEX, &mutations)) {
            for descriptor in &index.manifests {
                let _ = descriptor.platform.as_ref().map(|platform| Platform::host().runs(platform));
            }
        }
        if let Ok(config) = ImageConfig::parse("c", &mutated(CONFIG, &mutations)) {
            let again = serde_json::to_vec(&config).unwrap();
            prop_assert_eq!(ImageConfig::parse("c", &again).unwrap(), config);
        }
    }

    #[test]
    fn names(mutations in mutations(), text in "[a-z0-9.:/@_\\[\\]A-Z-]{0,40}") {
        let seed = "r.example:5000/a-b/c__d:tag@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let bytes = mutated(seed, &mutations);
        for candidate in [String::from_utf8_lossy(&bytes).into_owned(), text] {
            if let Ok(name) = candidate.parse::<Reference>() {
                prop_assert_eq!(&name.to_string().parse::<Reference>().unwrap(), &name);
                prop_assert_eq!(&name.familiar().parse::<Reference>().unwrap(), &name);
            }
            let _ = candidate.parse::<Platform>();
            if let Ok(digest) = candidate.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), candidate);
            }
        }
    }
}

#[test]
fn what_nests_too_deep_is_refused() {
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000), format!("{{\"config\":{}", "[".repeat(100_000))] {
        assert!(Manifest::parse("m", deep.as_bytes()).is_err());
        assert!(ImageConfig::parse("c", deep.as_bytes()).is_err());
    }
}
