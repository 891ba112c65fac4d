//! Networks with IPv6: addresses, names, published ports, files and what inspect says.

use serde_json::Value;

use crate::support::Node;

fn object(node: &Node, args: &[&str]) -> Value {
    serde_json::from_str::<Value>(&node.ok(args)).unwrap()[0].take()
}

fn exec(node: &Node, container: &str, script: &str) -> String {
    node.ok(&["exec", container, "sh", "-c", script])
}

/// A host that has IPv6, with an address of its own for published ports.
fn start() -> Node {
    let node = Node::start().with_busybox();
    node.in_host(&["ip", "link", "add", "uplink0", "type", "veth", "peer", "name", "uplink1"]);
    node.in_host(&["sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/uplink0/disable_ipv6"]);
    for device in ["uplink0", "uplink1"] {
        node.in_host(&["ip", "link", "set", device, "up"]);
    }
    node.in_host(&["ip", "addr", "add", "2001:db8::1/64", "dev", "uplink0", "nodad"]);
    node
}

const PAGES: [&str; 7] = ["busybox", "httpd", "-f", "-p", "[::]:80", "-h", "/etc"];

fn run(node: &Node, args: &[&str]) {
    node.ok(&[&["run", "-d"], args, &PAGES].concat());
}

#[test]
fn a_network_of_both_families() {
    let mut node = start();
    node.ok(&["network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd00:77::/64", "dual"]);
    let network = object(&node, &["network", "inspect", "dual"]);
    assert_eq!((&network["EnableIPv4"], &network["EnableIPv6"]), (&true.into(), &true.into()));
    assert_eq!(network["IPAM"]["Config"][1]["Gateway"], "fd00:77::1");
    assert_eq!(node.ok(&["network", "ls", "--filter", "name=dual", "--format", "{{.IPv4}} {{.IPv6}}"]), "true true\n");

    run(&node, &["--name", "web", "--network", "name=dual,ip6=fd00:77::99,alias=site", "-p", "8080:80"]);
    run(&node, &["--name", "other", "--network", "dual", "-p", "[::1]:8081:80", "-p", "0.0.0.0:8082:80"]);
    let settings = object(&node, &["inspect", "web"])["NetworkSettings"].clone();
    for settings in [&settings, &settings["Networks"]["dual"]] {
        assert_eq!(settings["GlobalIPv6Address"], "fd00:77::99");
        assert_eq!(settings["GlobalIPv6PrefixLen"], 64);
        assert_eq!(settings["IPv6Gateway"], "fd00:77::1");
        assert_eq!((&settings["IPAddress"], &settings["IPPrefixLen"]), (&"10.77.0.2".into(), &24.into()));
    }
    let member = network_member(&node, "dual", "web");
    assert_eq!(member["IPv6Address"], "fd00:77::99/64");
    let error = node.fails(125, &["run", "--rm", "--network", "dual", "--ip6", "fd00:77::99", "busybox", "true"]);
    assert!(error.contains("fd00:77::99 is in use"), "{error}");

    let check = |node: &Node| {
        let hosts = exec(node, "web", "cat /etc/hosts");
        assert!(hosts.contains("10.77.0.2\t") && hosts.contains("fd00:77::99\t"), "{hosts}");
        let answers = exec(node, "other", "nslookup -type=aaaa site; nslookup -type=a site; nslookup fd00:77::99");
        assert!(answers.contains("fd00:77::99") && answers.contains("10.77.0.2"), "{answers}");
        assert!(answers.contains("name = web.dual"), "{answers}");
        assert!(exec(node, "other", "ping -6 -c 1 -w 5 site").contains("1 packets received"));
        assert!(exec(node, "other", "wget -qO- 'http://[fd00:77::99]/passwd'").contains("root:"));
        for url in ["127.0.0.1:8080", "[::1]:8080", "[2001:db8::1]:8080", "[::1]:8081", "127.0.0.1:8082"] {
            node.wait_for(url, || node.get(&format!("http://{url}/passwd")).is_some());
        }
        for url in ["127.0.0.1:8081", "[2001:db8::1]:8081", "[::1]:8082"] {
            assert!(node.get(&format!("http://{url}/passwd")).is_none(), "{url}");
        }
    };
    check(&node);
    assert_eq!(node.ok(&["port", "web", "80"]), "0.0.0.0:8080\n[::]:8080\n");
    assert_eq!(node.ok(&["port", "other", "80"]), "[::1]:8081\n0.0.0.0:8082\n");
    node.kill_daemon();
    node.start_daemon();
    check(&node);

    // Networks do not meet, whatever the family; the default one has IPv4 alone.
    node.ok(&["network", "create", "--ipv6", "stranger"]);
    run(&node, &["--name", "far", "--network", "stranger"]);
    node.ok(&["run", "-d", "--name", "plain", "-p", "8083:80", PAGES[0], "httpd", "-f", "-h", "/etc"]);
    assert!(!node.orca(&["exec", "far", "ping", "-6", "-c", "1", "-w", "2", "fd00:77::99"]).status.success());
    assert_eq!(exec(&node, "plain", "ip -6 addr show dev eth0"), "");
    node.wait_for("IPv6 leads to a container without", || node.get("http://[::1]:8083/passwd").is_some());

    // Joining and leaving while it runs.
    node.ok(&["network", "connect", "--ip6", "fd00:77::42", "dual", "far"]);
    assert!(exec(&node, "far", "ping -6 -c 1 -w 5 fd00:77::99").contains("1 packets received"));
    assert!(exec(&node, "web", "ping -6 -c 1 -w 5 far").contains("1 packets received"));
    node.ok(&["network", "disconnect", "dual", "far"]);
    assert!(!node.orca(&["exec", "far", "ping", "-6", "-c", "1", "-w", "2", "fd00:77::99"]).status.success());

    node.reset();
    for listing in [&["ip", "-6", "route"][..], &["ip", "-6", "addr"], &["nft", "list", "ruleset"]] {
        let left = node.in_host(listing);
        assert!(!left.contains("fd00:77:") && !left.contains("orca_"), "{left}");
    }
}

