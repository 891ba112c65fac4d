//! A list of manifests that is being put together: what `orca manifest` keeps until it is pushed. Pure.

use image::Digest;
use image::manifest::{MEDIA_DOCKER_LIST, MEDIA_INDEX, MEDIA_MANIFEST};
use serde::{Deserialize, Serialize};

/// Version of the file.
const VERSION: u32 = 1;

/// A list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    version: u32,
    /// Its whole name.
    pub name: String,
    /// Its manifests, in the order in which they came.
    pub entries: Vec<Entry>,
}

/// One manifest of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The whole name under which it was added.
    pub reference: String,
    /// What is said of it.
    pub descriptor: Described,
}

/// A manifest as the list names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// Its media type.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// What it runs on.
    pub platform: Platform,
}

/// A platform with all that an index can say of it; of an image's config these are its own fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// By Go's names.
    #[serde(default)]
    pub architecture: String,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// Of the operating system.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Of the operating system.
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// What `annotate` says anew.
#[derive(Debug, Clone, Default)]
pub struct Annotation {
    /// The architecture.
    pub architecture: Option<String>,
    /// The operating system.
    pub os: Option<String>,
    /// Its version.
    pub os_version: Option<String>,
    /// Its features, which are added.
    pub os_features: Vec<String>,
    /// The architecture's variant.
    pub variant: Option<String>,
}

impl List {
    /// An empty list.
    pub fn new(name: String) -> Self {
        Self { version: VERSION, name, entries: Vec::new() }
    }

    /// Reads a list that was kept.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let list: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if list.version > VERSION {
            return Err(format!("it is of version {}, and this program knows {VERSION}", list.version));
        }
        Ok(list)
    }

    /// Adds a manifest; one of the same name takes the place of the earlier.
    pub fn add(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|own| own.reference == entry.reference) {
            Some(own) => *own = entry,
            None => self.entries.push(entry),
        }
    }

    /// Says something else of the manifest of this name; `false` if there is none.
    pub fn annotate(&mut self, reference: &str, annotation: Annotation) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.reference == reference) else { return false };
        let platform = &mut entry.descriptor.platform;
        let Annotation { architecture, os, os_version, os_features, variant } = annotation;
        platform.architecture = architecture.unwrap_or(std::mem::take(&mut platform.architecture));
        platform.os = os.unwrap_or(std::mem::take(&mut platform.os));
        platform.os_version = os_version.or(platform.os_version.take());
        platform.variant = variant.or(platform.variant.take());
        for feature in os_features {
            if !platform.os_features.contains(&feature) {
                platform.os_features.push(feature);
            }
        }
        true
    }

    /// A manifest that does not say what it runs on.
    pub fn incomplete(&self) -> Option<&str> {
        let is_silent = |entry: &&Entry| {
            entry.descriptor.platform.os.is_empty() || entry.descriptor.platform.architecture.is_empty()
        };
        self.entries.iter().find(is_silent).map(|entry| entry.reference.as_str())
    }

    /// The list as registries have it: its media type, and its text. Docker's own form, unless a manifest is OCI's.
    pub fn index(&self) -> (&'static str, serde_json::Value) {
        let is_oci = self.entries.iter().any(|entry| entry.descriptor.media_type == MEDIA_MANIFEST);
        let media_type = if is_oci { MEDIA_INDEX } else { MEDIA_DOCKER_LIST };
        let manifests: Vec<&Described> = self.entries.iter().map(|entry| &entry.descriptor).collect();
        (media_type, serde_json::json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(reference: &str, media_type: &str, architecture: &str) -> Entry {
        let platform = Platform { architecture: architecture.into(), os: "linux".into(), ..Platform::default() };
        let descriptor =
            Described { media_type: media_type.into(), size: 3, digest: Digest::of(reference.as_bytes()), platform };
        Entry { reference: reference.into(), descriptor }
    }

    #[test]
    fn lists_are_put_together_and_read_back() {
        let mut list = List::new("host/app:1".into());
        list.add(entry("host/a:1", image::manifest::MEDIA_DOCKER_MANIFEST, "amd64"));
        list.add(entry("host/b:1", image::manifest::MEDIA_DOCKER_MANIFEST, ""));
        assert_eq!((list.index().0, list.incomplete()), (MEDIA_DOCKER_LIST, Some("host/b:1")));
        let annotation = Annotation {
            architecture: Some("arm64".into()),
            variant: Some("v8".into()),
            os_features: vec!["x".into(), "x".into()],
            ..Annotation::default()
        };
        assert!(list.annotate("host/b:1", annotation) && !list.annotate("host/c:1", Annotation::default()));
        let platform = &list.index().1["manifests"][1]["platform"];
        let expected =
            serde_json::json!({ "architecture": "arm64", "os": "linux", "os.features": ["x"], "variant": "v8" });
        assert_eq!((platform, list.incomplete()), (&expected, None));
        list.add(entry("host/a:1", MEDIA_MANIFEST, "amd64"));
        assert_eq!((list.index().0, list.entries.len()), (MEDIA_INDEX, 2));
        assert_eq!(List::parse(&serde_json::to_vec(&list).unwrap()).unwrap(), list);
        list.version = 2;
        assert!(List::parse(&serde_json::to_vec(&list).unwrap()).unwrap_err().contains("version 2"));
    }
}
