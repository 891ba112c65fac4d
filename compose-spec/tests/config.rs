//! What `config` prints, stage by stage, as Docker Compose 5 prints it.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use compose_spec::{FileError, Files, LoadOptions, Outcome, TranslateOptions, load, load_model, report};

struct Memory(HashMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        Ok(self.0.get(path).cloned())
    }
}

fn files(files: &[(&str, &str)]) -> Memory {
    Memory(files.iter().map(|(name, text)| (Path::new("/shop").join(name), text.as_bytes().to_vec())).collect())
}

fn options(change: impl FnOnce(&mut LoadOptions)) -> LoadOptions {
    let mut options = LoadOptions { working_dir: "/shop".into(), ..LoadOptions::default() };
    change(&mut options);
    options
}

const APP: &str = "\
services:
  web:
    image: ${IMAGE:-nginx}:${TAG?say which}
    build: {context: ./web, args: [VERSION]}
    environment: {TEXT: 'a: b', FLAG: 'yes', NUMBER: '1', DAY: 2024-01-02, EMPTY: ''}
    ports: ['8080:80']
    env_file: web.env
    volumes: ['./data:/data:ro']
  db:
    extends: {file: base/db.yaml, service: db}
";

fn app() -> Memory {
    files(&[
        ("compose.yaml", APP),
        ("base/db.yaml", "services: {db: {image: postgres, volumes: ['./init:/init']}}"),
        ("web.env", "FROM_FILE=1\n"),
        (".env", "TAG=1.27\n"),
    ])
}

#[test]
fn keys_in_docker_composes_order_and_quotes_as_there() {
    let project = load(&options(|_| {}), &app()).unwrap().project;
    assert_eq!(
        project.config_yaml(),
        "\
name: shop
services:
  db:
    image: postgres
    networks:
      default: null
    volumes:
      - type: bind
        source: /shop/base/init
        target: /init
        bind: {}
  web:
    build:
      context: /shop/web
      dockerfile: Dockerfile
    environment:
      DAY: 2024-01-02 00:00:00 +0000 UTC
      EMPTY: \"\"
      FLAG: \"yes\"
      FROM_FILE: \"1\"
      NUMBER: \"1\"
      TEXT: 'a: b'
    image: nginx:1.27
    networks:
      default: null
    ports:
      - mode: ingress
        target: 80
        published: \"8080\"
        protocol: tcp
    volumes:
      - type: bind
        source: /shop/data
        target: /data
        read_only: true
        bind: {}
networks:
  default:
    name: shop_default
"
    );
}

#[test]
fn stages_can_be_left_out() {
    let text = |change: &dyn Fn(&mut LoadOptions)| load(&options(change), &app()).unwrap().project.config_yaml();
    let bare = text(&|options| options.no_normalize = true);
    assert!(!bare.contains("default") && !bare.contains("dockerfile"), "{bare}");
    let relative = text(&|options| options.no_path_resolution = true);
    for expected in ["context: ./web", "source: ./data", "source: base/init", "FROM_FILE"] {
        assert!(relative.contains(expected), "{relative}");
    }
    let unread = text(&|options| options.no_env_resolution = true);
    assert!(unread.contains("path: /shop/web.env") && !unread.contains("FROM_FILE"), "{unread}");
}

