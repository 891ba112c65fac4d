//! Laws of loading, over projects put together at random from samples of every attribute: what is printed loads as the same
//! project, and an override file that says nothing changes nothing. `make fuzz-compose` mutates such projects for a minute.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use compose_spec::{FileError, Files, LoadOptions, Project, TranslateOptions, load, translate};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

struct Memory(HashMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        Ok(self.0.get(path).cloned())
    }
}

fn files(texts: &[(&str, &str)]) -> Memory {
    Memory(texts.iter().map(|(name, text)| (Path::new("/shop").join(name), text.as_bytes().to_vec())).collect())
}

fn project(files: &Memory) -> Result<Project, String> {
    let options = LoadOptions { working_dir: "/shop".into(), keep_unused: true, ..LoadOptions::default() };
    load(&options, files).map(|loaded| loaded.project).map_err(|errors| errors.to_string())
}

type Sample = (String, Value);

/// Samples of attributes of services, and of what other parts of a file hold.
fn samples() -> (Vec<Sample>, Vec<Sample>) {
    let (mut services, mut others) = (Vec::new(), Vec::new());
    for line in include_str!("attributes.tsv").lines() {
        let mut columns = line.split('\t');
        let path: Vec<&str> = columns.next().unwrap().split('.').collect();
        let value: Value = serde_json::from_str(columns.next().unwrap()).unwrap();
        match path[..] {
            ["services", "*", key] => services.push((key.to_owned(), value)),
            [part, "*"] => others.push((part.to_owned(), value)),
            _ => {}
        }
    }
    (services, others)
}

/// Some services, each with some attributes, and something of the rest.
fn projects() -> impl Strategy<Value = Value> {
    let (services, others) = samples();
    let service = prop::sample::subsequence(services, 0..6);
    let services = prop::collection::vec(service, 1..4);
    (services, prop::sample::subsequence(others, 0..4)).prop_map(|(services, others)| {
        let mut document = json!({
            "services": {},
            "networks": {"n": {}, "net": {}}, "volumes": {"v": {}, "data": {}},
            "configs": {"c": {"content": "x"}}, "secrets": {"s": {"environment": "S"}},
        });
        for (index, attributes) in services.into_iter().enumerate() {
            let mut service = Map::from_iter([("image".to_owned(), json!("busybox"))]);
            service.extend(attributes);
            document["services"][["web", "db", "c"][index]] = Value::Object(service);
        }
        for (part, value) in others {
            document[&part]["more"] = value;
        }
        document
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn what_is_printed_loads_as_the_same_project(document in projects()) {
        let first = project(&files(&[("compose.yaml", &document.to_string())]));
        // Some samples exclude each other.
        let Ok(first) = first else { return Ok(()) };
        let json = first.config_json().to_string();
        // The reference writes these devices in words that it doesn't read, in JSON alone.
        let texts = if json.contains("\"Path\":") { vec![first.config_yaml()] } else { vec![first.config_yaml(), json] };
        for text in texts {
            let again = project(&files(&[("compose.yaml", &text)]));
            prop_assert_eq!(again.map(|project| project.config_json()), Ok(first.config_json()), "{}", text);
        }
    }

    #[test]
    fn an_override_that_says_nothing_changes_nothing(document in projects()) {
        let text = document.to_string();
        let alone = project(&files(&[("compose.yaml", &text)])).map(|project| project.config_json());
        for nothing in ["{}", "services: {}", "services: {web: {}}", "x-nothing: 1"] {
            let both = project(&files(&[("compose.yaml", &text), ("compose.override.yaml", nothing)]));
            let both = both.map(|project| {
                let mut json = project.config_json();
                json.as_object_mut().unwrap().remove("x-nothing");
                json
            });
            prop_assert_eq!(both.is_ok(), alone.is_ok());
            if let Ok(alone) = &alone {
                prop_assert_eq!(both.as_ref(), Ok(alone), "{}", nothing);
            }
        }
    }
}

/// Nothing panics, and nothing takes long, whatever becomes of the text of a project. `FUZZ_SECONDS` is how long it is tried.
#[test]
fn mutated_projects_end_in_a_project_or_in_errors() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() });
    const WORDS: &[&str] = &[
        "&a ",
        "*a",
        "<<: ",
        "!reset ",
        "!override ",
        "${A:-",
        "}",
        "{",
        "[",
        "]",
        "\n",
        "\n---\n",
        ": ",
        "- ",
        "\"",
        "'",
        "\t",
        "null",
        "-1",
        "\u{feff}",
        "99999999999999999999",
    ];
    let cut = (any::<prop::sample::Index>(), 0usize..6, prop::sample::select(WORDS));
    let inputs = (projects(), prop::collection::vec(cut, 1..6));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut count = 0u64;
    while Instant::now() < end {
        let (document, cuts) = inputs.new_tree(&mut runner).unwrap().current();
        let mut text: Vec<char> = document.to_string().chars().collect();
        for (at, length, word) in cuts {
            let at = at.index(text.len() + 1);
            text.splice(at..(at + length).min(text.len()), word.chars());
        }
        let text: String = text.into_iter().collect();
        let memory = files(&[("compose.yaml", &text)]);
        let begin = Instant::now();
        if let Ok(project) = project(&memory) {
            let _ = translate(&project, &TranslateOptions::default(), &memory);
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?} for\n{text}", begin.elapsed());
        count += 1;
    }
    println!("{count} mutated projects in {seconds} s");
    assert!(count > 0);
}
