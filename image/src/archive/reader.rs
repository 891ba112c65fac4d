//! A streaming tar reader: ustar, GNU long names and PAX, everything bounded.
//!
//! The header blocks are decoded by the `tar` crate; the sequence of extension headers is handled here, because there
//! their size must be bounded before they are read into memory.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::pax::{Extensions, PAX_LIMIT};
use super::{Entry, Kind, Limits, PATH_LIMIT};
use crate::error::{Error, Result};

const BLOCK: usize = 512;

/// Reads entries one after the other; the content of the current one through [`Read`].
pub(crate) struct TarReader<R> {
    inner: R,
    limits: Limits,
    entries: u64,
    taken: u64,
    /// Bytes of the current entry's content that are still to come, and the padding after them.
    content_left: u64,
    padding: u64,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(inner: R, limits: Limits) -> TarReader<R> {
        TarReader { inner, limits, entries: 0, taken: 0, content_left: 0, padding: 0 }
    }

    /// Entries read so far, extension headers not counted.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of file content announced so far.
    pub(crate) fn content_bytes(&self) -> u64 {
        self.taken
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// The next entry, or `None` where the archive ends.
    ///
    /// # Errors
    /// [`Error::InvalidArchive`] or [`Error::InvalidEntry`] if it is malformed, truncated or has what isn't supported,
    /// [`Error::LimitExceeded`], [`Error::Io`].
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        let mut extension_headers = 0;
        loop {
            self.skip_content()?;
            let Some(header) = self.read_header()? else { return Ok(None) };
            let kind = header.entry_type();
            let size = header
                .entry_size()
                .map_err(|error| Error::archive(format!("a header's size is malformed: {error}")))?;
            if !is_extension(kind) {
                return self.entry(&header, size, extensions).map(Some);
            }
            extension_headers += 1;
            if extension_headers > 8 {
                return Err(Error::archive("an entry has more than 8 extension headers"));
            }
            let limit =
                if kind.is_gnu_longname() || kind.is_gnu_longlink() { PATH_LIMIT as u64 + 1 } else { PAX_LIMIT };
            let data = self.read_extension(size, limit)?;
            match kind {
                EntryType::GNULongName => extensions.path = Some(without_nul(data)),
                EntryType::GNULongLink => extensions.link = Some(without_nul(data)),
                EntryType::XHeader => extensions.add_pax(&data)?,
                // Global records are comments such as git's commit id; Docker passes over them too.
                _ => {}
            }
        }
    }

