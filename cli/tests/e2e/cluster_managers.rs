//! Managers that come late, go, or come back with another disk; and noise on every port.

use std::io::Write;
use std::os::unix::net::UnixStream;

use crate::cluster::{deploy, node_ls, places, start, with_busybox};
use crate::hosts::{Cluster, Host};

/// More entries than a log keeps behind a raft snapshot.
const MANY: usize = 6_400;
const AT_ONCE: usize = 32;

/// Writes so many entries into the log.
fn fill(host: &Host, entries: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = api::client::Endpoint::parse(&host.socket()).unwrap();
        let channel = api::client::connect(&address).await.unwrap();
        let control = api::client::control_client(channel, api::client::Guard::default());
        let known = control.clone().get_cluster(api::control::GetClusterRequest {}).await.unwrap().into_inner();
        let request = api::control::UpdateClusterRequest {
            spec: known.cluster.unwrap().spec.or_else(|| Some(model::ClusterSpec::default().into())),
        };
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let mut control = control.clone();
            writers.spawn(async move {
                for _ in 0..entries / AT_ONCE {
                    control.update_cluster(request).await.unwrap();
                }
            });
        }
        writers.join_all().await;
    });
}

fn managers(cluster: &Cluster, asked: usize) -> usize {
    let nodes = node_ls(cluster.host(asked));
    nodes.iter().filter(|line| line.ends_with("Reachable") || line.ends_with("Leader")).count()
}

fn leader(cluster: &Cluster, asked: usize) -> Option<usize> {
    let nodes = node_ls(cluster.host(asked));
    let line = nodes.iter().find(|line| line.ends_with(" Leader"))?;
    line.split(' ').next()?.strip_prefix("host")?.parse().ok()
}

fn write(host: &Host, value: &str) {
    host.ok(&["node", "update", "--label-add", &format!("{value}=yes"), "host1"]);
}

fn has(host: &Host, value: &str) -> bool {
    let output = host.orca(&["node", "inspect", "-f", "{{json .Spec.Labels}}", "host1"]);
    String::from_utf8_lossy(&output.stdout).contains(value)
}

#[test]
fn managers_come_late_go_and_come_back_without_their_disk() {
    let mut cluster = start(3);
    let first = cluster.host(1).address();
    cluster.host(1).ok(&["swarm", "init", "--advertise-addr", &first]);
    write(cluster.host(1), "early");
    fill(cluster.host(1), MANY);
    for number in [2, 3] {
        let token = cluster.host(1).ok(&["swarm", "join-token", "-q", "manager"]);
        cluster.host(number).ok(&["swarm", "join", "--token", token.trim(), &first]);
    }
    cluster.wait_for("three managers", || managers(&cluster, 2) == 3);
    // What the others' logs have forgotten has come in a raft snapshot.
    let snapshot = cluster.host(2).data_dir().join("raft/snapshot");
    assert!(snapshot.exists() && has(cluster.host(2), "early"));
    // The leader itself is demoted, by its own word, and promoted again.
    let led = leader(&cluster, 1).unwrap();
    let name = cluster.host(led).name();
    cluster.host(led).ok(&["node", "demote", &name]);
    let other = led % 3 + 1;
    cluster.wait_for("another one leads", || leader(&cluster, other).is_some_and(|now| now != led));
    cluster.wait_for("it knows", || cluster.host(led).ok(&["info"]).contains("  Is Manager: false"));
    write(cluster.host(other), "without");
    cluster.host(other).ok(&["node", "promote", &name]);
    cluster.wait_for("three managers again", || managers(&cluster, other) == 3);
    cluster.wait_for("it is up to date", || has(cluster.host(led), "without"));
    // One comes back without what was on its disk of the cluster's state: it is brought up to date, and the others never stop.
    cluster.cut_power(led);
    std::fs::remove_dir_all(cluster.host(led).data_dir().join("raft")).unwrap();
    write(cluster.host(other), "meanwhile");
    cluster.boot(led);
    cluster.wait_for("it is a manager again", || {
        managers(&cluster, other) == 3 && node_ls(cluster.host(other)).len() == 3 && has(cluster.host(led), "meanwhile")
    });
    write(cluster.host(led), "after");
    cluster.wait_for("all have it", || (1..=3).all(|number| has(cluster.host(number), "after")));
}

#[test]
fn noise_on_every_port_harms_nobody() {
    let mut cluster = start(2);
    with_busybox(&cluster);
    cluster.form(1, 1);
    let first = cluster.host(1);
    deploy(first, 2);
    cluster.wait_for("a task a node", || places(first) == ["host1", "host2"]);
    let address = first.address();
    let script = format!(
        "trap '' PIPE; for i in 1 2 3 4 5 6 7 8; do head -c 60000 /dev/urandom > /dev/tcp/{address}/2377; \
         printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' > /dev/tcp/{address}/2377; \
         printf '\\026\\003\\001\\002\\000\\001' > /dev/tcp/{address}/2377; \
         printf 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' > /dev/tcp/{address}/2377; \
         for j in 1 2 3 4; do head -c 1400 /dev/urandom > /dev/udp/{address}/2378; done; done 2>/dev/null; true"
    );
    cluster.host(2).run(&["bash", "-c", &script]);
    let socket = first.socket();
    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for begin in [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = UnixStream::connect(socket.strip_prefix("unix://").unwrap()).unwrap();
        // The daemon may have hung up.
        let _ = stream.write_all(begin).and_then(|()| stream.write_all(&noise));
    }
    assert_eq!(node_ls(first), ["host1 Ready Active Leader", "host2 Ready Active"]);
    assert_eq!(places(first), ["host1", "host2"], "nothing was started again");
    first.ok(&["swarm", "join-token", "--rotate", "-q", "worker"]);
    let other = cluster.host(2).ok(&["ps", "-q", "--no-trunc"]);
    assert_eq!(first.ok(&["exec", other.trim(), "echo", "there"]), "there\n");
}
