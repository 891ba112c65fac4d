//! Rust sources as far as these rules look at them: without comments, texts and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// The workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Directories of the workspace's crates.
pub fn crates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.join("Cargo.toml").is_file());
    found.sort();
    assert!(found.len() >= 10, "the workspace has fewer crates than its design");
    found
}

/// Every file below `directory` whose name ends so, in order; a directory that is not there has none.
pub fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every Rust file of every crate: sources, tests, benchmarks, build scripts.
pub fn rust_files() -> Vec<PathBuf> {
    let places = |krate: PathBuf| {
        let inner = ["src", "tests", "benches", "examples"].map(|name| krate.join(name));
        let build = Some(krate.join("build.rs")).filter(|path| path.is_file());
        inner.into_iter().flat_map(|place| files(&place, ".rs")).chain(build).collect::<Vec<_>>()
    };
    crates().into_iter().flat_map(places).collect()
}

/// `path:line`, relative to the workspace.
pub fn place(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.strip_prefix(root()).unwrap_or(path).display())
}

/// A file's code with comments and literals blanked out, line by line in place.
pub fn code(path: &Path) -> String {
    blank(&fs::read_to_string(path).unwrap())
}

fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        match literal_end(&chars, at) {
            Some(end) => {
                out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
                at = end;
            }
            None => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}

/// Where the comment or literal that begins here ends; `None`: neither does.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let after = |text: &str| chars[at..].iter().copied().take(text.len()).eq(text.chars());
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if after("//") {
        return Some(chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |length| at + length));
    }
    if after("/*") {
        let mut end = at + 2;
        while end < chars.len() && !(chars[end - 1] == '*' && chars[end] == '/' && end > at + 2) {
            end += 1;
        }
        return Some((end + 1).min(chars.len()));
    }
    if !in_word && (after("r\"") || after("r#") || after("br\"") || after("br#")) {
        return raw_end(chars, at);
    }
    match chars[at] {
        '"' => Some(quoted_end(chars, at, '"')),
        '\'' if chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'') => {
            Some(quoted_end(chars, at, '\''))
        }
        _ => None,
    }
}

fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut end = at + 1;
    while end < chars.len() && chars[end] != quote {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(chars.len())
}

fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let begin = at + chars[at..].iter().position(|c| *c == 'r')? + 1;
    let hashes = chars[begin..].iter().take_while(|c| **c == '#').count();
    // `r#type` is a name.
    chars.get(begin + hashes).filter(|c| **c == '"')?;
    let closes = |end: &usize| {
        chars[*end] == '"' && chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (begin + hashes + 1..chars.len()).find(closes).map(|end| end + 1 + hashes)
}

/// The same without what only tests see.
pub fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(begin) = out.find("#[cfg(test)]") {
        let rest = &out[begin..];
        let head = rest.find(['{', ';']).unwrap_or(rest.len() - 1);
        let end = begin + if rest[head..].starts_with(';') { head + 1 } else { head + block_length(&rest[head..]) };
        let blanked: String = out[begin..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(begin..end, &blanked);
    }
    out
}

fn block_length(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

#[test]
fn comments_texts_and_tests_are_no_code() {
    let text = "a // std::fs\nr#\"std::fs\"#; '\"' 'x' 'b: \"\\\"std::fs\" /* std::fs */ r#type\n#[cfg(test)]\nmod t { fn f() { std::fs } }\nz";
    let code = without_tests(&blank(text));
    assert!(!code.contains("std::fs"), "{code}");
    assert!(code.contains("'b:") && code.contains("r#type") && code.ends_with("\nz"), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
}
