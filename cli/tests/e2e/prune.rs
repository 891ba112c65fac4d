//! What `prune` asks, takes and leaves.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::support::Node;

fn answered(node: &Node, args: &[&str], answer: &str) -> Output {
    let mut command = node.orca_command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_system_prune_takes_what_nobody_uses() {
    let node = Node::start().with_busybox();
    for number in ["one", "two"] {
        // The second takes the first one's name, which then has none.
        node.ok(&["run", "--name", "maker", "busybox", "sh", "-c", &format!("echo {number} > /made")]);
        node.ok(&["commit", "maker", "made"]);
        node.ok(&["rm", "maker"]);
    }
    node.ok(&["run", "-d", "--name", "runs", "-v", "used:/u", "busybox", "sleep", "1000"]);
    node.ok(&["run", "--name", "ended", "busybox", "sh", "-c", "head -c 50000 /dev/zero > /zeros"]);
    node.ok(&["run", "--name", "kept", "-l", "keep=1", "busybox", "true"]);
    node.ok(&["network", "create", "spare"]);
    node.ok(&["volume", "create", "named"]);
    node.ok(&["volume", "create"]);

    let refused = answered(&node, &["system", "prune", "--volumes", "--filter", "label!=keep"], "n\n");
    assert_eq!(refused.status.code(), Some(1));
    let question = "WARNING! This will remove:\n\
        \x20 - all stopped containers\n\
        \x20 - all networks not used by at least one container\n\
        \x20 - all anonymous volumes not used by at least one container\n\
        \x20 - all dangling images\n\x20 - unused build cache\n\n\
        \x20 Items to be pruned will be filtered with:\n\
        \x20 - label!=keep\n\n\
        Are you sure you want to continue? [y/N] ";
    assert_eq!(String::from_utf8_lossy(&refused.stdout), question);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("system prune has been cancelled"));
    assert_eq!(node.ok(&["ps", "-aq"]).lines().count(), 3, "nothing has gone");
    node.fails(1, &["system", "prune"]);
    node.fails(1, &["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
    node.fails(1, &["system", "prune", "-f", "--filter", "color=red"]);
    assert_eq!(node.ok(&["system", "prune", "-f", "--filter", "until=1h"]), "Total reclaimed space: 0B\n");

    let pruned = answered(&node, &["system", "prune", "--volumes", "--filter", "label!=keep"], "y\n");
    let text = String::from_utf8_lossy(&pruned.stdout).into_owned();
    for kind in ["Containers", "Networks", "Volumes", "Images"] {
        assert!(text.contains(&format!("Deleted {kind}:\n")), "{kind}: {text}");
    }
    assert!(text.contains("Networks:\nspare\n") && !text.ends_with(" 0B\n"), "{text}");
    assert_eq!(node.ok(&["ps", "-a", "--format", "{{.Names}}"]), "kept\nruns\n");
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "named\nused\n");
    assert!(node.ok(&["images"]).contains("made"));
    let all = node.ok(&["system", "prune", "-af"]);
    assert!(all.contains("untagged: made:latest\n") && !all.contains("busybox"), "{all}");
    assert_eq!(node.ok(&["ps", "-a", "--format", "{{.Names}}"]), "runs\n");
    let freed = node.ok(&["container", "prune", "-f"]);
    assert_eq!(freed, "Total reclaimed space: 0B\n");
}

#[test]
fn every_filter_of_a_label_counts() {
    let node = Node::start();
    for (name, label) in [("first", "keep=1"), ("second", "keep=2"), ("third", "keep=3")] {
        node.ok(&["volume", "create", "--label", label, name]);
    }
    let prune = |filters: &[&str]| {
        let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
        node.ok(&["volume", "prune", "-a", "-f"].into_iter().chain(filters).collect::<Vec<_>>());
        node.ok(&["volume", "ls", "-q"])
    };
    assert_eq!(prune(&["label=keep=1", "label=keep=2"]), "first\nsecond\nthird\n", "none has both");
    assert_eq!(prune(&["label!=keep=1", "label!=keep=2"]), "first\nsecond\n", "either spares");
}
