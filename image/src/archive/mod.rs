//! Reading archives that may be hostile: compression found by its magic, tar entries with bounds on everything. And
//! writing them.

mod compression;
mod entry;
mod pax;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::io::{self, Read};

use tar::{EntryType, Header};

pub(crate) use compression::{Compression, Decoder};
pub(crate) use entry::{Entry, Kind};
pub(crate) use reader::TarReader;
pub(crate) use writer::TarWriter;

use crate::error::Error;

/// How much of an archive is taken before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one archive.
    pub entries: u64,
    /// Bytes of one archive, uncompressed: this also bounds decompression bombs.
    pub bytes: u64,
}

impl Default for Limits {
    /// A million entries, 64 GiB.
    fn default() -> Limits {
        Limits { entries: 1_000_000, bytes: 64 << 30 }
    }
}

/// The longest path or link target: Linux's PATH_MAX.
pub(crate) const PATH_LIMIT: usize = 4096;
/// The deepest path, in components: deeper trees cost a descriptor a level to walk and remove.
pub(crate) const DEPTH_LIMIT: usize = 256;

/// Real layers are compressed less than this; only the zeros of a bomb are compressed more.
const RATIO: u64 = 200;
/// So much is taken however small it was compressed.
const FREE: u64 = 1 << 30;

/// How many bytes may come of `compressed` ones.
pub(crate) fn most_uncompressed(compressed: u64) -> u64 {
    compressed.saturating_mul(RATIO).max(FREE)
}

/// Passes through at most `limit` bytes, then fails with [`Error::LimitExceeded`].
pub(crate) struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
    what: &'static str,
}

impl<R: Read> Limited<R> {
    pub(crate) fn new(inner: R, limit: u64, what: &'static str) -> Limited<R> {
        Limited { inner, left: limit, limit, what }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left =
            self.left.checked_sub(count as u64).ok_or(Error::LimitExceeded { what: self.what, limit: self.limit })?;
        Ok(count)
    }
}

/// The header of an entry that says nothing of who made it, or when.
pub(crate) fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
