//! Names of images and archives of them: tag, history, save, rmi, prune.

use crate::support::Node;

#[test]
fn names_come_and_go_by_dockers_rules() {
    let node = Node::start().with_busybox();
    let id = node.ok(&["images", "-q", "--no-trunc", "busybox"]).trim().to_owned();
    node.ok(&["tag", "busybox", "localhost:5000/box:v1"]);
    node.ok(&["image", "tag", &id, "box"]);
    assert_eq!(node.ok(&["images", "-q", "box"]).trim(), &id[7..19]);
    assert!(node.fails(1, &["tag", "nothing", "x"]).contains("No such image: nothing"));
    assert!(node.fails(1, &["tag", "box", "X"]).contains("lowercase"));

    let error = node.fails(1, &["rmi", &id[7..19]]);
    assert!(error.contains("image is referenced in multiple repositories"), "{error}");
    assert_eq!(node.ok(&["rmi", "localhost:5000/box:v1"]), "Untagged: localhost:5000/box:v1\n");
    assert_eq!(node.ok(&["rmi", "busybox"]), "Untagged: busybox:latest\n");
    let running = node.ok(&["run", "-d", "box", "sleep", "1000"]);
    let error = node.fails(1, &["rmi", "box"]);
    assert!(error.contains("(must force) - container"), "{error}");
    let error = node.fails(1, &["rmi", "-f", &id]);
    assert!(error.contains("(cannot be forced) - image is being used by running container"), "{error}");
    node.ok(&["rm", "-f", running.trim()]);
    assert_eq!(node.ok(&["rmi", &id]), format!("Untagged: box:latest\nDeleted: {id}\n"));
}

#[test]
fn a_forced_removal_leaves_a_stopped_container_what_it_needs() {
    let node = Node::start().with_busybox();
    let id = node.ok(&["images", "-q", "--no-trunc", "busybox"]).trim().to_owned();
    node.ok(&["run", "--name", "held", "busybox", "echo", "still here"]);
    assert_eq!(node.ok(&["rmi", "-f", "busybox"]), "Untagged: busybox:latest\n");
    assert_eq!(node.ok(&["image", "prune", "-f"]), "Total reclaimed space: 0B\n");
    node.ok(&["start", "held"]);
    node.ok(&["wait", "held"]);
    assert_eq!(node.ok(&["logs", "held"]), "still here\nstill here\n");
    node.ok(&["rm", "held"]);
    let pruned = node.ok(&["image", "prune", "-f"]);
    assert!(pruned.starts_with(&format!("Deleted Images:\ndeleted: {id}\n\nTotal reclaimed space: ")), "{pruned}");
    assert!(!pruned.ends_with(" 0B\n"), "{pruned}");
}

#[test]
fn what_is_saved_can_be_read_by_others_and_loaded_again() {
    let node = Node::start().with_busybox();
    let id = node.ok(&["images", "-q", "--no-trunc", "busybox"]).trim().to_owned();
    node.ok(&["tag", "busybox", "busybox:two"]);
    let archive = node.files().join("saved.tar");
    let path = archive.to_str().unwrap();
    node.ok(&["save", "-o", path, "busybox"]);
    for form in ["docker-archive", "oci-archive"] {
        let source =
            if form == "docker-archive" { format!("{form}:{path}:busybox:two") } else { format!("{form}:{path}:two") };
        let config = node.in_host(&["skopeo", "inspect", "--config", &source]);
        assert!(config.contains("\"Cmd\": [\n") && config.contains("\"sh\""), "{form}: {config}");
    }
    node.ok(&["rmi", "-f", &id]);
    assert_eq!(node.ok(&["load", "-i", path]), "Loaded image: busybox:latest\nLoaded image: busybox:two\n");
    assert_eq!(node.ok(&["images", "-q", "--no-trunc", "busybox:two"]).trim(), id);
    assert!(node.fails(1, &["save", "-o", path, "nothing"]).contains("No such image: nothing"));
    assert!(std::fs::metadata(&archive).unwrap().len() > 1000, "a failed save must not touch the file");
    let history = node.ok(&["history", "busybox"]);
    assert!(history.lines().nth(1).unwrap().contains(&id[7..19]), "{history}");
}
