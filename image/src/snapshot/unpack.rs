//! Unpacking one layer into an empty directory, with OCI whiteouts turned into overlayfs's.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::place::{Placer, c_string, components, stat};
use super::remove::remove_at;
use super::{Layer, Unpacked};
use crate::archive::{Decoder, Entry, Kind, Limited, Limits, TarReader, most_uncompressed};
use crate::content::{VerifiedReader, verify};
use crate::digest::HashingReader;
use crate::error::{Error, Result};
use crate::rootfs::{OPAQUE_XATTR, is_whiteout};

const COPY_BUFFER: usize = 256 << 10;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const WHITEOUT_META: &[u8] = b".wh..wh.";

/// Unpacks `layer` into the empty directory `into`, verifying the blob's digest and the diff id on the way.
///
/// # Errors
/// [`Error`] naming the entry, the limit, or both digests. What was written stays: the caller removes `into`.
pub(crate) fn unpack_layer(layer: &Layer<'_>, into: &Path, limits: Limits) -> Result<Unpacked> {
    let read_failed = |error| Error::io("read layer", layer.digest, error);
    let file = File::open(&layer.blob).map_err(|error| Error::io("open", layer.blob.display(), error))?;
    let mut decoder = Decoder::detect(VerifiedReader::new(file, layer.digest, layer.size)).map_err(read_failed)?;
    let limits = Limits { bytes: limits.bytes.min(most_uncompressed(layer.size)), ..limits };
    let limited = Limited::new(decoder.by_ref(), limits.bytes, "bytes");
    let mut tar = TarReader::new(HashingReader::new(limited, io::sink()), limits);

    let root = rustix::fs::open(into, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Error::io("open", into.display(), error))?;
    // The root's own metadata, if the layer has no entry for it: the layer below's, or root's 0755.
    let mut unpacking = Unpacking::new(Placer::new(root, layer.parents));
    unpacking.inherit_root(layer.parents)?;
    while let Some(entry) = tar.next_entry()? {
        unpacking.apply(&entry, &mut tar)?;
    }
    unpacking.finish()?;

    let unpacked = Unpacked { entries: tar.entries(), bytes: tar.content_bytes() };
    let mut rest = tar.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(read_failed)?;
    let (diff_id, size, _) = rest.finish();
    decoder.drain().map_err(read_failed)?;
    verify(&format!("layer {} uncompressed", layer.digest), &layer.diff_id, size, &diff_id, size)?;
    Ok(unpacked)
}

struct Unpacking {
    placer: Placer,
    /// Directories' modification times, set at the end because filling a directory changes its own.
    dir_times: BTreeMap<Vec<u8>, (i64, u32)>,
    buffer: Vec<u8>,
}

impl Unpacking {
    fn new(placer: Placer) -> Unpacking {
        Unpacking { placer, dir_times: BTreeMap::new(), buffer: vec![0; COPY_BUFFER] }
    }

