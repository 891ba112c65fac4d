//! The files of one log: `NAME` is written to, `NAME.1` is the newest that is full, `NAME.2` the one before it. Full ones may
//! be compressed: `NAME.2.gz`.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

/// More rotated files than anybody keeps.
const MOST_FILES: u32 = 10_000;
/// So often may a rotation come between the openings of one set.
const ATTEMPTS: u32 = 100;

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Of an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    /// Of the file that has this name now; `None` if there is none.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self { device: metadata.dev(), inode: metadata.ino() })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// An open file of a log.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    /// Which it is.
    pub id: FileId,
    is_packed: bool,
}

impl LogFile {
    fn open(path: &Path, is_packed: bool) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { id: FileId::of(&file)?, file, is_packed })
    }

    /// Whether this is the file that somebody holds open as `held`, or what was compressed from it. As a number may be used
    /// again once a file is gone, the newest file of which this is true is meant.
    pub fn is(&mut self, held: FileId) -> bool {
        self.id == held || self.is_packed && self.id.device == held.device && self.origin() == Some(held.inode)
    }

    /// The inode of what was compressed, which the shim notes in the header.
    fn origin(&mut self) -> Option<u64> {
        let comment = flate2::bufread::GzDecoder::new(BufReader::new(&self.file)).header()?.comment()?.to_vec();
        self.file.rewind().ok()?;
        std::str::from_utf8(&comment).ok()?.strip_prefix("inode ")?.parse().ok()
    }

    /// When it was last written to.
    pub fn modified(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    /// The plain file, which can be read from its end; `None` if it is compressed.
    pub fn plain(&self) -> Option<&File> {
        (!self.is_packed).then_some(&self.file)
    }

    /// Its text from `offset` on.
    pub fn source(self, offset: u64) -> io::Result<Source> {
        if !self.is_packed {
            return Ok(Source::Plain { file: self.file, offset });
        }
        let mut source = Source::Packed(self.unpacked()?);
        let mut buffer = vec![0; 64 * 1024];
        let mut left = offset;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match source.read(&mut buffer[..wanted])? {
                0 => break,
                count => left -= count as u64,
            }
        }
        Ok(source)
    }

    /// Its text, uncompressed from the beginning.
    pub fn unpacked(&self) -> io::Result<Unpacked> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(Box::new(MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, file))))
    }
}

/// A compressed file that is being read.
pub type Unpacked = Box<MultiGzDecoder<BufReader<File>>>;

/// The text of a file.
#[derive(Debug)]
pub enum Source {
    /// As it is on disk; it may grow, or be emptied.
    Plain {
        /// The file.
        file: File,
        /// Where to read on.
        offset: u64,
    },
    /// Compressed; it doesn't change any more.
    Packed(Unpacked),
}

impl Source {
    /// Reads what comes next; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain { file, offset } => {
                let count = file.read_at(buffer, *offset)?;
                *offset += count as u64;
                Ok(count)
            }
            Self::Packed(unpacked) => read_packed(unpacked, buffer),
        }
    }
}

/// Reads from a compressed file; what is damaged counts as its end.
pub fn read_packed(unpacked: &mut Unpacked, buffer: &mut [u8]) -> io::Result<usize> {
    match unpacked.read(buffer) {
        Err(error)
            if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            Ok(0)
        }
        done => done,
    }
}

/// Opens all files of the log at `path`, oldest first, none twice and none left out even while they are rotated. There may
/// be none.
///
/// # Errors
/// If one can't be opened.
pub fn open_all(path: &Path) -> Result<Vec<LogFile>> {
    let mut last: Option<Vec<FileId>> = None;
    for _ in 0..ATTEMPTS {
        let mut files = open_once(path)?;
        let ids: Vec<FileId> = files.iter().map(|file| file.id).collect();
        // Seen twice, nothing has moved past us meanwhile.
        if last.as_ref() == Some(&ids) {
            files.reverse();
            return Ok(files);
        }
        last = Some(ids);
    }
    Err(Error::io("open", path)(io::Error::new(ErrorKind::Interrupted, "it is rotated too often to be read")))
}

/// The newest first. During a rotation one number is missing: the one whose file has just been given the next.
fn open_once(path: &Path) -> Result<Vec<LogFile>> {
    let mut files = Vec::new();
    let mut missing = 0;
    for number in 0..MOST_FILES {
        match open_numbered(path, number)? {
            Some(file) => {
                files.push(file);
                missing = 0;
            }
            None if missing == 1 => break,
            None => missing = 1,
        }
    }
    Ok(files)
}

fn open_numbered(path: &Path, number: u32) -> Result<Option<LogFile>> {
    let plain = numbered(path, number, "");
    match LogFile::open(&plain, false) {
        Ok(file) => return Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("open", &plain)(error)),
    }
    if number == 0 {
        return Ok(None);
    }
    // The compressed file has its name before the plain one goes.
    let packed = numbered(path, number, ".gz");
    match LogFile::open(&packed, true) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", &packed)(error)),
    }
}

fn numbered(path: &Path, number: u32, ending: &str) -> PathBuf {
    if number == 0 {
        return path.into();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{ending}"));
    name.into()
}