#[test]
fn before_interpolation() {
    let model = load_model(&options(|_| {}), &app()).unwrap();
    let text = model.config_yaml();
    for expected in ["image: ${IMAGE:-nginx}:${TAG?say which}", "published: \"8080\"", "name: shop_default"] {
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(model.service_names(), ["db", "web"]);
    let variables = model.variables();
    let rows: Vec<_> = variables.iter().map(|v| (v.name.as_str(), v.required, v.default.as_str())).collect();
    assert_eq!(rows, [("IMAGE", false, "nginx"), ("TAG", true, "")]);
    let odd = files(&[(
        "compose.yaml",
        "services: {a: {image: x, ports: ['${P}:80'], volumes: ['${V}'], devices: ['${D}']}}",
    )]);
    assert!(load_model(&options(|_| {}), &odd).unwrap().config_yaml().contains("- ${P}:80"));
}

#[test]
fn an_included_project_has_variables_of_its_own() {
    let files = files(&[
        ("compose.yaml", "include: [sub/compose.yaml]\nservices: {a: {image: x, environment: [OWN]}}"),
        (
            "sub/compose.yaml",
            "services: {b: {image: x, environment: [OWN], secrets: [s]}}\nsecrets: {s: {environment: OWN}}",
        ),
        ("sub/.env", "OWN=inner\n"),
    ]);
    let project = load(&options(|_| {}), &files).unwrap().project;
    let value = |service: &str| project.service(service).unwrap().node.at(&["environment", "OWN"]).unwrap().clone();
    assert!(value("a").is_null());
    assert_eq!(value("b").as_str(), Some("inner"));
    let stack = compose_spec::translate(&project, &TranslateOptions::default(), &files).unwrap();
    assert_eq!(stack.secrets[0].data.reveal(), b"inner");
    assert!(!project.config_yaml().contains("content"), "a secret's value is not printed");
}

#[test]
fn the_report_names_every_attribute() {
    let text = "services: {a: {image: x, tty: true, profiles: [], credential_spec: {file: x}, networks: {n: {link_local_ips: [1.2.3.4]}}, scale: 2}}\n\
                networks: {n: {driver: weave}}\n";
    let files = files(&[("compose.yaml", text)]);
    let project = load(&options(|_| {}), &files).unwrap().project;
    let rows = report(&project, &TranslateOptions::default(), &files);
    let outcome = |path: &str| rows.iter().find(|row| row.path == path).map(|row| &row.outcome);
    assert_eq!(outcome("services.a.tty"), Some(&Outcome::Carried));
    assert!(matches!(outcome("services.a.scale"), Some(Outcome::Elsewhere(_))));
    for refused in ["services.a.credential_spec", "services.a.networks.n.link_local_ips", "networks.n.driver"] {
        assert!(matches!(outcome(refused), Some(Outcome::Refused(_))), "{refused}: {rows:?}");
    }
}

/// Of several files, with what the options change: the canonical form.
fn config(text: &[(&str, &str)], change: impl FnOnce(&mut LoadOptions)) -> String {
    load(&options(change), &files(text)).unwrap().project.config_yaml()
}

#[test]
fn details_that_follow_the_reference() {
    let one = |text: &str| config(&[("compose.yaml", text)], |_| {});
    let ports = one("services: {a: {image: x, ports: [{target: 80, published: 8080}, '8080:80', '8080:80']}}");
    assert_eq!(ports.matches("target: 80").count(), 2, "the number 8080 is not the text: {ports}");
    let replicas = one("services: {a: {image: x, scale: 2, deploy: {mode: replicated}}}");
    assert!(replicas.contains("replicas: 2") && replicas.contains("scale: 2"), "{replicas}");
    let unnamed = one("services: {a: {image: x, networks: [n, m]}}\nnetworks: {n: {name: ''}, m: {}}");
    assert!(unnamed.contains("name: shop_m") && !unnamed.contains("shop_n"), "{unnamed}");
}

#[test]
fn variables_without_a_value_get_it_with_the_env_files() {
    let text = [("compose.yaml", "services: {a: {image: x, environment: {FOO: , BAR: }}}")];
    let with = |change: &dyn Fn(&mut LoadOptions)| {
        config(&text, |options| {
            options.env = [("FOO".to_owned(), "1".to_owned())].into();
            options.no_normalize = true;
            change(options);
        })
    };
    assert!(with(&|_| {}).contains("FOO: \"1\""));
    assert!(with(&|options| options.no_env_resolution = true).contains("FOO: null"));
    let shared = [("compose.yaml", "services: {a: {image: x, pid: 'service:b'}}")];
    assert!(config(&shared, |options| options.no_normalize = true).contains("service:b"));
    assert!(load(&options(|_| {}), &files(&shared)).unwrap_err().to_string().contains("undefined service \"b\""));
}

#[test]
fn services_are_chosen_by_patterns_too() {
    let text = [("compose.yaml", "services: {web1: {image: x}, web2: {image: x, profiles: [p]}, db: {image: x}}")];
    let chosen = |names: &[&str]| {
        let change = |options: &mut LoadOptions| options.services = names.iter().map(|name| (*name).into()).collect();
        load(&options(change), &files(&text)).map(|loaded| loaded.project.service_names().join(" "))
    };
    assert_eq!(chosen(&["web*"]).unwrap(), "web1", "only those that are enabled");
    assert_eq!(chosen(&["web2", "d?"]).unwrap(), "db web2");
    assert!(chosen(&["x*"]).is_err());
}

#[test]
fn it_is_told_which_of_several_files_is_used() {
    let text = "services: {a: {image: x}}";
    let both = files(&[("compose.yaml", text), ("docker-compose.yml", text), ("compose.override.yml", "{}")]);
    let warnings = load(&options(|_| {}), &both).unwrap().warnings;
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "Found multiple config files with supported names: /shop/compose.yaml, /shop/docker-compose.yml; using /shop/compose.yaml"
        ]
    );
}

