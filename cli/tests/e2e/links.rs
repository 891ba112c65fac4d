//! Networks on a device of the host's, and on a bridge device; links to other containers.

use crate::support::Node;

fn exec(node: &Node, container: &str, script: &str) -> String {
    node.ok(&["exec", container, "sh", "-c", script])
}

/// A host with a device towards a network of its own.
fn start() -> Node {
    let node = Node::start().with_busybox();
    node.in_host(&["ip", "link", "add", "lan0", "type", "veth", "peer", "name", "far0"]);
    for device in ["lan0", "far0"] {
        node.in_host(&["ip", "link", "set", device, "up"]);
    }
    node
}

#[test]
fn a_macvlan_network() {
    let mut node = start();
    let create = |args: &[&str], name: &str| {
        node.ok(&[&["network", "create", "-d", "macvlan"], args, &[name]].concat());
    };
    let lan = ["--subnet", "192.0.2.0/24", "--gateway", "192.0.2.1", "--ip-range", "192.0.2.64/26"];
    create(&[&lan[..], &["-o", "parent=lan0"]].concat(), "lan");
    create(&["--subnet", "198.51.100.0/24", "-o", "parent=far0", "-o", "macvlan_mode=private"], "second");
    assert_eq!(node.ok(&["network", "ls", "--filter", "driver=macvlan", "--format", "{{.Name}}"]), "lan\nsecond\n");
    node.ok(&["run", "-d", "--name", "web", "--network", "lan", "busybox", "httpd", "-f", "-h", "/etc"]);
    node.ok(&["run", "-d", "--name", "tool", "--network", "name=lan,ip=192.0.2.99", "busybox", "sleep", "1000"]);
    let check = |node: &Node| {
        assert!(exec(node, "tool", "wget -qO- http://web/passwd").contains("root:"), "by name");
        assert!(exec(node, "web", "ip addr show dev eth0").contains("192.0.2.64/24"), "of the range");
        assert!(exec(node, "web", "ip route").contains("default via 192.0.2.1"));
    };
    check(&node);
    node.kill_daemon();
    node.start_daemon();
    check(&node);
    // Joined and left while it runs.
    node.ok(&["network", "connect", "second", "tool"]);
    assert!(exec(&node, "tool", "ip addr show dev eth1").contains("198.51.100.2/24"));
    let error = node.fails(1, &["network", "rm", "second"]);
    assert!(error.contains("active endpoints"), "{error}");
    node.ok(&["network", "disconnect", "second", "tool"]);
    assert!(!exec(&node, "tool", "ip link").contains("eth1"));
    node.ok(&["network", "rm", "second"]);

    // The device of a VLAN comes and goes with its network, where the kernel has VLANs.
    let tagged = node.orca(&["network", "create", "-d", "macvlan", "-o", "parent=lan0.50", "tagged"]);
    if tagged.status.success() {
        assert!(node.in_host(&["ip", "-d", "link"]).contains("id 50"));
        node.ok(&["network", "rm", "tagged"]);
        node.wait_for("the VLAN's device goes", || !node.in_host(&["ip", "-d", "link"]).contains("lan0.50"));
    } else {
        let error = String::from_utf8(tagged.stderr).unwrap();
        assert!(error.contains("VLAN 50"), "{error}");
    }

    let error = node.fails(125, &["run", "--rm", "--network", "lan", "-p", "80:80", "busybox", "true"]);
    assert!(error.contains("lan") && error.contains("--publish"), "{error}");
    for (options, words) in [
        (&["-o", "parent=nowhere0"][..], "nowhere0 does not exist"),
        (&[], "parent=eth0"),
        (&["-o", "parent=lan0", "-o", "macvlan_mode=odd"], "macvlan_mode=odd"),
        (&["-o", "parent=lan0", "-o", "com.docker.network.driver.mtu=1400"], "driver.mtu"),
    ] {
        let error = node.fails(1, &[&["network", "create", "-d", "macvlan"], options, &["bad"]].concat());
        assert!(error.contains(words), "{error}");
    }
    node.reset();
    let left = node.in_host(&["ip", "-d", "link"]);
    assert!(left.contains("lan0") && !left.contains("macvlan") && !left.contains("lan0.50"), "{left}");
}