    fn entry(&mut self, header: &Header, header_size: u64, extensions: Extensions) -> Result<Entry> {
        let path = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::LimitExceeded { what: "entries", limit: self.limits.entries });
        }
        if path.len() > PATH_LIMIT {
            return Err(Error::entry(&path[..64], format!("its name is longer than {PATH_LIMIT} bytes")));
        }
        if extensions.sparse || header.entry_type() == EntryType::GNUSparse {
            return Err(Error::entry(&path, "sparse files aren't supported: make the archive without --sparse"));
        }
        let malformed = |field: &str| Error::entry(&path, format!("its {field} is malformed"));
        let size = extensions.size.unwrap_or(header_size);
        let link = || -> Result<Vec<u8>> {
            let link = extensions.link.clone().or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
            let link = link.ok_or_else(|| malformed("link target"))?;
            if link.is_empty() || link.len() > PATH_LIMIT { Err(malformed("link target")) } else { Ok(link) }
        };
        let device = || -> Result<(u32, u32)> {
            let number = |part: io::Result<Option<u32>>| part.ok().flatten().ok_or_else(|| malformed("device number"));
            Ok((number(header.device_major())?, number(header.device_minor())?))
        };
        let kind = match header.entry_type() {
            EntryType::Directory => Kind::Directory,
            // Before ustar, a directory was a file whose name ends with a slash.
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File(size),
            EntryType::Symlink => Kind::Symlink(link()?),
            EntryType::Link => Kind::HardLink(link()?),
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => device().map(|(major, minor)| Kind::CharDevice(major, minor))?,
            EntryType::Block => device().map(|(major, minor)| Kind::BlockDevice(major, minor))?,
            other => {
                return Err(Error::entry(
                    &path,
                    format!("entry type {:?} isn't supported", char::from(other.as_byte())),
                ));
            }
        };
        let id = |value: Option<u64>, field: io::Result<u64>, name: &str| -> Result<u32> {
            let value = value.map_or(field, Ok).map_err(|_| malformed(name))?;
            u32::try_from(value).map_err(|_| malformed(name))
        };
        let uid = id(extensions.uid, header.uid(), "uid")?;
        let gid = id(extensions.gid, header.gid(), "gid")?;
        let mode = header.mode().map_err(|_| malformed("mode"))? & 0o7777;
        let mtime = match extensions.mtime {
            Some(mtime) => mtime,
            None => {
                (i64::try_from(header.mtime().map_err(|_| malformed("mtime"))?).map_err(|_| malformed("mtime"))?, 0)
            }
        };
        let content = match kind {
            Kind::File(size) => size,
            // Some writers give links the size of what they point to, without content.
            Kind::HardLink(_) | Kind::Symlink(_) => 0,
            _ => size,
        };
        self.begin_content(content)?;
        Ok(Entry { path, kind, mode, uid, gid, mtime, xattrs: extensions.xattrs })
    }

    fn begin_content(&mut self, size: u64) -> Result<()> {
        self.taken = self.taken.saturating_add(size);
        if self.taken > self.limits.bytes {
            return Err(Error::LimitExceeded { what: "bytes", limit: self.limits.bytes });
        }
        self.content_left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        Ok(())
    }

    fn skip_content(&mut self) -> Result<()> {
        let count = self.content_left + self.padding;
        self.content_left = 0;
        self.padding = 0;
        if count == 0 {
            return Ok(());
        }
        let skipped = io::copy(&mut self.inner.by_ref().take(count), &mut io::sink()).map_err(read_error)?;
        if skipped < count { Err(truncated()) } else { Ok(()) }
    }

    /// A header block, or `None` at the end: two zero blocks, or simply no more bytes, as GNU tar accepts.
    fn read_header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        if !self.read_block(header.as_mut_bytes())? {
            return if self.entries == 0 { Err(Error::archive("it is empty")) } else { Ok(None) };
        }
        if header.as_bytes().iter().all(|&b| b == 0) {
            return Ok(None);
        }
        let bytes = header.as_bytes();
        let sum: u32 =
            bytes[..148].iter().chain(&bytes[156..]).map(|&b| u32::from(b)).sum::<u32>() + 8 * u32::from(b' ');
        match header.cksum() {
            Ok(expected) if expected == sum => {
                fill_blank_fields(&mut header);
                Ok(Some(header))
            }
            _ if self.entries == 0 => Err(Error::archive("it is not a tar archive")),
            _ => Err(Error::archive(format!("header checksum mismatch after {} entries: it is corrupt", self.entries))),
        }
    }

    /// Fills `block`; false if there is nothing more at all.
    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(truncated()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error)),
            }
        }
        Ok(true)
    }

    fn read_extension(&mut self, size: u64, limit: u64) -> Result<Vec<u8>> {
        if size > limit {
            return Err(Error::archive(format!("an extension header has {size} bytes, more than {limit}")));
        }
        self.begin_content(size)?;
        let mut data = vec![0; size as usize];
        self.read_exact(&mut data).map_err(read_error)?;
        Ok(data)
    }
}

impl<R: Read> Read for TarReader<R> {
    /// Reads the current entry's content; a truncated archive is an error, not an end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.content_left).unwrap_or(usize::MAX).min(buffer.len());
        if want == 0 {
            return Ok(0);
        }
        let count = match self.inner.read(&mut buffer[..want]) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(read_error(error).into()),
            read => read?,
        };
        if count == 0 {
            return Err(truncated().into());
        }
        self.content_left -= count as u64;
        Ok(count)
    }
}

/// Numeric fields that the writer left empty are 0, as GNU tar and Go's reader take them: mode, uid, gid, size, mtime.
fn fill_blank_fields(header: &mut Header) {
    for field in [100..108, 108..116, 116..124, 124..136, 136..148] {
        let field = &mut header.as_mut_bytes()[field];
        if field.iter().all(|b| matches!(b, 0 | b' ')) {
            field[0] = b'0';
        }
    }
}

fn is_extension(kind: EntryType) -> bool {
    matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader)
}

fn without_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|&b| b == 0) {
        name.truncate(end);
    }
    name
}

fn truncated() -> Error {
    Error::archive("it is truncated")
}

/// Decoders report truncated input as an unexpected end of file.
fn read_error(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => truncated(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            if error.get_ref().is_none_or(|inner| !inner.is::<Error>()) =>
        {
            Error::archive(format!("its compressed data is corrupt: {error}"))
        }
        _ => Error::io("read", "the archive", error),
    }
}
