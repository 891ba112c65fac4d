//! Several nodes as one cluster, each on a host of its own.

use std::path::Path;

use crate::hosts::{Cluster, Host};
use crate::support::busybox;

pub fn start(hosts: usize) -> Cluster {
    Cluster::start(Path::new(env!("CARGO_BIN_EXE_orca")), hosts)
}

/// Gives every host the image of the tests.
pub fn with_busybox(cluster: &Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let tar = busybox(dir.path());
    for host in &cluster.hosts {
        host.ok(&["import", tar.to_str().unwrap(), "busybox", "-c", "CMD [\"sh\"]"]);
    }
}

/// Declares so many containers across the cluster.
pub fn deploy(host: &Host, replicas: u32) {
    let text = format!(
        "services:\n  web:\n    image: busybox\n    command: sleep 600\n    network_mode: none\n    stop_grace_period: 0s\n    deploy:\n      replicas: {replicas}\n"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    host.ok(&["stack", "deploy", "-c", file.path().to_str().unwrap(), "shop"]);
}

/// The node of each task that runs, in order.
pub fn places(host: &Host) -> Vec<String> {
    let output = host.orca(&["stack", "ps", "shop", "--format", "{{.Node}} {{.CurrentState}}"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let running = text.lines().filter(|line| line.contains("Running"));
    let mut places: Vec<String> = running.filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect();
    places.sort();
    places
}

pub fn node_ls(host: &Host) -> Vec<String> {
    let format = "{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}}";
    let output = host.orca(&["node", "ls", "--format", format]);
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn workers_join_run_tasks_and_leave() {
    let mut cluster = start(3);
    with_busybox(&cluster);
    let first = cluster.host(1);
    // A lone node is none yet, and its containers do not notice when it becomes one.
    assert!(first.fails(&["node", "ls"]).contains("orca swarm init"));
    assert!(first.ok(&["info"]).contains(" Swarm: inactive"));
    first.ok(&["run", "-d", "--name", "before", "--network", "none", "busybox", "sleep", "600"]);
    let pid = first.ok(&["inspect", "-f", "{{.State.Pid}}", "before"]);
    cluster.form(1, 2);
    let first = cluster.host(1);
    assert_eq!(first.ok(&["inspect", "-f", "{{.State.Pid}}", "before"]), pid);
    assert!(first.fails(&["swarm", "init"]).contains("already part of a cluster"));
    let expected = ["host1 Ready Active Leader", "host2 Ready Active", "host3 Ready Active"];
    cluster.wait_for("three nodes", || node_ls(first) == expected);
    assert!(first.ok(&["node", "ls"]).contains("ENGINE VERSION"));
    let info = first.ok(&["info"]);
    assert!(info.contains(" Swarm: active") && info.contains("  Nodes: 3") && info.contains("  Managers: 1"), "{info}");
    // Tasks are spread.
    deploy(first, 6);
    assert_eq!(places(first), ["host1", "host1", "host2", "host2", "host3", "host3"]);
    assert_eq!(cluster.host(2).ok(&["ps", "-q"]).lines().count(), 2);
    // A worker is none to ask, and says whom.
    assert!(cluster.host(2).fails(&["node", "ls"]).contains("not a manager"));
    // Over a restart it stays what it is, and what it runs.
    let before = cluster.host(2).ok(&["ps", "-q"]);
    cluster.kill_daemon(2);
    cluster.start_daemon(2);
    assert_eq!(cluster.host(2).ok(&["ps", "-q"]), before);
    let first = cluster.host(1);
    cluster.wait_for("it is there again", || cluster.host(2).ok(&["info"]).contains(" Swarm: active"));
    assert!(cluster.host(2).ok(&["info"]).contains("  Is Manager: false"));
    // A node of projects of its own says which.
    let third = cluster.host(3);
    third.ok(&["swarm", "leave"]);
    cluster.wait_for("host3 is down", || node_ls(first).contains(&"host3 Down Active".to_owned()));
    cluster
        .wait_for("others run its tasks", || places(first) == ["host1", "host1", "host1", "host2", "host2", "host2"]);
    cluster.wait_for("it has no container left", || third.ok(&["ps", "-aq"]).is_empty());
    first.ok(&["node", "rm", "host3"]);
    assert_eq!(node_ls(first).len(), 2);
    // Removed though it is up: it is shut out at once.
    let error = first.fails(&["node", "rm", "host2"]);
    assert!(error.contains("is not down"), "{error}");
    first.ok(&["node", "rm", "--force", "host2"]);
    cluster.wait_for("host2 knows", || cluster.host(2).ok(&["info"]).contains("removed from the cluster"));
    cluster.wait_for("host1 runs all", || places(first).len() == 6);
}

#[test]
fn who_has_not_the_right_token_stays_out() {
    let cluster = start(2);
    let (first, second) = (cluster.host(1), cluster.host(2));
    let address = first.address();
    first.ok(&["swarm", "init", "--advertise-addr", &address]);
    let token = first.ok(&["swarm", "join-token", "-q", "worker"]);
    let token = token.trim();
    let join = |token: &str| second.fails(&["swarm", "join", "--token", token, &address]);
    assert!(join("").contains("no join token"));
    assert!(join("SWMTKN-1-a-b").contains("Docker Swarm"));
    assert!(join(&token[..token.len() - 3]).contains("cut off"));
    // The right cluster, and the wrong secret.
    let (begin, secret) = token.rsplit_once('-').unwrap();
    let wrong = if secret.ends_with('1') { "2" } else { "1" };
    let error = join(&format!("{begin}-{}{wrong}", &secret[..24]));
    assert!(error.contains("not valid (any more)"), "{error}");
    // Another cluster's token: nothing is told to a manager that is not the one meant.
    second.ok(&["swarm", "init", "--advertise-addr", &second.address()]);
    let other = second.ok(&["swarm", "join-token", "-q", "worker"]);
    second.ok(&["swarm", "leave", "--force"]);
    let error = join(other.trim());
    assert!(error.contains("not a manager of the cluster that the join token is of"), "{error}");
    // A rotated one.
    let next = first.ok(&["swarm", "join-token", "-q", "--rotate", "worker"]);
    assert_ne!(next.trim(), token);
    assert!(join(token).contains("not valid (any more)"));
    // Nobody there.
    let error = second.fails(&["swarm", "join", "--token", next.trim(), "10.77.0.1:999"]);
    assert!(error.contains("10.77.0.1:999"), "{error}");
    // What this node has of its own is not thrown away.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "services:\n  a:\n    image: orca/demo\n    network_mode: none\n").unwrap();
    second.ok(&["compose", "-p", "mine", "-f", file.path().to_str().unwrap(), "up", "-d"]);
    assert!(join(next.trim()).contains("projects of its own, which the cluster does not know: mine"));
    second.ok(&["swarm", "join", "--discard", "--token", next.trim(), &address]);
    cluster.wait_for("its containers are gone", || second.ok(&["ps", "-aq"]).is_empty());
    // Garbage on the port harms nobody.
    let noise = format!("head -c 100000 /dev/urandom > /dev/tcp/{address}/2377");
    second.run(&["bash", "-c", &format!("{noise}; true")]);
    assert_eq!(node_ls(first).len(), 2);
}

/// The number of the host that leads, asked of one that runs.
fn leader(cluster: &Cluster, asked: usize) -> Option<usize> {
    let nodes = node_ls(cluster.host(asked));
    let leader = nodes.iter().find(|line| line.ends_with(" Leader"))?;
    leader.split(' ').next()?.strip_prefix("host")?.parse().ok()
}

#[test]
fn managers_outlive_their_leader_and_tasks_their_node() {
    let mut cluster = start(4);
    with_busybox(&cluster);
    cluster.form(3, 1);
    let managers = |cluster: &Cluster, asked: usize| {
        node_ls(cluster.host(asked))
            .iter()
            .filter(|line| line.ends_with("Reachable") || line.ends_with("Leader"))
            .count()
    };
    cluster.wait_for("three managers", || managers(&cluster, 2) == 3);
    // Any manager takes commands.
    deploy(cluster.host(3), 4);
    cluster.wait_for("one task a node", || places(cluster.host(2)) == ["host1", "host2", "host3", "host4"]);
    // The worker's power is cut: its task moves.
    cluster.cut_power(4);
    let took = cluster.wait_for("the task moves", || {
        let places = places(cluster.host(1));
        places.len() == 4 && !places.contains(&"host4".to_owned())
    });
    eprintln!("a worker's tasks were elsewhere after {} ms", took.as_millis());
    // The leader's power is cut: the next write works.
    let first = leader(&cluster, 1).unwrap();
    cluster.cut_power(first);
    let other = if first == 1 { 2 } else { 1 };
    let begin = std::time::Instant::now();
    cluster.host(other).ok(&["swarm", "join-token", "--rotate", "-q", "worker"]);
    eprintln!("a write took {} ms after the leader was gone", begin.elapsed().as_millis());
    assert_ne!(leader(&cluster, other).unwrap(), first);
    // Both come back, as what they were.
    cluster.boot(first);
    cluster.boot(4);
    cluster.wait_for("all are there again", || {
        let nodes = node_ls(cluster.host(other));
        nodes.len() == 4 && nodes.iter().all(|line| line.contains(" Ready ")) && managers(&cluster, other) == 3
    });
    // A leader that ends in order hands over: nobody waits for an election.
    let second = leader(&cluster, other).unwrap();
    let asked = if second == 1 { 2 } else { 1 };
    cluster.stop_daemon(second);
    let begin = std::time::Instant::now();
    cluster.host(asked).ok(&["swarm", "join-token", "--rotate", "-q", "worker"]);
    eprintln!("a write took {} ms after the leader had handed over", begin.elapsed().as_millis());
    cluster.start_daemon(second);
    cluster.wait_for("all are there again", || managers(&cluster, other) == 3);
    // One is demoted, and one that is cut off is not heard.
    let name = cluster.host(first).name();
    cluster.host(other).ok(&["node", "demote", &name]);
    cluster.wait_for("it knows", || cluster.host(first).ok(&["info"]).contains("  Is Manager: false"));
    cluster.wait_for("two managers", || managers(&cluster, other) == 2);
    cluster.host(other).ok(&["node", "promote", "host4"]);
    cluster.wait_for("three managers again", || managers(&cluster, other) == 3);
    cluster.wait_for("it knows", || cluster.host(4).ok(&["info"]).contains("  Is Manager: true"));
    cluster.unplug(4);
    cluster
        .wait_for("host4 is down", || node_ls(cluster.host(other)).iter().any(|line| line.starts_with("host4 Down")));
    cluster.plug(4);
    cluster.wait_for("host4 is up", || node_ls(cluster.host(other)).iter().any(|line| line.starts_with("host4 Ready")));
}

#[test]
fn a_drained_node_gives_its_tasks_away() {
    let mut cluster = start(2);
    with_busybox(&cluster);
    cluster.form(1, 1);
    let first = cluster.host(1);
    deploy(first, 4);
    first.ok(&["node", "update", "--availability", "drain", "--label-add", "rack=b", "host2"]);
    cluster.wait_for("host1 runs all", || places(first) == ["host1"; 4]);
    assert!(first.ok(&["node", "ls"]).contains("Drain"));
    let labels = first.ok(&["node", "inspect", "-f", "{{.Spec.Labels.rack}} {{.Spec.Availability}}", "host2"]);
    assert_eq!(labels, "b drain\n");
    assert!(first.ok(&["node", "inspect", "--pretty", "self"]).contains("Leader:\t\tYes"));
    assert_eq!(first.ok(&["node", "ps", "-q", "host1"]).lines().count(), 4);
    assert!(first.fails(&["node", "demote", "host1"]).contains("last manager"));
    first.ok(&["stack", "rm", "shop"]);
    assert!(first.fails(&["stack", "ps", "shop"]).contains("No such stack"));
}
