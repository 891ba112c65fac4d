//! What becomes of every key of the specification: `docs/COMPOSE.md` says it, and this holds the page to the code.
//!
//! `attributes.tsv` has samples: a key, a value with everything below it, and a note for the page. A key is *carried* when the
//! stack changes once it is taken out of the sample, and *refused* when translating names it. One that is neither would be
//! ignored, which fails unless [`INERT`] says why there is nothing to carry. `ORCA_BLESS=1 cargo test -p compose-spec` writes
//! the page's tables anew.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use compose_spec::{
    ELSEWHERE, Error, FileError, Files, LoadOptions, Outcome, TranslateOptions, attributes, load, model_variables,
    models, report, translate,
};
use serde_json::{Value, json};

/// Keys that there is nothing to do for on Linux or for a machine, and why.
const INERT: [(&str, &str); 8] = [
    ("models.*.name", "a name for people"),
    ("services.*.gpus.capabilities", "gpu is meant without it"),
    ("networks.*.attachable", "whatever runs on the node may join a project's network, as in Docker"),
    ("services.*.ports.name", "a name for people"),
    ("services.*.ports.app_protocol", "a hint for tools"),
    ("services.*.volumes.consistency", "a hint for Docker on a Mac"),
    ("networks.*.ipam.driver", "default is the only one"),
    ("volumes.*.driver", "local is the only one"),
];

struct Memory(HashMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        Ok(self.0.get(path).cloned())
    }
}

/// A project in which every sample can stand.
fn project(section: &str, key: Option<&str>, sample: Option<&Value>) -> Value {
    let mut service = json!({"image": "x"});
    let mut top = json!({
        "services": {"b": {"image": "x", "ports": ["1:1"]}},
        "networks": {"n": null, "n2": null}, "volumes": {"v": null},
        "secrets": {"s": {"file": "./f"}}, "configs": {"c": {"file": "./f"}}, "models": {"m": {"model": "y"}},
    });
    match (section, key) {
        ("services", Some(key)) => {
            if let Some(sample) = sample {
                if key == "provider" {
                    service = json!({});
                }
                if key == "pull_refresh_after" {
                    service["pull_policy"] = json!("refresh");
                }
                service[key] = sample.clone();
            }
        }
        _ => {
            let (name, key, user) = match section {
                "networks" => ("n", "networks", json!(["n"])),
                "volumes" => ("v", "volumes", json!([{"type": "volume", "source": "v", "target": "/v"}])),
                "secrets" => ("s", "secrets", json!(["s"])),
                "configs" => ("c", "configs", json!(["c"])),
                _ => ("m", "models", json!(["m"])),
            };
            service[key] = user;
            top[section][name] = sample.cloned().unwrap_or(Value::Null);
        }
    }
    top["services"]["a"] = service;
    top
}

/// The stack, or the paths that translating refuses with their reasons. `Err(None)`: it doesn't load.
fn outcome(project: &Value) -> Result<String, Option<Vec<(String, String)>>> {
    let file = |name: &str, text: &str| (Path::new("/p").join(name), text.as_bytes().to_vec());
    let files = Memory(HashMap::from([
        file("compose.yaml", &project.to_string()),
        file("base.yaml", "services: {base: {image: x, tty: true}}"),
        file("x.env", "A=$HOME\n"),
        file("x.labels", "l=1\n"),
        file("f", "secret"),
    ]));
    let env = BTreeMap::from([("VARIABLE".to_owned(), "v".to_owned())]);
    let options = LoadOptions { working_dir: "/p".into(), env, ..LoadOptions::default() };
    let told = |errors: compose_spec::Errors| println!("{errors}");
    let loaded = load(&options, &files).map_err(told).ok().ok_or(None)?.project;
    let variables = model_variables(&loaded, "http://models");
    let options = TranslateOptions { variables, models: true, ..TranslateOptions::default() };
    match translate(&loaded, &options, &files) {
        Ok(stack) => {
            let models = models(&loaded);
            let secrets: Vec<_> = stack.secrets.iter().map(|secret| secret.data.reveal().to_vec()).collect();
            let service = loaded.service("a");
            let elsewhere: Vec<_> = report(&loaded, &options, &files)
                .into_iter()
                .filter(|row| matches!(row.outcome, Outcome::Elsewhere(_)) && row.path.starts_with("services.a."))
                .map(|row| {
                    service.and_then(|a| a.node.get(&row.path["services.a.".len()..])).map(|node| node.value.clone())
                })
                .collect();
            let policy = service.map(|a| format!("{:?} {:?}", a.text("pull_policy"), a.text("pull_refresh_after")));
            // The hash follows every key by itself; it would show nothing.
            let mut stack = stack;
            for service in &mut stack.services {
                service.container.labels.remove("com.docker.compose.config-hash");
            }
            Ok(format!("{stack:?} {secrets:?} {elsewhere:?} {policy:?} {models:?}"))
        }
        Err(errors) => {
            let refused = errors.0.iter().map(refusal).collect();
            told(errors);
            Err(refused)
        }
    }
}

