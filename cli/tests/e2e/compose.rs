//! `orca up` and `orca down`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::Node;

const APP: &str = r#"
name: app
services:
  web:
    image: orca/demo
    command: [whoami, --counter, "http://counter:8000/"]
    environment: { TASK: "{{.Task.Name}}", NODE: "{{.Node.Hostname}}" }
    ports: ["8080:80"]
    deploy: { replicas: 2 }
    depends_on: { counter: { condition: service_healthy } }
  counter:
    image: orca/demo
    command: [counter]
    volumes: ["count:/data"]
    healthcheck:
      test: [CMD, /orca, demo, health, "http://127.0.0.1:8000/health"]
      interval: 200ms
volumes: { count: }
"#;

fn visits(page: &str) -> u32 {
    page.lines().find_map(|line| line.strip_prefix("visits ")).unwrap().parse().unwrap()
}

#[test]
fn an_application_comes_up_balances_and_keeps_its_data() {
    let node = Node::start();
    let file = node.file("compose.yml", APP);
    let file = file.to_str().unwrap();
    node.ok(&["up", "-d", "--wait", "-f", file]);
    let mut tasks = std::collections::BTreeSet::new();
    let mut last = 0;
    for _ in 0..40 {
        let page = node.get("http://127.0.0.1:8080/").expect("the page answers");
        tasks.insert(page.lines().next().unwrap().to_owned());
        last = visits(&page);
    }
    assert_eq!(tasks.into_iter().collect::<Vec<_>>(), ["task app-web-1", "task app-web-2"]);
    assert_eq!(last, 40);

    let names = node.ok(&["compose", "-f", file, "ps", "--format", "json"]);
    assert_eq!(names.lines().count(), 3, "{names}");
    let before = node.ok(&["compose", "-f", file, "ps", "-q"]);
    node.ok(&["up", "-d", "-f", file]);
    assert_eq!(node.ok(&["compose", "-f", file, "ps", "-q"]), before, "nothing has changed, nothing is recreated");

    node.ok(&["up", "-d", "--wait", "-f", file, "--scale", "web=3"]);
    assert_eq!(node.ok(&["compose", "-f", file, "ps", "-q", "web"]).lines().count(), 3);
    node.file("compose.yml", &APP.replace("8000/health", "8000/health?x"));
    node.ok(&["up", "-d", "--wait", "-f", file]);
    let after = node.ok(&["compose", "-f", file, "ps", "-q", "web"]);
    assert!(after.lines().all(|id| before.contains(id)), "only the changed service is recreated");

    assert!(node.ok(&["compose", "-f", file, "ls", "--format", "json"]).contains("\"app\""));
    assert_eq!(
        node.ok(&[
            "compose",
            "-f",
            file,
            "exec",
            "-T",
            "--index",
            "2",
            "web",
            "/orca",
            "demo",
            "health",
            "http://counter:8000/health"
        ]),
        "ok\n"
    );
    node.ok(&["down", "-f", file]);
    assert_eq!(node.ok(&["ps", "-aq"]), "");
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "app_count\n");
    node.file("compose.yml", APP);
    node.ok(&["up", "-d", "--wait", "-f", file]);
    assert_eq!(visits(&node.get("http://127.0.0.1:8080/").unwrap()), 41, "the volume has kept the count");
    node.ok(&["down", "-v", "-f", file]);
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "");
}

#[test]
fn stop_start_restart_keep_the_containers() {
    let node = Node::start();
    let file = node.file("compose.yml", APP);
    let file = file.to_str().unwrap();
    node.ok(&["up", "-d", "--wait", "-f", file]);
    let compose = |args: &[&str]| node.ok(&[&["compose", "-f", file], args].concat());
    let before = compose(&["ps", "-q"]);
    compose(&["stop"]);
    assert_eq!(compose(&["ps", "-q"]), "");
    assert_eq!(compose(&["ps", "-aq"]), before);
    assert!(node.get("http://127.0.0.1:8080/").is_none());
    compose(&["start"]);
    assert_eq!(compose(&["ps", "-q"]), before);
    node.wait_for("it serves again", || node.get("http://127.0.0.1:8080/").is_some());
    compose(&["restart", "web"]);
    assert_eq!(compose(&["ps", "-q"]), before);
    node.wait_for("and again", || node.get("http://127.0.0.1:8080/").is_some());
    assert!(compose(&["logs", "--tail", "1", "web"]).contains("web-1  | listening on"));
    compose(&["down", "-v"]);
}

