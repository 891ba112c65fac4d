//! Whatever the input, loading ends in a project or in errors; and what a project prints loads again as the same project.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use compose_spec::{Errors, FileError, Files, LoadOptions, Loaded, TranslateOptions, load, translate};
use proptest::prelude::*;

struct Memory(HashMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        Ok(self.0.get(path).cloned())
    }
}

fn project(files: &[(&str, &[u8])]) -> Memory {
    Memory(files.iter().map(|(name, bytes)| (Path::new("/shop").join(name), bytes.to_vec())).collect())
}

fn read(files: &Memory) -> Result<Loaded, Errors> {
    load(&LoadOptions { working_dir: "/shop".into(), keep_unused: true, ..LoadOptions::default() }, files)
}

const APP: &str = r#"
x-common: &common
  restart: always
  logging: {driver: json-file, options: {max-size: "10m"}}
services:
  web:
    <<: *common
    image: ${IMAGE:-nginx:1.27}
    ports: ["8080:80", {target: 53, published: "53", protocol: udp}]
    environment: [A=$$literal, "B=line\nbreak", 'C=no', "D=${UNSET-12}"]
    depends_on: {db: {condition: service_healthy}}
    volumes: ["./html:/html:ro", data:/data, {type: tmpfs, target: /t}]
    deploy: {replicas: 2, resources: {limits: {cpus: 0.5, memory: 64m}}}
    healthcheck: {test: [CMD, "true"], interval: 1m30s}
    extra_hosts: ["a:1.2.3.4", "b=::1"]
  db:
    extends: {service: base}
    secrets: [key]
    ulimits: {nofile: {soft: 10, hard: 20}}
  base:
    image: postgres
    command: sh -c "a 'b c'"
networks: {default: {driver: bridge}}
volumes: {data: ~}
secrets: {key: {file: ./key.txt}}
"#;

#[test]
fn the_printed_form_loads_as_the_same_project() {
    let first = read(&project(&[("compose.yaml", APP.as_bytes())])).unwrap().project;
    for text in [first.config_yaml(), first.config_json().to_string()] {
        let again = read(&project(&[("compose.yaml", text.as_bytes())])).map(|loaded| loaded.project);
        let again = again.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(again.config_json(), first.config_json(), "{text}");
        assert_eq!(again.config_hash("web"), first.config_hash("web"));
    }
}

#[test]
fn override_files_resets_and_profiles() {
    let over = b"services:\n  web: {ports: !override ['9:9'], environment: {A: 2}, logging: !reset null, profiles: [p]}\n  db: {image: other}\n";
    let loaded = read(&project(&[("compose.yaml", APP.as_bytes()), ("compose.override.yml", over)])).unwrap();
    let db = loaded.project.service("db").unwrap();
    assert_eq!(db.image(), Some("other"));
    assert!(loaded.project.service("web").is_none(), "its profile isn't active");
    let web = &loaded.project.disabled["web"];
    assert!(web.get("logging").is_none());
    assert_eq!(web.get("ports").unwrap().as_list().unwrap().len(), 1);
    assert_eq!(web.at(&["environment", "A"]).unwrap().as_str(), Some("2"));
}

