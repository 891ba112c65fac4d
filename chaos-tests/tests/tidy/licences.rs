//! Licences of all dependencies, held against `deny.toml`, without a tool that would have to be installed first.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::source::root;

/// Crates that name a file in place of an expression, and what the file was found to be.
const BY_FILE: &[(&str, &str)] = &[("rust-criu", "MIT")];

pub fn violations() -> Vec<String> {
    let allowed = allowed();
    assert!(allowed.len() > 5, "deny.toml has no list of licences");
    let mut found = Vec::new();
    for package in packages().as_array().unwrap().iter().filter(|package| !package["source"].is_null()) {
        let name = package["name"].as_str().unwrap();
        let by_file = BY_FILE.iter().find(|(krate, _)| *krate == name).map(|(_, expression)| *expression);
        match package["license"].as_str().or(by_file) {
            None => found.push(format!("{name}: no licence expression")),
            Some(expression) if !is_allowed(expression, &allowed) => found.push(format!("{name}: {expression}")),
            Some(_) => {}
        }
        let source = package["source"].as_str().unwrap();
        if !source.starts_with("registry+") {
            found.push(format!("{name}: comes from {source}, not from the registry"));
        }
    }
    found
}

fn packages() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = ["metadata", "--format-version", "1", "--locked"];
    let output = Command::new(cargo).args(metadata).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["packages"].clone()
}

/// The strings of `allow = [...]` below `[licenses]`.
fn allowed() -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let list = text.split("[licenses]").nth(1).and_then(|rest| rest.split("allow = [").nth(1)).unwrap_or_default();
    let list = list.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Evaluates an SPDX expression: one alternative of each OR, every part of each AND. `/` is an old way to write OR.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let value = alternatives(&words, &mut at, allowed);
    assert_eq!(at, words.len(), "{expression} is no SPDX expression");
    value
}

fn alternatives(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut value = conjunction(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        value |= conjunction(words, at, allowed);
    }
    value
}

fn conjunction(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut value = licence(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        value &= licence(words, at, allowed);
    }
    value
}

fn licence(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    if words.get(*at) == Some(&"(") {
        *at += 1;
        let value = alternatives(words, at, allowed);
        *at += 1;
        return value;
    }
    let mut name = words.get(*at).copied().unwrap_or_default().trim_end_matches('+').to_owned();
    *at += 1;
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).copied().unwrap_or_default());
        *at += 2;
    }
    allowed.contains(&name)
}

#[test]
fn expressions_are_read_as_spdx_says() {
    let allowed = ["MIT".to_owned(), "Zlib".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Zlib", true),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("Apache-2.0", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}
