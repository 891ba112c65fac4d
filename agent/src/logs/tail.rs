//! Where the last N lines of a log begin: from its end, but for compressed files, which can only be read forwards.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Query;
use super::files::{LogFile, read_packed};
use super::line::{Decoder, LONGEST_LINE, Line};

/// Read at once.
const CHUNK: u64 = 64 * 1024;

/// Counts lines from the last to the first.
struct Count<'a> {
    query: &'a Query,
    wanted: u64,
    found: u64,
}

impl Count<'_> {
    /// Whether `line` lies before the last `wanted` lines.
    fn is_before(&mut self, line: &Line<'_>) -> bool {
        if !self.query.wants_stream(line) || self.query.is_after(line) {
            return false;
        }
        if self.query.is_before(line) {
            return true;
        }
        // A piece without a newline belongs to the line that ends after it.
        if line.text.ends_with(b"\n") || self.found == 0 {
            if self.found == self.wanted {
                return true;
            }
            self.found += 1;
        }
        false
    }
}

/// The place in `files` (oldest first) from which reading yields the last `wanted` lines that `query` wants: index of the
/// file and offset in its text.
pub fn find(files: &[LogFile], query: &Query, wanted: u64) -> io::Result<(usize, u64)> {
    let mut count = Count { query, wanted, found: 0 };
    for (index, file) in files.iter().enumerate().rev() {
        let place = match file.plain() {
            Some(plain) => find_backwards(plain, &mut count)?,
            None => find_forwards(file, &mut count)?,
        };
        if let Some(offset) = place {
            return Ok((index, offset));
        }
    }
    Ok((0, 0))
}

fn find_backwards(file: &File, count: &mut Count<'_>) -> io::Result<Option<u64>> {
    let mut decoder = Decoder::default();
    let mut start = file.metadata()?.len();
    // From `start` to the next newline that is known: a line whose beginning isn't read yet. What follows the last newline
    // of the file is a torn line.
    let mut pending = Vec::new();
    let mut is_torn = true;
    while start > 0 {
        let length = start.min(CHUNK);
        start -= length;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, start)?;
        bytes.append(&mut pending);
        while let Some(newline) = memchr::memrchr(b'\n', &bytes) {
            let after = start + newline as u64 + 1;
            let line = &bytes[newline + 1..];
            let end = after + line.len() as u64 + 1;
            let decoded = if is_torn { None } else { decoder.decode(line) };
            let stop = match decoded {
                Some(line) => count.is_before(&line).then_some(end),
                None if is_torn && count.wanted == 0 => Some(after),
                None => None,
            };
            bytes.truncate(newline);
            is_torn = false;
            if stop.is_some() {
                return Ok(stop);
            }
        }
        pending = bytes;
        // Too long to be one of ours; its rest won't be taken for a line either.
        if pending.len() > LONGEST_LINE {
            pending.clear();
        }
    }
    let length = pending.len() as u64 + 1;
    let stops = !is_torn && decoder.decode(&pending).is_some_and(|line| count.is_before(&line));
    Ok(stops.then_some(length))
}

/// What of a compressed file's text is wanted, as far as it is read.
struct Ahead {
    /// Where each of its last wanted lines begins.
    lines: VecDeque<u64>,
    /// Where the line began that has no newline yet.
    unfinished: Option<u64>,
    /// The end of what is older than the query's time.
    too_old: Option<u64>,
}

fn find_forwards(file: &LogFile, count: &mut Count<'_>) -> io::Result<Option<u64>> {
    let wanted = count.wanted - count.found;
    let mut ahead = Ahead { lines: VecDeque::new(), unfinished: None, too_old: None };
    let end = each_line(file, |line, start, end| {
        if !count.query.wants_stream(line) || count.query.is_after(line) {
            return;
        }
        if count.query.is_before(line) {
            ahead = Ahead { lines: VecDeque::new(), unfinished: None, too_old: Some(end) };
            return;
        }
        let begin = *ahead.unfinished.get_or_insert(start);
        if line.text.ends_with(b"\n") {
            ahead.unfinished = None;
            ahead.lines.push_back(begin);
            if ahead.lines.len() as u64 > wanted {
                ahead.lines.pop_front();
            }
        }
    })?;
    // The rest of the line may be in the next file, where it was counted.
    if let Some(begin) = ahead.unfinished.filter(|_| count.found == 0 && wanted > 0) {
        ahead.lines.push_back(begin);
        if ahead.lines.len() as u64 > wanted {
            ahead.lines.pop_front();
        }
    }
    count.found += ahead.lines.len() as u64;
    if count.found < count.wanted {
        return Ok(ahead.too_old);
    }
    // With the lines already found in newer files, one that continues there counts from here.
    let unfinished = ahead.unfinished.filter(|_| count.wanted > 0);
    Ok(Some(ahead.lines.front().copied().or(unfinished).unwrap_or(end)))
}

/// Hands every line of a compressed file over, with where it begins and ends; where the text ends.
fn each_line(file: &LogFile, mut take: impl FnMut(&Line<'_>, u64, u64)) -> io::Result<u64> {
    let mut unpacked = file.unpacked()?;
    let mut decoder = Decoder::default();
    let mut buffer = Vec::new();
    let (mut kept, mut base) = (0, 0u64);
    loop {
        buffer.resize(kept + CHUNK as usize, 0);
        let count = read_packed(&mut unpacked, &mut buffer[kept..])?;
        if count == 0 {
            return Ok(base + kept as u64);
        }
        let filled = kept + count;
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &buffer[..filled]) {
            if let Some(line) = decoder.decode(&buffer[start..newline]) {
                take(&line, base + start as u64, base + newline as u64 + 1);
            }
            start = newline + 1;
        }
        if filled - start > LONGEST_LINE {
            start = filled;
        }
        buffer.copy_within(start..filled, 0);
        kept = filled - start;
        base += start as u64;
    }
}
