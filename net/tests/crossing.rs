//! Where clients of published ports cross to other nodes, as the kernel has it.
#![allow(clippy::unwrap_used)]

mod topology;

use std::collections::BTreeMap;

use model::{MeshKey, NodeId, Protocol};
use net::Network;
use net::peers::{Ingress, Mesh, Peer, zones};
use net::plan::{Crossing, Family, MeshPlan, NodePlan};
use net::ruleset::Ruleset;
use topology::{Topology, dual_plan, key, listed, port};

/// The plan of the other tests, on one of two nodes: a port leads to a container of each family at the other one, and another
/// hides who asks.
fn crossing_plan(topology: &mut Topology) -> NodePlan {
    let mut plan = dual_plan(topology);
    let node = NodeId::from_random(2);
    let zone = zones([node])[&node];
    let endpoint = "192.0.2.2:2378".parse().unwrap();
    let peers = vec![Peer { node, key: MeshKey::new([2; 32]), endpoint, prefixes: Default::default(), zone }];
    let ingress = Some(Ingress { device: key().ingress(), node: NodeId::from_random(1) });
    let mesh = Mesh { device: key().mesh(), port: 2378, mtu: 1420, peers, ingress };
    let away = ["10.9.0.5:80", "[fd00:9::5]:80"].map(|backend| backend.parse::<std::net::SocketAddr>().unwrap());
    let here = [("10.1.0.5".parse().unwrap(), Protocol::Tcp, 80)].into();
    let crossing = Crossing { away: away.iter().map(|backend| (backend.ip(), zone)).collect(), here };
    plan.mesh = Some(MeshPlan { mesh, foreign: BTreeMap::new(), crossing });
    let backends = away.to_vec();
    plan.ports.push(net::plan::PortPlan { backends, ..port(Protocol::Tcp, 8090, &[]) });
    plan.ports.push(net::plan::PortPlan { snat: true, ..port(Protocol::Udp, 8091, &[(5, 80)]) });
    plan
}

#[test]
fn the_kernel_holds_the_ways_and_gives_them_up() {
    let mut topology = Topology::new();
    let plan = crossing_plan(&mut topology);
    let network = Network::new(key());
    let report = topology.on_host(|| network.apply(&plan).unwrap());
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    for (family, word) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
        let listed = listed(&topology, word);
        for rule in Ruleset::of(family, &plan).to_text().lines().filter(|line| line.contains("mark set")) {
            // nft(8) has words of its own for what it finds.
            let what = rule.split("mark set").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(listed.contains(&what), "{word}: {what} in {listed}");
        }
    }
    let ways = |flag: &str| String::from_utf8(topology.run("host", "ip", &[flag, "rule"]).stdout).unwrap();
    let count = |flag: &str| ways(flag).lines().filter(|line| line.contains("fwmark 0x6f72")).count();
    assert_eq!((count("-4"), count("-6")), (2, 2), "{} {}", ways("-4"), ways("-6"));
    // What others take away comes back.
    assert!(topology.run("host", "ip", &["link", "del", &key().ingress()]).status.success());
    assert!(topology.run("host", "ip", &["-4", "rule", "flush"]).status.success());
    for (table, priority) in [("local", "0"), ("main", "32766"), ("default", "32767")] {
        topology.run("host", "ip", &["-4", "rule", "add", "from", "all", "lookup", table, "pref", priority]);
    }
    let report = topology.on_host(|| network.audit(&plan).unwrap());
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    assert_eq!((count("-4"), count("-6")), (2, 2));
    let table = format!("{}", plan.mesh.as_ref().unwrap().mesh.peers[0].zone.mark());
    let routes = topology.run("host", "ip", &["route", "show", "table", &table]).stdout;
    assert!(String::from_utf8(routes).unwrap().contains(&format!("dev {}", key().ingress())));
    // A node that is alone again has none.
    let alone = NodePlan { mesh: None, ports: Vec::new(), ..plan };
    topology.on_host(|| network.apply(&alone).unwrap());
    assert_eq!((count("-4"), count("-6")), (0, 0));
    topology.on_host(|| network.teardown_all().unwrap());
    assert!(topology.on_host(|| network.is_bare().unwrap()));
}
