//! Managers that need a key when they start.

use crate::cluster::{node_ls, start, with_busybox};
use crate::hosts::Cluster;

fn kind(cluster: &Cluster, number: usize) -> String {
    let text = std::fs::read_to_string(cluster.host(number).data_dir().join("raft/key")).unwrap();
    text.lines().nth(1).unwrap().to_owned()
}

fn unlock(cluster: &Cluster, number: usize, key: &str) -> String {
    let output = cluster.host(number).orca_with(&["swarm", "unlock"], key);
    if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() }
}

#[test]
fn a_locked_manager_waits_for_its_key_while_containers_go_on() {
    let mut cluster = start(2);
    with_busybox(&cluster);
    let first = cluster.host(1);
    let said = first.ok(&["swarm", "init", "--autolock", "--advertise-addr", "10.77.0.1"]);
    let key = first.ok(&["swarm", "unlock-key", "-q"]);
    assert!(key.starts_with("ORCAKEY-1-") && said.contains(key.trim()), "{said}");
    let token = first.ok(&["swarm", "join-token", "-q", "manager"]);
    cluster.host(2).ok(&["swarm", "join", "--token", token.trim(), "10.77.0.1"]);
    // Every manager's key is wrapped, and the unlock key is on no disk.
    cluster.wait_for("both are locked", || (1..=2).all(|number| kind(&cluster, number) == "kind wrapped"));
    let digits = key.trim().trim_start_matches("ORCAKEY-1-").to_owned();
    for number in 1..=2 {
        let data = cluster.host(number).data_dir();
        let found = std::process::Command::new("grep").args(["-rqF", &digits]).arg(data).status().unwrap();
        assert!(!found.success(), "the key is on the disk of host{number}");
    }
    assert!(unlock(&cluster, 1, &key).contains("swarm is not locked"));
    let first = cluster.host(1);
    let id = first.ok(&["run", "-d", "--network", "none", "busybox", "sleep", "600"]);
    let pid = first.ok(&["inspect", "-f", "{{.State.Pid}}", id.trim()]);
    cluster.kill_daemon(1);
    cluster.start_daemon(1);
    let first = cluster.host(1);
    // It says so, and its containers do not notice.
    assert!(first.ok(&["info"]).contains(" Swarm: locked"));
    let locked = "Swarm is encrypted and needs to be unlocked before it can be used";
    for words in
        [&["node", "ls"][..], &["swarm", "join-token", "worker"], &["swarm", "unlock-key"], &["stack", "ps", "x"]]
    {
        assert!(first.fails(words).contains(locked), "{words:?}");
    }
    assert!(first.fails(&["swarm", "init", "--force-new-cluster"]).contains(locked));
    assert_eq!(first.ok(&["inspect", "-f", "{{.State.Pid}}", id.trim()]), pid);
    // Nothing but the key opens it.
    assert!(unlock(&cluster, 1, "").contains("it is no key"));
    assert!(unlock(&cluster, 1, &format!("ORCAKEY-1-{}", "1".repeat(50))).contains("invalid key"));
    assert!(first.ok(&["info"]).contains(" Swarm: locked"));
    assert_eq!(unlock(&cluster, 1, &key), "");
    let names = |cluster: &Cluster| {
        node_ls(cluster.host(1)).len() == 2 && node_ls(cluster.host(1)).iter().all(|line| line.contains(" Ready "))
    };
    cluster.wait_for("both are there", || names(&cluster));
    assert_eq!(cluster.host(1).ok(&["inspect", "-f", "{{.State.Pid}}", id.trim()]), pid);
    // A rotated key is the one from then on.
    let wrapped = |cluster: &Cluster| std::fs::read(cluster.host(1).data_dir().join("raft/key")).unwrap();
    let before = wrapped(&cluster);
    let next = cluster.host(1).ok(&["swarm", "unlock-key", "-q", "--rotate"]);
    assert_ne!(next, key);
    // The file is written anew a moment later; the bytes say when.
    cluster.wait_for("it is locked anew", || wrapped(&cluster) != before);
    cluster.kill_daemon(1);
    cluster.start_daemon(1);
    assert!(unlock(&cluster, 1, &key).contains("invalid key"));
    assert_eq!(unlock(&cluster, 1, &next), "");
    cluster.wait_for("both are there", || names(&cluster));
    // And none is needed when managers are not locked any more.
    cluster.host(1).ok(&["swarm", "update", "--autolock=false"]);
    assert!(cluster.host(1).fails(&["swarm", "unlock-key"]).contains("no unlock key is set"));
    cluster.wait_for("both are open", || (1..=2).all(|number| kind(&cluster, number) == "kind plain"));
    cluster.kill_daemon(1);
    cluster.start_daemon(1);
    cluster.wait_for("both are there", || names(&cluster));
}
