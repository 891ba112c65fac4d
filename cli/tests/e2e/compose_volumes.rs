//! Anonymous volumes of a Compose application: who has them when its containers are made anew, and when they go.

use crate::support::{Node, busybox};

const FILE: &str = "
name: shop
services:
  db:
    image: stateful
    init: true
    command: sleep 1000
    stop_grace_period: 0s
    environment: {ROUND: '1'}
    volumes: [/data]
";

fn node() -> Node {
    let node = Node::start();
    let tar = busybox(&node.files());
    node.ok(&["import", tar.to_str().unwrap(), "stateful", "-c", "CMD [\"sh\"]", "-c", "VOLUME /state"]);
    node.file("compose.yml", FILE);
    node
}

fn volumes(node: &Node) -> usize {
    node.ok(&["volume", "ls", "-q"]).lines().count()
}

fn write(node: &Node, text: &str) {
    node.ok(&["exec", "shop-db-1", "sh", "-c", &format!("echo {text} > /data/x; echo {text} > /state/x")]);
}

fn read(node: &Node) -> String {
    node.ok(&["exec", "shop-db-1", "sh", "-c", "cat /data/x /state/x 2>/dev/null; true"])
}

/// Prunes volumes again and again while it lives.
struct Pruning(std::process::Child);

impl Pruning {
    fn begin(node: &Node, flags: &str) -> Self {
        let script = format!("while :; do \"$0\" volume prune {flags} > /dev/null || exit 1; done");
        let mut command = std::process::Command::new("sh");
        let command = command.args(["-c", &script, env!("CARGO_BIN_EXE_orca")]).env("ORCA_HOST", node.address());
        Self(command.spawn().unwrap())
    }

