//! The image `orca/demo`: this binary as a root file system, so that the first application needs no registry.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use image::Store;
use image::builtin::import_static_binary;
use image::manifest::RunConfig;

use crate::error::{Error, Result};

/// Its name.
const NAME: &str = "orca/demo";
/// Goes up with the configuration below, so that an image of an older daemon is made anew.
const REVISION: u32 = 1;

/// Puts the image into the store unless it is there already.
pub fn provide(store: &Store, program: &Path) -> Result<()> {
    let failed = |reason: String| Error::Start { action: "provide the image orca/demo", reason };
    let name = NAME.parse().map_err(|error: image::Error| failed(error.to_string()))?;
    let file = File::open(program).map_err(|source| Error::File { action: "open", path: program.into(), source })?;
    let metadata = file.metadata().map_err(|source| Error::File { action: "read", path: program.into(), source })?;
    let marker = format!("{REVISION}-{}-{}-{}", metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    let config = RunConfig {
        entrypoint: Some(vec!["/orca".into(), "demo".into()]),
        cmd: Some(vec!["whoami".into()]),
        ..RunConfig::default()
    };
    let now = crate::clock::now().0 / 1_000_000_000;
    import_static_binary(store, &name, file, metadata.size(), config, &marker, now)
        .map(drop)
        .map_err(|error| failed(error.to_string()))
}
