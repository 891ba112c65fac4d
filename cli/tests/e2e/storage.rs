//! Volumes, binds, tmpfs.

use crate::support::Node;

#[test]
fn a_volume_is_filled_from_the_image_and_outlives_containers() {
    let node = Node::start().with_busybox();
    assert_eq!(
        node.ok(&["run", "--rm", "-v", "data:/var/data", "busybox", "cat", "/var/data/seed"]),
        "from-the-image\n"
    );
    node.ok(&[
        "run",
        "--rm",
        "-u",
        "user",
        "-v",
        "data:/var/data",
        "busybox",
        "sh",
        "-c",
        "echo more > /var/data/mine",
    ]);
    assert_eq!(node.ok(&["run", "--rm", "-v", "data:/d:ro", "busybox", "cat", "/d/mine"]), "more\n");
    node.fails(1, &["run", "--rm", "-v", "data:/d:ro", "busybox", "sh", "-c", "echo x > /d/x || exit 1"]);
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "data\n");
    let holder = node.ok(&["create", "-v", "data:/d", "busybox"]);
    let error = node.fails(1, &["volume", "rm", "data"]);
    assert!(error.contains("in use"), "{error}");
    node.ok(&["rm", holder.trim()]);
    node.ok(&["volume", "rm", "data"]);
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "");
}

#[test]
fn binds_and_tmpfs() {
    let node = Node::start().with_busybox();
    let path = node.file("shared/hello", "from the host\n");
    let bind = format!("{}:/shared", path.parent().unwrap().display());
    assert_eq!(node.ok(&["run", "--rm", "-v", &bind, "busybox", "cat", "/shared/hello"]), "from the host\n");
    assert!(node.ok(&["run", "--rm", "--tmpfs", "/scratch:size=1m", "busybox", "mount"]).contains("/scratch"));
    node.fails(1, &["run", "--rm", "--read-only", "busybox", "sh", "-c", "echo x > /x || exit 1"]);
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "");
}

#[test]
fn anonymous_volumes_go_with_rm() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "--rm", "-v", "/scratch", "busybox", "touch", "/scratch/x"]);
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "");
}
