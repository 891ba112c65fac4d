//! Who nodes are, and whom they trust: another CA takes over, certificates are renewed, and nothing stands still meanwhile.

use std::collections::BTreeSet;

use crate::cluster::{deploy, node_ls, places, start, with_busybox};
use crate::hosts::{Cluster, Host};

/// What a host keeps of its place.
fn place(host: &Host) -> serde_json::Value {
    let text = std::fs::read_to_string(host.data_dir().join("swarm/node.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A host's own certificate.
fn certificate(host: &Host) -> String {
    let chain = place(host)["certificate"].as_str().unwrap().to_owned();
    chain.split_inclusive("-----END CERTIFICATE-----").next().unwrap().to_owned()
}

fn all_are_ready(cluster: &Cluster, count: usize) -> bool {
    let nodes = node_ls(cluster.host(1));
    nodes.len() == count && nodes.iter().all(|line| line.contains(" Ready "))
}

#[test]
fn another_ca_takes_over_and_nothing_stands_still() {
    let mut cluster = start(4);
    with_busybox(&cluster);
    cluster.form(2, 1);
    cluster.wait_for("three nodes", || all_are_ready(&cluster, 3));
    deploy(cluster.host(1), 3);
    cluster.wait_for("they run", || places(cluster.host(1)).len() == 3);
    let own = |cluster: &Cluster| {
        let id = cluster.host(2).ok(&["ps", "-q", "--filter", "name=shop_web", "--last", "9"]);
        id.lines().map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let containers = own(&cluster);
    let before = cluster.host(2).ok(&["swarm", "ca"]);
    assert!(before.starts_with("-----BEGIN CERTIFICATE-----"));
    let token = cluster.host(1).ok(&["swarm", "join-token", "-q", "worker"]);
    let certificates: Vec<String> = (1..=3).map(|number| certificate(cluster.host(number))).collect();
    // One is away: the rotation waits for it, and everything goes on with both.
    cluster.stop_daemon(3);
    let first = cluster.host(1);
    cluster.wait_for("it is down", || node_ls(first).contains(&"host3 Down Active".to_owned()));
    first.ok(&["swarm", "ca", "--rotate", "--detach"]);
    let trusted = |host: &Host| place(host)["ca"].as_str().unwrap().matches("BEGIN CERTIFICATE").count();
    cluster.wait_for("managers trust both", || trusted(first) == 2 && trusted(cluster.host(2)) == 2);
    assert_eq!(cluster.host(2).ok(&["swarm", "ca"]), before, "not over yet");
    cluster.host(2).ok(&["swarm", "join-token", "--rotate", "-q", "manager"]);
    // A token of before lets a node in meanwhile.
    cluster.host(4).ok(&["swarm", "join", "--token", token.trim(), &cluster.host(1).address()]);
    let mut follower = cluster.host(2).orca_command(&["swarm", "ca", "--rotate"]);
    let follower = follower.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    cluster.start_daemon(3);
    let output = follower.wait_with_output().unwrap();
    let (after, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && after.starts_with("-----BEGIN"), "{told}");
    assert!(told.is_empty() || told.contains("host3"), "{told}");
    assert_ne!(after, before);
    // Every node has a certificate of the new one, and trusts that one only.
    cluster.wait_for("each trusts the new one only", || {
        (1..=4).all(|number| place(cluster.host(number))["ca"].as_str() == Some(&*after))
    });
    cluster.wait_for("four nodes", || all_are_ready(&cluster, 4));
    let now: BTreeSet<String> = (1..=3).map(|number| certificate(cluster.host(number))).collect();
    assert!(certificates.iter().all(|before| !now.contains(before)));
    assert!(own(&cluster).is_superset(&containers), "no container of a node that was there has noticed");
    // Over restarts too, and tokens of before let nobody in.
    for number in 1..=4 {
        cluster.kill_daemon(number);
    }
    for number in 1..=4 {
        cluster.start_daemon(number);
    }
    cluster.wait_for("they are there again", || all_are_ready(&cluster, 4));
    let first = cluster.host(1);
    assert_eq!(first.ok(&["swarm", "ca"]), *after);
    let fourth = cluster.host(4);
    fourth.ok(&["swarm", "leave"]);
    let error = fourth.fails(&["swarm", "join", "--token", token.trim(), &first.address()]);
    assert!(error.contains("not a manager of the cluster that the join token is of"), "{error}");
    let token = first.ok(&["swarm", "join-token", "-q", "worker"]);
    fourth.ok(&["swarm", "join", "--token", token.trim(), &first.address()]);
    assert!(first.fails(&["swarm", "ca", "--external-ca", "protocol=cfssl,url=https://x"]).contains("external-ca"));
}
