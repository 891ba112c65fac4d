//! Compresses a full log file bit by bit, between the shim's other work: it has one thread, and a container's output must not
//! wait for 20 MB to be compressed.

use std::fs::{self, File, FileTimes};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

/// Compressed at once.
const STEP: usize = 128 * 1024;

/// A file that is being compressed.
pub struct Compressor {
    from: File,
    plain: PathBuf,
    partial: PathBuf,
    packed: PathBuf,
    encoder: GzEncoder<File>,
}

impl Compressor {
    /// Begins to compress `plain` into `packed`; `None` if that can't be done: the plain file stays then, and is read as well.
    pub fn open(plain: &Path, packed: &Path) -> Option<Self> {
        let from = File::open(plain).ok()?;
        let inode = from.metadata().ok()?.ino();
        let mut partial = packed.as_os_str().to_owned();
        partial.push(".tmp");
        let partial = PathBuf::from(partial);
        let into = File::options().write(true).create(true).truncate(true).mode(0o640).open(&partial).ok()?;
        // By this number a follower that has read the plain file knows the compressed one.
        let encoder = GzBuilder::new().comment(format!("inode {inode}")).write(into, Compression::fast());
        Some(Self { from, plain: plain.into(), partial, packed: packed.into(), encoder })
    }

    /// Compresses some more. Returns whether there is more to do.
    pub fn advance(&mut self) -> bool {
        match self.step() {
            Ok(more) => more,
            Err(_) => {
                // A full disk, most likely.
                let _ = fs::remove_file(&self.partial);
                false
            }
        }
    }

    fn step(&mut self) -> io::Result<bool> {
        let mut chunk = vec![0; STEP];
        let count = loop {
            match self.from.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => break done?,
            }
        };
        if count > 0 {
            self.encoder.write_all(&chunk[..count])?;
            return Ok(true);
        }
        self.encoder.try_finish()?;
        // Readers look at it to see whether anything in the file is new enough for them.
        let times = FileTimes::new().set_modified(self.from.metadata()?.modified()?);
        self.encoder.get_ref().set_times(times)?;
        // At every moment one of the two is there.
        fs::rename(&self.partial, &self.packed)?;
        fs::remove_file(&self.plain)?;
        Ok(false)
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        // There is none any more where all went well.
        let _ = fs::remove_file(&self.partial);
    }
}
