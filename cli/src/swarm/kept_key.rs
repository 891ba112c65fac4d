//! Keys that people keep: read from a file, a terminal or standard input; never from the command line, where others would see them.

use std::io::{BufRead, Read, Write};
use std::path::Path;

use model::KeptKey;

use crate::error::{Error, Result};
use crate::terminal;

/// A longer text holds no key.
const LONGEST: u64 = 4096;

/// The key in this file (`-`: standard input); without one it is asked for.
pub fn read(file: Option<&Path>, flag: &'static str, question: &str) -> Result<KeptKey> {
    let text = match file {
        Some(path) if path.as_os_str() != "-" => from_file(path)?,
        None if terminal::stdin_is_terminal() => ask(question)?,
        _ => line(&mut std::io::stdin().lock())?,
    };
    let shown = file.map_or_else(|| "(hidden)".to_owned(), |path| path.display().to_string());
    text.parse().map_err(|error: model::KeptKeyError| Error::Flag { flag, value: shown, reason: error.to_string() })
}

fn from_file(path: &Path) -> Result<String> {
    let failed = |source| Error::File { action: "read", path: path.into(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?.take(LONGEST);
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn line(input: &mut impl BufRead) -> Result<String> {
    let mut text = String::new();
    let read = input.take(LONGEST).read_line(&mut text);
    read.map_err(|source| Error::Terminal { action: "read the key from standard input", source })?;
    Ok(text)
}

fn ask(question: &str) -> Result<String> {
    let failed = |source| Error::Terminal { action: "ask for the key", source };
    std::io::stderr().write_all(question.as_bytes()).map_err(failed)?;
    let hidden = terminal::HiddenInput::enter()?;
    let answer = line(&mut std::io::stdin().lock());
    drop(hidden);
    eprintln!();
    answer
}
