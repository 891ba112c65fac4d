//! An archive into a tree that others may change meanwhile.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::root::{resolve_at, stat_at};
use super::{IdMap, Root};
use crate::archive::{Decoder, Entry, Kind, Limits, TarReader};
use crate::error::{Error, Result};
use crate::snapshot::{c_string, components, remove_at};

/// Entries of one archive; a copy may have more than an image layer.
const ENTRIES: u64 = 20_000_000;
const COPY_BUFFER: usize = 256 << 10;

/// Whose the files become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whose they were, as numbers of this user namespace; with set-user-id bits and capabilities.
    Kept(IdMap),
    /// This user's and group's, as numbers of the host.
    Of(u32, u32),
    /// The caller's; without set-user-id bits and privileged attributes, as the archive may be a stranger's.
    Caller,
}

/// What happens where a directory meets something else of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// The copy fails (`cp`).
    Refused,
    /// What the archive has replaces what is there.
    Replaced,
}

/// How paths in the archive are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// Links lead where they lead for a process that has the root as its own.
    Root,
    /// Below the directory and through no link at all.
    Directory,
}

/// How to extract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtractOptions {
    /// Whose the files become.
    pub owner: Owner,
    /// Directories against files.
    pub conflicts: Conflicts,
    /// A directory that is there keeps its owner, mode and time.
    pub keep_directories: bool,
    /// Links in paths.
    pub within: Within,
    /// Names that begin with the first become names that begin with the second.
    pub rename: Option<(Vec<u8>, Vec<u8>)>,
}

/// What was extracted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Extracted {
    /// Entries.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Extended attributes that the file system there cannot hold.
    pub dropped_attributes: u64,
}

/// Reads an archive (plain, gzip or zstd) and makes what it has in the directory `at` below `root`, which must exist; the
/// directory itself stays as it is.
///
/// # Errors
/// [`Error::NoSuchPath`] and [`Error::Rootfs`] if `at` is no directory, [`Error::InvalidArchive`],
/// [`Error::InvalidEntry`], [`Error::Io`]. What was made until then stays.
pub fn extract(source: impl Read, root: &Root, at: &[u8], options: ExtractOptions) -> Result<Extracted> {
    let mut work = Extraction::new(root, at, options)?;
    let decoder = Decoder::detect(source).map_err(|error| Error::io("read", "the archive", error))?;
    let mut tar = TarReader::new(decoder, Limits { entries: ENTRIES, bytes: u64::MAX });
    while let Some(entry) = tar.next_entry()? {
        let entry = work.renamed(entry);
        work.apply(&entry, &mut tar)?;
        work.done.entries += 1;
    }
    work.finish()?;
    // The sender writes on to the end of its blocks.
    let mut rest = tar.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|error| Error::io("read", "the archive", error))?;
    Ok(work.done)
}

struct Extraction<'a> {
    root: &'a Root,
    at: Vec<u8>,
    options: ExtractOptions,
    rules: ResolveFlags,
    /// The last parent: entries mostly come directory by directory.
    cached: Option<(Vec<u8>, OwnedFd)>,
    /// Directories' times, set at the end because filling a directory changes its own.
    dir_times: BTreeMap<Vec<u8>, (i64, u32)>,
    buffer: Vec<u8>,
    done: Extracted,
}

