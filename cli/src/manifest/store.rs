//! Lists that were begun, in the user's directory of Docker's configuration, a file each.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use image::{Digest, Reference};

use super::list::List;
use crate::error::{Error, Result};
use crate::registry;

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 4 << 20;

fn directory() -> Result<PathBuf> {
    let dir = registry::configuration().map(|dir| dir.join("orca-manifests"));
    dir.ok_or_else(|| Error::Registry("neither DOCKER_CONFIG nor HOME says where lists of manifests are kept".into()))
}

/// A name may have any length and slashes; its digest has neither.
fn path(name: &Reference) -> Result<PathBuf> {
    Ok(directory()?.join(format!("{}.json", Digest::of(name.to_string().as_bytes()).hex())))
}

/// The list of this name, if it was begun.
pub fn read(name: &Reference) -> Result<Option<List>> {
    let path = path(name)?;
    let failed = |source| Error::File { action: "read", path: path.clone(), source };
    let mut bytes = Vec::new();
    match fs::File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes)).map_err(failed)?,
    };
    let list = List::parse(&bytes).map_err(|reason| failed(std::io::Error::other(reason)))?;
    Ok(Some(list))
}

/// Keeps a list.
pub fn write(name: &Reference, list: &List) -> Result<()> {
    let (dir, path) = (directory()?, path(name)?);
    let failed = |source| Error::File { action: "write", path: path.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
    let staged = dir.join(format!(".{}", std::process::id()));
    let bytes = serde_json::to_vec(list).map_err(|error| failed(error.into()))?;
    let file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&staged);
    file.and_then(|mut file| file.write_all(&bytes)).and_then(|()| fs::rename(&staged, &path)).map_err(failed)
}

/// Forgets a list; `false` if there was none.
pub fn remove(name: &Reference) -> Result<bool> {
    let path = path(name)?;
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::File { action: "remove", path, source }),
    }
}
