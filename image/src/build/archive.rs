//! A context that comes as an archive.

use std::io::{self, Read, Write};

use super::context::{ContextEntry, ContextKind};
use crate::archive::{Decoder, Kind, Limits, TarReader};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Result};

/// A file of an archive, and where its content was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarFile {
    /// The file.
    pub entry: ContextEntry,
    /// The place of its first byte.
    pub offset: u64,
}

/// Reads an archive (plain, gzip or zstd) and writes the contents of its files to `spool`, one after the other. Devices and
/// fifos are left out: no COPY takes them.
///
/// # Errors
/// What is wrong with the archive; [`Error::Io`].
pub fn read_archive(source: impl Read, spool: &mut impl Write) -> Result<Vec<TarFile>> {
    let decoder = Decoder::detect(source).map_err(|error| Error::io("read", "the archive", error))?;
    let mut tar = TarReader::new(decoder, Limits::default());
    let mut files = Vec::new();
    let mut offset = 0;
    while let Some(entry) = tar.next_entry()? {
        let kind = match entry.kind {
            Kind::Directory => ContextKind::Directory,
            Kind::File(size) => ContextKind::File(size),
            Kind::Symlink(target) => ContextKind::Symlink(target),
            Kind::HardLink(target) => ContextKind::HardLink(target),
            Kind::Fifo | Kind::CharDevice(..) | Kind::BlockDevice(..) => continue,
        };
        let size = if let ContextKind::File(size) = kind { size } else { 0 };
        io::copy(&mut tar, spool).map_err(|error| Error::io("keep", "the archive's files", error))?;
        let (path, mode, uid, gid, mtime) = (entry.path, entry.mode, entry.uid, entry.gid, entry.mtime.0);
        files.push(TarFile { entry: ContextEntry { path, kind, mode, uid, gid, mtime }, offset });
        offset += size;
    }
    Ok(files)
}

/// The digest of all that `source` has.
///
/// # Errors
/// Why it can't be read.
pub fn hash(mut source: impl Read) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
