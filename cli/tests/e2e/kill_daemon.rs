//! The daemon may be killed at any moment.

use std::time::{Duration, Instant};

use crate::networks::fetch;
use crate::support::Node;

#[test]
fn a_container_counts_on_while_the_daemon_is_killed_twenty_times() {
    let mut node = Node::start().with_busybox();
    let file = node.file(
        "compose.yml",
        "name: steady\nservices: { web: { image: busybox, command: [httpd, -f, -p, '80', -h, /etc], ports: ['8084:80'] }, ask: { image: busybox, command: [sleep, '1000'] } }",
    );
    let file = file.to_str().unwrap().to_owned();
    node.ok(&["up", "-d", "-f", &file]);
    let script = r#"awk 'BEGIN { for (i = 1; i <= 1000000; i++) { print i; if (i % 10000 == 0) { fflush(); system("sleep 0.1") } } exit 37 }'"#;
    node.ok(&["run", "-d", "--name", "counter", "busybox", "sh", "-c", script]);
    for round in 0..20 {
        node.kill_daemon();
        assert!(node.get("http://127.0.0.1:8084/passwd").is_some(), "the port serves without a daemon (round {round})");
        node.start_daemon();
        let begin = Instant::now();
        let right = |node: &Node| {
            let rows = node.ok(&["ps", "--format", "{{json .}}"]);
            rows.contains("\"steady-web-1\"") && rows.contains("\"steady-ask-1\"")
        };
        while !right(&node) {
            assert!(begin.elapsed() < Duration::from_secs(1), "ps is right a second after the restart (round {round})");
        }
        let found = node.ok(&["compose", "-f", &file, "exec", "-T", "ask", "sh", "-c", &fetch("web")]);
        assert!(found.contains("root"), "names are answered");
    }
    assert_eq!(node.ok(&["wait", "counter"]), "37\n");
    let output = node.orca(&["logs", "counter"]);
    let lines: Vec<&[u8]> = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 1_000_000);
    for (index, line) in lines.into_iter().enumerate() {
        assert_eq!(line, (index + 1).to_string().as_bytes(), "every line once, in order");
    }
    node.ok(&["down", "-f", &file]);
}

#[test]
fn a_container_that_ends_meanwhile_is_known() {
    let mut node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "brief", "busybox", "sh", "-c", "sleep 0.5; exit 5"]);
    node.kill_daemon();
    std::thread::sleep(Duration::from_secs(1));
    node.start_daemon();
    assert_eq!(node.ok(&["wait", "brief"]), "5\n");
    assert!(node.ok(&["ps", "-a"]).contains("Exited (5)"));
    node.ok(&["rm", "brief"]);
}