#[test]
fn the_foreground_shows_logs_and_ends_with_a_service_exit_code() {
    let node = Node::start().with_busybox();
    let file = node.file(
        "compose.yml",
        r#"
name: jobs
services:
  helper: { image: busybox, command: [sh, -c, "echo helping; exec sleep 1000"], stop_signal: SIGKILL }
  first: { image: busybox, command: [sh, -c, "echo one"] }
  job:
    image: busybox
    command: [sh, -c, "echo working; exit 7"]
    depends_on: { first: { condition: service_completed_successfully }, helper: { condition: service_started }, quiet: { condition: service_completed_successfully } }
  quiet: { image: busybox, attach: false, command: [sh, -c, "echo hidden"] }
"#,
    );
    let output = node.orca(&["up", "-f", file.to_str().unwrap(), "--exit-code-from", "job"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(7), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for line in ["first-1   | one", "helper-1  | helping", "job-1     | working", "job-1 exited with code 7"] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
    assert!(!text.contains("hidden") && !text.contains("quiet-1"), "{text}");
    node.ok(&["down", "-f", file.to_str().unwrap()]);
}

#[test]
fn ctrl_c_stops_the_application() {
    let node = Node::start().with_busybox();
    let file = node.file(
        "compose.yml",
        "name: fg\nservices: { web: { image: busybox, command: [sh, -c, 'trap \"echo bye; exit 0\" TERM; echo up; while :; do sleep 0.1; done'] } }",
    );
    let mut child = node
        .orca_command(&["up", "-f", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "web-1  | up"));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(lines.any(|line| line.unwrap() == "web-1  | bye"));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(node.ok(&["ps", "-q"]), "");
    node.ok(&["down", "-f", file.to_str().unwrap()]);
}

#[test]
fn a_dependency_that_fails_is_told() {
    let node = Node::start().with_busybox();
    let file = node.file(
        "compose.yml",
        r#"
name: broken
services:
  first: { image: busybox, command: ["false"] }
  second: { image: busybox, command: ["true"], depends_on: { first: { condition: service_completed_successfully } } }
"#,
    );
    let error = node.fails(1, &["up", "-d", "-f", file.to_str().unwrap()]);
    assert!(error.contains("first") && error.contains("exited with code 1"), "{error}");
    node.ok(&["down", "-f", file.to_str().unwrap()]);
}

#[test]
fn secrets_and_configs_are_files() {
    let node = Node::start().with_busybox();
    node.file("token.txt", "s3cret");
    let file = node.file(
        "compose.yml",
        r#"
name: files
services:
  show:
    image: busybox
    command: [sh, -c, "cat /run/secrets/token /etc/app.conf; stat -c %a,%u /run/secrets/token; sleep 1000"]
    secrets: [{ source: token, uid: "1000", mode: 0400 }]
    configs: [{ source: app, target: /etc/app.conf }]
secrets: { token: { file: ./token.txt } }
configs: { app: { content: "-conf\n" } }
"#,
    );
    node.ok(&["up", "-d", "-f", file.to_str().unwrap()]);
    let file = file.to_str().unwrap();
    node.wait_for("it shows them", || {
        node.ok(&["compose", "-f", file, "logs", "--no-log-prefix"]) == "s3cret-conf\n400,1000\n"
    });
    let found = std::process::Command::new("grep").args(["-rl", "s3cret"]).arg(node.data_dir()).output().unwrap();
    let found = String::from_utf8_lossy(&found.stdout);
    let outside: Vec<&str> =
        found.lines().filter(|path| !path.ends_with("json.log") && !path.contains("/log")).collect();
    assert!(outside.is_empty(), "the secret is on disk in the clear: {outside:?}");
    node.ok(&["down", "-f", file]);
}
