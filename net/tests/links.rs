//! Networks that are no routed ones: bridge devices, and devices on one of the host's.
#![allow(clippy::unwrap_used)]

mod topology;

use std::net::{IpAddr, Ipv4Addr};

use model::{IpvlanFlag, IpvlanMode, Link, MacvlanMode};
use net::Network;
use net::plan::{AttachmentPlan, NodePlan, SubnetPlan};
use topology::{HOST, OUTSIDE, Topology, attachment, key, network, plan};

fn apply(t: &Topology, network: &Network, plan: &NodePlan) -> net::Report {
    let report = t.on_host(|| network.apply(plan).unwrap());
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    report
}

fn links(t: &Topology, name: &str) -> String {
    String::from_utf8(t.run(name, "ip", &["-d", "link"]).stdout).unwrap()
}

/// Says what it hears by broadcast; then says something itself, and prints the first answer.
const HEAR: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.bind(('', 9)); print('ready', flush=True)
while True:
    data, peer = s.recvfrom(100)
    if data == b'who': s.sendto(b'me', peer)
"#;
const SHOUT: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.settimeout(3)
s.sendto(b'who', (sys.argv[1], 9))
try: print(s.recvfrom(100)[1][0])
except Exception as e: print(type(e).__name__)
"#;

fn shout(t: &Topology, from: &str, to: &str) -> String {
    String::from_utf8(t.run(from, "python3", &["-c", SHOUT, to]).stdout).unwrap().trim().to_owned()
}

#[test]
fn containers_on_a_bridge_device_share_a_link() {
    let mut t = Topology::new();
    let mut plan = plan(&mut t);
    plan.networks[0].link = Link::Bridge { name: Some("br-shop".into()) };
    plan.networks[2].link = Link::Bridge { name: None };
    plan.vips.clear();
    let kernel = Network::new(key());
    let report = apply(&t, &kernel, &plan);
    assert_eq!((report.attached, report.adopted), (5, 0));
    assert!(links(&t, "host").contains("altname br-shop"), "{}", links(&t, "host"));
    t.serve("a", "10.1.0.5".parse::<Ipv4Addr>().unwrap(), 80);
    t.serve("b", Ipv4Addr::UNSPECIFIED, 80);
    t.serve("d", "10.3.0.8".parse::<Ipv4Addr>().unwrap(), 80);
    t.serve("outside", OUTSIDE, 99);
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let check = || {
        assert_eq!(t.ask("a", "tcp", ip("10.1.0.6"), 80), "b 10.1.0.5");
        assert_eq!(t.ask("b", "tcp", ip("10.3.0.8"), 80), "d 10.3.0.6");
        assert_eq!(t.ask("c", "tcp", ip("10.1.0.5"), 80), "TimeoutError", "another network");
        assert_eq!(t.ask("host", "tcp", ip("10.1.0.5"), 80), "a 10.1.0.1");
        assert_eq!(t.ask("a", "tcp", OUTSIDE, 99), format!("outside {HOST}"), "masqueraded");
        assert_eq!(t.ask("d", "tcp", OUTSIDE, 99), "OSError", "internal");
        assert_eq!(t.ask("outside", "tcp", HOST, 8081), format!("a {OUTSIDE}"), "published");
        assert_eq!(t.ask("host", "tcp", Ipv4Addr::LOCALHOST, 8081), "a 10.1.0.1");
        assert_eq!(t.ask("b", "tcp", HOST, 8081), "a 10.1.0.1", "published, to the same link");
        assert_eq!(t.ask("a", "tcp", HOST, 8081), "a 10.1.0.1", "published, to itself");
    };
    check();
    assert_eq!(apply(&t, &kernel, &plan).exchanged, 0, "nothing is asked again where nothing has changed");
    // What only a link has.
    t.spawn("b", HEAR, &[]);
    assert_eq!(shout(&t, "a", "10.1.0.255"), "10.1.0.6");
    assert_eq!(shout(&t, "d", "10.3.0.255"), "10.3.0.6");
    assert_eq!(shout(&t, "c", "10.2.0.255"), "TimeoutError");
    // A daemon that restarts adopts it; who leaves is gone from the link.
    let kernel = Network::new(key());
    assert_eq!(apply(&t, &kernel, &plan).adopted, 5);
    check();
    plan.attachments.retain(|on| on.interface != "eth1");
    assert_eq!(apply(&t, &kernel, &plan).removed, 1);
    assert!(!t.ask("d", "tcp", ip("10.3.0.6"), 80).starts_with("b "), "nobody has that address");
    t.on_host(|| kernel.teardown_all().unwrap());
    let left = links(&t, "host");
    assert!(!left.contains("bridge") && !left.contains("altname"), "{left}");
    assert!(t.run("host", "nft", &["list", "ruleset"]).stdout.is_empty());
}

