//! nginx, PostgreSQL and redis from Debian packages, as one application.

use std::path::Path;
use std::process::Command;

use crate::support::Node;

#[test]
fn a_real_application_survives_the_daemon_and_down_with_its_data() {
    let mut node = Node::start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let images = node.files().join("images");
    let status =
        Command::new(root.join("scripts/rootfs")).arg(&images).args(["nginx", "postgres", "redis"]).status().unwrap();
    assert!(status.success());
    for name in ["nginx", "postgres", "redis"] {
        node.ok(&["import", images.join(format!("{name}.tar")).to_str().unwrap(), name]);
    }
    let file = root.join("examples/shop/compose.yml");
    let file = file.to_str().unwrap();
    node.ok(&["up", "-d", "--wait", "--wait-timeout", "120", "-f", file]);
    assert_eq!(node.get("http://127.0.0.1:8088/").unwrap(), "hello from nginx\n");
    let exec = |node: &Node, service: &str, command: &[&str]| {
        node.ok(&[&["compose", "-f", file, "exec", "-T", service], command].concat())
    };
    let password = ["sh", "-c", "grep -q . /run/secrets/db_password && echo there"];
    assert_eq!(exec(&node, "db", &password), "there\n");
    exec(&node, "cache", &["redis-cli", "set", "k", "v"]);

    node.kill_daemon();
    assert_eq!(node.get("http://127.0.0.1:8088/").unwrap(), "hello from nginx\n", "it serves without a daemon");
    node.start_daemon();
    assert_eq!(exec(&node, "cache", &["redis-cli", "get", "k"]), "v\n");
    let env = "PGPASSWORD=$(cat /run/secrets/db_password)";
    let psql = |text: &str| format!("{env} psql -h db -U shop -d postgres -Atc '{text}'");
    exec(&node, "db", &["sh", "-c", &psql("create table t (n int); insert into t values (42)")]);

    node.ok(&["down", "-f", file]);
    assert_eq!(node.ok(&["ps", "-aq"]), "");
    node.ok(&["up", "-d", "--wait", "--wait-timeout", "120", "-f", file]);
    assert_eq!(exec(&node, "db", &["sh", "-c", &psql("select n from t")]), "42\n");
    assert_eq!(exec(&node, "cache", &["redis-cli", "get", "k"]), "v\n");
    node.ok(&["down", "-v", "-f", file]);
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "");
}
