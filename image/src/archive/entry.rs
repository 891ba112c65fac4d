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
