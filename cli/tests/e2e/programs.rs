//! Services that programs provide, and models.

use std::os::unix::fs::PermissionsExt;

use crate::support::Node;

/// Writes an executable into the node's own directory of programs; the PATH with it.
fn program(node: &Node, name: &str, text: &str) -> String {
    let path = node.file(&format!("bin/{name}"), text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", path.parent().unwrap().display(), std::env::var("PATH").unwrap())
}

const PROVIDER: &str = r#"#!/bin/sh
dir=$(dirname "$0")
[ "$2" = metadata ] && {
  echo '{"description":"a cloud","up":{"parameters":[{"name":"size","required":true}]},"down":{"parameters":[]},"stop":{"parameters":[]}}'; exit; }
echo "$@ REGION=$REGION" >> $dir/calls
case "$3" in up)
  echo '{"type":"info","message":"makes it"}'
  echo '{"type":"get-service-config"}'; read config; echo "$config" > $dir/config
  echo '{"type":"setenv","message":"URL=cloud://db?a=b"}'
  echo '{"type":"rawsetenv","message":"PLAIN=1"}'
  [ -e $dir/broken ] && echo '{"type":"error","message":"no quota left"}';;
esac
exit 0
"#;

const FILE: &str = r#"
name: cloudy
services:
  db:
    provider: {type: testcloud, options: {size: small, unknown: x}}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: [db]
  other: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
"#;

#[test]
fn a_program_provides_a_service() {
    let node = Node::start().with_busybox();
    let path = program(&node, "docker-testcloud", PROVIDER);
    let calls = || std::fs::read_to_string(node.files().join("bin/calls")).unwrap_or_default();
    node.file("compose.yml", FILE);
    node.file(".env", "REGION=north\n");
    let run = |args: &[&str]| {
        let output = node.orca_command(&[&["compose"], args].concat()).env("PATH", &path).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let ok = |args: &[&str]| {
        let (code, error) = run(args);
        assert_eq!(code, Some(0), "{args:?}: {error}\n{}", node.daemon_log());
        error
    };
    assert!(ok(&["--dry-run", "up", "-d"]).contains("DRY-RUN MODE -  Service db  Provided"));
    assert_eq!(calls(), "", "a dry run runs no program");
    assert!(ok(&["up", "-d"]).contains(" db  makes it"));
    assert_eq!(calls(), "compose --project-name=cloudy up --size=small db REGION=north\n");
    assert!(std::fs::read_to_string(node.files().join("bin/config")).unwrap().contains("testcloud"));
    let env = |service: &str| node.ok(&["exec", &format!("cloudy-{service}-1"), "env"]);
    assert!(env("web").contains("DB_URL=cloud://db?a=b\n") && env("web").contains("PLAIN=1\n"));
    assert!(!env("other").contains("PLAIN"), "only dependents get them");
    let ids = node.ok(&["ps", "-q"]);
    ok(&["up", "-d"]);
    assert_eq!(node.ok(&["ps", "-q"]), ids, "the same variables make nothing anew");
    ok(&["stop", "db"]);
    assert!(calls().ends_with("compose --project-name=cloudy stop db REGION=north\n"), "{}", calls());
    node.file("bin/broken", "");
    let (code, error) = run(&["up", "-d"]);
    assert!(code == Some(1) && error.contains("service db: no quota left"), "{error}");
    ok(&["down"]);
    assert!(calls().ends_with("compose --project-name=cloudy down db REGION=north\n"), "{}", calls());
    assert_eq!(node.ok(&["ps", "-aq"]), "");

    node.file("compose.yml", &FILE.replace("testcloud", "nosuchcloud"));
    let (code, error) = run(&["up", "-d"]);
    assert!(
        code == Some(1) && error.contains("there is no orca-nosuchcloud, docker-nosuchcloud or nosuchcloud in PATH"),
        "{error}"
    );
    node.file("compose.yml", &FILE.replace("provider:", "tty: true\n    provider:"));
    let (code, error) = run(&["up", "-d"]);
    assert!(code == Some(1) && error.contains("services.db.tty") && error.contains("has no container"), "{error}");
}

const RUNNER: &str = r#"#!/bin/sh
echo "$@" >> $(dirname "$0")/model-calls
case "$1" in ls) echo '[{"tags":["ai/here"]}]';; status) echo '{"endpoint":"http://models.test/v1"}';; esac
"#;