/// What is refused by name, with the reason; `None` for a value that makes no sense.
fn refusal(error: &Error) -> Option<(String, String)> {
    match error {
        Error::Unsupported { path, hint, .. } => Some((path.clone(), hint.unwrap_or_default().to_owned())),
        _ => None,
    }
}

/// `services.a.ports[0].target` as the schema has it.
fn general(path: &str, known: &[String]) -> String {
    let plain: String = path
        .split('[')
        .enumerate()
        .map(|(at, part)| if at == 0 { part } else { part.split_once(']').map_or("", |(_, rest)| rest) })
        .collect();
    let mut at = String::new();
    for part in plain.split('.') {
        let key = if at.is_empty() { part.to_owned() } else { format!("{at}.{part}") };
        let star = format!("{at}.*");
        let fits = |path: &str| known.iter().any(|k| k == path || k.starts_with(&format!("{path}.")));
        at = if fits(&key) {
            key
        } else if fits(&star) {
            star
        } else {
            return at;
        };
    }
    at
}

fn remove(value: &mut Value, path: &[&str]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, path)),
        Value::Object(map) => match path {
            [] => {}
            [key] => {
                map.shift_remove(*key);
            }
            ["*", rest @ ..] => map.values_mut().for_each(|child| remove(child, rest)),
            [key, rest @ ..] => {
                if let Some(child) = map.get_mut(*key) {
                    remove(child, rest);
                }
            }
        },
        _ => {}
    }
}

