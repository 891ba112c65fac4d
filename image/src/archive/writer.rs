//! Writing archives: ustar headers, and PAX records for what those cannot hold.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use super::pax::{PAX_LIMIT, XATTR_PREFIX};
use super::{Entry, Kind};
use crate::error::{Error, Result};

const BLOCK: u64 = 512;
/// What the ustar header's fields hold: name and link target, ids, size.
const NAME_LIMIT: usize = 100;
const ID_LIMIT: u64 = 0o777_7777;
const SIZE_LIMIT: u64 = 0o777_7777_7777;
const COPY_BUFFER: usize = 128 << 10;

/// Writes entries one after the other.
pub(crate) struct TarWriter<W> {
    out: W,
    buffer: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W) -> TarWriter<W> {
        TarWriter { out, buffer: vec![0; COPY_BUFFER] }
    }

    /// Writes an entry's headers; the content of a file must follow through [`TarWriter::content`].
    ///
    /// # Errors
    /// [`Error::InvalidEntry`] if it has more attributes than a reader takes, [`Error::Io`].
    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<()> {
        let records = records(entry);
        if records.len() as u64 > PAX_LIMIT {
            return Err(Error::entry(&entry.path, "it has more than 1 MiB of extended attributes"));
        }
        if !records.is_empty() {
            let mut header = blank(EntryType::XHeader, b"PaxHeaders/entry");
            header.set_size(records.len() as u64);
            header.set_mode(0o644);
            self.header(&mut header, &entry.path)?;
            self.write(&records, &entry.path)?;
            self.pad(records.len() as u64, &entry.path)?;
        }
        let mut header = main_header(entry)?;
        self.header(&mut header, &entry.path)
    }

    /// Copies exactly `size` bytes of the entry's content. A file that has become shorter since its size was read is filled
    /// with zeros, as the header cannot be taken back; one that has become longer is cut.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn content(&mut self, path: &[u8], source: &mut impl Read, size: u64) -> Result<()> {
        let mut left = size;
        let mut ended = false;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = if ended { Ok(want) } else { source.read(&mut self.buffer[..want]) };
            let count = match read {
                Ok(0) => {
                    ended = true;
                    self.buffer.fill(0);
                    continue;
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", String::from_utf8_lossy(path), error)),
            };
            self.out.write_all(&self.buffer[..count]).map_err(|error| write_failed(path, error))?;
            left -= count as u64;
        }
        self.pad(size, path)
    }

    /// Ends the archive and returns what it was written to.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn finish(mut self) -> Result<W> {
        self.write(&[0; 2 * BLOCK as usize], b"the archive's end")?;
        self.out.flush().map_err(|error| write_failed(b"the archive's end", error))?;
        Ok(self.out)
    }

    fn header(&mut self, header: &mut Header, path: &[u8]) -> Result<()> {
        header.set_cksum();
        self.write(header.as_bytes(), path)
    }

    fn pad(&mut self, size: u64, path: &[u8]) -> Result<()> {
        let padding = (BLOCK - size % BLOCK) % BLOCK;
        self.write(&[0; BLOCK as usize][..padding as usize], path)
    }

    fn write(&mut self, bytes: &[u8], path: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(|error| write_failed(path, error))
    }
}

fn write_failed(path: &[u8], error: io::Error) -> Error {
    Error::io("write the archive at", String::from_utf8_lossy(path), error)
}

fn blank(kind: EntryType, name: &[u8]) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    put(&mut header.as_old_mut().name, name);
    header
}