    fn inherit_root(&self, parents: &[std::path::PathBuf]) -> Result<()> {
        let root = self.placer.root();
        let (mode, uid, gid) = match parents.first() {
            Some(parent) => {
                let stat = rustix::fs::stat(parent).map_err(|error| Error::io("stat", parent.display(), error))?;
                (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid)
            }
            None => (0o755, 0, 0),
        };
        rustix::fs::fchown(root, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .and_then(|()| rustix::fs::fchmod(root, Mode::from_raw_mode(mode)))
            .map_err(|error| Error::io("set the owner of", "the layer's root", error))
    }

    fn apply(&mut self, entry: &Entry, content: &mut impl Read) -> Result<()> {
        if entry.kind.is_refused_device() {
            return Err(Error::entry(
                &entry.path,
                "it is a device node that an image may not have: a disk, memory or whiteout",
            ));
        }
        let parts = components(&entry.path)?;
        let Some((name, dirs)) = parts.split_last() else {
            return self.apply_root(entry);
        };
        if dirs.iter().any(|dir| dir.starts_with(WHITEOUT)) {
            return Err(Error::entry(&entry.path, "a parent's name is a whiteout's"));
        }
        if name.starts_with(WHITEOUT) {
            return self.whiteout(entry, dirs, name);
        }
        let name = c_string(name)?;
        let fresh = self.make_room(entry, dirs, &name)?;
        if let Kind::HardLink(target) = &entry.kind {
            return self.hard_link(entry, target, dirs, &name);
        }
        let parent = self.placer.parent(&entry.path, dirs)?;
        let made = match &entry.kind {
            Kind::Directory => make_dir(parent, &name, entry, fresh),
            Kind::File(_) => {
                make_file(parent, &name, entry, content, &mut self.buffer)?;
                Ok(())
            }
            _ => make_special(parent, &name, entry),
        };
        made.map_err(|error| failed(entry, error))?;
        if entry.kind == Kind::Directory {
            self.dir_times.insert(parts.join(&b'/'), entry.mtime);
        }
        Ok(())
    }

    fn apply_root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Error::entry(&entry.path, "the root must be a directory"));
        }
        check_xattrs(entry)?;
        dress(self.placer.root(), entry).map_err(|error| failed(entry, error))?;
        self.dir_times.insert(b".".to_vec(), entry.mtime);
        Ok(())
    }

    /// Removes what an earlier entry put at the name, except a directory under a directory.
    fn make_room(&mut self, entry: &Entry, dirs: &[&[u8]], name: &CString) -> Result<Room> {
        check_xattrs(entry)?;
        let parent = self.placer.parent(&entry.path, dirs)?;
        let Some(old) = stat(parent, name).map_err(|error| failed(entry, error))? else { return Ok(Room::Free) };
        let is_dir = FileType::from_raw_mode(old.st_mode) == FileType::Directory;
        if is_dir && entry.kind == Kind::Directory {
            return Ok(Room::Directory);
        }
        if let Kind::HardLink(target) = &entry.kind
            && components(target)?.split_last() == Some((&name.to_bytes(), dirs))
        {
            return Err(Error::entry(&entry.path, "it is a hard link to itself"));
        }
        remove_at(parent, name).map_err(|error| failed(entry, error))?;
        self.placer.forget();
        Ok(if is_whiteout(&old) { Room::Whiteout } else { Room::Free })
    }

    fn whiteout(&mut self, entry: &Entry, dirs: &[&[u8]], name: &[u8]) -> Result<()> {
        let parent = self.placer.parent(&entry.path, dirs)?;
        if name == OPAQUE {
            return set_opaque(parent).map_err(|error| failed(entry, error));
        }
        if name.starts_with(WHITEOUT_META) {
            // AUFS's own bookkeeping, which the layer format reserves and Docker passes over.
            return Ok(());
        }
        let hidden = &name[WHITEOUT.len()..];
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::entry(&entry.path, "the whiteout names nothing"));
        }
        let hidden = c_string(hidden)?;
        let result = match stat(parent, &hidden).map_err(|error| failed(entry, error))? {
            None => rustix::fs::mknodat(parent, &hidden, FileType::CharacterDevice, Mode::empty(), 0),
            // Whiteouts hide only what lower layers have: this layer's own directory stays, but doesn't merge.
            Some(own) if FileType::from_raw_mode(own.st_mode) == FileType::Directory => {
                open_dir(parent, &hidden).and_then(|dir| set_opaque(&dir))
            }
            Some(_) => Ok(()),
        };
        result.map_err(|error| failed(entry, error))
    }

    fn hard_link(&mut self, entry: &Entry, target: &[u8], dirs: &[&[u8]], name: &CString) -> Result<()> {
        let target_parts =
            components(target).map_err(|_| Error::entry(&entry.path, "its link target leads out of the image"))?;
        let Some((target_name, target_dirs)) = target_parts.split_last() else {
            return Err(Error::entry(&entry.path, "it is a hard link to the root"));
        };
        let from = self.placer.existing(&entry.path, target_dirs)?;
        let target_name = c_string(target_name)?;
        let parent = self.placer.parent(&entry.path, dirs)?;
        rustix::fs::linkat(&from, &target_name, parent, name, AtFlags::empty()).map_err(|error| {
            let target = String::from_utf8_lossy(target);
            let reason = match error {
                Errno::NOENT => format!("its link target {target:?} is not in the layer"),
                Errno::PERM => format!("its link target {target:?} is a directory"),
                other => format!("it can't be linked to {target:?}: {other}"),
            };
            Error::entry(&entry.path, reason)
        })
    }

    /// Sets the directories' times, children before parents.
    fn finish(&mut self) -> Result<()> {
        for (path, mtime) in std::mem::take(&mut self.dir_times).into_iter().rev() {
            let parts = components(&path)?;
            // A later entry may have replaced the directory.
            if let Ok(dir) = self.placer.existing(&path, &parts) {
                let set = rustix::fs::futimens(&dir, &times(mtime));
                set.map_err(|error| Error::io("set the time of", String::from_utf8_lossy(&path), error))?;
            }
        }
        Ok(())
    }
}

