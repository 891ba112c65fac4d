//! Images that the program itself provides: one static binary as a root filesystem.

use std::io::{self, Read};

use tar::EntryType;

use crate::archive::header;
use crate::content::Ingested;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{ImageConfig, Platform, RootFs, RunConfig};
use crate::reference::Reference;
use crate::rfc3339;
use crate::store::Store;

/// The label that tells which binary the image was made from.
pub const MARKER_LABEL: &str = "orca.builtin.marker";

const PASSWD: &str = "root:x:0:0:root:/:/orca\nnobody:x:65534:65534:nobody:/:/orca\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Makes `name` mean an image of `binary` (of `size` bytes) at `/orca`, with `/tmp`, `/data`, and `/etc/passwd` and
/// `group`. If `name` already means an image with the label [`MARKER_LABEL`]=`marker`, `binary` isn't even read: `marker`
/// must change when the binary or `config` does (a build id, or size and mtime). `now` is in seconds since the epoch.
///
/// # Errors
/// What [`Store::import`] returns; [`Error::Io`] if `binary` is shorter than `size`.
pub fn import_static_binary(
    store: &Store,
    name: &Reference,
    binary: impl Read,
    size: u64,
    mut config: RunConfig,
    marker: &str,
    now: i64,
) -> Result<Digest> {
    if let Ok(present) = store.get(&name.to_string())
        && present.config.config.labels.get(MARKER_LABEL).is_some_and(|label| label == marker)
    {
        return Ok(present.id);
    }
    config.labels.insert(MARKER_LABEL.to_owned(), marker.to_owned());
    store.add_layer_image(
        name,
        now,
        |writer| archive(binary, size, writer).map_err(|error| Error::io("write the image of", name, error)),
        |layer: &Ingested| {
            let platform = Platform::host();
            let (diff_id, _) = layer.diff.clone().map_err(Error::archive)?;
            Ok(ImageConfig {
                created: Some(rfc3339::format_utc(now, 0)),
                architecture: platform.architecture,
                os: platform.os,
                config,
                rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
                ..ImageConfig::default()
            })
        },
    )
}

/// The layer: always the same bytes for the same binary.
fn archive(binary: impl Read, size: u64, writer: impl io::Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(writer);
    for (path, mode) in [("data/", 0o755), ("etc/", 0o755), ("tmp/", 0o1777)] {
        tar.append_data(&mut header(EntryType::Directory, mode, 0), path, io::empty())?;
    }
    for (path, text) in [("etc/passwd", PASSWD), ("etc/group", GROUP)] {
        tar.append_data(&mut header(EntryType::Regular, 0o644, text.len() as u64), path, text.as_bytes())?;
    }
    let mut binary = binary.take(size);
    tar.append_data(&mut header(EntryType::Regular, 0o755, size), "orca", &mut binary)?;
    if binary.limit() > 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the binary is shorter than its size"));
    }
    tar.finish()
}
