//! The log file: batches of whole lines, rotated, never torn. When the disk is full lines are counted and dropped; the
//! container goes on.

mod lines;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use model::shim::{LogConfig, LogDriver};

use crate::error::{Result, ShimError};

pub use lines::{Lines, Stream, write_line};

/// Longer than any encoded line (16 KiB of which each byte becomes six).
const LONGEST_LINE: u64 = 128 * 1024;

/// A container's log.
pub struct Log {
    file: Option<File>,
    path: PathBuf,
    size: u64,
    max_size: u64,
    max_files: u32,
    lost: u64,
}

impl Log {
    /// Opens the log of `config`; `None` if nothing is to be kept.
    ///
    /// # Errors
    /// If the file can't be opened.
    pub fn open(config: &LogConfig) -> Result<Option<Self>> {
        match config.driver {
            LogDriver::None => return Ok(None),
            LogDriver::JsonFile | LogDriver::Local => {}
        }
        let (file, size) = open(&config.path).map_err(ShimError::io("open log", &config.path))?;
        Ok(Some(Self {
            file: Some(file),
            path: config.path.clone(),
            size,
            max_size: config.max_size,
            max_files: config.max_files,
            lost: 0,
        }))
    }

    /// Lines dropped so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes `batch`, a sequence of whole encoded lines, with as few writes as rotation allows.
    pub fn write(&mut self, mut batch: &[u8]) {
        while !batch.is_empty() {
            if self.max_size > 0 && self.size >= self.max_size {
                self.rotate();
            }
            let (now, later) = batch.split_at(self.room(batch));
            self.write_slice(now);
            batch = later;
        }
    }

    /// How much of `batch` goes into the current file: all lines that fit, but at least one.
    fn room(&self, batch: &[u8]) -> usize {
        let room = usize::try_from(self.max_size.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if self.max_size == 0 || batch.len() <= room {
            return batch.len();
        }
        let fits = batch[..room].iter().rposition(|byte| *byte == b'\n');
        fits.or_else(|| batch.iter().position(|byte| *byte == b'\n')).map_or(batch.len(), |end| end + 1)
    }

    fn write_slice(&mut self, lines: &[u8]) {
        if self.file.is_none() {
            // After a rotation on a full disk; there may be space again.
            if let Ok((file, size)) = open(&self.path) {
                (self.file, self.size) = (Some(file), size);
            }
        }
        let Some(file) = &mut self.file else {
            self.lost += count_lines(lines);
            return;
        };
        let mut written = 0;
        while written < lines.len() {
            match file.write(&lines[written..]) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let whole = if written == lines.len() {
            written
        } else {
            let whole = lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            // Takes back the torn line. If even that fails, the next opening does it.
            let _ = file.set_len(self.size + whole as u64);
            self.lost += count_lines(&lines[whole..]);
            whole
        };
        self.size += whole as u64;
    }

    fn rotate(&mut self) {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.max_files < 2 {
            if let Some(file) = &self.file
                && file.set_len(0).is_ok()
            {
                self.size = 0;
            }
            return;
        }
        for number in (1..self.max_files - 1).rev() {
            // Fewer files than allowed exist at first.
            let _ = fs::rename(numbered(number), numbered(number + 1));
        }
        if fs::rename(&self.path, numbered(1)).is_ok() {
            self.file = None;
            self.size = 0;
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Opens a log for appending, without the torn line that a predecessor's death may have left.
fn open(path: &Path) -> io::Result<(File, u64)> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        let from = size.saturating_sub(LONGEST_LINE);
        file.seek(SeekFrom::Start(size - 1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.seek(SeekFrom::Start(from))?;
            let mut tail = Vec::new();
            (&mut file).take(LONGEST_LINE).read_to_end(&mut tail)?;
            size = tail.iter().rposition(|byte| *byte == b'\n').map_or(from, |end| from + end as u64 + 1);
            file.set_len(size)?;
        }
    }
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path, max_size: u64, max_files: u32) -> Log {
        let path = dir.join("c.log");
        Log::open(&LogConfig { driver: LogDriver::JsonFile, path, max_size, max_files }).unwrap().unwrap()
    }

    #[test]
    fn rotation_keeps_whole_lines_and_the_newest_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 10, 3);
        for number in 0..9 {
            log.write(format!("line{number}\n").as_bytes());
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        assert_eq!(read("c.log.2") + &read("c.log.1") + &read("c.log"), "line4\nline5\nline6\nline7\nline8\n");
        assert!(!dir.path().join("c.log.3").exists());
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn a_batch_is_cut_at_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 10, 2);
        log.write(b"aaaa\nbbbb\ncccc\n");
        assert_eq!(fs::read_to_string(dir.path().join("c.log.1")).unwrap(), "aaaa\nbbbb\n");
        assert_eq!(fs::read_to_string(dir.path().join("c.log")).unwrap(), "cccc\n");
    }

    #[test]
    fn a_torn_last_line_is_removed_on_opening() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("c.log"), "whole\ntor").unwrap();
        let mut log = log(dir.path(), 0, 0);
        log.write(b"next\n");
        assert_eq!(fs::read_to_string(dir.path().join("c.log")).unwrap(), "whole\nnext\n");
    }
}
