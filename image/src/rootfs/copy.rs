//! Copying a directory out of the merged view, to prefill a volume.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::MergedRoot;
use super::merged::{Found, Leaf, MergedDir};
use crate::error::{Error, Result};

/// The deepest tree that is copied.
const DEPTH_LIMIT: usize = 300;

impl MergedRoot {
    /// Copies what is in the directory `path` of the image (symlinks in `path` followed inside it) into the existing,
    /// empty directory `dst`, and gives `dst` that directory's owner and mode. Owners, modes, times, xattrs, hard links,
    /// symlinks and devices are kept. Returns false, having done nothing, if the image has nothing at `path`.
    ///
    /// A crash leaves a partial copy: copy beside the volume's place and rename, or mark it complete afterwards.
    ///
    /// # Errors
    /// [`Error::Rootfs`] if `path` isn't a directory or the tree is too deep, [`Error::Io`].
    pub fn copy_tree(&self, path: &str, dst: &Path) -> Result<bool> {
        let source = match self.resolve(path) {
            Ok(Found::Dir(dir)) => dir,
            Ok(Found::Leaf(_)) => {
                return Err(Error::Rootfs { path: path.to_owned(), reason: "it is not a directory".to_owned() });
            }
            Err(Error::NotFoundInRootfs { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let target = rustix::fs::openat(
            CWD,
            dst,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| Error::io("open", dst.display(), error))?;
        let root = target.try_clone().map_err(|error| Error::io("open", dst.display(), error))?;
        Copy { root, links: HashMap::new() }.directory(&source, &target, path, &mut Vec::new())?;
        Ok(true)
    }
}

struct Copy {
    root: OwnedFd,
    /// Files with several names: device and inode, and the first copy's path below `root`.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl Copy {
    fn directory(&mut self, source: &MergedDir, target: &OwnedFd, path: &str, at: &mut Vec<Vec<u8>>) -> Result<()> {
        if at.len() > DEPTH_LIMIT {
            return Err(Error::Rootfs {
                path: path.to_owned(),
                reason: format!("it is deeper than {DEPTH_LIMIT} directories"),
            });
        }
        for name in source.names(path)? {
            let child_path = format!("{}/{}", path.trim_end_matches('/'), String::from_utf8_lossy(&name));
            let failed = |error: Errno| Error::io("copy", &child_path, error);
            let Some(found) = source.lookup(&name, &child_path)? else { continue };
            at.push(name.clone());
            match found {
                Found::Dir(dir) => {
                    let name = CString::new(name).map_err(|_| failed(Errno::INVAL))?;
                    rustix::fs::mkdirat(target, &name, Mode::RWXU).map_err(failed)?;
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let made = rustix::fs::openat(target, &name, flags, Mode::empty()).map_err(failed)?;
                    self.directory(&dir, &made, &child_path, at)?;
                }
                Found::Leaf(leaf) => {
                    self.leaf(&leaf, target, at).map_err(|error| Error::io("copy", &child_path, error))?
                }
            }
            at.pop();
        }
        let stat = source.stat(path)?;
        dress(&source.fds[0], target, &stat).map_err(|error| Error::io("copy", path, error))
    }

    fn leaf(&mut self, leaf: &Leaf, target: &OwnedFd, at: &[Vec<u8>]) -> io::Result<()> {
        let (stat, name) = (&leaf.stat, leaf.name.as_c_str());
        let inode = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&inode) {
                return Ok(rustix::fs::linkat(&self.root, first.as_slice(), target, name, AtFlags::empty())?);
            }
            self.links.insert(inode, at.join(&b'/'));
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            return copy_file(leaf, target);
        }
        copy_special(leaf, target, name)
    }
}

fn copy_file(leaf: &Leaf, target: &OwnedFd) -> io::Result<()> {
    let source = rustix::fs::openat(
        leaf.dir.as_ref(),
        &leaf.name,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(target, &leaf.name, flags, Mode::RUSR | Mode::WUSR)?;
    let (mut source, mut made) = (File::from(source), File::from(made));
    // Between files this is copy_file_range, which shares or copies blocks inside the kernel.
    io::copy(&mut source, &mut made)?;
    dress(&source, &made, &leaf.stat)?;
    Ok(())
}

fn copy_special(leaf: &Leaf, target: &OwnedFd, name: &CStr) -> io::Result<()> {
    let stat = &leaf.stat;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Symlink {
        let link = rustix::fs::readlinkat(leaf.dir.as_ref(), name, Vec::new())?;
        rustix::fs::symlinkat(&link, target, name)?;
    } else {
        rustix::fs::mknodat(target, name, kind, Mode::empty(), stat.st_rdev)?;
    }
    let (uid, gid) = owner(stat);
    rustix::fs::chownat(target, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    if kind != FileType::Symlink {
        rustix::fs::chmodat(target, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    }
    let from = proc_path(&leaf.dir, name);
    let to = proc_path(target, name);
    for key in attribute_names(|buffer| rustix::fs::llistxattr(from.as_slice(), buffer))? {
        let value = attribute(|buffer| rustix::fs::lgetxattr(from.as_slice(), key.as_slice(), buffer))?;
        rustix::fs::lsetxattr(to.as_slice(), key.as_slice(), &value, XattrFlags::empty())?;
    }
    rustix::fs::utimensat(target, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// Gives `target` the owner, mode, attributes and times of `source`; chown first, as it clears setuid and capabilities.
fn dress(source: impl AsFd, target: impl AsFd, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(&target, uid, gid)?;
    rustix::fs::fchmod(&target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for key in attribute_names(|buffer| rustix::fs::flistxattr(&source, buffer))? {
        let value = attribute(|buffer| rustix::fs::fgetxattr(&source, key.as_slice(), buffer))?;
        rustix::fs::fsetxattr(&target, key.as_slice(), &value, XattrFlags::empty())?;
    }
    rustix::fs::futimens(&target, &times(stat))
}

/// The names of attributes that belong to the file, not to overlayfs.
fn attribute_names(list: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<Vec<u8>>, Errno> {
    let names = attribute(list)?;
    let names = names.split(|&b| b == 0).filter(|name| !name.is_empty() && !name.starts_with(b"trusted.overlay."));
    Ok(names.map(<[u8]>::to_vec).collect())
}

/// Reads a value or list of at most 64 KiB, the most that Linux has.
fn attribute(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    for size in [512, 64 << 10] {
        let mut buffer = vec![0; size];
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => {}
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::RANGE)
}

fn proc_path(dir: &OwnedFd, name: &CStr) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    path
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: nanos as i64 };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}