impl<'a> Extraction<'a> {
    fn new(root: &'a Root, at: &[u8], options: ExtractOptions) -> Result<Extraction<'a>> {
        let rules = ResolveFlags::NO_MAGICLINKS
            | match options.within {
                Within::Root => ResolveFlags::IN_ROOT,
                Within::Directory => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            };
        let work = Extraction {
            root,
            at: at.to_vec(),
            options,
            rules,
            cached: None,
            dir_times: BTreeMap::new(),
            buffer: vec![0; COPY_BUFFER],
            done: Extracted::default(),
        };
        match work.open(b"") {
            Ok(_) => Ok(work),
            Err(Errno::NOENT) => Err(Error::NoSuchPath { path: String::from_utf8_lossy(at).into_owned() }),
            Err(Errno::NOTDIR) => Err(Error::Rootfs {
                path: String::from_utf8_lossy(at).into_owned(),
                reason: "extraction point is not a directory".to_owned(),
            }),
            Err(error) => Err(Error::io("open", String::from_utf8_lossy(at), error)),
        }
    }

    fn renamed(&self, mut entry: Entry) -> Entry {
        let Some((from, to)) = &self.options.rename else { return entry };
        let rename = |path: &mut Vec<u8>| {
            if let Some(rest) = path.strip_prefix(from.as_slice()) {
                *path = [to.as_slice(), rest].concat();
            }
        };
        rename(&mut entry.path);
        if let Kind::HardLink(target) = &mut entry.kind {
            rename(target);
        }
        entry
    }

    /// Opens the directory `path` below the one that is extracted to.
    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = match (self.at.is_empty(), path.is_empty()) {
            (_, true) => self.at.clone(),
            (true, false) => path.to_vec(),
            (false, false) => [self.at.as_slice(), b"/", path].concat(),
        };
        resolve_at(self.root.fd(), &path, OFlags::RDONLY | OFlags::DIRECTORY, self.rules)
    }

    /// The directory of an entry, made with those above it where it is missing.
    fn parent(&mut self, entry: &Entry, dirs: &[&[u8]]) -> Result<OwnedFd> {
        let path = dirs.join(&b'/');
        if let Some((cached, fd)) = &self.cached
            && *cached == path
        {
            return fd.try_clone().map_err(|error| failed(entry, error));
        }
        let fd = match self.open(&path) {
            Err(Errno::NOENT) => self.make_parents(entry, dirs)?,
            opened => opened.map_err(|error| lost(entry, error))?,
        };
        let copy = fd.try_clone().map_err(|error| failed(entry, error))?;
        self.cached = Some((path, fd));
        Ok(copy)
    }

    fn make_parents(&self, entry: &Entry, dirs: &[&[u8]]) -> Result<OwnedFd> {
        let mut current = self.open(b"").map_err(|error| lost(entry, error))?;
        for depth in 1..=dirs.len() {
            let path = dirs[..depth].join(&b'/');
            current = match self.open(&path) {
                Err(Errno::NOENT) => {
                    let name = c_string(dirs[depth - 1])?;
                    match rustix::fs::mkdirat(&current, &name, Mode::from_raw_mode(0o755)) {
                        Err(Errno::EXIST) => {
                            return Err(Error::entry(&entry.path, "a parent is a link that leads nowhere"));
                        }
                        made => made.map_err(|error| failed(entry, error))?,
                    }
                    self.open(&path).map_err(|error| lost(entry, error))?
                }
                opened => opened.map_err(|error| lost(entry, error))?,
            };
        }
        Ok(current)
    }

    fn apply(&mut self, entry: &Entry, content: &mut impl Read) -> Result<()> {
        if entry.kind.is_refused_device() {
            return Err(Error::entry(&entry.path, "it is a device node, which is not copied: make it with mknod"));
        }
        let parts = components(&entry.path)?;
        // The directory itself stays as it is.
        let Some((name, dirs)) = parts.split_last() else { return Ok(()) };
        let name = c_string(name)?;
        let parent = self.parent(entry, dirs)?;
        let old = stat_at(&parent, &name).map_err(|error| failed(entry, error))?;
        self.check_conflict(entry, old.as_ref())?;
        if entry.kind == Kind::Directory {
            let is_there = old.as_ref().is_some_and(|old| FileType::from_raw_mode(old.st_mode) == FileType::Directory);
            if self.options.keep_directories && is_there {
                return Ok(());
            }
            self.directory(&parent, &name, entry, old.as_ref())?;
            self.dir_times.insert(parts.join(&b'/'), entry.mtime);
            return Ok(());
        }
        if let Kind::HardLink(target) = &entry.kind
            && components(target)? == parts
        {
            return Err(Error::entry(&entry.path, "it is a hard link to itself"));
        }
        if old.is_some() {
            self.cached = None;
            match remove_at(&parent, &name) {
                // Something is mounted on it, as on /etc/hosts: it is written in place.
                Err(Errno::BUSY) if matches!(entry.kind, Kind::File(_)) => {
                    return self.overwrite(&parent, &name, entry, content);
                }
                removed => removed.map_err(|error| failed(entry, error))?,
            }
        }
        match &entry.kind {
            Kind::File(_) => self.file(&parent, &name, entry, content),
            Kind::HardLink(target) => self.hard_link(&parent, &name, entry, target),
            _ => self.special(&parent, &name, entry),
        }
    }