fn network_member(node: &Node, network: &str, container: &str) -> Value {
    let network = object(node, &["network", "inspect", network]);
    let members = network["Containers"].as_object().unwrap();
    members.values().find(|member| member["Name"] == container).unwrap().clone()
}

#[test]
fn a_network_of_ipv6_alone_and_what_is_refused() {
    let node = start();
    node.ok(&["network", "create", "--ipv4=false", "--ipv6", "--internal", "six"]);
    let network = object(&node, &["network", "inspect", "six"]);
    assert_eq!((&network["EnableIPv4"], &network["EnableIPv6"]), (&false.into(), &true.into()));
    let subnet = network["IPAM"]["Config"][0]["Subnet"].as_str().unwrap().to_owned();
    assert!(subnet.starts_with("fd") && subnet.ends_with("::/64"), "{subnet}");
    run(&node, &["--name", "web", "--network", "six", "-p", "8080:80"]);
    run(&node, &["--name", "other", "--network", "six"]);
    assert!(exec(&node, "other", "ping -c 1 -w 5 web").contains("1 packets received"));
    let settings = object(&node, &["inspect", "web"])["NetworkSettings"].clone();
    assert_eq!(
        (&settings["IPAddress"], &settings["IPPrefixLen"], &settings["Gateway"]),
        (&"".into(), &0.into(), &"".into())
    );
    assert!(
        !node.orca(&["exec", "web", "ping", "-6", "-c", "1", "-w", "1", "2001:db8::1"]).status.success(),
        "internal"
    );
    node.wait_for("it is published", || node.get("http://[::1]:8080/passwd").is_some());
    assert!(node.get("http://127.0.0.1:8080/passwd").is_none());
    assert_eq!(node.ok(&["port", "web"]), "80/tcp -> [::]:8080\n");

    for (args, words) in [
        (&["--subnet", "fd00:9::/64"][..], "add --ipv6"),
        (&["--ipv4=false"], "neither"),
        (&["--ipv6", "--subnet", "fe80::/64"], "link-local"),
        (&["--ipv6", "--subnet", &subnet], "network six"),
        (&["--ipv6", "--subnet", "fd00:9::/64", "--gateway", "fd00:8::1"], "lies in none"),
    ] {
        let error = node.fails(1, &[&["network", "create"], args, &["bad"]].concat());
        assert!(error.contains(words), "{args:?}: {error}");
    }
    let fails = |args: &[&str]| node.fails(125, &[&["run", "--rm"], args, &["busybox", "true"]].concat());
    assert!(fails(&["--network", "bridge", "--ip6", "fd00:9::9"]).contains("no subnet of the family"));
    assert!(fails(&["-p", "[2001:db8::1]:53:53/udp"]).contains("no address of that family"));
    assert!(fails(&["--network", "six", "-p", "127.0.0.1:80:80"]).contains("no address of that family"));
    assert!(fails(&["-p", "[::1]:53:53/udp"]).contains("only TCP"));
    if !std::fs::read_to_string("/proc/net/protocols").unwrap().contains("SCTP") {
        assert!(fails(&["-p", "5060:5060/sctp"]).contains("no SCTP"));
    }
    // A host without IPv6.
    node.in_host(&["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6"]);
    assert!(node.fails(1, &["network", "create", "--ipv6", "bad"]).contains("this host has IPv6 off"));
    node.in_host(&["sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/lo/disable_ipv6"]);
}