    fn end(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "a prune has failed");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_prune_takes_nothing_that_is_handed_over_or_about_to_be_used() {
    let node = node();
    node.ok(&["up", "-d"]);
    write(&node, "kept");
    let pruning = Pruning::begin(&node, "-f");
    for round in 2..6 {
        change(&node, round);
        node.ok(&["up", "-d"]);
        assert_eq!(read(&node), "kept\nkept\n");
    }
    pruning.end();
    // Of a replica that is not wanted any more, and then of a service that is not.
    node.ok(&["up", "-d", "--scale", "db=2"]);
    node.ok(&["up", "-d"]);
    node.wait_for("the second is gone", || !node.ok(&["ps", "-a"]).contains("shop-db-2"));
    assert_eq!(volumes(&node), 4);
    node.ok(&["volume", "prune", "-f"]);
    assert_eq!(volumes(&node), 2);
    node.ok(&["down"]);
    assert_eq!(volumes(&node), 2);
    node.ok(&["volume", "prune", "-f"]);
    assert_eq!(volumes(&node), 0);
    let pruning = Pruning::begin(&node, "-af");
    for round in 0..12 {
        let named = format!("v{}:/named", round % 2);
        let script = "echo x > /data/x && echo x > /named/x && sync";
        node.ok(&["run", "--rm", "-v", "/data", "-v", &named, "stateful", "sh", "-c", script]);
    }
    pruning.end();
    node.ok(&["volume", "prune", "-af"]);
    assert_eq!(volumes(&node), 0);
}

/// The next version of the application.
fn change(node: &Node, round: u32) {
    node.file("compose.yml", &FILE.replace("ROUND: '1'", &format!("ROUND: '{round}'")));
}

#[test]
fn the_next_container_has_those_of_the_one_before() {
    let mut node = node();
    node.ok(&["up", "-d"]);
    write(&node, "kept");
    change(&node, 2);
    node.ok(&["up", "-d"]);
    assert_eq!(node.ok(&["exec", "shop-db-1", "sh", "-c", "echo $ROUND"]), "2\n");
    assert_eq!((read(&node).as_str(), volumes(&node)), ("kept\nkept\n", 2));
    // An image that fails on the way is no reason to lose them, nor is the daemon's end at any moment.
    node.file(
        "compose.yml",
        &FILE.replace("stateful", "absent").replace("    volumes", "    pull_policy: never\n    volumes"),
    );
    assert!(!node.orca(&["up", "-d"]).status.success());
    change(&node, 3);
    let file = std::fs::read_to_string(node.files().join("compose.yml")).unwrap();
    node.file("compose.yml", &file.replace("stop_grace_period: 0s", "stop_grace_period: 3s").replace("init: true", ""));
    node.ok(&["up", "-d"]);
    change(&node, 4);
    let said = node.files().join("said");
    let mut up = node.orca_command(&["up", "-d"]).stderr(std::fs::File::create(&said).unwrap()).spawn().unwrap();
    node.wait_for("the old container is told to end", || std::fs::read_to_string(&said).unwrap().contains("Stopping"));
    node.kill_daemon();
    let _ = up.wait();
    node.start_daemon();
    node.ok(&["up", "-d"]);
    assert_eq!(node.ok(&["exec", "shop-db-1", "sh", "-c", "echo $ROUND"]), "4\n");
    assert_eq!((read(&node).as_str(), volumes(&node)), ("kept\nkept\n", 2));
    // What holds nothing of its own is no reason to keep: a prune takes what nobody has.
    node.ok(&["volume", "prune", "-f"]);
    assert_eq!(read(&node), "kept\nkept\n");
    node.ok(&["down", "-v"]);
    assert_eq!(volumes(&node), 0);
}

#[test]
fn they_are_renewed_and_go_when_that_is_asked_for() {
    let node = node();
    node.ok(&["up", "-d"]);
    write(&node, "first");
    let id = || node.ok(&["ps", "-q", "--no-trunc"]);
    let before = id();
    node.ok(&["up", "-d", "-V"]);
    assert_ne!(id(), before, "a container cannot have other volumes");
    assert_eq!((read(&node).as_str(), volumes(&node)), ("", 4), "what was in the old ones is not lost");
    write(&node, "second");
    node.ok(&["up", "-d", "--force-recreate"]);
    assert_eq!((read(&node).as_str(), volumes(&node)), ("second\nsecond\n", 4), "the newer ones are handed on");
    node.ok(&["volume", "prune", "-f"]);
    assert_eq!(volumes(&node), 2);
    node.fails(16, &["up", "-d", "-V", "--no-recreate"]);
    // A replica that comes back finds its own.
    node.ok(&["up", "-d", "--scale", "db=2"]);
    assert_eq!(volumes(&node), 4);
    node.ok(&["exec", "shop-db-2", "sh", "-c", "echo mine > /data/x"]);
    node.ok(&["up", "-d", "--scale", "db=1"]);
    node.ok(&["up", "-d", "--scale", "db=2"]);
    assert_eq!(node.ok(&["exec", "shop-db-2", "cat", "/data/x"]), "mine\n");
    assert_eq!((read(&node).as_str(), volumes(&node)), ("second\nsecond\n", 4));
    // One command's container takes its own along with --rm, and keeps them without.
    assert_eq!(node.ok(&["compose", "run", "--rm", "-T", "db", "echo", "once"]), "once\n");
    assert_eq!(volumes(&node), 4);
    node.ok(&["compose", "run", "-T", "--name", "once", "db", "true"]);
    assert_eq!(volumes(&node), 6);
    node.ok(&["compose", "rm", "-sf"]);
    assert_eq!((volumes(&node), node.ok(&["ps", "-aq"]).lines().count()), (6, 1));
    node.ok(&["up", "-d"]);
    assert_eq!(read(&node), "", "what rm has removed is not continued");
    node.ok(&["compose", "rm", "-sfv"]);
    assert_eq!(volumes(&node), 6);
    node.ok(&["up", "-d"]);
    node.ok(&["down", "-v", "--remove-orphans", "-t", "0"]);
    assert_eq!((volumes(&node), node.ok(&["ps", "-aq"]).lines().count()), (4, 0));
}
