//! Where the last N lines of a log begin, found from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Query;
use super::record::{LONGEST_LINE, Record, parse};

/// Read at once.
const CHUNK: u64 = 64 * 1024;

/// Counts lines from the last to the first.
struct Count<'a> {
    query: &'a Query,
    wanted: u64,
    found: u64,
}

impl Count<'_> {
    /// Whether `record` lies before the last `wanted` lines.
    fn is_before(&mut self, record: &Record) -> bool {
        if !self.query.wants_stream(record) || self.query.is_after(record) {
            return false;
        }
        if self.query.is_before(record) {
            return true;
        }
        // A piece without a newline belongs to the line that ends after it.
        if record.line.ends_with(b"\n") || self.found == 0 {
            if self.found == self.wanted {
                return true;
            }
            self.found += 1;
        }
        false
    }
}

/// The place in `files` (oldest first) from which reading yields the last `wanted` lines that `query` wants: index of the
/// file and offset in it.
pub fn find(files: &[File], query: &Query, wanted: u64) -> io::Result<(usize, u64)> {
    let mut count = Count { query, wanted, found: 0 };
    for (index, file) in files.iter().enumerate().rev() {
        if let Some(offset) = find_in(file, &mut count)? {
            return Ok((index, offset));
        }
    }
    Ok((0, 0))
}

fn find_in(file: &File, count: &mut Count<'_>) -> io::Result<Option<u64>> {
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
        while let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') {
            let after = start + newline as u64 + 1;
            let line = bytes.split_off(newline + 1);
            bytes.pop();
            let record = if is_torn { None } else { parse(&line) };
            let stop = match record {
                Some(record) => count.is_before(&record).then(|| after + line.len() as u64 + 1),
                None if is_torn && count.wanted == 0 => Some(after),
                None => None,
            };
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
    let stops = !is_torn && parse(&pending).is_some_and(|record| count.is_before(&record));
    Ok(stops.then_some(pending.len() as u64 + 1))
}