#[test]
fn errors_say_where_and_what_to_do() {
    let told = |text: &str| load(&options(|_| {}), &files(&[("compose.yaml", text)])).unwrap_err().to_string();
    for (text, expected) in [
        (
            "services:\n  web:\n  image: nginx",
            "3:10: services.image must be a mapping, not a string: image is a service's attribute: indent it below a service",
        ),
        ("web:\n  image: nginx", "1:1: additional properties 'web' not allowed: services belong below \"services:\""),
        (
            "services: {a: {image: x, ports: '80:80'}}",
            "services.a.ports must be a list, not a string: write [\"80:80\"]",
        ),
        ("services: {a: {image: x, stop_grace_period: 10}}", "must be a string, not an integer: quote it"),
        ("services: {a: {image: x, environment: [A: b]}}", "not a mapping: if it is text, quote it: \"A: b\""),
        ("services: {a: {image: x, cpus: two}}", "1:32: services.a.cpus: \"two\" is not a number"),
        ("services: {a: {image: x, cpus: '${C:-two}'}}", "error while interpolating services.a.cpus"),
        ("services: {a b: {image: x}}", "'a b' not allowed: a name has letters, digits, '.', '_' and '-'"),
        (
            "services: {a: {image: x, deploy: {resources: {limits: {mem: 1g}}}}}",
            "'mem' not allowed, did you mean \"memory\"?",
        ),
        (
            "services: {a: {image: x, depends_on: {b: {condition: healthy}}}, b: {image: x}}",
            "not \"healthy\", did you mean \"service_healthy\"?",
        ),
        (
            "services: {a: {image: x, volumes: ['dta:/d']}}\nvolumes: {data: {}}",
            "undefined volume \"dta\", did you mean \"data\"?",
        ),
        (
            "services: {a: {image: x, volumes: ['data:/d']}}",
            "undefined volume \"data\": declare it below \"volumes:\" at the top level",
        ),
        (
            "services: {a: {image: x, depends_on: [bb]}, bbb: {image: x}}",
            "undefined service \"bb\", did you mean \"bbb\"?",
        ),
        (
            "services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [dev]}}",
            "depends on undefined service \"b\": it is only there with --profile dev",
        ),
        (
            "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}",
            "3:30: dependency cycle detected: a -> b -> a",
        ),
    ] {
        let found = told(text);
        assert!(found.contains(expected) && found.contains("/shop/compose.yaml:"), "{text}:\n{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    let both = told("services: {a: {image: x, network_mode: 'service:b'}}");
    assert_eq!(both.lines().count(), 1, "said once: {both}");
}
