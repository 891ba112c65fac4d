//! Cases from the Compose Specification's public suites: what must be accepted, with its canonical form, and what must
//! be refused.
//!
//! `tests/cases/ID/` holds `case.json` (arguments, environment, expectation), `proj/` (the input) and `expected.json`.
//! All of them must pass, and so must those of the directory that COMPOSE_CASES names, but for [`WRONG`]:
//! `COMPOSE_CASES=DIR cargo test -p compose-spec --test conformance`.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use compose_spec::{FileError, Files, LoadOptions, load};
use serde_json::Value;

const ROOT: &str = "/conformance/proj";

/// A case's files, as if they stood at [`ROOT`].
#[derive(Default)]
struct Memory(HashMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        if let Some(bytes) = self.0.get(path) {
            return Ok(Some(bytes.clone()));
        }
        if path != Path::new("/") && self.0.keys().any(|file| file.starts_with(path)) {
            return Err(FileError { is_directory: true, reason: "is a directory".into() });
        }
        Ok(None)
    }
}

impl Memory {
    fn add(&mut self, directory: &Path, base: &Path) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.add(&path, base);
            } else if let Ok(bytes) = std::fs::read(&path) {
                let bytes = match String::from_utf8(bytes) {
                    Ok(text) => text.replace("@CASE_DIR@", ROOT).into_bytes(),
                    Err(error) => error.into_bytes(),
                };
                self.0.insert(Path::new(ROOT).join(path.strip_prefix(base).unwrap()), bytes);
            }
        }
    }
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn options(case: &Value) -> LoadOptions {
    let mut env: BTreeMap<String, String> =
        BTreeMap::from([("HOME".into(), "/nonexistent-home".into()), ("PWD".into(), ROOT.into())]);
    for (key, value) in case["env"].as_object().into_iter().flatten() {
        env.insert(key.clone(), value.as_str().unwrap_or_default().replace("@CASE_DIR@", ROOT));
    }
    let flags = strings(&case["flags"]);
    LoadOptions {
        files: strings(&case["files"]).into_iter().map(PathBuf::from).collect(),
        project_directory: case["project_directory"].as_str().map(PathBuf::from),
        project_name: case["project_name"].as_str().map(str::to_owned),
        profiles: strings(&case["profiles"]),
        services: strings(&case["services"]),
        no_consistency: flags.iter().any(|flag| flag == "--no-consistency"),
        working_dir: PathBuf::from(ROOT),
        env,
        ..LoadOptions::default()
    }
}

/// Drops what carries no meaning: null, `{}` and `[]` as values of mappings.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, value| {
                !matches!(value, Value::Null) && value != &serde_json::json!({}) && value != &serde_json::json!([])
            });
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Number(number) => {
            if let Some(float) = number.as_f64() {
                *value = serde_json::json!(float);
            }
        }
        _ => {}
    }
}

/// A network without options means something: it is marked before pruning.
fn canonical(mut value: Value) -> Value {
    for service in value["services"].as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
        for network in
            service.get_mut("networks").and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut())
        {
            if network.is_null() || network == &serde_json::json!({}) {
                *network = Value::String("<none>".into());
            }
        }
    }
    prune(&mut value);
    value
}

fn difference(path: &str, expected: &Value, got: &Value, out: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                difference(
                    &format!("{path}.{key}"),
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                    out,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                difference(&format!("{path}[{index}]"), a, b, out);
            }
        }
        _ if expected == got => {}
        _ => out.push(format!("{path}: expected {expected}, got {got}")),
    }
}

/// `None` when the case passes or isn't about Compose.
fn run(directory: &Path) -> Option<Result<(), String>> {
    let case: Value = serde_json::from_slice(&std::fs::read(directory.join("case.json")).ok()?).ok()?;
    if case["kind"] != "compose" {
        return None;
    }
    let mut files = Memory::default();
    files.add(&directory.join("proj"), &directory.join("proj"));
    let accepted = case["expect"] == "ok";
    let loaded = load(&options(&case), &files);
    Some(match (loaded, accepted) {
        (Err(_), false) => Ok(()),
        (Err(errors), true) => Err(format!("refused: {errors}")),
        (Ok(_), false) => Err(format!("accepted, but: {}", case["error"])),
        (Ok(loaded), true) => {
            let expected = std::fs::read_to_string(directory.join("expected.json")).unwrap_or_default();
            let expected = expected.replace("@CASE_DIR@", ROOT).replace("@PARENT@", "/conformance");
            let expected: Value = serde_json::from_str(&expected).unwrap_or_default();
            let mut found = Vec::new();
            difference("", &canonical(expected), &canonical(loaded.project.config_json()), &mut found);
            if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
        }
    })
}

fn run_all(directory: &Path) -> (usize, Vec<String>) {
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    cases.sort();
    let mut failures = Vec::new();
    let mut total = 0;
    for case in cases {
        match run(&case) {
            None => {}
            Some(result) => {
                total += 1;
                let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
                failures.extend(result.err().map(|reason| format!("{name}: {reason}")));
            }
        }
    }
    (total, failures)
}

/// Cases whose expectation contradicts the specification, and how.
const WRONG: [(&str, &str); 2] = [
    (
        "compose-e2e-pkg-e2e-testdata-TestRawEnvFile-compose-c93bd1",
        "env_file has `format: raw` (05-services.md, env_file)",
    ),
    (
        "compose-e2e-pkg-e2e-fixtures-build-test-ssh-compose-d8f1a5",
        "ssh may name a key's file (build.md, ssh); only the reference's JSON writer stumbles over it",
    ),
];

#[test]
fn every_case_passes() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let given = std::env::var_os("COMPOSE_CASES").map(PathBuf::from);
    for directory in [own].into_iter().chain(given) {
        let (total, mut failures) = run_all(&directory);
        failures.retain(|failure| !WRONG.iter().any(|(name, _)| failure.starts_with(name)));
        println!("{} of {total} cases in {} pass", total - failures.len(), directory.display());
        assert!(total > 0, "no cases found in {}", directory.display());
        assert!(failures.is_empty(), "{} of {total} fail:\n{}", failures.len(), failures.join("\n"));
    }
}
