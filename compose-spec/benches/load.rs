//! How long a large project takes to load, beside a plain parse of the same text: one JSON line.
//!
//! `cargo bench -p compose-spec --bench load`
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use compose_spec::{FileError, Files, LoadOptions, load};

const SERVICES: usize = 1_000;
const ROUNDS: usize = 15;
/// Milliseconds that it may take.
const TARGET: u64 = 100;

struct One(String);

impl Files for One {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        Ok((path == Path::new("/shop/compose.yaml")).then(|| self.0.clone().into_bytes()))
    }
}

/// Services with anchors, merge keys, `extends` and variables with defaults.
fn text() -> String {
    let mut text = String::from(
        "x-common: &common\n  restart: unless-stopped\n  logging: {driver: json-file, options: {max-size: 10m}}\n\
         services:\n  base:\n    image: ${REGISTRY:-docker.io}/base:${TAG:-latest}\n    environment: {LEVEL: '${LEVEL:-info}', A: 1}\n",
    );
    for at in 0..SERVICES {
        text.push_str(&format!(
            "  s{at}:\n    <<: *common\n    extends: {{service: base}}\n    environment: [N={at}, 'URL=http://${{HOST:-h}}:{at}']\n    \
             ports: ['{}:80']\n    volumes: ['d{at}:/data', './c{at}:/etc/c:ro']\n    depends_on: [base]\n    \
             deploy: {{resources: {{limits: {{memory: 64m, cpus: '0.5'}}}}}}\n    healthcheck: {{test: 'curl localhost', interval: 30s}}\n",
            10_000 + at
        ));
    }
    text.push_str("volumes:\n");
    (0..SERVICES).for_each(|at| text.push_str(&format!("  d{at}: {{}}\n")));
    text
}

fn best(mut run: impl FnMut()) -> Duration {
    let mut time = || {
        let begin = Instant::now();
        run();
        begin.elapsed()
    };
    (0..ROUNDS).map(|_| time()).min().unwrap()
}

fn main() {
    let files = One(text());
    let env = BTreeMap::from([("TAG".to_owned(), "1.0".to_owned())]);
    let options = LoadOptions { working_dir: "/shop".into(), env, ..LoadOptions::default() };
    let load = best(|| {
        let project = load(&options, &files).unwrap().project;
        assert_eq!(project.services.len(), SERVICES + 1);
    });
    let parse = best(|| {
        let mut parser = saphyr_parser::Parser::new_from_str(&files.0);
        let mut events = 0;
        while let Some(event) = parser.next_event() {
            event.unwrap();
            events += 1;
        }
        assert!(events > SERVICES);
    });
    let ms = |time: Duration| (time.as_secs_f64() * 1e5).round() / 1e2;
    let line = serde_json::json!({
        "services": SERVICES, "bytes": files.0.len(), "load_ms": ms(load), "yaml_parse_ms": ms(parse),
        "ratio": (load.as_secs_f64() / parse.as_secs_f64() * 100.0).round() / 100.0, "target_ms": TARGET,
    });
    println!("{line}");
}
