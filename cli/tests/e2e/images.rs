//! Images from archives.

use crate::support::{Node, busybox};

#[test]
fn import_list_inspect_remove() {
    let node = Node::start();
    let tar = busybox(&node.files());
    let id = node.ok(&["import", "-c", "ENV A=b", "-c", "ENTRYPOINT [\"/bin/echo\"]", tar.to_str().unwrap(), "box:1"]);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(node.ok(&["run", "--rm", "box:1", "hi"]), "hi\n");
    assert!(node.ok(&["images"]).lines().any(|line| line.starts_with("box ") && line.contains(" 1 ")));
    let image: serde_json::Value = serde_json::from_str(&node.ok(&["image", "inspect", "box:1"])).unwrap();
    assert_eq!(image[0]["Config"]["Entrypoint"][0], "/bin/echo");
    let held = node.ok(&["create", "box:1"]);
    let error = node.fails(1, &["rmi", "box:1"]);
    assert!(error.contains("container"), "{error}");
    node.ok(&["rm", held.trim()]);
    assert!(node.ok(&["rmi", "box:1"]).contains("Deleted: sha256:"));
    assert!(!node.ok(&["images", "-q"]).contains(&id[7..19]));
}

#[test]
fn a_truncated_archive_leaves_nothing() {
    let node = Node::start();
    let tar = busybox(&node.files());
    let whole = std::fs::read(&tar).unwrap();
    let cut = node.files().join("cut.tar");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let before = node.ok(&["images", "-aq"]);
    let error = node.fails(1, &["import", cut.to_str().unwrap(), "cut"]);
    assert!(!error.is_empty());
    assert_eq!(node.ok(&["images", "-aq"]), before);
}
