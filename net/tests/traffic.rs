//! Who meets whom, in real namespaces.
#![allow(clippy::unwrap_used)]

mod topology;

use std::net::Ipv4Addr;
use std::time::Duration;

use net::Network;
use net::plan::{Family, NodePlan, PortPlan};
use net::ruleset::Ruleset;
use topology::{HOST, HOST6, OUTSIDE, OUTSIDE6, Topology, dual_plan, key, plan, port, vip};

fn apply(topology: &Topology, network: &Network, plan: &NodePlan) -> net::Report {
    let report = topology.on_host(|| network.apply(plan).unwrap());
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    report
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// Lines of a table's text in a form that does not depend on how nft sorts and wraps elements, and on what it leaves out:
/// a reset implies TCP, and port unreachable is what `reject` means.
fn normal(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let flat = text
        .replace(",\n", ", ")
        .replace("ip protocol tcp reject", "reject")
        .replace("meta l4proto tcp reject", "reject")
        .replace("reject with icmp port-unreachable", "reject")
        .replace("reject with icmpv6 port-unreachable", "reject")
        .replace("dnat ip6 addr . port to", "dnat ip6 to")
        .replace("dnat ip addr . port to", "dnat ip to");
    for line in flat.lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.strip_prefix("elements = { ") {
            Some(elements) => {
                let mut sorted: Vec<&str> = elements.trim_end_matches(" }").split(", ").map(str::trim).collect();
                sorted.sort_unstable();
                lines.push(format!("elements = {}", sorted.join(", ")));
            }
            None => lines.push(line),
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[test]
fn the_kernel_holds_what_the_text_says() {
    let mut topology = Topology::new();
    let mut plan = dual_plan(&mut topology);
    let backend = std::net::SocketAddr::new("fd00:1::5".parse().unwrap(), 80);
    plan.ports.push(net::plan::PortPlan {
        host_ip: Some(HOST6.into()),
        backends: vec![backend],
        ..port(model::Protocol::Tcp, 81, &[])
    });
    let network = Network::new(key());
    apply(&topology, &network, &plan);
    holds(&topology, &plan, Family::V4, "ip");
    holds(&topology, &plan, Family::V6, "ip6");
}

fn holds(topology: &Topology, plan: &NodePlan, family: Family, word: &str) {
    let listed = topology.run("host", "nft", &["list", "table", word, &key().table()]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let (expected, listed) = (normal(&Ruleset::of(family, plan).to_text()), normal(&listed));
    for line in expected.iter().filter(|line| !listed.contains(line)) {
        println!("missing: {line}");
    }
    for line in listed.iter().filter(|line| !expected.contains(line)) {
        println!("unexpected: {line}");
    }
    let (mut expected, mut listed) = (expected, listed);
    expected.sort();
    listed.sort();
    assert!(expected == listed, "nft lists another table than the text form says");
}

#[test]
fn networks_are_isolated_and_ports_are_published() {
    let mut t = Topology::new();
    let mut plan = plan(&mut t);
    let network = Network::new(key());
    let report = apply(&t, &network, &plan);
    assert_eq!((report.attached, report.adopted), (5, 0));
    for (name, address) in [("a", "10.1.0.5"), ("c", "10.2.0.7"), ("d", "10.3.0.8")] {
        t.serve(name, ip(address), 80);
    }
    let b = t.serve("b", Ipv4Addr::UNSPECIFIED, 80);
    t.serve("outside", OUTSIDE, 99);

    // Networks.
    assert_eq!(t.ask("a", "tcp", ip("10.1.0.6"), 80), "b 10.1.0.5");
    assert_eq!(t.ask("b", "udp", ip("10.1.0.5"), 80), "a 10.1.0.6");
    assert_eq!(t.ask("b", "tcp", ip("10.3.0.8"), 80), "d 10.3.0.6");
    for kind in ["tcp", "udp"] {
        assert_eq!(t.ask("a", kind, ip("10.2.0.7"), 80), "TimeoutError", "{kind} between networks");
        assert_eq!(t.ask("c", kind, ip("10.1.0.2"), 80), "TimeoutError", "{kind} to another network's VIP");
    }
    assert_eq!(t.ask("host", "tcp", ip("10.3.0.6"), 80), "b 10.3.0.1", "the host speaks as the gateway");

    // The outside.
    assert_eq!(t.ask("a", "tcp", OUTSIDE, 99), format!("outside {HOST}"), "masqueraded");
    assert_eq!(t.ask("d", "tcp", OUTSIDE, 99), "OSError", "internal");
    let route = ["route", "add", "default", "via", "169.254.1.1", "dev", "eth0", "onlink"];
    assert!(t.run("d", "ip", &route).status.success());
    assert_eq!(t.ask("d", "tcp", OUTSIDE, 99), "TimeoutError", "internal, with a route of its own making");
    let route = ["route", "add", "10.0.0.0/8", "via", "192.0.2.1"];
    assert!(t.run("outside", "ip", &route).status.success());
    assert_eq!(t.ask("outside", "tcp", ip("10.1.0.5"), 80), "TimeoutError", "unpublished");
    assert_eq!(t.ask("outside", "tcp", ip("10.1.0.2"), 80), "TimeoutError", "a VIP from outside");

    // Published ports.
    for kind in ["tcp", "udp"] {
        let answers = t.ask_often("outside", kind, HOST, 8080, 40);
        for name in ["a", "b"] {
            let count = answers.iter().filter(|a| **a == format!("{name} {OUTSIDE}")).count();
            assert!((8..=32).contains(&count), "{kind}: {name} got {count} of {answers:?}");
        }
        for (from, to) in [("host", HOST), ("host", Ipv4Addr::LOCALHOST), ("c", HOST), ("a", HOST)] {
            for answer in t.ask_often(from, kind, to, 8080, 8) {
                assert!(answer.starts_with("a ") || answer.starts_with("b "), "{kind} {from} {to}: {answer}");
            }
        }
    }
    assert_eq!(t.ask("a", "tcp", HOST, 8081), "a 10.1.0.1", "hairpin to itself appears as the gateway");
    assert_eq!(t.ask("host", "tcp", Ipv4Addr::LOCALHOST, 8081), "a 10.1.0.1");

    // Virtual addresses.
    let answers = t.ask_often("a", "tcp", ip("10.1.0.2"), 80, 40);
    assert!(answers.iter().any(|x| x == "a 10.1.0.1") && answers.iter().any(|x| x == "b 10.1.0.5"), "{answers:?}");
    assert!(t.ask_often("host", "udp", ip("10.1.0.2"), 80, 4).iter().all(|x| x.ends_with("10.1.0.1")));

    // One backend goes, then the other.
    t.kill(b);
    plan.vips = vec![vip(&[5])];
    plan.ports[0] = port(model::Protocol::Tcp, 8080, &[(5, 80)]);
    let report = apply(&t, &network, &plan);
    assert_eq!((report.attached, report.adopted, report.table_replaced), (0, 5, false), "elements alone change");
    assert!(t.ask_often("outside", "tcp", HOST, 8080, 10).iter().all(|x| x.starts_with("a ")));
    plan.vips = vec![vip(&[])];
    plan.ports[0] = port(model::Protocol::Tcp, 8080, &[]);
    plan.ports[1] = port(model::Protocol::Udp, 8080, &[]);
    apply(&t, &network, &plan);
    for (from, kind, to, number) in [
        ("outside", "tcp", HOST, 8080),
        ("outside", "udp", HOST, 8080),
        ("host", "tcp", Ipv4Addr::LOCALHOST, 8443),
        ("a", "tcp", ip("10.1.0.2"), 80),
        ("a", "udp", ip("10.1.0.2"), 80),
        ("host", "tcp", ip("10.1.0.2"), 80),
        ("a", "tcp", ip("10.1.0.77"), 80),
    ] {
        let (answer, took) = t.timed(|t| t.ask(from, kind, to, number));
        assert_eq!(answer, "ConnectionRefusedError", "{kind} from {from} to {to}:{number}");
        assert!(
            took < Duration::from_secs(3),
            "{kind} from {from} to {to}:{number} is refused at once, not after {took:?}"
        );
    }
}

#[test]
fn ipv6_is_as_ipv4() {
    let mut t = Topology::new();
    let mut plan = dual_plan(&mut t);
    let six = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap();
    let backend = std::net::SocketAddr::new(six("fd00:1::5").into(), 80);
    for port in &mut plan.ports[..2] {
        port.backends = vec![backend];
    }
    let network = Network::new(key());
    apply(&t, &network, &plan);
    for (name, address) in [("a", "fd00:1::5"), ("b", "::"), ("c", "fd00:2::7"), ("d", "fd00:3::8"), ("e", "fd00:4::9")]
    {
        t.serve(name, six(address), 80);
    }
    t.serve("outside", OUTSIDE6, 99);

    // Networks. Neighbours are found although nobody but an address's owner may speak from it.
    assert_eq!(t.ask("a", "tcp", six("fd00:1::6"), 80), "b fd00:1::5");
    assert_eq!(t.ask("b", "udp", six("fd00:1::5"), 80), "a fd00:1::6");
    assert_eq!(t.ask("b", "tcp", six("fd00:3::8"), 80), "d fd00:3::6");
    for kind in ["tcp", "udp"] {
        assert_eq!(t.ask("a", kind, six("fd00:2::7"), 80), "TimeoutError", "{kind} between networks");
        assert_eq!(t.ask("e", kind, six("fd00:1::5"), 80), "TimeoutError", "{kind} between networks");
    }
    assert_eq!(t.ask("host", "tcp", six("fd00:4::9"), 80), "e fd00:4::1", "the host speaks as the gateway");
    let (answer, took) = t.timed(|t| t.ask("a", "tcp", six("fd00:1::77"), 80));
    assert_eq!(answer, "OSError", "nobody's address is unreachable");
    assert!(took < Duration::from_secs(3), "at once, not after {took:?}");
    assert!(t.run("f", "ip", &["-6", "addr", "show", "dev", "eth0"]).stdout.is_empty());

    // The outside.
    for from in ["a", "e"] {
        assert_eq!(t.ask(from, "tcp", OUTSIDE6, 99), format!("outside {HOST6}"), "masqueraded");
    }
    assert_eq!(t.ask("d", "tcp", OUTSIDE6, 99), "OSError", "internal");
    t.ip("d", "route add default via fe80::1 dev eth0");
    assert_eq!(t.ask("d", "tcp", OUTSIDE6, 99), "TimeoutError", "internal, with a route of its own making");
    t.ip("outside", "route add fd00::/16 via 2001:db8::1");
    assert_eq!(t.ask("outside", "tcp", six("fd00:1::5"), 80), "TimeoutError", "unpublished");

    // Published ports, with the client's own address.
    for kind in ["tcp", "udp"] {
        assert_eq!(t.ask("outside", kind, HOST6, 8080), format!("a {OUTSIDE6}"));
        assert!(t.ask("host", kind, HOST6, 8080).starts_with("a "));
        assert!(t.ask("c", kind, HOST6, 8080).starts_with("a "));
    }
    assert_eq!(t.ask("a", "tcp", HOST6, 8080), "a fd00:1::1", "hairpin to itself appears as the gateway");

    // A source that is another's.
    t.ip("c", "addr add fd00:1::5/128 dev eth0 nodad");
    t.ip("c", "route add fd00:1::6 via fe80::1 dev eth0 src fd00:1::5");
    assert_eq!(t.ask("c", "tcp", six("fd00:1::6"), 80), "TimeoutError");

    // Nothing stays, nor is anything done twice.
    let report = apply(&t, &Network::new(key()), &plan);
    assert_eq!((report.attached, report.adopted), (0, 7));
    t.on_host(|| network.teardown_all().unwrap());
    for arguments in [&["-6", "route"][..], &["-6", "addr", "show", "dev", "lo"]] {
        let left = String::from_utf8(t.run("host", "ip", arguments).stdout).unwrap();
        assert!(!left.contains("fd00:"), "{left}");
    }
    assert!(t.run("host", "nft", &["list", "ruleset"]).stdout.is_empty());
}

#[test]
fn a_restarted_daemon_adopts_and_a_reset_leaves_nothing() {
    let mut t = Topology::new();
    let mut plan = plan(&mut t);
    apply(&t, &Network::new(key()), &plan);
    let report = apply(&t, &Network::new(key()), &plan);
    assert_eq!((report.attached, report.adopted, report.removed), (0, 5, 0));
    let network = Network::new(key());
    plan.attachments.pop();
    plan.networks.pop();
    plan.attachments.retain(|a| plan.networks.iter().any(|n| n.id == a.network));
    let report = apply(&t, &network, &plan);
    assert_eq!((report.adopted, report.removed), (3, 2));
    t.on_host(|| network.teardown_all().unwrap());
    let links = String::from_utf8(t.run("host", "ip", &["-o", "link"]).stdout).unwrap();
    assert_eq!(links.lines().count(), 2, "{links}");
    let addresses = String::from_utf8(t.run("host", "ip", &["-o", "-4", "addr", "show", "dev", "lo"]).stdout).unwrap();
    assert_eq!(addresses.lines().count(), 1, "{addresses}");
    assert!(t.run("host", "nft", &["list", "ruleset"]).stdout.is_empty());
}

#[test]
fn a_spoofed_source_is_dropped() {
    let mut t = Topology::new();
    let plan = plan(&mut t);
    apply(&t, &Network::new(key()), &plan);
    t.serve("b", Ipv4Addr::UNSPECIFIED, 80);
    assert!(t.run("c", "ip", &["addr", "add", "10.1.0.5/32", "dev", "eth0"]).status.success());
    let route = ["route", "add", "10.1.0.6", "via", "169.254.1.1", "dev", "eth0", "onlink", "src", "10.1.0.5"];
    assert!(t.run("c", "ip", &route).status.success());
    assert_eq!(t.ask("c", "tcp", ip("10.1.0.6"), 80), "TimeoutError");
}

#[test]
fn a_udp_flow_leaves_a_backend_that_is_gone() {
    let mut t = Topology::new();
    let mut plan = plan(&mut t);
    let network = Network::new(key());
    plan.ports[1] = port(model::Protocol::Udp, 8080, &[(5, 80)]);
    apply(&t, &network, &plan);
    t.serve("a", ip("10.1.0.5"), 80);
    t.serve("b", Ipv4Addr::UNSPECIFIED, 80);
    // One client socket throughout, as a resolver or a game has.
    let client = t.on_host(|| std::net::UdpSocket::bind((HOST, 0)).unwrap());
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let ask = || {
        let mut buffer = [0; 100];
        client.send_to(b"x", (HOST, 8080)).unwrap();
        let (length, _) = client.recv_from(&mut buffer).unwrap();
        buffer[..length.min(1)].to_vec()
    };
    assert_eq!(ask(), b"a");
    plan.ports[1] = port(model::Protocol::Udp, 8080, &[(6, 80)]);
    assert!(apply(&t, &network, &plan).flows_cut >= 1);
    assert_eq!(ask(), b"b");
}

#[test]
fn a_network_may_keep_its_containers_apart_and_their_addresses_as_they_are() {
    let mut t = Topology::new();
    let mut plan = plan(&mut t);
    plan.networks[0].apart = true;
    plan.networks[0].own_source = true;
    let network = Network::new(key());
    apply(&t, &network, &plan);
    t.serve("a", ip("10.1.0.5"), 80);
    t.serve("b", Ipv4Addr::UNSPECIFIED, 80);
    t.serve("outside", OUTSIDE, 99);
    t.ip("outside", "route add 10.1.0.0/24 via 192.0.2.1");
    assert_eq!(t.ask("b", "tcp", ip("10.1.0.5"), 80), "ConnectionRefusedError", "apart");
    assert_eq!(t.ask("b", "tcp", HOST, 8081), "a 10.1.0.6", "but at published ports");
    assert_eq!(t.ask("d", "tcp", ip("10.3.0.6"), 80), "b 10.3.0.8", "another network's containers meet");
    assert_eq!(t.ask("a", "tcp", OUTSIDE, 99), "outside 10.1.0.5", "not masqueraded");
}

/// What one more container costs, in bytes exchanged with the kernel: the same beside few as beside many.
#[test]
fn one_more_container_costs_the_same_however_many_there_are() {
    const BESIDE: [u8; 3] = [5, 20, 60];
    let mut t = Topology::new();
    let network = Network::new(key());
    let mut plan = NodePlan { networks: vec![topology::network(1, false)], ..NodePlan::empty(key()) };
    let mut costs = Vec::new();
    for c in 2..=BESIDE[2] + 2 {
        let path = t.namespace(&format!("c{c}"));
        plan.attachments.push(topology::attachment(&path, c, 1, "eth0"));
        plan.ports.push(PortPlan {
            backends: vec![(std::net::IpAddr::from([10, 1, 0, c]), 80).into()],
            ..port(model::Protocol::Tcp, 9000 + u16::from(c), &[])
        });
        let report = apply(&t, &network, &plan);
        if BESIDE.contains(&(c - 2)) {
            assert!(!report.table_replaced, "beside {}", c - 2);
            costs.push(report.exchanged);
        }
    }
    assert_eq!(costs.len(), BESIDE.len());
    assert!(costs.iter().all(|cost| *cost == costs[0]), "bytes beside {BESIDE:?} containers: {costs:?}");
    // Going costs nothing that grows either.
    plan.attachments.pop();
    plan.ports.pop();
    let report = apply(&t, &network, &plan);
    assert!(!report.table_replaced && report.exchanged < costs[0], "{report:?}");
    // Whatever was taken for granted, the audit puts right.
    let gone = t.run("host", "sh", &["-c", "ip route flush proto 111; nft flush ruleset"]);
    assert!(gone.status.success());
    t.on_host(|| network.audit(&plan).unwrap());
    assert!(String::from_utf8(t.run("host", "ip", &["route"]).stdout).unwrap().contains("10.1.0.61 dev"));
    assert!(!t.run("host", "nft", &["list", "ruleset"]).stdout.is_empty());
}

/// What Docker makes (`iptables -P FORWARD DROP` and its chains), with a denial of the administrator's own in it.
const DOCKER: &str = "iptables-nft -P FORWARD DROP && iptables-nft -N DOCKER-USER && iptables-nft -N DOCKER-FORWARD && \
    iptables-nft -A FORWARD -j DOCKER-USER && iptables-nft -A FORWARD -j DOCKER-FORWARD && \
    iptables-nft -A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT && \
    iptables-nft -A DOCKER-USER -s 10.1.0.6/32 -d 192.0.2.2/32 -j DROP";
/// What firewalld's nftables backend ends its forward chain with.
const FIREWALLD: &str = "nft 'table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; policy accept; \
    ct state established,related accept; ct status dnat accept; reject with icmpx admin-prohibited; }; }'";

#[test]
fn others_drop_policies_are_passed_and_their_denials_kept() {
    let mut t = Topology::new();
    let plan = plan(&mut t);
    let shell = |script: &str| {
        let output = t.run("host", "sh", &["-c", script]);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    shell(DOCKER);
    let before = shell("iptables-nft -S");
    t.serve("outside", OUTSIDE, 9000);
    let network = Network::new(key());
    let opened = |report: net::Report| report.passage.unwrap().opened.len();
    assert_eq!(opened(apply(&t, &network, &plan)), 1);
    t.serve("a", ip("10.1.0.5"), 80);
    let check = || {
        assert_eq!(t.ask("a", "tcp", OUTSIDE, 9000), format!("outside {HOST}"));
        assert_ne!(t.ask("b", "udp", OUTSIDE, 9000), format!("outside {HOST}"), "the host's own denial stays");
        assert_eq!(t.ask("outside", "tcp", HOST, 8081), format!("a {OUTSIDE}"), "published");
        assert!(!t.ask("c", "tcp", ip("10.1.0.5"), 80).starts_with("a "), "who meets whom is our own table's to say");
    };
    check();
    // Rules that others add later decide first: the audit moves behind them.
    shell("iptables-nft -A FORWARD -s 10.1.0.5/32 -p tcp --dport 9001 -j DROP");
    assert_eq!(opened(t.on_host(|| network.audit(&plan).unwrap())), 1);
    assert_eq!(opened(t.on_host(|| network.audit(&plan).unwrap())), 0, "all is in its place");
    let forward = shell("nft list chain ip filter FORWARD");
    let lines: Vec<&str> = forward.lines().filter(|line| line.contains("accept") || line.contains("drop")).collect();
    assert!(lines[lines.len() - 1].contains("comment \"orca "), "{forward}");
    check();
    shell(FIREWALLD);
    let report = t.on_host(|| network.audit(&plan).unwrap());
    assert!(report.passage.unwrap().closed.contains("firewalld filter_FORWARD"));
    t.on_host(|| network.teardown_all().unwrap());
    shell("iptables-nft -D FORWARD -s 10.1.0.5/32 -p tcp --dport 9001 -j DROP");
    assert_eq!(shell("iptables-nft -S"), before);
}
