//! Flags of `orca compose` and its verbs, with the meaning that they have in Compose.

use std::process::Output;

use crate::support::Node;

const FILE: &str = "
name: shop
services:
  web:
    image: busybox
    init: true
    command: sh -c \"echo web speaks; exec sleep 1000\"
    depends_on: [db]
  db:
    image: busybox
    init: true
    command: sh -c \"echo db speaks; exec sleep 1000\"
  job: {image: busybox, command: 'sh -c \"echo job speaks; exit 0\"', attach: false, profiles: [jobs]}
  bad: {image: busybox, command: 'sh -c \"sleep 0.3; exit 7\"', profiles: [jobs]}
";

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_the_foreground_shows_and_when_it_ends() {
    let node = Node::start().with_busybox();
    node.file("compose.yml", FILE);
    // A job that succeeds goes by; one that fails ends everything with its code, which nothing else does here.
    let all = |args: &[&str]| {
        let args = [&["compose", "--profile", "jobs", "up", "--abort-on-container-failure"], args].concat();
        let output = node.orca(&args);
        assert_eq!(output.status.code(), Some(7), "{:?}", text(&output));
        text(&output).0
    };
    let shown = all(&[]);
    assert!(shown.contains("web speaks") && shown.contains("db speaks") && !shown.contains("job speaks"), "{shown}");
    let shown = all(&["--force-recreate", "--attach", "job", "--attach", "bad"]);
    assert!(shown.contains("job speaks") && !shown.contains("web speaks"), "{shown}");
    let shown = all(&["--force-recreate", "--no-attach", "web"]);
    assert!(shown.contains("db speaks") && !shown.contains("web speaks"), "{shown}");
    let shown = all(&["--force-recreate", "--always-recreate-deps", "web", "bad"]);
    assert!(shown.contains("web speaks") && !shown.contains("db speaks"), "dependencies stay silent: {shown}");
    let shown = all(&["--force-recreate", "--always-recreate-deps", "--attach-dependencies", "web", "bad"]);
    assert!(shown.contains("web speaks") && shown.contains("db speaks"), "{shown}");
    for wrong in [
        &["--attach", "nobody"][..],
        &["-d", "--attach", "db"],
        &["--attach", "db", "--attach-dependencies"],
        &["--menu"],
    ] {
        assert!(!node.orca(&[&["up"], wrong].concat()).status.success(), "{wrong:?}");
    }
    // Dependencies are made anew only when asked for.
    node.ok(&["up", "-d"]);
    let id = |name: &str| node.ok(&["inspect", "-f", "{{.Id}}", name]);
    let (web, db) = (id("shop-web-1"), id("shop-db-1"));
    node.ok(&["up", "-d", "--force-recreate", "web"]);
    assert!(id("shop-web-1") != web && id("shop-db-1") == db);
    let web = id("shop-web-1");
    node.ok(&["up", "-d", "--always-recreate-deps", "web"]);
    assert!(id("shop-web-1") == web && id("shop-db-1") != db);
}

#[test]
fn verbs_and_their_manner() {
    let node = Node::start().with_busybox();
    node.file("compose.yml", FILE);
    let compose = |args: &[&str]| node.ok(&[&["compose"], args].concat());
    let said = |args: &[&str]| text(&node.orca(&[&["compose"], args].concat())).1;
    // Progress as lines, as objects, or not at all; contradictions and unknown words are refused.
    assert!(said(&["--progress", "plain", "up", "-d"]).contains(" Container shop-web-1  Started\n"));
    assert_eq!(said(&["--progress", "quiet", "restart", "-t", "0"]), "");
    let lines = said(&["--progress=json", "up", "-d", "--force-recreate"]);
    let objects: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        objects.iter().any(|o| o["id"] == "Container shop-db-1" && o["status"] == "Done" && o["text"] == "Started"),
        "{lines}"
    );
    let error: serde_json::Value = serde_json::from_str(&said(&["--progress=json", "start", "nobody"])).unwrap();
    assert!(error["error"] == true && error["message"].as_str().unwrap().contains("nobody"));
    assert!(said(&["--progress", "tty", "up", "-d", "--force-recreate"]).contains("\x1b["));
    assert!(said(&["--progress", "tty", "--ansi", "never", "ps"]).contains("--progress"));
    node.fails(16, &["compose", "--ansi", "perhaps", "ps"]);
    let mut coloured = node.orca_command(&["compose", "--ansi", "always", "logs"]);
    let coloured = text(&coloured.env_remove("NO_COLOR").output().unwrap()).0;
    assert!(coloured.contains("\x1b[") && !compose(&["--parallel", "-1", "logs"]).contains("\x1b["));
    // What the file no longer has.
    node.ok(&["compose", "-p", "other", "up", "-d", "db"]);
    assert_eq!(compose(&["ls", "-q", "--filter", "name=^sh"]), "shop\n");
    node.file("compose.yml", &FILE.replace("  web:", "  front:"));
    assert!(
        compose(&["ps", "--services"]).contains("web")
            && !compose(&["ps", "--services", "--orphans=false"]).contains("web")
    );
    compose(&["kill"]);
    node.wait_for("who is in the file ends, and nobody else", || compose(&["ps", "--services"]) == "web\n");
    assert_eq!(compose(&["convert", "--services"]), compose(&["config", "--services"]));
}
