//! Reaching into a container's file system without being led out of it by its links (openat2(2), RESOLVE_IN_ROOT).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};

use crate::error::{Result, ShimError};
use crate::user::{Identity, resolve};

/// More than any real user database; a larger one is cut off.
const MAX_DATABASE: u64 = 4 << 20;

/// The root of a mounted container file system.
pub struct Rootfs(OwnedFd);

impl Rootfs {
    /// Opens the root at `path`, which may be `/proc/PID/root`.
    ///
    /// # Errors
    /// If it isn't a directory.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(Self).map_err(ShimError::io("open root file system", path))
    }

    fn resolve(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), within).map_err(io::Error::from)
    }

    /// A small regular file's text; what isn't there or can't be read is empty.
    fn text(&self, path: &str) -> String {
        let mut bytes = Vec::new();
        if let Ok(fd) = self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
            let file = File::from(fd);
            if file.metadata().is_ok_and(|data| data.is_file()) {
                // What was read before an error is used.
                let _ = file.take(MAX_DATABASE).read_to_end(&mut bytes);
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Looks `wanted` up in the container's user databases.
    ///
    /// # Errors
    /// If it is a name that they don't have.
    pub fn identity(&self, wanted: &str) -> Result<Identity> {
        resolve(wanted, &self.text("/etc/passwd"), &self.text("/etc/group"))
    }

    /// Makes directory `path` and those above it if they aren't there.
    ///
    /// # Errors
    /// If something that is no directory is in the way, or the file system is full or read-only.
    pub fn create_directory(&self, path: &str) -> Result<()> {
        let fault = |source| ShimError::WorkingDirectory { path: path.to_owned(), source };
        let mut made = String::new();
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            let parent = if made.is_empty() { "/".to_owned() } else { made.clone() };
            made = format!("{made}/{name}");
            if self.resolve(&made, OFlags::PATH | OFlags::DIRECTORY).is_ok() {
                continue;
            }
            let above = self.resolve(&parent, OFlags::PATH | OFlags::DIRECTORY).map_err(fault)?;
            let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
            mkdirat(&above, name, mode).map_err(|errno| fault(errno.into()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/../../../../etc/passwd", dir.path().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("../../../..", dir.path().join("out")).unwrap();
        let root = Rootfs::open(dir.path()).unwrap();
        assert!(matches!(root.identity("root"), Err(ShimError::UnknownUser { .. })));
        root.create_directory("/out/new/deep").unwrap();
        assert!(dir.path().join("new/deep").is_dir());
    }
}