#[test]
fn errors_name_file_line_and_what_is_wrong() {
    for (files, expected) in [
        (
            &[("compose.yaml", "services: {a: {image: x, extends: {file: b.yaml, service: b}}}")][..],
            "/shop/compose.yaml:1:35: open /shop/b.yaml: no such file",
        ),
        (&[("compose.yaml", "services: {a: {extends: b}, b: {extends: a}}")], "Circular reference"),
        (
            &[("compose.yaml", "include: [b.yaml]"), ("b.yaml", "include: [compose.yaml]")],
            "/shop/b.yaml:1:11: include cycle detected",
        ),
        (
            &[("compose.yaml", "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}")],
            "dependency cycle detected: a -> b -> a",
        ),
        (&[("compose.yaml", "services: {a: {image: x, env_file: no.env}}")], "env file /shop/no.env: not found"),
        (
            &[("compose.yaml", "services: {a: {image: x, networks: [n]}}")],
            "service \"a\" refers to undefined network \"n\"",
        ),
        (
            &[("compose.yaml", "services:\n  a:\n    image: ${X?set it}\n")],
            "/shop/compose.yaml:3:12: error while interpolating services.a.image: required variable X is missing a value: set it",
        ),
        (
            &[("compose.yaml", "services: {a: {image: x}}"), ("compose.override.yml", "services: {a: {cap_add: y}}")],
            "/shop/compose.override.yml:1:25: services.a.cap_add must be a list, not a string",
        ),
        (&[("compose.yaml", "")], "empty compose file"),
        (&[], "no configuration file provided"),
    ] {
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        let message = read(&project(&files)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn dot_env_names_and_includes() {
    let files = project(&[
        ("compose.yaml", b"include: [{path: sub/compose.yaml}]\nservices: {a: {image: \"${IMAGE}\", environment: [IMAGE, NONE], env_file: a.env}}\n"),
        ("sub/compose.yaml", b"services: {b: {image: \"${SUB}-${IMAGE}\", volumes: ['./x:/x']}}\n"),
        ("sub/.env", b"SUB=inner\nIMAGE=shadowed\n"),
        (".env", b"IMAGE=outer\n"),
        ("a.env", b"FROM_FILE=${IMAGE}!\nIMAGE=lost\n"),
    ]);
    let project = read(&files).unwrap().project;
    assert_eq!(project.name, "shop");
    let (a, b) = (project.service("a").unwrap(), project.service("b").unwrap());
    assert_eq!((a.image(), b.image()), (Some("outer"), Some("inner-outer")));
    assert_eq!(a.node.at(&["environment", "FROM_FILE"]).unwrap().as_str(), Some("outer!"));
    assert_eq!(a.node.at(&["environment", "IMAGE"]).unwrap().as_str(), Some("outer"));
    assert!(a.node.at(&["environment", "NONE"]).unwrap().is_null());
    assert_eq!(b.list(&["volumes"])[0].get("source").unwrap().as_str(), Some("/shop/sub/x"));
}

#[test]
fn long_chains_end_in_errors() {
    let mut text = String::from("services:\n");
    (0..20_000).for_each(|at| text.push_str(&format!("  s{at}: {{extends: s{}}}\n", at + 1)));
    let message = read(&project(&[("compose.yaml", text.as_bytes())])).unwrap_err().to_string();
    assert!(message.contains("extend one another"), "{message}");
    let names: Vec<String> = (0..200).map(|at| format!("f{at}.yaml")).collect();
    let texts: Vec<String> = (0..200).map(|at| format!("include: [f{}.yaml]", at + 1)).collect();
    let mut files: Vec<(&str, &[u8])> =
        names.iter().zip(&texts).map(|(name, text)| (&**name, text.as_bytes())).collect();
    files.push(("compose.yaml", b"include: [f0.yaml]"));
    assert!(read(&project(&files)).unwrap_err().to_string().contains("includes nest deeper"));
    let mut waiting = String::from("services:\n");
    (0..5_000).for_each(|at| waiting.push_str(&format!("  s{at}: {{image: x, depends_on: [s{}]}}\n", at + 1)));
    waiting.push_str("  s5000: {image: x}\n");
    assert!(read(&project(&[("compose.yaml", waiting.as_bytes())])).is_ok());
}

#[test]
fn a_thousand_services_load_in_linear_time() {
    let app = |count: usize| {
        let mut text = String::from("services:\n  base: {image: x, environment: {A: 1}}\n");
        for index in 0..count {
            text.push_str(&format!(
                "  s{index}:\n    extends: base\n    ports: ['{}:80']\n    environment: [N={index}]\n    depends_on: [base]\n    volumes: ['d{index}:/d']\n",
                1000 + index
            ));
        }
        text.push_str("volumes:\n");
        (0..count).for_each(|index| text.push_str(&format!("  d{index}: {{}}\n")));
        text
    };
    let time = |count: usize| {
        let files = project(&[("compose.yaml", app(count).as_bytes())]);
        let run = || {
            let begin = Instant::now();
            let project = read(&files).unwrap().project;
            assert_eq!(translate(&project, &TranslateOptions::default(), &files).unwrap().services.len(), count + 1);
            begin.elapsed()
        };
        (0..3).map(|_| run()).min().unwrap()
    };
    let (small, large) = (time(250), time(1000));
    println!("250 services: {small:?}, 1000 services: {large:?}");
    // Four times the input; a quadratic stage would take sixteen times as long.
    assert!(large < small * 9 + Duration::from_millis(50), "{small:?} {large:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in r"[ \-a-z:{}\[\]&*!<>|'\n#$,\t]{0,120}") {
        let _ = read(&project(&[("compose.yaml", &bytes)]));
        let _ = read(&project(&[("compose.yaml", text.as_bytes())]));
    }

    #[test]
    fn mutated_files_never_panic(cuts in proptest::collection::vec((0usize..1200, 0usize..12, r"[ \-a-z0-9:{}\[\]&*!$~\n.]{0,6}"), 1..5)) {
        let mut bytes = APP.as_bytes().to_vec();
        for (at, length, insert) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, insert.bytes());
        }
        let files = project(&[("compose.yaml", &bytes), ("key.txt", b"k")]);
        if let Ok(loaded) = read(&files) {
            let _ = loaded.project.config_yaml();
            let _ = translate(&loaded.project, &TranslateOptions::default(), &files);
        }
    }

    #[test]
    fn any_attribute_with_any_value_never_panics(
        key in "command|ports|volumes|environment|deploy|healthcheck|networks|depends_on|extends|build|ulimits|secrets|env_file|tmpfs|logging|expose|devices|extra_hosts|develop|gpus",
        value in r"(~|1|-1|1\.5|true|x|'a:b:c:d'|\[\]|\{\}|\[1\]|\[x, ~\]|\[\{\}\]|\{a: 1\}|\{a: ~\}|\{a: \{b: \[~\]\}\}|\[\[\]\]|'')",
        over in r"(~|1|x|\[\]|\{\}|\[a\]|\{a: \{\}\}|\[\{target: 1\}\])",
    ) {
        let base = format!("services:\n  a: {{image: x, {key}: {value}}}\n");
        let top = format!("services:\n  a: {{image: x, {key}: {over}}}\n");
        let files = project(&[("compose.yaml", base.as_bytes()), ("compose.override.yml", top.as_bytes())]);
        if let Ok(loaded) = read(&files) {
            let _ = translate(&loaded.project, &TranslateOptions::default(), &files);
        }
    }
}

#[test]
fn files_directories_and_names_are_found_as_docker_does() {
    let app = b"services: {a: {image: x}}".as_slice();
    let files = project(&[
        ("compose.yml", app),
        ("docker-compose.yml", b"not read"),
        ("other/one.yaml", b"name: Some Name!\nservices: {a: {image: one, volumes: ['./d:/d']}}"),
        ("other/two.yaml", b"services: {a: {image: two}}"),
        ("vars.env", b"COMPOSE_PROFILES=p\n"),
    ]);
    let options = |change: &dyn Fn(&mut LoadOptions)| {
        let mut options = LoadOptions { working_dir: "/shop/deep/er".into(), ..LoadOptions::default() };
        change(&mut options);
        load(&options, &files).map(|loaded| loaded.project)
    };
    let env = |options: &mut LoadOptions, key: &str, value: &str| {
        options.env.insert(key.into(), value.into());
    };
    let upward = options(&|_| {}).unwrap();
    assert_eq!((upward.name.as_str(), upward.files[0].as_str()), ("shop", "/shop/compose.yml"));
    let listed = options(&|o| {
        env(o, "COMPOSE_FILE", "../../other/one.yaml;../../other/two.yaml");
        env(o, "COMPOSE_PATH_SEPARATOR", ";");
    });
    let listed = listed.unwrap();
    let a = listed.service("a").unwrap();
    assert_eq!((listed.name.as_str(), a.image()), ("somename", Some("two")));
    assert_eq!(a.list(&["volumes"])[0].get("source").unwrap().as_str(), Some("/shop/other/d"));
    assert_eq!(options(&|o| env(o, "COMPOSE_PROJECT_NAME", "given")).unwrap().name, "given");
    assert!(
        options(&|o| o.project_name = Some("Bad".into())).unwrap_err().to_string().contains("invalid project name")
    );
    assert_eq!(options(&|o| env(o, "COMPOSE_ENV_FILES", "../../vars.env")).unwrap().profiles, ["p"]);
    let stdin = options(&|o| (o.files, o.stdin) = (vec!["-".into()], Some(app.to_vec())));
    assert_eq!(stdin.unwrap().directory, Path::new("/shop/deep/er"));
}

#[test]
fn naming_a_service_activates_its_profiles_and_its_dependencies() {
    let text = b"services:\n  a: {image: x, profiles: [p], depends_on: [b]}\n  b: {image: x}\n  c: {image: x}\n";
    let files = project(&[("compose.yaml", text)]);
    let named = |names: &[&str]| {
        let services = names.iter().map(|name| (*name).to_owned()).collect();
        load(&LoadOptions { working_dir: "/shop".into(), services, ..LoadOptions::default() }, &files)
    };
    assert_eq!(named(&[]).unwrap().project.service_names(), ["b", "c"]);
    assert_eq!(named(&["a"]).unwrap().project.service_names(), ["a", "b"]);
    assert_eq!(named(&["nope"]).unwrap_err().to_string(), "no such service: nope");
}