#[test]
fn models_are_run_by_their_program_or_refused() {
    let node = Node::start().with_busybox();
    node.file(
        "compose.yml",
        r#"
name: clever
services:
  chat:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    models: {small-one: {endpoint_var: WHERE}, other: null}
models:
  small-one: {model: ai/small, context_size: 4096, runtime_flags: [--fast]}
  other: {model: ai/here}
"#,
    );
    let bare = node.orca(&["up", "-d"]);
    let error = String::from_utf8_lossy(&bare.stderr).into_owned();
    assert!(!bare.status.success() && error.contains("models.small-one") && error.contains("docker-model"), "{error}");
    let path = program(&node, "docker-model", RUNNER);
    let up = node.orca_command(&["up", "-d"]).env("PATH", &path).output().unwrap();
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
    let calls = std::fs::read_to_string(node.files().join("bin/model-calls")).unwrap();
    let expected = "ls --json\npull ai/small\nconfigure --context-size 4096 ai/small -- --fast\nconfigure ai/here\nstatus --json\n";
    assert_eq!(calls, expected);
    let env = node.ok(&["exec", "clever-chat-1", "env"]);
    for line in [
        "SMALL_ONE_MODEL=ai/small",
        "WHERE=http://models.test/v1",
        "OTHER_MODEL=ai/here",
        "OTHER_URL=http://models.test/v1",
    ] {
        assert!(env.contains(&format!("{line}\n")), "{line}: {env}");
    }
    node.ok(&["compose", "-p", "clever", "down"]);
}

/// Tells which containers are up whenever it is called: each leaves a mark in the volume as long as it runs.
const WITNESS: &str = r#"#!/bin/sh
[ "$2" = metadata ] && { echo '{"stop":{"parameters":[]}}'; exit; }
echo "$3: $(ls $MARKS | tr '\n' ' ')" >> $(dirname "$0")/seen
echo '{"type":"setenv","message":"READY=1"}'
"#;

#[test]
fn providers_come_between_the_containers_they_need_and_those_that_need_them() {
    let node = Node::start().with_busybox();
    let path = program(&node, "docker-witness", WITNESS);
    let marked = |name: &str| {
        format!(
            "[sh, -c, \"trap 'rm /marks/{name}; exit 0' TERM; sleep 0.3; touch /marks/{name}; while :; do sleep 0.05 & wait $$!; done\"]"
        )
    };
    let file = format!(
        "
name: between
services:
  base:
    image: busybox
    command: {}
    volumes: ['marks:/marks']
    healthcheck: {{test: test -e /marks/base, interval: 200ms}}
  middle:
    provider: {{type: witness}}
    depends_on: {{base: {{condition: service_healthy}}}}
  web:
    image: busybox
    command: {}
    volumes: ['marks:/marks']
    depends_on: [middle]
volumes: {{marks: {{}}}}
",
        marked("base"),
        marked("web")
    );
    node.file("compose.yml", &file);
    node.file(".env", &format!("MARKS={}\n", node.data_dir().join("volumes/between_marks/_data").display()));
    let marks = node.data_dir().join("volumes/between_marks/_data/web");
    let seen = || std::fs::read_to_string(node.files().join("bin/seen")).unwrap_or_default();
    let run = |args: &[&str]| {
        let output = node.orca_command(&[&["compose"], args].concat()).env("PATH", &path).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let ok = |args: &[&str]| {
        let (code, error) = run(args);
        assert_eq!(code, Some(0), "{args:?}: {error}\n{}", node.daemon_log());
    };
    let (code, error) = run(&["create"]);
    assert!(code == Some(1) && error.contains("service middle") && error.contains("(base)"), "{error}");
    ok(&["up", "-d"]);
    assert_eq!(seen(), "up: base \n");
    assert!(node.ok(&["exec", "between-web-1", "env"]).contains("MIDDLE_READY=1\n"));
    node.wait_for("web is up", || marks.exists());
    ok(&["stop"]);
    assert_eq!(seen(), "up: base \nstop: base \n", "web has stopped before, base not");
    ok(&["start"]);
    node.wait_for("web is up again", || marks.exists());
    ok(&["down"]);
    assert_eq!(seen(), "up: base \nstop: base \ndown: base \n");
    ok(&["down", "-v"]);
}
