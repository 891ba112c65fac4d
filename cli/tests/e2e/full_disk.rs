//! A full disk costs what needs it, and nothing else.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::remains;
use crate::support::Node;

/// Writes until nothing goes any more.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn a_full_disk_is_named_spares_what_runs_and_is_got_over() {
    let mut node = Node::prepare(&[]);
    node.mount_disk("96m");
    node.start_daemon();
    let node = node.with_busybox();
    let script = "while :; do echo tick; sleep 0.05; done";
    node.ok(&["run", "-d", "--name", "steady", "-p", "8095:80", "busybox", "sh", "-c", script]);
    let file = node.file("compose.yml", "name: app\nservices: { web: { image: busybox, command: [sleep, '1000'], volumes: ['data:/var/data'] } }\nvolumes: { data: }");
    let tar = node.files().join("busybox.tar").display().to_string();
    let (before, images) = (remains::at_rest(&node), node.ok(&["image", "ls", "-q"]));
    let ballast = node.data_dir().join("ballast");
    fill(&ballast);

    let names_disk = |error: &str| error.contains("No space left on device") || error.contains("is full");
    let data_dir = node.data_dir().display().to_string();
    let run = node.fails(125, &["run", "--name", "late", "busybox", "true"]);
    let import = node.fails(1, &["import", &tar, "other"]);
    let up = node.fails(1, &["up", "-d", "-f", file.to_str().unwrap()]);
    for (verb, error) in [("run", run), ("import", import), ("up", up)] {
        assert!(names_disk(&error) && error.contains(&data_dir), "{verb}: {error}");
        assert!(!error.contains("panicked"), "{verb}: {error}");
    }
    assert_eq!(node.ok(&["image", "ls", "-q"]), images);
    assert_eq!(node.ok(&["exec", "steady", "echo", "well"]), "well\n");
    let lines = || node.ok(&["logs", "steady"]).lines().count();
    let lines_before = lines();

    std::fs::remove_file(&ballast).unwrap();
    node.wait_for("lines are kept again", || lines() > lines_before);
    node.orca(&["down", "-v", "-f", file.to_str().unwrap()]);
    node.orca(&["rm", "-f", "late"]);
    remains::wait_until_again(&node, &before, "after the disk was full");
    assert_eq!(node.ok(&["run", "--rm", "busybox", "echo", "back"]), "back\n");
    node.ok(&["import", &tar, "other"]);
    node.ok(&["up", "-d", "--wait", "-f", file.to_str().unwrap()]);
    node.ok(&["down", "-v", "-f", file.to_str().unwrap()]);
    node.ok(&["rm", "-f", "steady"]);
}
