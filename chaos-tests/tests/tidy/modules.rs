//! Which files a crate's roots reach. A file that no `mod` names is never compiled, and its tests never run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::source::{code, crates, files, place};

pub fn violations() -> Vec<String> {
    let mut found = Vec::new();
    for krate in crates() {
        let mut reached = BTreeSet::new();
        for root in roots(&krate) {
            reach(&root, true, &mut reached);
        }
        for path in files(&krate.join("src"), ".rs").into_iter().chain(files(&krate.join("tests"), ".rs")) {
            if !reached.contains(&path) {
                found.push(format!("{}: no `mod` leads here", place(&path, 1)));
            }
        }
    }
    found
}

/// Files that cargo compiles by itself, and those that the manifest names.
fn roots(krate: &Path) -> Vec<PathBuf> {
    let mut roots = vec![krate.join("src/lib.rs"), krate.join("src/main.rs")];
    for place in ["src/bin", "tests"] {
        let Ok(entries) = fs::read_dir(krate.join(place)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            roots.push(if path.is_dir() { path.join("main.rs") } else { path });
        }
    }
    let manifest = fs::read_to_string(krate.join("Cargo.toml")).unwrap();
    let named = manifest.lines().filter_map(|line| line.trim().strip_prefix("path = \"")?.strip_suffix('"'));
    roots.extend(named.map(|path| krate.join(path)));
    roots.retain(|path| path.extension().is_some_and(|ending| ending == "rs") && path.is_file());
    roots
}

fn reach(path: &Path, is_root: bool, reached: &mut BTreeSet<PathBuf>) {
    if !reached.insert(path.to_path_buf()) {
        return;
    }
    let text = fs::read_to_string(path).unwrap();
    let directory = path.parent().unwrap();
    let owns_directory = is_root || path.file_name().is_some_and(|name| name == "mod.rs");
    let inner = if owns_directory { directory.to_path_buf() } else { directory.join(path.file_stem().unwrap()) };
    for (name, given) in declared(&text, &code(path)) {
        let candidates = match given {
            Some(given) => vec![directory.join(given)],
            None => vec![inner.join(format!("{name}.rs")), inner.join(&name).join("mod.rs")],
        };
        for candidate in candidates.into_iter().filter(|candidate| candidate.is_file()) {
            reach(&candidate, false, reached);
        }
    }
}

/// `mod name;` of a file, and what `#[path = ""]` says before it.
fn declared(text: &str, code: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut given = None;
    for (raw, line) in text.lines().zip(code.lines().map(str::trim)) {
        if line.starts_with("#[path") {
            given = raw.split('"').nth(1).map(str::to_owned);
        }
        let Some((before, name)) = line.split_once("mod ") else { continue };
        let visibility = before.is_empty() || before.trim_end().ends_with(']') || before.starts_with("pub");
        if let Some(name) = name.strip_suffix(';').filter(|_| visibility) {
            found.push((name.trim().to_owned(), given.take()));
        }
    }
    found
}