/// Network 9 in the outside's network (VLAN 50 of it with `tagged`), with one container; the others as ever.
fn macvlan_plan(t: &mut Topology, parent: &str, mode: MacvlanMode) -> NodePlan {
    let mut plan = plan(t);
    let lan = SubnetPlan { subnet: "192.0.2.0/24".parse().unwrap(), gateway: IpAddr::from(OUTSIDE) };
    let link = Link::Macvlan { parent: parent.into(), mode };
    let mut on_lan = network(9, false);
    (on_lan.subnets, on_lan.link) = (vec![lan], link);
    plan.networks.push(on_lan);
    let [m, n] = ["m", "n"].map(|name| t.namespace(name));
    for (path, c) in [(m, 21), (n, 22)] {
        let addresses = vec![IpAddr::from([192, 0, 2, c])];
        plan.attachments.push(AttachmentPlan { addresses, mac: None, ..attachment(&path, c, 9, "eth0") });
    }
    plan
}

#[test]
fn a_container_is_on_the_hosts_own_network() {
    let mut t = Topology::new();
    let mut plan = macvlan_plan(&mut t, "uplink0", MacvlanMode::Bridge);
    let kernel = Network::new(key());
    let report = apply(&t, &kernel, &plan);
    assert_eq!(report.attached, 7);
    assert_eq!(apply(&t, &kernel, &plan).exchanged, 0, "nothing is asked again where nothing has changed");
    t.serve("outside", OUTSIDE, 99);
    t.serve("n", "192.0.2.22".parse::<Ipv4Addr>().unwrap(), 80);
    let n = IpAddr::from([192, 0, 2, 22]);
    assert_eq!(t.ask("m", "tcp", OUTSIDE, 99), "outside 192.0.2.21", "with its own address");
    assert_eq!(t.ask("m", "tcp", n, 80), "n 192.0.2.21");
    assert_eq!(t.ask("outside", "tcp", n, 80), format!("n {OUTSIDE}"), "unpublished, as any machine");
    assert_eq!(t.ask("a", "tcp", IpAddr::from([10, 1, 0, 6]), 80), "ConnectionRefusedError", "others are as ever");
    // Adopted, not made anew: its device keeps its number.
    let number = |t: &Topology| String::from_utf8(t.run("m", "cat", &["/sys/class/net/eth0/ifindex"]).stdout).unwrap();
    let before = number(&t);
    let kernel = Network::new(key());
    apply(&t, &kernel, &plan);
    assert_eq!(number(&t), before);
    // A daemon was killed before it took a container off the network: the next one does, and leaves what the container has made.
    let path = plan.attachments.iter().find(|on| on.container == topology::container(21)).unwrap().netns.clone();
    t.ip("m", "link add own0 type veth peer name own1");
    let shed = |wanted: &[&str]| {
        let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
        t.on_host(|| net::netlink::shed(&key(), &path, &wanted).unwrap());
    };
    shed(&["eth0"]);
    assert_eq!(number(&t), before, "it is to be there");
    shed(&[]);
    let left = links(&t, "m");
    assert!(!left.contains("eth0") && left.contains("own0") && left.contains("lo:"), "{left}");
    apply(&t, &Network::new(key()), &plan);
    // Who leaves while it runs.
    plan.attachments.retain(|on| on.container != topology::container(21));
    assert_eq!(apply(&t, &kernel, &plan).removed, 1);
    assert!(!links(&t, "m").contains("eth0"), "{}", links(&t, "m"));
    t.on_host(|| kernel.teardown_all().unwrap());
}