#[test]
fn a_container_has_names_of_its_own_for_others() {
    let node = Node::start().with_busybox();
    node.ok(&["network", "create", "net-one"]);
    node.ok(&["run", "-d", "--name", "database", "--network", "net-one", "busybox", "sleep", "1000"]);
    let linked = ["--network", "net-one", "--link", "database:store"];
    node.ok(&[&["run", "-d", "--name", "linker"], &linked[..], &["busybox", "sleep", "1000"]].concat());
    node.ok(&["run", "-d", "--name", "plain", "--network", "net-one", "busybox", "sleep", "1000"]);
    let pings = |node: &Node, from: &str, name: &str| {
        node.orca(&["exec", from, "ping", "-c", "1", "-w", "5", name]).status.success()
    };
    assert!(pings(&node, "linker", "store") && pings(&node, "linker", "database"));
    assert!(!pings(&node, "plain", "store"), "a link is one container's own");
    node.ok(&["rename", "database", "renamed"]);
    assert!(pings(&node, "linker", "store"), "it follows the container");
    assert!(!exec(&node, "linker", "env").contains("STORE_"), "no environment variables");
    let links = node.ok(&["inspect", "-f", "{{json (index .NetworkSettings.Networks \"net-one\").Links}}", "linker"]);
    assert!(links.contains(":store"), "{links}");
    let error = node.fails(125, &["run", "--rm", "--network", "net-one", "--link", "nobody", "busybox", "true"]);
    assert!(error.contains("nobody"), "{error}");
    let project = "name: l\nservices:\n  one: {image: busybox, command: [sleep, '1000']}\n  \
                   two: {image: busybox, command: [sleep, '1000'], links: ['one:first']}\n";
    let file = node.file("links.yml", project);
    node.ok(&["up", "-d", "-f", file.to_str().unwrap()]);
    assert!(pings(&node, "l-two-1", "first") && !pings(&node, "l-one-1", "first"));
    node.ok(&["down", "-f", file.to_str().unwrap()]);
}

const PROJECT: &str = r#"
name: linked
services:
  hear:
    image: busybox
    command: ["sh", "-c", "nc -u -l -p 9 -e cat; sleep 1000"]
    networks: [l2]
  shout:
    image: busybox
    command: ["sleep", "1000"]
    networks: [l2, lan]
networks:
  l2:
    driver_opts: {com.docker.network.bridge.name: br-linked}
    ipam: {config: [{subnet: 10.81.0.0/24}]}
  lan:
    driver: macvlan
    driver_opts: {parent: lan0}
    ipam: {config: [{subnet: 192.0.2.0/24, gateway: 192.0.2.1}]}
"#;

#[test]
fn a_projects_bridge_device_and_macvlan() {
    let node = start();
    let file = node.file("compose.yml", PROJECT);
    let file = file.to_str().unwrap();
    node.ok(&["up", "-d", "-f", file]);
    assert!(node.in_host(&["ip", "link", "show", "dev", "br-linked"]).contains("altname br-linked"));
    assert!(exec(&node, "linked-shout-1", "ping -c 1 -w 5 hear").contains("1 packets received"));
    // Who shares a link is found by its link address.
    assert!(
        exec(
            &node,
            "linked-shout-1",
            "arping -c 1 -w 5 -I eth0 $(nslookup -type=a hear | awk '/^Address: 10/ {print $2}')"
        )
        .contains("Received 1")
    );
    assert!(exec(&node, "linked-shout-1", "ip addr").contains("192.0.2."));
    let error = node.fails(1, &["network", "create", "-o", "com.docker.network.bridge.name=lan0", "bad"]);
    assert!(error.contains("device lan0 already"), "{error}");
    node.ok(&["down", "-f", file]);
    node.wait_for("the bridge goes", || !node.in_host(&["ip", "link"]).contains("br-linked"));
}
