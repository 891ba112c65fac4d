//! What is done to a Compose application that runs.

use crate::support::Node;

const FILE: &str = "
name: shop
services:
  web:
    image: busybox
    command: sleep 1000
    init: true
    ports: ['8080:80']
    depends_on: [db]
    environment: {TIER: front}
    volumes: ['data:/data']
  db:
    image: busybox
    command: sh -c \"trap 'exit 4' TERM; while :; do sleep 0.05 & wait $$!; done\"
volumes: {data: {}}
";

fn compose(node: &Node) -> impl Fn(&[&str]) -> String {
    let file = node.file("compose.yml", FILE);
    move |args| node.ok(&[&["compose", "-f", file.to_str().unwrap()], args].concat())
}

#[test]
fn verbs_of_containers_are_those_of_services() {
    let node = Node::start().with_busybox();
    let compose = compose(&node);
    compose(&["up", "-d"]);
    compose(&["pause", "db"]);
    assert!(compose(&["ps", "db"]).contains("(Paused)"));
    compose(&["unpause"]);
    assert!(!compose(&["ps", "db"]).contains("(Paused)"));
    assert!(compose(&["top"]).contains("shop-web-1\n") && compose(&["top", "web"]).contains("sleep 1000"));
    assert_eq!(compose(&["stats", "--no-stream", "--format", "json"]).lines().count(), 2);
    assert_eq!(compose(&["port", "web", "80"]), "0.0.0.0:8080\n");
    assert!(compose(&["volumes", "-q"]).contains("shop_data"));
    assert!(compose(&["events", "--since", "1", "--until", "0s", "--json", "db"]).contains("\"action\":\"pause\""));
    compose(&["scale", "db=2"]);
    assert!(compose(&["ps"]).contains("shop-db-2"));
    compose(&["kill", "-s", "TERM", "db"]);
    node.wait_for("they have ended", || !compose(&["ps"]).contains("shop-db"));
    compose(&["restart", "-t", "1", "db"]);
    node.wait_for("they run again", || compose(&["ps"]).contains("shop-db-2"));
    compose(&["rm", "-sf", "db"]);
    assert!(!node.ok(&["ps", "-a"]).contains("shop-db"));
    assert!(node.ok(&["ps"]).contains("shop-web-1"));
    compose(&["down"]);
}

#[test]
fn one_command_runs_in_a_container_of_its_own() {
    let node = Node::start().with_busybox();
    let compose = compose(&node);
    let shows = "echo $TIER $EXTRA; nslookup db > /dev/null && echo knows; echo x > /data/x; id -u";
    let text = compose(&[
        "run",
        "--rm",
        "-T",
        "-e",
        "EXTRA=more",
        "-u",
        "1",
        "--no-deps",
        "web",
        "sh",
        "-c",
        "echo $TIER $EXTRA; id -u",
    ]);
    assert_eq!(text, "front more\n1\n");
    assert!(!node.ok(&["ps", "-a"]).contains("shop"), "nothing that it depends on was started");
    assert_eq!(compose(&["run", "--rm", "-T", "-e", "EXTRA=1", "web", "sh", "-c", shows]), "front 1\nknows\n0\n");
    let rows = node.ok(&["ps", "-a"]);
    assert!(rows.contains("shop-db-1") && !rows.contains("shop-web"), "{rows}");
    let name = compose(&["run", "-d", "--name", "mine", "--service-ports", "web"]);
    assert_eq!(name, "mine\n");
    assert_eq!(node.ok(&["port", "mine", "80"]), "0.0.0.0:8080\n[::]:8080\n");
    assert_eq!(node.ok(&["exec", "mine", "cat", "/data/x"]), "x\n");
    node.ok(&["rm", "-f", "mine"]);
    compose(&["up", "-d"]);
    assert!(node.ok(&["ps"]).contains("shop-web-1"), "the service itself comes with up");
    compose(&["down", "-v"]);
}