/// As much of `value` as fits.
fn put(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

fn main_header(entry: &Entry) -> Result<Header> {
    let (kind, size, link) = match &entry.kind {
        Kind::Directory => (EntryType::Directory, 0, None),
        Kind::File(size) => (EntryType::Regular, *size, None),
        Kind::Symlink(target) => (EntryType::Symlink, 0, Some(target)),
        Kind::HardLink(target) => (EntryType::Link, 0, Some(target)),
        Kind::Fifo => (EntryType::Fifo, 0, None),
        Kind::CharDevice(..) => (EntryType::Char, 0, None),
        Kind::BlockDevice(..) => (EntryType::Block, 0, None),
    };
    let mut header = blank(kind, &entry.path);
    header.set_size(size.min(SIZE_LIMIT));
    header.set_mode(entry.mode & 0o7777);
    header.set_uid(u64::from(entry.uid).min(ID_LIMIT));
    header.set_gid(u64::from(entry.gid).min(ID_LIMIT));
    header.set_mtime(u64::try_from(entry.mtime.0).unwrap_or(0).min(SIZE_LIMIT));
    if let Some(target) = link {
        put(&mut header.as_old_mut().linkname, target);
    }
    if let Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) = entry.kind {
        let set = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
        set.map_err(|error| Error::entry(&entry.path, error))?;
    }
    Ok(header)
}

/// The PAX records of what doesn't fit the header.
fn records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    if entry.path.len() > NAME_LIMIT {
        record(&mut records, b"path", &entry.path);
    }
    match &entry.kind {
        Kind::Symlink(target) | Kind::HardLink(target) if target.len() > NAME_LIMIT => {
            record(&mut records, b"linkpath", target);
        }
        Kind::File(size) if *size > SIZE_LIMIT => record(&mut records, b"size", size.to_string().as_bytes()),
        _ => {}
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if u64::from(id) > ID_LIMIT {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    if entry.mtime.0 < 0 || entry.mtime.0.unsigned_abs() > SIZE_LIMIT {
        record(&mut records, b"mtime", entry.mtime.0.to_string().as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[XATTR_PREFIX, name.as_slice()].concat(), value);
    }
    records
}

/// Adds `"%d %s=%s\n"`, whose number counts its own digits too.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let payload = key.len() + value.len() + 3;
    let mut length = payload + payload.to_string().len();
    length = payload + length.to_string().len();
    records.extend(format!("{length} ").into_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Limits, TarReader};

    fn entry(path: &[u8], kind: Kind) -> Entry {
        Entry { path: path.to_vec(), kind, mode: 0o4755, uid: 1000, gid: 1000, mtime: (7, 0), xattrs: Vec::new() }
    }

    #[test]
    fn what_is_written_is_read() {
        let long = [b"directory/".repeat(20), b"name".to_vec()].concat();
        let mut entries = vec![
            entry(b"dir/", Kind::Directory),
            entry(b"dir/file", Kind::File(5)),
            entry(&long, Kind::File(0)),
            entry(b"link", Kind::Symlink(long.clone())),
            entry(b"same", Kind::HardLink(b"dir/file".to_vec())),
            entry(b"null", Kind::CharDevice(1, 3)),
            entry(b"pipe", Kind::Fifo),
        ];
        entries[1].xattrs = vec![(b"user.x".to_vec(), b"a\0=\n".to_vec())];
        entries[2].uid = 4_000_000_000;
        entries[2].mtime = (-5, 0);
        let mut writer = TarWriter::new(Vec::new());
        for entry in &entries {
            writer.entry(entry).unwrap();
            if let Kind::File(size) = entry.kind {
                // Shorter than announced: filled with zeros.
                writer.content(&entry.path, &mut &b"abc"[..], size).unwrap();
            }
        }
        let bytes = writer.finish().unwrap();
        let mut reader = TarReader::new(bytes.as_slice(), Limits::default());
        for expected in &entries {
            let found = reader.next_entry().unwrap().unwrap();
            assert_eq!(&found, expected);
            if expected.kind == Kind::File(5) {
                let mut content = Vec::new();
                reader.read_to_end(&mut content).unwrap();
                assert_eq!(content, b"abc\0\0");
            }
        }
        assert!(reader.next_entry().unwrap().is_none());
    }
}
