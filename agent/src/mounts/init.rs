//! The program that is the first process of containers that were made with `--init`: this very binary, of which a copy is
//! mounted, so that no container comes near the one that the daemon runs from. (CVE-2019-5736)

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, PoisonError};

use super::points::bind;
use crate::bundle::MountPoint;
use crate::paths::Paths;
use crate::{Error, Result};

/// Where Docker has it.
pub const INIT: &str = "/sbin/docker-init";

/// The mount of the copy, which this daemon makes when it first needs one: an earlier daemon's may be of another version.
///
/// # Errors
/// A full disk.
pub fn init(paths: &Paths) -> Result<MountPoint> {
    // Containers that are made at the same time wait for the one copy.
    static MADE: Mutex<bool> = Mutex::new(false);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = paths.init();
    if !*made || !path.exists() {
        let new = path.with_extension(format!("{}", std::process::id()));
        fs::copy("/proc/self/exe", &new).map_err(Error::io("write", &new))?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o555)).map_err(Error::io("set the mode of", &new))?;
        // Containers that run keep the file that they have.
        fs::rename(&new, &path).map_err(Error::io("replace", &path))?;
        *made = true;
    }
    Ok(bind(INIT, path, true, model::Propagation::Rprivate))
}