/// Two services on a project's network, as the Compose Specification has its keys.
const PROJECT: &str = r#"
name: sixes
services:
  web:
    image: busybox
    command: ["busybox", "httpd", "-f", "-p", "[::]:80", "-h", "/etc"]
    ports: ["8090:80"]
    networks: {back: {ipv4_address: 10.79.0.9, ipv6_address: "fd00:79::9"}}
  tool:
    image: busybox
    command: ["sleep", "1000"]
    networks: [back, only]
networks:
  back:
    enable_ipv6: true
    driver_opts: {com.docker.network.driver.mtu: 1400}
    ipam:
      config:
        - {subnet: 10.79.0.0/24, ip_range: 10.79.0.128/25, gateway: 10.79.0.254, aux_addresses: {router: 10.79.0.200}}
        - {subnet: "fd00:79::/64", gateway: "fd00:79::ff"}
  only: {enable_ipv4: false, enable_ipv6: true, internal: true}
"#;

#[test]
fn a_projects_networks() {
    let node = start();
    let file = node.file("compose.yml", PROJECT);
    let file = file.to_str().unwrap();
    node.ok(&["up", "-d", "-f", file]);
    let tool = &object(&node, &["inspect", "sixes-tool-1"])["NetworkSettings"]["Networks"];
    let back = &tool["sixes_back"];
    assert_eq!((&back["Gateway"], &back["IPv6Gateway"]), (&"10.79.0.254".into(), &"fd00:79::ff".into()));
    let last: u8 = back["IPAddress"].as_str().unwrap().rsplit('.').next().unwrap().parse().unwrap();
    assert!(last > 128 && last != 200 && last != 254, "{back}");
    let only = &tool["sixes_only"];
    assert!(only["IPAddress"] == "" && only["GlobalIPv6Address"].as_str().unwrap().starts_with("fd"), "{only}");
    let network = object(&node, &["network", "inspect", "sixes_back"]);
    assert_eq!(network["EnableIPv6"], true);

    assert_eq!(exec(&node, "sixes-tool-1", "cat /sys/class/net/eth0/mtu"), "1400\n");
    // The service has an address of its own, as in IPv4, behind which its containers are.
    let answers = exec(&node, "sixes-tool-1", "nslookup -type=aaaa tasks.web");
    assert!(answers.contains("fd00:79::9"), "{answers}");
    let answers = exec(&node, "sixes-tool-1", "nslookup -type=aaaa web");
    let virtual_address = answers.split_whitespace().find(|word| word.starts_with("fd00:79:")).unwrap();
    assert!(virtual_address != "fd00:79::9", "{answers}");
    let page = format!("wget -qO- 'http://[{virtual_address}]/passwd'");
    assert!(exec(&node, "sixes-tool-1", &page).contains("root:"));
    let from_node = |node: &Node| node.get(&format!("http://[{virtual_address}]/passwd")).is_some();
    assert!(from_node(&node), "the node itself has a way there, too");
    assert!(node.get(&format!("http://[{virtual_address}]:81/passwd")).is_none());
    assert!(exec(&node, "sixes-tool-1", "ping -6 -c 1 -w 5 web").contains("1 packets received"));
    assert!(exec(&node, "sixes-tool-1", "ping -4 -c 1 -w 5 10.79.0.254").contains("1 packets received"));
    for url in ["127.0.0.1:8090", "[::1]:8090", "[2001:db8::1]:8090"] {
        node.wait_for(url, || node.get(&format!("http://{url}/passwd")).is_some());
    }
    node.ok(&["up", "-d", "-f", file]);
    node.ok(&["down", "-f", file]);
    node.wait_for("its routes go", || !node.in_host(&["ip", "-6", "route"]).contains("fd00:79:"));
}
