//! The tree's own rules, as tests: what the design says of files, names, pure rooms and the direction of dependencies.
#![allow(clippy::unwrap_used)]

#[path = "tidy/licences.rs"]
mod licences;
#[path = "tidy/manifests.rs"]
mod manifests;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/source.rs"]
mod source;

use std::fs;

use source::{code, crates, files, place, root, rust_files};

/// No file has more lines.
const LINES_MAX: usize = 600;
/// Half of all files have fewer.
const LINES_MEDIAN: usize = 200;

/// Names that say nothing about what is inside.
const NAMELESS: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc"];

/// What unfinished work looks like.
const UNFINISHED: &[&str] = &["todo!(", "unimplemented!(", "dbg!(", "#[ignore"];

fn demand(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n{} violations", violations.join("\n"), violations.len());
}

#[test]
fn files_are_short() {
    let lines = |path: &std::path::PathBuf| fs::read_to_string(path).unwrap().lines().count();
    let paths = rust_files();
    let mut lengths: Vec<usize> = paths.iter().map(lines).collect();
    let long = paths.iter().zip(&lengths).filter(|(_, length)| **length > LINES_MAX);
    demand(
        &long
            .map(|(path, length)| format!("{}: more than {LINES_MAX} lines", place(path, *length)))
            .collect::<Vec<_>>(),
    );
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median < LINES_MEDIAN, "half of the files have {median} lines or more");
}

#[test]
fn modules_have_names_that_mean_something() {
    let nameless = |path: &std::path::PathBuf| {
        let inside = path.strip_prefix(root()).unwrap().with_extension("");
        inside.iter().any(|part| NAMELESS.contains(&part.to_string_lossy().as_ref()))
    };
    let found = rust_files().into_iter().filter(nameless);
    demand(&found.map(|path| format!("{}: a name that says nothing", place(&path, 1))).collect::<Vec<_>>());
}

#[test]
fn pure_rooms_touch_nothing() {
    demand(&rooms::violations());
}

#[test]
fn dependencies_go_one_way() {
    demand(&manifests::violations());
}

#[test]
fn licences_are_allowed() {
    demand(&licences::violations());
}

#[test]
fn every_file_is_compiled() {
    demand(&modules::violations());
}

#[test]
fn nothing_is_left_unfinished() {
    let mut found = Vec::new();
    for path in rust_files() {
        for (index, line) in code(&path).lines().enumerate() {
            let words = UNFINISHED.iter().filter(|word| line.contains(**word));
            found.extend(words.map(|word| format!("{}: {word}", place(&path, index + 1))));
        }
    }
    demand(&found);
}

#[test]
fn every_crate_says_what_it_is() {
    let roots = crates().into_iter().flat_map(|krate| [krate.join("src/lib.rs"), krate.join("src/main.rs")]);
    let silent = roots.filter(|path| path.is_file() && !fs::read_to_string(path).unwrap().starts_with("//!"));
    demand(&silent.map(|path| format!("{}: a crate begins with //!", place(&path, 1))).collect::<Vec<_>>());
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let top = top.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let mut found = Vec::new();
    for path in top.chain(files(&root().join("docs"), ".md")) {
        let text = fs::read_to_string(&path).unwrap();
        for (index, line) in text.lines().enumerate() {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next());
            let local = targets
                .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"));
            for target in local.filter(|target| !path.parent().unwrap().join(target).exists()) {
                found.push(format!("{}: {target} does not exist", place(&path, index + 1)));
            }
        }
    }
    demand(&found);
}

/// What a merge leaves where two changes met is no text of anybody's.
#[test]
fn no_file_has_marks_of_a_merge() {
    let listed = std::process::Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let is_mark = |line: &&[u8]| {
        let marks = [b'<', b'>', b'|'].map(|mark| [mark; 7]);
        let begins = marks.iter().any(|mark| line.strip_prefix(mark).is_some_and(|rest| rest.starts_with(b" ")));
        begins || line.strip_suffix(b"\r").unwrap_or(line) == [b'='; 7]
    };
    let mut found = Vec::new();
    for path in listed.split_terminator('\0').map(|path| root().join(path)).filter(|path| path.is_file()) {
        let text = fs::read(&path).unwrap();
        let lines = text.split(|byte| *byte == b'\n').enumerate();
        found.extend(lines.filter(|(_, line)| is_mark(line)).map(|(index, _)| place(&path, index + 1)));
    }
    demand(&found);
}

/// The README's two commands are the first that a newcomer types: what make would run must be whole shell.
#[test]
fn the_makefile_says_what_a_shell_can_read() {
    let targets = ["-n", "build", "demo", "test", "bench"];
    let shown = std::process::Command::new("make").args(targets).current_dir(root()).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let mut shell = std::process::Command::new("bash").arg("-n").stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), &shown.stdout).unwrap();
    assert!(shell.wait().unwrap().success(), "{}", String::from_utf8_lossy(&shown.stdout));
}
