//! `orca daemon --metrics-addr`: what a node counts, and that docs/METRICS.md lists just that.

use std::collections::BTreeSet;

use super::support::Node;

const ADDRESS: &str = "127.0.0.1:9400";

fn scrape(node: &Node) -> String {
    node.get(&format!("http://{ADDRESS}/metrics")).expect("metrics are served")
}

/// The number of this name and these labels.
fn number(text: &str, of: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(of)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {of} in\n{text}")).parse().unwrap()
}

#[test]
fn everything_that_is_counted_is_listed_and_what_is_listed_is_counted() {
    let node = Node::start_with(&["--metrics-addr", ADDRESS]).with_busybox();
    let check = ["--health-cmd", "true", "--health-interval", "1s"];
    let limits = ["--memory", "64m"];
    let run = [&["run", "-d", "--name", "counted"], &check[..], &limits, &["busybox", "sh", "-c", WORK]].concat();
    let id = node.ok(&run).trim().to_owned();
    node.ok(&["run", "--name", "over", "busybox", "sh", "-c", "exit 0"]);
    let file =
        node.file("compose.yml", "name: shop\nservices:\n  web: {image: busybox, command: sleep 1000, init: true}\n");
    node.ok(&["up", "-d", "-f", file.to_str().unwrap()]);

    let of = format!("{{container=\"counted\",id=\"{id}\"}}");
    node.wait_for("the check has passed", || number(&scrape(&node), &format!("orca_container_healthy{of}")) == 1.0);
    node.wait_for("CPU time is counted", || {
        number(&scrape(&node), &format!("orca_container_cpu_seconds_total{of}")) > 0.01
    });
    let text = scrape(&node);
    assert_eq!(number(&text, "orca_containers{state=\"running\"}"), 2.0);
    assert_eq!(number(&text, "orca_service_wanted_tasks{service=\"shop-web\"}"), 1.0);
    assert_eq!(number(&text, "orca_service_running_tasks{service=\"shop-web\"}"), 1.0);
    assert_eq!(number(&text, "orca_containers{state=\"exited\"}"), 1.0);
    assert_eq!(number(&text, &format!("orca_container_memory_limit_bytes{of}")), f64::from(64 << 20));
    let memory = number(&text, &format!("orca_container_memory_bytes{of}"));
    assert!(memory > 0.0 && memory < f64::from(64 << 20), "{memory}");
    assert!(number(&text, &format!("orca_container_pids{of}")) >= 1.0);
    assert!(text.contains("image=\"busybox\",project=\"shop\",service=\"web\"} 1"), "{text}");
    // What ran is known of one that is over, and what it used is not.
    assert!(text.contains("orca_container_last_exit_code{container=\"over\""), "{text}");
    assert!(!text.contains("orca_container_pids{container=\"over\""), "{text}");
    assert_eq!(number(&text, "orca_raft_leader"), 1.0);
    assert_eq!(number(&text, "orca_session_connected"), 1.0);
    assert!(number(&text, "process_resident_memory_bytes") > 1e6);

    let page = include_str!("../../../docs/METRICS.md");
    let listed: BTreeSet<String> = page.lines().filter_map(row).collect();
    let of_line = |line: &str| line.strip_prefix("# HELP ").map(str::to_owned);
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let kinds: Vec<(&str, &str)> = kinds.collect();
    let counted = text.lines().filter_map(of_line).zip(kinds).map(|(help, (name, kind))| {
        let help = help.strip_prefix(name).unwrap().trim();
        format!("{name} {kind} {help}")
    });
    assert_eq!(counted.collect::<BTreeSet<_>>(), listed, "docs/METRICS.md against /metrics");
}

/// Writes and computes, and never ends.
const WORK: &str = "while :; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; sleep 0.1; done";

/// `| \`name\` | kind | help |` as `name kind help`.
fn row(line: &str) -> Option<String> {
    let cells: Vec<&str> = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect();
    let [name, kind, help] = cells[..] else { panic!("{line}") };
    Some(format!("{} {kind} {help}", name.trim_end_matches('`')))
}

#[test]
fn only_the_metrics_are_served_and_a_taken_port_is_named() {
    let node = Node::start_with(&["--metrics-addr", ADDRESS]);
    let code = |arguments: &[&str]| {
        let fixed = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10"];
        node.in_host(&[&fixed, arguments].concat())
    };
    let url = format!("http://{ADDRESS}/metrics");
    assert_eq!(code(&[&url]), "200");
    assert_eq!(code(&["-X", "POST", &url]), "405");
    assert_eq!(code(&[&format!("http://{ADDRESS}/")]), "404");
    assert_eq!(code(&[&format!("http://{ADDRESS}/orca.node.v1.Node/ListContainers")]), "404");

    let second = node.files().join("second");
    let (data, run) = (second.join("data"), second.join("run"));
    let mut daemon = node.host_command(env!("CARGO_BIN_EXE_orca"));
    daemon.arg("daemon").arg("--data-dir").arg(data).arg("--run-dir").arg(run).args(["--metrics-addr", ADDRESS]);
    let output = daemon.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(ADDRESS) && said.contains("--metrics-addr"), "{said}");
}
