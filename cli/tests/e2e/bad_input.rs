//! Bad input gets one clear error, a non-zero exit, and leaves nothing behind.

use crate::support::Node;

#[test]
fn compose_files_that_cannot_be() {
    let node = Node::start().with_busybox();
    let table = [
        ("unknown key", "services: { a: { image: busybox, comand: [x] } }", "comand"),
        ("wrong type", "services: { a: { image: busybox, ports: 7.5.3 } }", "ports"),
        (
            "cycle",
            "services: { a: { image: busybox, depends_on: [b] }, b: { image: busybox, depends_on: [a] } }",
            "cycle",
        ),
        ("missing image", "services: { a: { image: nowhere } }", "nowhere"),
        (
            "missing bind",
            "services: { a: { image: busybox, volumes: [{ type: bind, source: /no/such/dir, target: /x }] } }",
            "/no/such/dir",
        ),
        (
            "unreadable secret",
            "services: { a: { image: busybox, secrets: [s] } }\nsecrets: { s: { file: ./nothing } }",
            "nothing",
        ),
        ("unsupported", "services: { a: { image: busybox, blkio_config: { weight: 300 } } }", "blkio_config"),
        ("no yaml", "services: [", "compose.yml"),
        ("empty", "", "empty"),
    ];
    for (what, text, expected) in table {
        let file = node.file("compose.yml", text);
        let error = node.fails(1, &["up", "-d", "-f", file.to_str().unwrap()]);
        assert!(error.contains(expected), "{what}: {error}");
        assert!(!error.contains("panicked"), "{what}: {error}");
        assert_eq!(node.ok(&["ps", "-aq"]), "", "{what}: nothing is left");
    }
    node.fails(1, &["up", "-d", "-f", "no-such-file.yml"]);
}

#[test]
fn a_port_in_use_is_named_and_others_go_on() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "holder", "-p", "8085:80", "busybox", "sleep", "1000"]);
    let file = node.file(
        "compose.yml",
        "name: late\nservices: { web: { image: busybox, command: [sleep, '9'], ports: ['8085:80'] } }",
    );
    let error = node.fails(1, &["up", "-d", "-f", file.to_str().unwrap()]);
    assert!(error.contains("8085"), "{error}");
    assert_eq!(node.ok(&["ps", "-q"]).lines().count(), 1, "the holder is untouched, nothing else is there");
    node.ok(&["rm", "-f", "holder"]);
}
