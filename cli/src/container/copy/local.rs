//! This machine's end of a copy.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::paths::{self, End};
use crate::error::{Error, Result};

/// As many links as Docker follows of a target.
const LINKS_MAX: usize = 10;

fn failed(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> Error {
    let path = PathBuf::from(path);
    move |source| Error::File { action, path, source }
}

fn text(path: PathBuf) -> Result<String> {
    path.into_os_string().into_string().map_err(|path| Error::Unsupported {
        what: format!("the path {}", Path::new(&path).display()),
        instead: "its name is not UTF-8: rename it, or copy the directory that it is in".into(),
    })
}

/// A path as given, made absolute.
pub fn absolute(path: &str) -> Result<String> {
    let here = std::env::current_dir().map_err(failed("find", "."))?;
    Ok(paths::absolute(&text(here)?, path))
}

/// The source of a copy; a link is followed only if `follow` says so, or if a slash comes after it.
pub fn source(path: &str, follow: bool) -> Result<End> {
    let path = absolute(path)?;
    let (resolved, name) = if follow {
        let resolved = text(fs::canonicalize(&path).map_err(failed("open", &path))?)?;
        paths::followed(&path, &resolved)
    } else {
        let (directory, base) = path.rsplit_once('/').unwrap_or(("", &path));
        let directory = if directory.is_empty() { "/" } else { directory };
        let directory = text(fs::canonicalize(directory).map_err(failed("open", &path))?)?;
        let resolved = format!("{}/{base}", directory.trim_end_matches('/'));
        let own = paths::base_name(&path);
        let name = (path.ends_with('/') && own != paths::base_name(&resolved)).then_some(own);
        (resolved, name)
    };
    let found = fs::symlink_metadata(&resolved).map_err(failed("open", &path))?;
    Ok(End { path: resolved, exists: true, is_dir: found.is_dir(), name })
}

/// The target of a copy; its links are followed. The directory that it is to be in must exist.
pub fn target(path: &str) -> Result<End> {
    let mut path = absolute(path)?;
    for _ in 0..=LINKS_MAX {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_symlink() => {
                let link = text(fs::read_link(path.trim_end_matches('/')).map_err(failed("read the link", &path))?)?;
                path = paths::absolute(&paths::split(&path).0, &link);
            }
            Ok(found) => {
                must_be_writable(&path, &found)?;
                return Ok(End { exists: true, is_dir: found.is_dir(), name: None, path });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = paths::split(&path).0;
                let found = fs::metadata(&parent).map_err(|_| missing_directory(&parent))?;
                if !found.is_dir() {
                    return Err(missing_directory(&parent));
                }
                return Ok(End { path, ..End::default() });
            }
            Err(error) => return Err(failed("open", &path)(error)),
        }
    }
    Err(failed("follow the links of", &path)(io::ErrorKind::InvalidInput.into()))
}

fn must_be_writable(path: &str, found: &Metadata) -> Result<()> {
    let kind = found.file_type();
    if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() || kind.is_socket() {
        let reason = "it must be a directory or a regular file".into();
        return Err(Error::Flag { flag: "the destination", value: path.into(), reason });
    }
    Ok(())
}

/// Docker's words for it.
pub fn missing_directory(parent: &str) -> Error {
    let reason = format!("directory {parent:?} does not exist");
    Error::Flag { flag: "the destination", value: parent.into(), reason }
}
