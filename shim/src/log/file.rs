//! The log file: batches of whole lines, rotated, never torn. When the disk is full lines are counted and dropped; the
//! container goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use model::shim::LogConfig;

use super::compress::Compressor;
use crate::error::{Result, ShimError};

/// Longer than any encoded line (16 KiB of which each byte becomes six, and attributes).
const LONGEST_LINE: u64 = 256 * 1024;

/// A log on disk.
pub struct LogFile {
    file: Option<File>,
    path: PathBuf,
    size: u64,
    max_size: u64,
    max_files: u32,
    compress: bool,
    compressor: Option<Compressor>,
    lost: u64,
}

impl LogFile {
    /// Opens the files of `config`.
    ///
    /// # Errors
    /// If the current one can't be opened.
    pub fn open(config: &LogConfig) -> Result<Self> {
        let (file, size) = open(&config.path).map_err(ShimError::io("open log", &config.path))?;
        let mut log = Self {
            file: Some(file),
            path: config.path.clone(),
            size,
            max_size: config.max_size,
            max_files: config.max_files,
            compress: config.compress && config.max_files > 1,
            compressor: None,
            lost: 0,
        };
        // What a predecessor had no time for.
        log.begin_compression();
        Ok(log)
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
        // One file is compressed at a time, as in Docker.
        while self.is_compressing() {
            self.compress_some();
        }
        if self.max_files < 2 {
            // A follower reads on in what it has open; a new file costs it nothing.
            if fs::remove_file(&self.path).is_ok() {
                (self.file, self.size) = (None, 0);
            }
            return;
        }
        for ending in ["", ".gz"] {
            // Of a greater number of files, that an earlier run may have kept, none is overwritten by a rename.
            let _ = fs::remove_file(numbered(&self.path, self.max_files - 1, ending));
        }
        for number in (1..self.max_files - 1).rev() {
            for ending in ["", ".gz"] {
                // Fewer files than allowed exist at first, and each has one of the two names.
                let _ = fs::rename(numbered(&self.path, number, ending), numbered(&self.path, number + 1, ending));
            }
        }
        if fs::rename(&self.path, numbered(&self.path, 1, "")).is_ok() {
            (self.file, self.size) = (None, 0);
            self.begin_compression();
        }
    }

    fn begin_compression(&mut self) {
        if self.compress {
            self.compressor = Compressor::open(&numbered(&self.path, 1, ""), &numbered(&self.path, 1, ".gz"));
        }
    }

    /// Whether a full file is being compressed.
    pub fn is_compressing(&self) -> bool {
        self.compressor.is_some()
    }

    /// Compresses some more of it.
    pub fn compress_some(&mut self) {
        if self.compressor.as_mut().is_some_and(|compressor| !compressor.advance()) {
            self.compressor = None;
        }
    }
}

/// The name of a full file; the newest has the number 1.
fn numbered(path: &Path, number: u32, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{ending}"));
    name.into()
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

    fn log(dir: &Path, max_size: u64, max_files: u32) -> LogFile {
        let config = LogConfig { max_size, max_files, ..LogConfig::plain(dir.join("c.log")) };
        LogFile::open(&config).unwrap()
    }

    fn unpack(path: &Path) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn full_files_are_compressed_bit_by_bit_and_what_is_left_by_the_next_shim() {
        let dir = tempfile::tempdir().unwrap();
        let config =
            LogConfig { max_size: 10, max_files: 3, compress: true, ..LogConfig::plain(dir.path().join("c.log")) };
        let mut log = LogFile::open(&config).unwrap();
        for number in 0..6 {
            log.write(format!("line{number}\n").as_bytes());
        }
        assert!(log.is_compressing() && dir.path().join("c.log.1").exists());
        drop(log);
        let mut log = LogFile::open(&config).unwrap();
        while log.is_compressing() {
            log.compress_some();
        }
        let names = || {
            let entries =
                fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = entries.collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["c.log", "c.log.1.gz", "c.log.2.gz"]);
        assert_eq!(
            unpack(&dir.path().join("c.log.2.gz")) + &unpack(&dir.path().join("c.log.1.gz")),
            "line0\nline1\nline2\nline3\n"
        );
        log.write(b"line6\nline7\nline8\n");
        drop(log);
        assert_eq!(unpack(&dir.path().join("c.log.2.gz")), "line4\nline5\n");
    }

    #[test]
    fn a_single_file_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 10, 1);
        log.write(b"aaaa\nbbbb\n");
        let mut follower = File::open(dir.path().join("c.log")).unwrap();
        log.write(b"cccc\n");
        let mut text = String::new();
        follower.read_to_string(&mut text).unwrap();
        assert_eq!(text, "aaaa\nbbbb\n");
        assert_eq!(fs::read_to_string(dir.path().join("c.log")).unwrap(), "cccc\n");
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
