//! What goes from a tree that others may change meanwhile.

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::Root;
use crate::error::{Error, Result};
use crate::snapshot::{c_string, components, remove_at};

/// Removes what is at `path` below `root`, with all that is in it. Links lead where they lead for a process that has the root
/// as its own, but the last component is not followed. What is not there is no error; the root itself stays.
///
/// # Errors
/// [`Error::InvalidEntry`] for a path that no file has, [`Error::Io`].
pub fn remove(root: &Root, path: &[u8]) -> Result<()> {
    let failed = |error: Errno| Error::io("remove", String::from_utf8_lossy(path), error);
    let parts = components(path)?;
    let Some((name, dirs)) = parts.split_last() else { return Ok(()) };
    match root.resolve(&dirs.join(&b'/'), OFlags::PATH | OFlags::DIRECTORY) {
        Ok(parent) => remove_at(parent, &c_string(name)?).map_err(failed),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}
