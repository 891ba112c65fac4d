//! Pure rooms: their code decides, and neither reads a clock nor draws a number nor touches the world.

use std::path::{Path, PathBuf};

use super::source::{code, files, place, root, without_tests};

/// Files and directories whose code is pure.
const PURE: &[&str] = &[
    "model/src",
    "compose-spec/src",
    "manager/src/state",
    "manager/src/orchestrator",
    "manager/src/scheduler.rs",
    "manager/src/scheduler",
    "manager/src/allocator",
    "manager/src/access.rs",
    "manager/src/assignment.rs",
    "manager/src/foresee.rs",
    "manager/src/liveness.rs",
    "manager/src/leader/plan.rs",
    "agent/src/worker",
    "agent/src/task",
    "agent/src/bundle",
    "agent/src/health.rs",
    "agent/src/mounts/filled.rs",
    "agent/src/placeholders.rs",
    "agent/src/events/filter.rs",
    "agent/src/events/life.rs",
    "agent/src/cgroup/settings.rs",
    "agent/src/files/path.rs",
    "agent/src/top/options.rs",
    "agent/src/top/column.rs",
    "net/src/plan",
    "net/src/ruleset",
    "net/src/resolve",
    "image/src/reference",
    "image/src/manifest",
    "image/src/gc",
    "image/src/gc.rs",
    "image/src/dockerfile",
    "image/src/catalog",
    "image/src/registry/backoff.rs",
    "image/src/registry/challenge.rs",
    "image/src/registry/credentials.rs",
    "image/src/registry/origin.rs",
    "image/src/registry/problem.rs",
    "image/src/registry/range.rs",
    "image/src/registry/serve/route.rs",
    "template/src",
    "cli/src/filter.rs",
    "cli/src/detach_keys.rs",
    "cli/src/manifest/list.rs",
    "cli/src/compose/sensitive.rs",
    "cli/src/compose/watch/batch.rs",
    "cli/src/compose/watch/rules.rs",
    "chaos-tests/src",
];

/// The shells among them: what hands texts to a pure room, or prints.
const SHELLS: &[&str] = &["chaos-tests/src/bin"];

/// Modules of `std` that touch the world; `std::net` and `std::time` have harmless parts, so their types are below.
const MODULES: &[&str] = &["fs", "process", "thread", "env", "os"];

/// Names that mean clocks, sockets or randomness.
const NAMES: &[&str] = &[
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "ToSocketAddrs",
    "SystemRandom",
    "RandomState",
];

/// Crates that do I/O.
const CRATES: &[&str] = &[
    "tokio",
    "tonic",
    "rand",
    "getrandom",
    "nix",
    "libc",
    "rustix",
    "redb",
    "rtnetlink",
    "hickory_resolver",
    "tempfile",
    "libcontainer",
    "hyper_util",
    "tokio_stream",
];

pub fn violations() -> Vec<String> {
    let mut found = Vec::new();
    for room in PURE {
        for path in rust_files_of(&root().join(room)) {
            let of_tests =
                path.file_name().is_some_and(|name| name == "tests.rs") || path.iter().any(|part| part == "tests");
            if of_tests || SHELLS.iter().any(|shell| path.starts_with(root().join(shell))) {
                continue;
            }
            let code = without_tests(&code(&path));
            for (index, line) in code.lines().enumerate() {
                let impure = impurities(line);
                found.extend(
                    impure.into_iter().map(|what| format!("{}: {what} in a pure room", place(&path, index + 1))),
                );
            }
        }
    }
    found
}

fn rust_files_of(room: &Path) -> Vec<PathBuf> {
    if room.is_file() { vec![room.to_path_buf()] } else { files(room, ".rs") }
}

fn impurities(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for module in std_modules(line) {
        if MODULES.contains(&module) {
            found.push(format!("std::{module}"));
        }
    }
    for (name, is_path) in words(line) {
        let krate = is_path && CRATES.contains(&name);
        if krate || NAMES.contains(&name) {
            found.push(name.to_owned());
        }
    }
    found
}

/// What of `std` a line names: `std::fs::read`, `use std::{fs, io}`.
fn std_modules(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("std::") {
        if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &line[at + "std::".len()..];
        match rest.strip_prefix('{') {
            // A constant of the compiler's.
            None if rest.starts_with("env::consts") => {}
            Some(group) => found.extend(group.split(['}', ',', '{']).map(|item| first_word(item.trim()))),
            None => found.push(first_word(rest)),
        }
    }
    found
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Each name, and whether it begins a path (`name::`).
fn words(line: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(begin) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
        let behind = rest[..begin].ends_with("::") || rest[..begin].ends_with('.');
        let word = first_word(&rest[begin..]);
        let end = begin + word.len().max(1);
        found.push((word, rest[end..].starts_with("::") && !behind));
        rest = &rest[end..];
    }
    found
}

#[test]
fn impure_lines_are_found_and_pure_ones_are_not() {
    for line in [
        "use std::{fmt, fs};",
        "let now = Instant::now();",
        "std::process::exit(1)",
        "tokio::spawn(f)",
        "use rand::Rng;",
    ] {
        assert!(!impurities(line).is_empty(), "{line}");
    }
    for line in
        ["use std::{fmt, net};", "use std::net::IpAddr;", "use std::time::Duration;", "model::process::x", "env.get(x)"]
    {
        assert_eq!(impurities(line), Vec::<String>::new(), "{line}");
    }
}
