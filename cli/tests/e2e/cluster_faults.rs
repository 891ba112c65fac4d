//! A cluster of which a part stands still, is heard but hears nothing, or has no disk left.

use std::path::Path;
use std::time::Duration;

use crate::hosts::Cluster;

fn start(hosts: usize, disk: Option<&str>) -> Cluster {
    let mut cluster = Cluster::with_disks(Path::new(env!("CARGO_BIN_EXE_orca")), hosts, disk);
    cluster.form(hosts, 0);
    let names = |cluster: &Cluster| nodes(cluster, 1).iter().filter(|(_, role)| !role.is_empty()).count();
    cluster.wait_for("all are managers", || names(&cluster) == hosts);
    cluster
}

/// Each node with what it is among the managers, as one of them tells.
fn nodes(cluster: &Cluster, asked: usize) -> Vec<(usize, String)> {
    let output = cluster.host(asked).orca(&["node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(name, role)| Some((name.strip_prefix("host")?.parse().ok()?, role.trim().to_owned()))).collect()
}

fn leader(cluster: &Cluster, asked: usize) -> Option<usize> {
    nodes(cluster, asked).into_iter().find(|(_, role)| role == "Leader").map(|(number, _)| number)
}

fn others(number: usize) -> Vec<usize> {
    (1..=3).filter(|other| *other != number).collect()
}

/// Writes something that is found again: a node's label.
fn write(cluster: &Cluster, asked: usize, value: &str) {
    cluster.host(asked).ok(&["node", "update", "--label-add", &format!("{value}=yes"), "host1"]);
}

fn written(cluster: &Cluster, asked: usize) -> String {
    let output = cluster.host(asked).orca(&["node", "inspect", "-f", "{{json .Spec.Labels}}", "host1"]);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// All managers tell the same leader and the same labels.
fn agree(cluster: &Cluster, labels: &[&str]) {
    cluster.wait_for("all agree", || {
        let leaders: Vec<_> = (1..=3).map(|asked| leader(cluster, asked)).collect();
        let told: Vec<_> = (1..=3).map(|asked| written(cluster, asked)).collect();
        leaders[0].is_some()
            && leaders.windows(2).all(|two| two[0] == two[1])
            && told.windows(2).all(|two| two[0] == two[1])
            && labels.iter().all(|label| told[0].contains(label))
    });
}

#[test]
fn a_leader_that_stands_still_loses_no_write_and_restarts_no_container() {
    let cluster = start(3, None);
    let first = leader(&cluster, 1).unwrap();
    let [second, third] = others(first)[..] else { panic!() };
    write(&cluster, first, "before");
    // What runs on the others is not touched, nor what nobody but the node itself runs.
    for number in 1..=3 {
        cluster.host(number).ok(&["run", "-d", "--name", "own", "--network", "none", "orca/demo"]);
    }
    let pids = || -> Vec<String> {
        (1..=3).map(|number| cluster.host(number).ok(&["inspect", "-f", "{{.State.Pid}}", "own"])).collect()
    };
    let before = pids();
    cluster.suspend_daemon(first);
    write(&cluster, second, "meanwhile");
    write(&cluster, third, "later");
    std::thread::sleep(Duration::from_secs(6));
    cluster.resume_daemon(first);
    // It takes itself for the leader no longer than it needs to hear of another.
    write(&cluster, first, "after");
    agree(&cluster, &["before", "meanwhile", "later", "after"]);
    assert_eq!(pids(), before);
}

#[test]
fn a_leader_that_is_heard_but_hears_nothing_gives_way() {
    let cluster = start(3, None);
    let first = leader(&cluster, 1).unwrap();
    let [second, third] = others(first)[..] else { panic!() };
    write(&cluster, first, "before");
    cluster.mute(second, first);
    cluster.mute(third, first);
    cluster.wait_for("another leads", || leader(&cluster, second).is_some_and(|number| number != first));
    write(&cluster, third, "meanwhile");
    cluster.heal();
    write(&cluster, first, "after");
    agree(&cluster, &["before", "meanwhile", "after"]);
    // One link alone is nobody's end: the third speaks with both.
    let now = leader(&cluster, 1).unwrap();
    let [one, other] = others(now)[..] else { panic!() };
    cluster.partition(&[one], &[other]);
    write(&cluster, now, "triangle");
    cluster.heal();
    agree(&cluster, &["triangle"]);
    assert_eq!(leader(&cluster, 1), Some(now), "nobody had a reason to elect");
    // Who is alone takes no write, and says why.
    cluster.partition(&[now], &others(now));
    cluster.wait_for("another leads", || leader(&cluster, one).is_some_and(|number| number != now));
    let error = cluster.host(now).fails(&["node", "update", "--label-add", "lost=yes", "host1"]);
    assert!(error.contains("leader") || error.contains("majority") || error.contains("quorum"), "{error}");
    write(&cluster, one, "majority");
    cluster.heal();
    agree(&cluster, &["majority"]);
    assert!(!written(&cluster, one).contains("lost"));
}

#[test]
fn a_slow_link_costs_time_alone() {
    let cluster = start(3, None);
    let now = leader(&cluster, 1).unwrap();
    let [one, _] = others(now)[..] else { panic!() };
    cluster.slow(one, Some(256));
    write(&cluster, one, "slow");
    cluster.slow(one, None);
    agree(&cluster, &["slow"]);
}

#[test]
fn a_full_disk_of_the_leader_loses_nothing() {
    let cluster = start(3, Some("256m"));
    let first = leader(&cluster, 1).unwrap();
    let [second, _] = others(first)[..] else { panic!() };
    write(&cluster, first, "before");
    cluster.host(first).fill_disk();
    // Others go on without it, or it goes on from its reserve; either way a write that was taken stays.
    cluster.wait_for("a write is taken", || {
        cluster.host(second).orca(&["node", "update", "--label-add", "meanwhile=yes", "host1"]).status.success()
    });
    cluster.host(first).free_disk();
    cluster.wait_for("it takes writes again", || {
        cluster.host(first).orca(&["node", "update", "--label-add", "after=yes", "host1"]).status.success()
    });
    agree(&cluster, &["before", "meanwhile", "after"]);
}
