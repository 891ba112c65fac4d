//! What becomes of the lines that are read: records one by one, or text ready to be shown. Pure.

use std::collections::BTreeMap;

use model::Timestamp;

use super::line::Line;

/// Bytes of text that are handed over at once, about.
const TEXT: usize = 256 * 1024;
/// Records that are handed over at once, about.
const RECORDS: usize = 512;

/// Takes lines, and gives them away in batches.
pub trait Collect: Send + 'static {
    /// What is given away.
    type Batch: Send + 'static;
    /// Takes one line.
    fn push(&mut self, line: Line<'_>);
    /// Whether the batch should go before more is read.
    fn is_full(&self) -> bool;
    /// The batch; `None` if it is empty.
    fn take(&mut self) -> Option<Self::Batch>;
}

/// A piece of output: a line, or a piece of one that was too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was written.
    pub at: Timestamp,
    /// Whether it came from standard error.
    pub stderr: bool,
    /// With its newline, if it has one.
    pub line: Vec<u8>,
}

/// Collects records.
#[derive(Debug, Default)]
pub struct Records(Vec<Record>);

impl Collect for Records {
    type Batch = Vec<Record>;

    fn push(&mut self, line: Line<'_>) {
        self.0.push(Record { at: line.at, stderr: line.stderr, line: line.text.to_vec() });
    }

    fn is_full(&self) -> bool {
        self.0.len() >= RECORDS
    }

    fn take(&mut self) -> Option<Vec<Record>> {
        Some(std::mem::take(&mut self.0)).filter(|records| !records.is_empty())
    }
}

/// Consecutive output of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Whether it came from standard error.
    pub stderr: bool,
    /// Lines, with their newlines.
    pub text: Vec<u8>,
}

/// Collects text, with what is to stand before each line.
#[derive(Debug, Default)]
pub struct Text {
    timestamps: bool,
    details: bool,
    runs: Vec<Run>,
    size: usize,
    /// Per stream: what was written last doesn't end a line, so what comes next doesn't begin one.
    is_inside: [bool; 2],
    attrs: Vec<u8>,
    shown: Vec<u8>,
}

impl Text {
    /// Text with the time of each line, and with its labels, variables and tag, in front.
    pub fn new(timestamps: bool, details: bool) -> Self {
        Self { timestamps, details, ..Self::default() }
    }

    /// The attributes as Docker shows them: `key=value,…`, sorted, the parts escaped as in a query.
    fn show(&mut self, attrs: &[u8]) {
        if self.attrs == attrs {
            return;
        }
        attrs.clone_into(&mut self.attrs);
        let pairs: BTreeMap<String, String> = serde_json::from_slice(attrs).unwrap_or_default();
        let pair = |(key, value): (&String, &String)| format!("{}={}", escape(key), escape(value));
        self.shown = pairs.iter().map(pair).collect::<Vec<_>>().join(",").into_bytes();
    }
}

impl Collect for Text {
    type Batch = Vec<Run>;

    fn push(&mut self, line: Line<'_>) {
        if self.details {
            self.show(line.attrs);
        }
        if self.runs.last().is_none_or(|run| run.stderr != line.stderr) {
            self.runs.push(Run { stderr: line.stderr, text: Vec::new() });
        }
        let Some(run) = self.runs.last_mut() else { return };
        let before = run.text.len();
        let inside = &mut self.is_inside[usize::from(line.stderr)];
        if !*inside && self.timestamps {
            run.text.extend_from_slice(line.stamp);
            run.text.push(b' ');
        }
        if !*inside && self.details {
            run.text.extend_from_slice(&self.shown);
            run.text.push(b' ');
        }
        run.text.extend_from_slice(line.text);
        *inside = !line.text.ends_with(b"\n");
        self.size += run.text.len() - before;
    }

    fn is_full(&self) -> bool {
        self.size >= TEXT
    }

    fn take(&mut self) -> Option<Vec<Run>> {
        self.size = 0;
        Some(std::mem::take(&mut self.runs)).filter(|runs| !runs.is_empty())
    }
}

/// Go's `url.QueryEscape`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(stderr: bool, text: &'a str, attrs: &'a str) -> Line<'a> {
        Line { at: Timestamp(1), stamp: b"TIME", stderr, text: text.as_bytes(), attrs: attrs.as_bytes() }
    }

    #[test]
    fn pieces_of_a_line_get_one_front() {
        let mut text = Text::new(true, true);
        text.push(line(false, "lo", r#"{"b":"x y","a":"1/2"}"#));
        text.push(line(true, "error\n", ""));
        text.push(line(false, "ng\n", ""));
        text.push(line(false, "next\n", ""));
        let run = |stderr, text: &str| Run { stderr, text: text.into() };
        let expected =
            vec![run(false, "TIME a=1%2F2,b=x+y lo"), run(true, "TIME  error\n"), run(false, "ng\nTIME  next\n")];
        assert_eq!(text.take(), Some(expected));
        assert_eq!(text.take(), None);
    }
}