fn has(value: &Value, path: &[&str]) -> bool {
    match (value, path) {
        (_, []) => true,
        (Value::Array(items), _) => items.iter().any(|item| has(item, path)),
        (Value::Object(map), ["*", rest @ ..]) => map.values().any(|child| has(child, rest)),
        (Value::Object(map), [key, rest @ ..]) => map.get(*key).is_some_and(|child| has(child, rest)),
        _ => false,
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Carried,
    Inert(&'static str),
    Refused(String),
}

/// Judges every key below one sample.
fn judge(
    target: &str,
    sample: &Value,
    known: &[String],
    verdicts: &mut BTreeMap<String, Verdict>,
    ignored: &mut Vec<String>,
) {
    let (section, rest) = target.split_once('.').unwrap();
    let key = rest.strip_prefix("*.");
    let steps = target.split('.').count();
    let mut kept = Some(sample.clone());
    let mut stack = None;
    for _ in 0..20 {
        match outcome(&project(section, key, kept.as_ref())) {
            Ok(found) => {
                stack = Some(found);
                break;
            }
            Err(None) => panic!("{target}: {} makes no sense", kept.unwrap_or_default()),
            Err(Some(refused)) => {
                let mut whole = false;
                for (path, reason) in refused {
                    let path = general(&path, known);
                    let below = |key: &String| *key == path || key.starts_with(&format!("{path}."));
                    for key in known.iter().filter(|key| below(key)) {
                        verdicts.insert(key.clone(), Verdict::Refused(reason.clone()));
                    }
                    whole |= path == target;
                    if let Some(kept) = kept.as_mut().filter(|_| path.starts_with(&format!("{target}."))) {
                        remove(kept, &path.split('.').skip(steps).collect::<Vec<_>>());
                    }
                }
                if whole {
                    return;
                }
            }
        }
    }
    let stack = stack.unwrap_or_else(|| panic!("{target} never translates"));
    let Some(kept) = kept else { return };
    for path in known.iter().filter(|path| *path == target || path.starts_with(&format!("{target}."))) {
        let below: Vec<&str> = path.split('.').skip(steps).collect();
        if !has(&kept, &below) || matches!(verdicts.get(path), Some(Verdict::Carried)) {
            continue;
        }
        let mut without = kept.clone();
        remove(&mut without, &below);
        let without = if below.is_empty() { None } else { Some(&without) };
        let differs = match outcome(&project(section, key, without)) {
            Ok(other) => other != stack,
            Err(_) => true,
        };
        let inert = INERT.iter().find(|(name, _)| name == path).map(|(_, why)| Verdict::Inert(why));
        match (differs, inert) {
            (true, _) => verdicts.insert(path.clone(), Verdict::Carried),
            (false, Some(inert)) => verdicts.insert(path.clone(), inert),
            (false, None) => {
                ignored.push(format!("{path} in {kept}"));
                None
            }
        };
    }
}

fn known() -> Vec<String> {
    let sections = ["services.*.", "networks.*.", "volumes.*.", "secrets.*.", "configs.*.", "models.*."];
    attributes().into_iter().filter(|path| sections.iter().any(|section| path.starts_with(section))).collect()
}

/// The page's tables: one row a key of a service or a resource, with what is below it.
fn tables(known: &[String], verdicts: &BTreeMap<String, Verdict>, notes: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for (section, title) in [
        ("services", "Services"),
        ("networks", "Networks"),
        ("volumes", "Volumes"),
        ("secrets", "Secrets"),
        ("configs", "Configs"),
        ("models", "Models"),
    ] {
        out.push_str(&format!("### {title}\n\n| key | |\n|---|---|\n"));
        let own = known.iter().filter(|path| path.starts_with(section) && path.split('.').count() == 3);
        for path in own {
            let prefix = format!("{path}.");
            let below: Vec<&String> = known.iter().filter(|other| other.starts_with(&prefix)).collect();
            let elsewhere = ELSEWHERE.iter().find(|(key, _)| *path == format!("services.*.{key}"));
            let mut words = match &verdicts[path] {
                Verdict::Carried if elsewhere.is_some() => format!("carried: {}", elsewhere.unwrap().1),
                Verdict::Carried => "carried".to_owned(),
                Verdict::Inert(why) => format!("nothing to do: {why}"),
                Verdict::Refused(hint) if hint.is_empty() => "refused".into(),
                Verdict::Refused(hint) => format!("refused: {hint}"),
            };
            if let Some(note) = notes.get(path) {
                words.push_str(&format!(" — {note}"));
            }
            let same = |a: &str, b: &str| verdicts.get(a) == verdicts.get(b);
            let told = |other: &str| other.rsplit_once('.').is_some_and(|(parent, _)| same(parent, other));
            let odd = below.iter().filter(|other| !same(other, path) && !told(other));
            for other in odd {
                let name = &other[prefix.len()..];
                match &verdicts[*other] {
                    Verdict::Carried => words.push_str(&format!("; `{name}` carried")),
                    Verdict::Inert(why) => words.push_str(&format!("; `{name}`: nothing to do, {why}")),
                    Verdict::Refused(hint) if hint.is_empty() => words.push_str(&format!("; `{name}` refused")),
                    Verdict::Refused(hint) => words.push_str(&format!("; `{name}` refused: {hint}")),
                }
            }
            let names: Vec<String> = below.iter().map(|other| format!("`{}`", &other[prefix.len()..])).collect();
            let with = if names.is_empty() { String::new() } else { format!(" with {}", names.join(" ")) };
            out.push_str(&format!("| `{}`{with} | {words} |\n", &path[section.len() + 3..]));
        }
        if let Some(note) = notes.get(&format!("{section}.*")) {
            out.push_str(&format!("\n{note}.\n"));
        }
        out.push('\n');
    }
    out
}

const BEGIN: &str = "<!-- keys: written by ORCA_BLESS=1 cargo test -p compose-spec --test attributes -->\n";
const END: &str = "<!-- end of keys -->\n";

#[test]
fn every_key_is_carried_or_refused_as_the_page_says() {
    let known = known();
    let (mut verdicts, mut notes, mut ignored) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for line in include_str!("attributes.tsv").lines() {
        let mut columns = line.split('\t');
        let (target, sample) = (columns.next().unwrap(), columns.next().unwrap());
        let sample = serde_json::from_str(sample).unwrap_or_else(|error| panic!("{line}: {error}"));
        judge(target, &sample, &known, &mut verdicts, &mut ignored);
        if let Some(note) = columns.next() {
            notes.insert(target.to_owned(), note.to_owned());
        }
    }
    ignored.retain(|line| !verdicts.contains_key(line.split(' ').next().unwrap()));
    assert!(ignored.is_empty(), "accepted and ignored:\n{}", ignored.join("\n"));
    let missing: Vec<&String> = known.iter().filter(|path| !verdicts.contains_key(*path)).collect();
    assert!(missing.is_empty(), "no sample shows {missing:?}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/COMPOSE.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let tables = tables(&known, &verdicts, &notes);
    if std::env::var_os("ORCA_BLESS").is_some() {
        std::fs::write(&page, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
        return;
    }
    assert!(!text.contains("ignored"));
    assert_eq!(
        written, tables,
        "docs/COMPOSE.md is out of date: ORCA_BLESS=1 cargo test -p compose-spec --test attributes"
    );
}
