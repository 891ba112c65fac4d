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

#[test]
fn what_is_created_waits_to_be_started() {
    let mut node = Node::prepare(&[]);
    for line in [
        "add table inet strict",
        "add chain inet strict gate { type filter hook forward priority 0; }",
        "add rule inet strict gate reject",
    ] {
        node.in_host(&["nft", line]);
    }
    node.start_daemon();
    let node = node.with_busybox();
    let file = node.file("compose.yml", FILE);
    let compose = |args: &[&str]| node.ok(&[&["compose", "-f", file.to_str().unwrap()], args].concat());
    let states = || compose(&["ps", "-a", "--format", "{{.Name}} {{.State}}"]);
    let created = node.orca(&["compose", "-f", file.to_str().unwrap(), "create"]);
    let said = String::from_utf8_lossy(&created.stderr).into_owned();
    assert!(
        created.status.success()
            && said.contains("refuses forwarded packets (nftables")
            && said.contains("strict gate"),
        "{said}"
    );
    assert_eq!(states(), "shop-db-1 created\nshop-web-1 created\n");
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "shop_data\n");
    // Nobody answers at its port: others may have it.
    node.ok(&["run", "--rm", "-p", "8080:80", "busybox", "true"]);
    compose(&["start", "db"]);
    assert_eq!(states(), "shop-db-1 running\nshop-web-1 created\n");
    compose(&["up", "-d"]);
    assert_eq!(states(), "shop-db-1 running\nshop-web-1 running\n");
    assert_eq!(compose(&["port", "web", "80"]), "0.0.0.0:8080\n");
    compose(&["create"]);
    assert_eq!(compose(&["port", "web", "80"]), "0.0.0.0:8080\n", "what runs goes on");
    compose(&["up", "--no-start", "--no-deps", "--force-recreate", "web"]);
    assert_eq!(states(), "shop-db-1 running\nshop-web-1 created\n");
    compose(&["start"]);
    assert_eq!(states(), "shop-db-1 running\nshop-web-1 running\n");
    // A service without containers leaves its port to others.
    compose(&["scale", "web=0"]);
    node.wait_for("its port is free", || {
        node.orca(&["run", "--rm", "-p", "8080:80", "busybox", "true"]).status.success()
    });
    compose(&["down", "-v"]);
}

#[test]
fn one_command_sees_the_secrets_and_configs_of_its_service() {
    let node = Node::start().with_busybox();
    node.file("token", "s3cret");
    let file = "
name: job
services:
  once:
    image: busybox
    user: '7'
    secrets: [{source: token, target: key, uid: '7', mode: 0400}]
    configs: [{source: conf, target: /etc/conf}]
  old: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
secrets: {token: {file: ./token}}
configs: {conf: {content: 'hello '}}
";
    let path = node.file("compose.yml", file);
    let path = path.to_str().unwrap();
    let compose = |args: &[&str]| node.ok(&[&["compose", "-f", path], args].concat());
    let script = "cat /etc/conf /run/secrets/key; stat -c ' %a %u' /run/secrets/key";
    assert_eq!(compose(&["run", "--rm", "-T", "once", "sh", "-c", script]), "hello s3cret 400 7\n");
    assert_eq!(
        compose(&["run", "--name", "twice", "-T", "--pull", "never", "once", "cat", "/run/secrets/key"]),
        "s3cret"
    );
    assert!(!node.ok(&["inspect", "twice"]).contains("s3cret"));
    node.ok(&["start", "-a", "twice"]);
    node.ok(&["rm", "twice"]);
    assert_eq!(std::fs::read_dir(node.run_dir().join("secrets")).unwrap().count(), 0);
    // Orphans go when asked, other services of the file stay.
    compose(&["up", "-d", "old"]);
    node.file("compose.yml", &file.replace("  old:", "  new:"));
    compose(&["run", "--rm", "-T", "--remove-orphans", "once", "true"]);
    assert!(!node.ok(&["ps", "-a"]).contains("job-old"));
    compose(&["up", "-d", "new"]);
    compose(&["up", "-d", "--remove-orphans", "once"]);
    assert!(node.ok(&["ps"]).contains("job-new-1"), "it is in the file");
    compose(&["down"]);
}
