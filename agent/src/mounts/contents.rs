//! Secrets and configs as files. Secrets live in a tmpfs of the run directory and nowhere else.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use model::{ContainerSpec, FileTarget, SecretData};
use nix::mount::{MsFlags, mount};
use rustix::fs::{Mode, fchmod};

use crate::{Error, Result};

/// Mounts the tmpfs that secrets are kept in, unless it is there from an earlier daemon. Never swapped out where the kernel
/// can promise that (`noswap`, Linux 6.4).
pub fn mount_secrets(dir: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::io("make", dir))?;
    let fs = rustix::fs::statfs(dir).map_err(Error::io("inspect", dir))?;
    let parent = dir.parent().and_then(|parent| rustix::fs::stat(parent).ok()).map(|stat| stat.st_dev);
    let own = rustix::fs::stat(dir).map_err(Error::io("inspect", dir))?.st_dev;
    if i128::from(fs.f_type) == i128::from(libc::TMPFS_MAGIC) && parent != Some(own) {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let with = |options: &str| mount(Some("orca-secrets"), dir, Some("tmpfs"), flags, Some(options));
    with("mode=0700,noswap").or_else(|_| with("mode=0700")).map_err(Error::io("mount a tmpfs on", dir))
}

/// What the secrets and configs of one container hold, in the order of its spec.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Of secrets.
    pub secrets: Vec<SecretData>,
    /// Of configs.
    pub configs: Vec<Vec<u8>>,
}

impl Contents {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.configs.is_empty()
    }

    /// Checks that there is one for each of the spec, or none at all.
    pub fn check(&self, spec: &ContainerSpec) -> Result<()> {
        for (kind, given, wanted) in
            [("secrets", self.secrets.len(), spec.secrets.len()), ("configs", self.configs.len(), spec.configs.len())]
        {
            if given > 0 && given != wanted {
                let reason = format!("there are {wanted} of them, and contents of {given}");
                return Err(Error::Spec { key: kind, value: given.to_string(), reason });
            }
        }
        Ok(())
    }
}

/// Gives a file that was placed before its owner was known the owner and rights that it is to have.
pub fn settle(path: &Path, target: &FileTarget, owner: (u32, u32)) -> Result<PathBuf> {
    let settle = || -> std::io::Result<()> {
        std::os::unix::fs::chown(path, Some(owner.0), Some(owner.1))?;
        rustix::fs::chmod(path, Mode::from_raw_mode(target.mode & 0o7777))?;
        Ok(())
    };
    settle().map_err(Error::io("set the owner of", path))?;
    Ok(path.to_path_buf())
}

/// Writes a file for one container; nobody sees it half written or with other rights.
pub fn place(dir: &Path, name: &str, content: &[u8], target: &FileTarget, owner: (u32, u32)) -> Result<PathBuf> {
    let path = dir.join(name);
    let staged = dir.join(format!(".{name}.new"));
    let write = || -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let _ = fs::remove_file(&staged);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
        file.write_all(content)?;
        fchown(&file, Some(owner.0), Some(owner.1))?;
        fchmod(&file, Mode::from_raw_mode(target.mode & 0o7777))?;
        fs::rename(&staged, &path)
    };
    write().map_err(Error::io("write", &path))?;
    Ok(path)
}
