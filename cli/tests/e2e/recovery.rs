//! Clusters that have lost their managers: from a backup, and from what one manager still has.

use std::path::Path;

use crate::cluster::{deploy, node_ls, places, start, with_busybox};
use crate::hosts::Cluster;

fn pid_on(cluster: &Cluster, number: usize) -> String {
    let host = cluster.host(number);
    host.ok(&["inspect", "-f", "{{.State.Pid}}", host.ok(&["ps", "-q"]).trim()])
}

/// Whether a container of this process is among those of the host.
fn runs(cluster: &Cluster, number: usize, pid: &str) -> bool {
    let host = cluster.host(number);
    host.ok(&["ps", "-q"]).lines().any(|id| host.ok(&["inspect", "-f", "{{.State.Pid}}", id]) == pid)
}

#[test]
fn a_backup_is_verified_and_restored_on_another_machine() {
    let mut cluster = start(3);
    with_busybox(&cluster);
    assert!(cluster.host(1).fails(&["swarm", "backup", "x"]).contains("swarm init"), "a lone node has no cluster");
    cluster.form(1, 1);
    // Longer than it takes to put another machine in place of the manager.
    cluster.host(1).ok(&["swarm", "update", "--dispatcher-heartbeat", "60s"]);
    deploy(cluster.host(1), 2);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (backup, key_file) = (path("backup"), path("key"));
    let first = cluster.host(1);
    // The key is printed once, and is not in the file.
    let key = first.ok(&["swarm", "backup", "-q", &backup]);
    assert!(key.starts_with("ORCAKEY-1-"), "{key}");
    std::fs::write(&key_file, &key).unwrap();
    // With the same key again, in place of the one before.
    first.ok(&["swarm", "backup", "--key-file", &key_file, &backup]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&backup).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let bytes = std::fs::read(&backup).unwrap();
    for word in ["busybox", "PRIVATE KEY", "CERTIFICATE"] {
        assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
    let verify = ["swarm", "backup", "--verify", "--key-file", &key_file, &backup];
    let said = cluster.host(3).ok(&verify);
    assert!(said.contains("Nodes:    2 (1 managers)") && said.contains("Services: 1 (2 tasks)"), "{said}");
    // What is not the backup, or not its key, is told apart.
    let (cut, other) = (path("cut"), path("other"));
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    std::fs::write(&other, format!("ORCAKEY-1-{}", "1".repeat(50))).unwrap();
    let third = cluster.host(3);
    let fails = |words: &[&str]| third.fails(&[&["swarm"], words].concat());
    assert!(fails(&["backup", "--verify", "--key-file", &key_file, &cut]).contains("cut short"));
    assert!(fails(&["restore", "--key-file", &other, &backup]).contains("not the key"));
    assert!(fails(&["restore", "--key-file", &key_file, &key_file]).contains("no backup"));
    // Nor is anything restored over what lives.
    let restore = ["swarm", "restore", "--key-file", &key_file, "--advertise-addr", "10.77.0.1", &backup];
    assert!(first.fails(&restore).contains("already part of a cluster"));
    let error = third.fails(&["swarm", "restore", "--key-file", &key_file, &backup, "--advertise-addr", "10.77.0.3"]);
    assert!(error.contains("are alive (10.77.0.1:2377)"), "{error}");
    assert!(third.ok(&["info"]).contains(" Swarm: inactive"));
    // The manager is gone, and another machine takes its address.
    let before = pid_on(&cluster, 2);
    cluster.cut_power(1);
    let third = cluster.host(3);
    third.run(&["ip", "addr", "add", "10.77.0.1/24", "dev", "eth0"]);
    // As if the other machine had told its neighbours.
    cluster.host(2).run(&["ip", "neigh", "flush", "dev", "eth0"]);
    let said = third.ok(&restore);
    assert!(said.contains("only manager"), "{said}");
    cluster.wait_for("the worker is there", || node_ls(third) == ["host2 Ready Active", "host3 Ready Active Leader"]);
    cluster.wait_for("the lost node's task is elsewhere", || {
        let places = places(third);
        places.len() == 2 && !places.contains(&"host1".to_owned())
    });
    assert!(runs(&cluster, 2, &before), "nothing was restarted");
    // It is a cluster like any other: over a crash, and when it is written to.
    cluster.kill_daemon(3);
    cluster.start_daemon(3);
    let third = cluster.host(3);
    third.ok(&["node", "update", "--label-add", "a=b", "host2"]);
    assert!(third.ok(&["swarm", "backup", "--key-file", &key_file, &backup]).contains("Nodes:    2"));
}

#[test]
fn a_cut_off_restore_is_finished_or_forgotten() {
    let mut cluster = start(2);
    cluster.form(1, 0);
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup").display().to_string();
    let key_file = dir.path().join("key").display().to_string();
    std::fs::write(&key_file, cluster.host(1).ok(&["swarm", "backup", "-q", &backup])).unwrap();
    cluster.cut_power(1);
    let restore = ["swarm", "restore", "--key-file", &key_file, "--advertise-addr", "10.77.0.2", &backup];
    cluster.host(2).ok(&restore);
    let data = cluster.host(2).data_dir();
    // Killed before the restored state took the place of the one before: it is there at the next start.
    cluster.stop_daemon(2);
    std::fs::rename(data.join("raft"), data.join("raft.next")).unwrap();
    cluster.start_daemon(2);
    let second = cluster.host(2);
    cluster.wait_for("it leads", || node_ls(second) == ["host2 Ready Active Leader"]);
    // Killed before it counted: nothing comes of it.
    second.ok(&["swarm", "leave", "--force"]);
    copy(&data.join("raft"), &data.join("raft.next"));
    cluster.stop_daemon(2);
    cluster.start_daemon(2);
    assert!(!data.join("raft.next").exists());
    assert!(cluster.host(2).ok(&["info"]).contains(" Swarm: inactive"));
    cluster.host(2).ok(&restore);
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

#[test]
fn one_manager_goes_on_without_the_others_at_a_new_address() {
    let mut cluster = start(4);
    with_busybox(&cluster);
    cluster.form(3, 1);
    let is_manager = |line: &String| line.ends_with("Reachable") || line.ends_with("Leader");
    cluster.wait_for("three managers", || node_ls(cluster.host(3)).iter().filter(|line| is_manager(line)).count() == 3);
    cluster.host(1).ok(&["swarm", "update", "--dispatcher-heartbeat", "60s"]);
    deploy(cluster.host(1), 4);
    let third = cluster.host(3);
    let force = ["swarm", "init", "--force-new-cluster"];
    assert!(third.fails(&force).contains("has a leader"), "a cluster that lives is left alone");
    assert!(cluster.host(4).fails(&force).contains("no manager of a cluster"));
    let error = third.fails(&["swarm", "init", "--force-new-cluster", "--cert-expiry", "2h"]);
    assert!(error.contains("cannot be used with"), "{error}");
    // The last thing that was acknowledged is not lost.
    let token = cluster.host(1).ok(&["swarm", "join-token", "-q", "--rotate", "worker"]);
    let before = (pid_on(&cluster, 3), pid_on(&cluster, 4));
    cluster.cut_power(1);
    cluster.cut_power(2);
    let third = cluster.host(3);
    cluster.wait_for("it has no leader", || {
        let output = third.orca(&force);
        assert!(!output.status.success() || third.ok(&["node", "ls"]).contains("Leader"));
        output.status.success()
    });
    assert_eq!(third.ok(&["swarm", "join-token", "-q", "worker"]), token);
    cluster.wait_for("the worker is there", || node_ls(third) == ["host3 Ready Active Leader", "host4 Ready Active"]);
    cluster.wait_for("tasks are elsewhere", || places(third) == ["host3", "host3", "host4", "host4"]);
    assert!(runs(&cluster, 3, &before.0) && runs(&cluster, 4, &before.1), "nothing was restarted");
    // A lost manager comes back: it is shut out, and may join as a new node.
    cluster.boot(1);
    let first = cluster.host(1);
    cluster.wait_for("it knows", || {
        let info = first.ok(&["info"]);
        info.contains("removed from the cluster") || info.contains("  Error: ")
    });
    first.ok(&["swarm", "leave", "--force"]);
    let third = cluster.host(3);
    let manager = third.ok(&["swarm", "join-token", "-q", "manager"]);
    first.ok(&["swarm", "join", "--token", manager.trim(), "10.77.0.3"]);
    cluster.wait_for("two managers", || node_ls(third).iter().filter(|line| is_manager(line)).count() == 2);
    // The other way round, and to a new address: the only manager moves.
    third.ok(&["node", "demote", "host1"]);
    cluster.wait_for("one manager", || node_ls(third).iter().filter(|line| is_manager(line)).count() == 1);
    third.run(&["ip", "addr", "add", "10.77.0.33/24", "dev", "eth0"]);
    // Only once it votes alone is there nothing left that it could lose.
    cluster.wait_for("it moves", || {
        third.orca(&["swarm", "init", "--force-new-cluster", "--advertise-addr", "10.77.0.33"]).status.success()
    });
    cluster.wait_for("workers hear of it", || cluster.host(4).ok(&["info"]).contains("10.77.0.33:2377"));
    cluster.wait_for("all are there", || {
        let nodes = node_ls(third);
        nodes.len() == 3 && nodes.iter().all(|line| line.contains(" Ready "))
    });
}
