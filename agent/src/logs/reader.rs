//! Reading a log forwards, across rotations, and on while it grows.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use model::Timestamp;

use super::files::{FileId, open_all};
use super::record::{LONGEST_LINE, Record, parse};
use super::{Query, tail};
use crate::{Error, Result};

/// Read at once.
const CHUNK: usize = 64 * 1024;

/// Whether there may be more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to read at once.
    More,
    /// All that was written has been read.
    Drained,
    /// What comes later isn't wanted.
    Done,
}

/// A place in a log.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    query: Query,
    current: Option<Position>,
    next: VecDeque<File>,
}

#[derive(Debug)]
struct Position {
    file: File,
    id: FileId,
    /// Where to read on.
    offset: u64,
    /// The beginning of the line that ends beyond `offset`.
    partial: Vec<u8>,
    /// That line is too long to be one of ours and is passed over.
    skipping: bool,
}

impl Reader {
    /// Opens the log at `path` where the records of `query` begin.
    ///
    /// # Errors
    /// If a file can't be opened or read.
    pub fn open(path: &Path, query: Query) -> Result<Self> {
        let mut files = open_all(path)?;
        let (first, offset) = match query.tail {
            Some(wanted) => tail::find(&files, &query, wanted).map_err(Error::io("read", path))?,
            None => (first_since(&files, query.since).map_err(Error::io("read", path))?, 0),
        };
        let mut next: VecDeque<File> = files.drain(..).skip(first).collect();
        let current = next.pop_front().map(|file| Position::at(file, offset)).transpose();
        let current = current.map_err(Error::io("read", path))?;
        Ok(Self { path: path.into(), query, current, next })
    }

    /// Reads some more records into `records`.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn read(&mut self, records: &mut Vec<Record>) -> Result<Progress> {
        let Some(position) = &mut self.current else { return self.move_on() };
        let mut lines = Vec::new();
        if position.read(&mut lines).map_err(Error::io("read", &self.path))? {
            return Ok(self.select(lines, records));
        }
        if !self.next.is_empty() {
            return self.enter_next();
        }
        if FileId::at(&self.path).map_err(Error::io("look at", &self.path))? == Some(position.id) {
            return Ok(Progress::Drained);
        }
        // It has been rotated away. What was written before that can be read now, and nothing comes after it.
        if position.read(&mut lines).map_err(Error::io("read", &self.path))? {
            return Ok(self.select(lines, records));
        }
        self.move_on()
    }

    /// Finds the files that are newer than the current one; if that is gone, all that are left are.
    fn move_on(&mut self) -> Result<Progress> {
        let files = open_all(&self.path)?;
        let ids =
            files.iter().map(FileId::of).collect::<io::Result<Vec<_>>>().map_err(Error::io("look at", &self.path))?;
        let known = self.current.as_ref().and_then(|position| ids.iter().position(|id| *id == position.id));
        self.next = files.into_iter().skip(known.map_or(0, |index| index + 1)).collect();
        self.enter_next()
    }

    fn enter_next(&mut self) -> Result<Progress> {
        let Some(file) = self.next.pop_front() else { return Ok(Progress::Drained) };
        self.current = Some(Position::at(file, 0).map_err(Error::io("look at", &self.path))?);
        Ok(Progress::More)
    }

    fn select(&self, lines: Vec<Record>, records: &mut Vec<Record>) -> Progress {
        for record in lines {
            if self.query.is_after(&record) {
                return Progress::Done;
            }
            if self.query.wants_stream(&record) && !self.query.is_before(&record) {
                records.push(record);
            }
        }
        Progress::More
    }
}

impl Position {
    fn at(file: File, offset: u64) -> io::Result<Self> {
        Ok(Self { id: FileId::of(&file)?, file, offset, partial: Vec::new(), skipping: false })
    }

    /// Reads what there is, up to a bound; `false` at the end of the file. Damaged lines are passed over.
    fn read(&mut self, records: &mut Vec<Record>) -> io::Result<bool> {
        self.note_truncation()?;
        let mut chunk = vec![0; CHUNK];
        let count = self.file.read_at(&mut chunk, self.offset)?;
        chunk.truncate(count);
        self.offset += count as u64;
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let Some(end) = piece.strip_suffix(b"\n") else {
                self.keep(piece);
                break;
            };
            if !self.skipping {
                let record = if self.partial.is_empty() {
                    parse(end)
                } else {
                    self.partial.extend_from_slice(end);
                    parse(&self.partial)
                };
                records.extend(record);
            }
            self.partial = Vec::new();
            self.skipping = false;
        }
        Ok(count > 0)
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.skipping || self.partial.len() + piece.len() > LONGEST_LINE {
            self.partial = Vec::new();
            self.skipping = true;
        } else {
            self.partial.extend_from_slice(piece);
        }
    }

    /// A log that keeps one file only is emptied when full; a torn line is cut off.
    fn note_truncation(&mut self) -> io::Result<()> {
        let size = self.file.metadata()?.size();
        if size >= self.offset {
            return Ok(());
        }
        let line_start = self.offset - self.partial.len() as u64;
        self.offset = if size >= line_start { line_start } else { 0 };
        self.partial = Vec::new();
        self.skipping = false;
        Ok(())
    }
}

/// The oldest file that was still written to at `since`.
fn first_since(files: &[File], since: Option<Timestamp>) -> io::Result<usize> {
    let Some(since) = since else { return Ok(0) };
    let since = UNIX_EPOCH + Duration::from_nanos(u64::try_from(since.0).unwrap_or(0));
    for (index, file) in files.iter().enumerate() {
        if file.metadata()?.modified()? >= since {
            return Ok(index);
        }
    }
    Ok(files.len())
}
