//! The files of one log: `NAME` is written to, `NAME.1` is the newest that is full, `NAME.2` the one before it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// More rotated files than anybody keeps.
const MOST_FILES: u32 = 10_000;
/// So often may a rotation come between the openings of one set.
const ATTEMPTS: u32 = 20;

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

/// Opens all files of the log at `path`, oldest first, none twice and none left out even while they are rotated. There may
/// be none.
///
/// # Errors
/// If one can't be opened.
pub fn open_all(path: &Path) -> Result<Vec<File>> {
    for _ in 0..ATTEMPTS {
        let before = FileId::at(path).map_err(Error::io("look at", path))?;
        let mut files = Vec::new();
        for number in 0..MOST_FILES {
            let name = numbered(path, number);
            match File::open(&name) {
                Ok(file) => files.push(file),
                // Right after a rotation only the current file is missing.
                Err(error) if error.kind() == ErrorKind::NotFound && number == 0 => {}
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(Error::io("open", &name)(error)),
            }
        }
        // Only if the current file is still the same one, no rotation has moved files past us.
        if FileId::at(path).map_err(Error::io("look at", path))? == before {
            files.reverse();
            return Ok(files);
        }
    }
    Err(Error::io("open", path)(io::Error::new(ErrorKind::Interrupted, "it is rotated too often to be read")))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.into();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
