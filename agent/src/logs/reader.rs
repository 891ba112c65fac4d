//! Reading a log forwards, across rotations, and on while it grows.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use memchr::{memchr_iter, memrchr};
use model::Timestamp;

use super::collect::Collect;
use super::files::{FileId, LogFile, Source, open_all};
use super::line::{Decoder, LONGEST_LINE, Line};
use super::{Query, tail};
use crate::{Error, Result};

/// Read at once.
const CHUNK: usize = 256 * 1024;
/// A file's time of change comes from a coarser clock than its lines' times, and may be a little behind them.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

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
    next: VecDeque<LogFile>,
    decoder: Decoder,
}

#[derive(Debug)]
struct Position {
    source: Source,
    id: FileId,
    /// What was read; its first `partial` bytes are the beginning of a line that isn't read to its end.
    buffer: Vec<u8>,
    partial: usize,
    /// That line is too long to be one of ours and is passed over.
    skipping: bool,
}

/// What one reading of a file gave.
enum Step {
    /// Lines, maybe.
    Read,
    /// The file's end.
    End,
    /// A line after which nothing is wanted.
    Stop,
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
        let mut next: VecDeque<LogFile> = files.drain(..).skip(first).collect();
        let current = next.pop_front().map(|file| Position::at(file, offset)).transpose();
        let current = current.map_err(Error::io("read", path))?;
        Ok(Self { path: path.into(), query, current, next, decoder: Decoder::default() })
    }

    /// Reads some more lines into `out`.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn read(&mut self, out: &mut impl Collect) -> Result<Progress> {
        if let Some(progress) = self.read_current(out)? {
            return Ok(progress);
        }
        if !self.next.is_empty() {
            return self.enter_next();
        }
        let Some(id) = self.current.as_ref().map(|position| position.id) else { return self.move_on() };
        if FileId::at(&self.path).map_err(Error::io("look at", &self.path))? == Some(id) {
            return Ok(Progress::Drained);
        }
        // It has been rotated away. What was written before that can be read now, and nothing comes after it.
        match self.read_current(out)? {
            Some(progress) => Ok(progress),
            None => self.move_on(),
        }
    }

    /// `None` at the end of the current file.
    fn read_current(&mut self, out: &mut impl Collect) -> Result<Option<Progress>> {
        let Some(position) = &mut self.current else { return Ok(None) };
        let query = &self.query;
        let step = position.read(&mut self.decoder, &mut |line| {
            if query.is_after(&line) {
                return ControlFlow::Break(());
            }
            if query.wants_stream(&line) && !query.is_before(&line) {
                out.push(line);
            }
            ControlFlow::Continue(())
        });
        Ok(match step.map_err(Error::io("read", &self.path))? {
            Step::Read => Some(Progress::More),
            Step::Stop => Some(Progress::Done),
            Step::End => None,
        })
    }

    /// Finds the files that are newer than the current one; if that is gone, all that are left are.
    fn move_on(&mut self) -> Result<Progress> {
        let mut files = open_all(&self.path)?;
        let known = self.current.as_ref().and_then(|position| files.iter_mut().rposition(|file| file.is(position.id)));
        self.next = files.into_iter().skip(known.map_or(0, |index| index + 1)).collect();
        self.enter_next()
    }

    fn enter_next(&mut self) -> Result<Progress> {
        let Some(file) = self.next.pop_front() else { return Ok(Progress::Drained) };
        self.current = Some(Position::at(file, 0).map_err(Error::io("look at", &self.path))?);
        Ok(Progress::More)
    }
}

impl Position {
    fn at(file: LogFile, offset: u64) -> io::Result<Self> {
        Ok(Self { id: file.id, source: file.source(offset)?, buffer: Vec::new(), partial: 0, skipping: false })
    }

    /// Reads what there is, up to a bound. Damaged lines are passed over.
    fn read(&mut self, decoder: &mut Decoder, take: &mut impl FnMut(Line<'_>) -> ControlFlow<()>) -> io::Result<Step> {
        self.note_truncation()?;
        self.buffer.resize(self.partial + CHUNK, 0);
        let count = self.source.read(&mut self.buffer[self.partial..])?;
        let filled = self.partial + count;
        if count == 0 {
            // A follower that waits shall hold little.
            self.buffer.truncate(self.partial);
            self.buffer.shrink_to_fit();
            return Ok(Step::End);
        }
        let mut start = 0;
        if let Some(last) = memrchr(b'\n', &self.buffer[self.partial..filled]) {
            let complete = &self.buffer[..=self.partial + last];
            for newline in memchr_iter(b'\n', complete) {
                let line = &complete[start..newline];
                start = newline + 1;
                if !std::mem::take(&mut self.skipping)
                    && let Some(line) = decoder.decode(line)
                    && take(line).is_break()
                {
                    return Ok(Step::Stop);
                }
            }
        }
        self.keep(start, filled);
        Ok(Step::Read)
    }

    /// Keeps the beginning of a line that isn't read to its end.
    fn keep(&mut self, start: usize, filled: usize) {
        self.partial = filled - start;
        if self.skipping || self.partial > LONGEST_LINE {
            (self.partial, self.skipping) = (0, true);
        }
        self.buffer.copy_within(start..start + self.partial, 0);
    }

    /// A log that keeps one file only may be emptied when full; a torn line is cut off.
    fn note_truncation(&mut self) -> io::Result<()> {
        let Source::Plain { file, offset } = &mut self.source else { return Ok(()) };
        let size = file.metadata()?.size();
        if size >= *offset {
            return Ok(());
        }
        let line_start = *offset - self.partial as u64;
        *offset = if size >= line_start { line_start } else { 0 };
        (self.partial, self.skipping) = (0, false);
        Ok(())
    }
}

/// The oldest file that was still written to at `since`.
fn first_since(files: &[LogFile], since: Option<Timestamp>) -> io::Result<usize> {
    let Some(since) = since else { return Ok(0) };
    let since = UNIX_EPOCH + Duration::from_nanos(u64::try_from(since.0).unwrap_or(0));
    for (index, file) in files.iter().enumerate() {
        if file.modified()? + CLOCK_SLACK >= since {
            return Ok(index);
        }
    }
    Ok(files.len())
}