/// What was at an entry's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    Whiteout,
    Directory,
}

fn make_dir(parent: &OwnedFd, name: &CStr, entry: &Entry, room: Room) -> Result<(), Errno> {
    if room != Room::Directory {
        rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
    }
    let dir = open_dir(parent, name)?;
    if room == Room::Whiteout {
        set_opaque(&dir)?;
    }
    dress(&dir, entry)
}

fn make_file(parent: &OwnedFd, name: &CStr, entry: &Entry, content: &mut impl Read, buffer: &mut [u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| failed(entry, error))?;
    let mut file = File::from(fd);
    loop {
        match content.read(buffer) {
            Ok(0) => break,
            Ok(count) => file.write_all(&buffer[..count]).map_err(|error| failed(entry, error))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read content of", String::from_utf8_lossy(&entry.path), error)),
        }
    }
    dress(&file, entry)
        .and_then(|()| rustix::fs::futimens(&file, &times(entry.mtime)))
        .map_err(|error| failed(entry, error))
}

/// Symlinks, fifos and devices, whose metadata can't be set through a descriptor. Nobody else writes to the directory.
fn make_special(parent: &OwnedFd, name: &CStr, entry: &Entry) -> Result<(), Errno> {
    let node = |kind, device| rustix::fs::mknodat(parent, name, kind, Mode::empty(), device);
    match &entry.kind {
        Kind::Symlink(target) => rustix::fs::symlinkat(target.as_slice(), parent, name)?,
        Kind::Fifo => node(FileType::Fifo, 0)?,
        Kind::CharDevice(major, minor) => node(FileType::CharacterDevice, rustix::fs::makedev(*major, *minor))?,
        Kind::BlockDevice(major, minor) => node(FileType::BlockDevice, rustix::fs::makedev(*major, *minor))?,
        Kind::Directory | Kind::File(_) | Kind::HardLink(_) => return Err(Errno::INVAL),
    }
    let (uid, gid) = owner(entry);
    rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    if !matches!(entry.kind, Kind::Symlink(_)) {
        rustix::fs::chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    if !entry.xattrs.is_empty() {
        let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.to_bytes());
        for (key, value) in &entry.xattrs {
            rustix::fs::lsetxattr(path.as_slice(), key.as_slice(), value, XattrFlags::empty())?;
        }
    }
    rustix::fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// Owner, mode, then xattrs: chown clears setuid bits and file capabilities, so it comes first.
fn dress(fd: impl AsFd, entry: &Entry) -> Result<(), Errno> {
    let (uid, gid) = owner(entry);
    rustix::fs::fchown(&fd, uid, gid)?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(entry.mode))?;
    for (key, value) in &entry.xattrs {
        rustix::fs::fsetxattr(&fd, key.as_slice(), value, XattrFlags::empty())?;
    }
    Ok(())
}

/// # Errors
/// overlayfs's own attributes would let an archive redirect lookups and fake whiteouts.
fn check_xattrs(entry: &Entry) -> Result<()> {
    let own = |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    match entry.xattrs.iter().find(|(name, _)| own(name)) {
        Some((name, _)) => Err(Error::entry(
            &entry.path,
            format!("its attribute {} is overlayfs's own", String::from_utf8_lossy(name)),
        )),
        None => Ok(()),
    }
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

fn set_opaque(dir: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fsetxattr(dir, OPAQUE_XATTR, b"y", XattrFlags::empty())
}

fn open_dir(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(
        parent,
        name,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn failed(entry: &Entry, error: impl Into<io::Error>) -> Error {
    Error::io("unpack", String::from_utf8_lossy(&entry.path), error)
}
