//! One archive entry as plain data.

/// What an entry makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// With this many bytes of content.
    File(u64),
    /// To this target, which may be anything.
    Symlink(Vec<u8>),
    /// To the earlier entry of this name.
    HardLink(Vec<u8>),
    Fifo,
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
}

/// An entry's name and metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As in the archive: not yet safe to use.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since the epoch, and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Names (such as `security.capability`) and values.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Character devices that give nobody anything: null, zero, full, random, urandom, tty, console, ptmx (Linux's
/// devices.txt). Root file systems that distributions make have these.
const HARMLESS: [(u32, u32); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];

impl Kind {
    /// Whether it is a device node that an archive must not bring along: a disk's, a memory's, or 0:0, which is overlayfs's
    /// mark for what is deleted.
    pub(crate) fn is_refused_device(&self) -> bool {
        match self {
            Kind::CharDevice(major, minor) => !HARMLESS.contains(&(*major, *minor)),
            Kind::BlockDevice(..) => true,
            _ => false,
        }
    }
}