    fn check_conflict(&self, entry: &Entry, old: Option<&Stat>) -> Result<()> {
        let Some(old) = old.filter(|_| self.options.conflicts == Conflicts::Refused) else { return Ok(()) };
        match (FileType::from_raw_mode(old.st_mode) == FileType::Directory, entry.kind == Kind::Directory) {
            (true, false) => Err(Error::entry(&entry.path, "cannot overwrite a directory with what is none")),
            (false, true) => Err(Error::entry(&entry.path, "cannot overwrite with a directory what is none")),
            _ => Ok(()),
        }
    }

    fn directory(&mut self, parent: &OwnedFd, name: &CStr, entry: &Entry, old: Option<&Stat>) -> Result<()> {
        if old.is_some_and(|old| FileType::from_raw_mode(old.st_mode) != FileType::Directory) {
            remove_at(parent, name).map_err(|error| failed(entry, error))?;
            self.cached = None;
        }
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(entry, error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|error| failed(entry, error))?;
        self.dress(&dir, entry)
    }

    fn file(&mut self, parent: &OwnedFd, name: &CStr, entry: &Entry, content: &mut impl Read) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(made.map_err(|error| failed(entry, error))?);
        self.fill(&mut file, entry, content)?;
        self.dress(&file, entry)?;
        rustix::fs::futimens(&file, &times(entry.mtime)).map_err(|error| failed(entry, error))
    }

    fn overwrite(&mut self, parent: &OwnedFd, name: &CStr, entry: &Entry, content: &mut impl Read) -> Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || -> Result<File, Errno> {
            let node = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            if FileType::from_raw_mode(rustix::fs::fstat(&node)?.st_mode) != FileType::RegularFile {
                return Err(Errno::BUSY);
            }
            let path = format!("/proc/self/fd/{}", node.as_raw_fd());
            let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
            rustix::fs::open(path.as_str(), flags, Mode::empty()).map(File::from)
        };
        let mut file = open().map_err(|error| failed(entry, error))?;
        self.fill(&mut file, entry, content)
    }

    fn fill(&mut self, file: &mut File, entry: &Entry, content: &mut impl Read) -> Result<()> {
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    file.write_all(&self.buffer[..count]).map_err(|error| failed(entry, error))?;
                    self.done.bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read content of", String::from_utf8_lossy(&entry.path), error)),
            }
        }
    }

    fn hard_link(&mut self, parent: &OwnedFd, name: &CStr, entry: &Entry, target: &[u8]) -> Result<()> {
        let parts = components(target)?;
        let Some((last, dirs)) = parts.split_last() else {
            return Err(Error::entry(&entry.path, "it is a hard link to a directory"));
        };
        let from = self.open(&dirs.join(&b'/')).map_err(|error| lost(entry, error))?;
        let linked = rustix::fs::linkat(&from, &c_string(last)?, parent, name, AtFlags::empty());
        linked.map_err(|error| failed(entry, error))
    }

    /// Symlinks, fifos and harmless devices. Their name may mean something else right after they are made, so nothing here
    /// follows it, and the mode comes with the making.
    fn special(&mut self, parent: &OwnedFd, name: &CStr, entry: &Entry) -> Result<()> {
        let failed = |error: Errno| failed(entry, error);
        let mode = Mode::from_raw_mode(self.mode(entry));
        let node = |kind, device| rustix::fs::mknodat(parent, name, kind, mode, device);
        match &entry.kind {
            Kind::Symlink(target) => rustix::fs::symlinkat(target.as_slice(), parent, name),
            Kind::Fifo => node(FileType::Fifo, 0),
            Kind::CharDevice(major, minor) => node(FileType::CharacterDevice, rustix::fs::makedev(*major, *minor)),
            _ => Err(Errno::INVAL),
        }
        .map_err(failed)?;
        if let Some((uid, gid)) = self.owner(entry)? {
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        }
        rustix::fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
    }

    /// Owner, mode, then attributes: chown clears set-user-id bits and capabilities, so it comes first.
    fn dress(&mut self, fd: impl AsFd, entry: &Entry) -> Result<()> {
        let failed = |error: Errno| failed(entry, error);
        if let Some((uid, gid)) = self.owner(entry)? {
            rustix::fs::fchown(&fd, Some(uid), Some(gid)).map_err(failed)?;
        }
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(self.mode(entry))).map_err(failed)?;
        for (name, value) in &entry.xattrs {
            if !self.may_have(name) {
                continue;
            }
            match rustix::fs::fsetxattr(&fd, name.as_slice(), value, XattrFlags::empty()) {
                Err(Errno::NOTSUP) => self.done.dropped_attributes += 1,
                set => set.map_err(failed)?,
            }
        }
        Ok(())
    }

    fn mode(&self, entry: &Entry) -> u32 {
        match self.options.owner {
            Owner::Kept(_) => entry.mode & 0o7777,
            // Whoever made the archive must not get a program that runs as somebody else.
            Owner::Of(..) | Owner::Caller => entry.mode & 0o1777,
        }
    }

    fn owner(&self, entry: &Entry) -> Result<Option<(Uid, Gid)>> {
        let (uid, gid) = match &self.options.owner {
            Owner::Caller => return Ok(None),
            Owner::Of(uid, gid) => (*uid, *gid),
            Owner::Kept(ids) => ids.outside((entry.uid, entry.gid)).ok_or_else(|| {
                let reason = format!("the container has no user {} or no group {}", entry.uid, entry.gid);
                Error::entry(&entry.path, reason)
            })?,
        };
        Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid))))
    }

    fn may_have(&self, attribute: &[u8]) -> bool {
        let overlay = attribute.starts_with(b"trusted.overlay.") || attribute.starts_with(b"user.overlay.");
        !overlay && (matches!(self.options.owner, Owner::Kept(_)) || attribute.starts_with(b"user."))
    }

    fn finish(&mut self) -> Result<()> {
        for (path, mtime) in std::mem::take(&mut self.dir_times).into_iter().rev() {
            // Somebody may have taken it away already.
            if let Ok(dir) = self.open(&path) {
                let set = rustix::fs::futimens(&dir, &times(mtime));
                set.map_err(|error| Error::io("set the time of", String::from_utf8_lossy(&path), error))?;
            }
        }
        Ok(())
    }
}

fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn failed(entry: &Entry, error: impl Into<io::Error>) -> Error {
    Error::io("write", String::from_utf8_lossy(&entry.path), error)
}

/// Why an entry's directory can't be had.
fn lost(entry: &Entry, error: Errno) -> Error {
    let reason = match error {
        Errno::NOTDIR => "a parent is not a directory",
        Errno::LOOP => "a parent is a symlink",
        Errno::XDEV => "a parent leads out of the directory",
        Errno::NOENT => "what it links to is not there",
        other => return failed(entry, other),
    };
    Error::entry(&entry.path, reason)
}
