//! The direction of dependencies between crates.

use std::fs;

use super::source::{crates, place};

/// What each crate may use of this workspace. `manager` and `agent` meet only over the API; only the agent works with `net`
/// and `image`; the shim, which is the parent of every container, knows nothing but the nouns. `cli` composes everything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("api", &["model"]),
    ("compose-spec", &["model"]),
    ("manager", &["model", "api"]),
    ("agent", &["model", "api", "net", "image", "template"]),
    ("net", &["model"]),
    ("image", &["model"]),
    ("shim", &["model"]),
    ("template", &[]),
    ("cli", &["model", "api", "compose-spec", "manager", "agent", "net", "image", "shim", "template"]),
    ("chaos-tests", &["model", "manager", "agent"]),
];

/// What only a crate's tests may use: the agent's need the real shim to exec.
const ALLOWED_IN_TESTS: &[(&str, &str)] = &[("agent", "shim")];

pub fn violations() -> Vec<String> {
    let mut found = Vec::new();
    let rooms: Vec<&str> = ALLOWED.iter().map(|(room, _)| *room).collect();
    for krate in crates() {
        let name = krate.file_name().unwrap().to_string_lossy().into_owned();
        let manifest = krate.join("Cargo.toml");
        let Some((_, allowed)) = ALLOWED.iter().find(|(room, _)| *room == name) else {
            found.push(format!("{}: a crate that the design does not have", place(&manifest, 1)));
            continue;
        };
        for (line, dependency, of_tests) in dependencies(&fs::read_to_string(&manifest).unwrap()) {
            if of_tests && ALLOWED_IN_TESTS.contains(&(name.as_str(), dependency.as_str())) {
                continue;
            }
            if rooms.contains(&dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                found.push(format!("{}: {name} must not depend on {dependency}", place(&manifest, line)));
            }
        }
    }
    found
}

/// Names of dependencies of every kind, with their lines, and whether only tests have them.
fn dependencies(manifest: &str) -> Vec<(usize, String, bool)> {
    let mut found = Vec::new();
    let (mut inside, mut of_tests) = (false, false);
    for (index, line) in manifest.lines().map(str::trim).enumerate() {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section.ends_with("dependencies");
            of_tests = section.contains("dev-dependencies");
            if let Some((_, name)) = section.split_once("dependencies.") {
                found.push((index + 1, name.to_owned(), of_tests));
            }
        } else if inside && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            found.extend(Some(name).filter(|name| !name.is_empty()).map(|name| (index + 1, name.to_owned(), of_tests)));
        }
    }
    found
}

#[test]
fn dependencies_of_every_kind_are_seen() {
    let text = "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\nb = \"1\"\n[target.'cfg(unix)'.dev-dependencies.c]\nversion = \"1\"";
    let names: Vec<(String, bool)> =
        dependencies(text).into_iter().map(|(_, name, of_tests)| (name, of_tests)).collect();
    assert_eq!(names, [("a".into(), false), ("b".into(), false), ("c".into(), true)]);
}