#[test]
fn a_vlans_device_is_made_and_goes_with_its_network() {
    let mut t = Topology::new();
    let tagged = ["link", "add", "link", "eth0", "name", "tagged", "type", "vlan", "id", "50"];
    if !t.run("outside", "ip", &tagged).status.success() {
        // A kernel without VLANs is told so; what is there already is used all the same.
        let made = t.on_host(|| net::netlink::ensure_parent(&key(), "uplink0.50").unwrap_err().to_string());
        assert!(made.contains("create device uplink0.50 of VLAN 50"), "{made}");
        t.on_host(|| net::netlink::ensure_parent(&key(), "uplink0").unwrap());
        assert!(links(&t, "host").contains("uplink0") && !links(&t, "host").contains("alias orca"));
        return;
    }
    t.ip("outside", "addr add 198.51.100.1/24 dev tagged");
    t.ip("outside", "link set tagged up");
    let mut plan = macvlan_plan(&mut t, "uplink0.50", MacvlanMode::Private);
    let tagged = SubnetPlan { subnet: "198.51.100.0/24".parse().unwrap(), gateway: "198.51.100.1".parse().unwrap() };
    plan.networks[3].subnets = vec![tagged];
    for (attachment, last) in plan.attachments[5..].iter_mut().zip(21..) {
        attachment.addresses = vec![IpAddr::from([198, 51, 100, last])];
    }
    let kernel = Network::new(key());
    apply(&t, &kernel, &plan);
    assert!(links(&t, "host").contains("vlan protocol 802.1Q id 50"));
    t.serve("outside", "198.51.100.1".parse::<Ipv4Addr>().unwrap(), 99);
    t.serve("n", Ipv4Addr::UNSPECIFIED, 80);
    let gateway = IpAddr::from([198, 51, 100, 1]);
    assert_eq!(t.ask("m", "tcp", gateway, 99), "outside 198.51.100.21");
    assert_eq!(t.ask("m", "tcp", IpAddr::from([198, 51, 100, 22]), 80), "OSError", "private: they do not meet");
    plan.networks.pop();
    plan.attachments.truncate(5);
    apply(&t, &kernel, &plan);
    assert!(!links(&t, "host").contains("uplink0.50"), "{}", links(&t, "host"));
    assert!(!links(&t, "m").contains("eth0"), "{}", links(&t, "m"));
    // One that was there stays.
    t.ip("host", "link add link uplink0 name uplink0.60 type vlan id 60");
    let mut theirs = network(9, false);
    theirs.link = Link::Macvlan { parent: "uplink0.60".into(), mode: MacvlanMode::Bridge };
    plan.networks.push(theirs);
    apply(&t, &kernel, &plan);
    t.on_host(|| kernel.teardown_all().unwrap());
    assert!(links(&t, "host").contains("uplink0.60"));
}

#[test]
fn an_ipvlan_network_is_made_or_refused_by_the_kernel_by_name() {
    let mut t = Topology::new();
    let link = Link::Ipvlan { parent: "uplink0".into(), mode: IpvlanMode::L2, flag: IpvlanFlag::Bridge };
    let tried = t.on_host(|| net::netlink::try_ipvlan("uplink0", &link).map_err(|error| error.to_string()));
    if !t.run("host", "ip", &["link", "add", "link", "uplink0", "name", "ipv0", "type", "ipvlan"]).status.success() {
        // A kernel without ipvlan says so, and nothing is left.
        let error = tried.unwrap_err();
        assert!(error.contains("create ipvlan device"), "{error}");
        assert!(!links(&t, "host").contains("orcatry"), "{}", links(&t, "host"));
        return;
    }
    tried.unwrap();
    t.ip("host", "link del ipv0");
    let mut plan = macvlan_plan(&mut t, "uplink0", MacvlanMode::Bridge);
    plan.networks.iter_mut().filter(|network| network.link.parent().is_some()).for_each(|on| on.link = link.clone());
    let kernel = Network::new(key());
    apply(&t, &kernel, &plan);
    t.serve("outside", OUTSIDE, 99);
    assert_eq!(t.ask("m", "tcp", OUTSIDE, 99), "outside 192.0.2.21", "with its own address");
    t.on_host(|| kernel.teardown_all().unwrap());
}
