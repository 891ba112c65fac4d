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

    // ipvlan, where the kernel has it: containers have the link address of the parent.
    let made = node.orca(&["network", "create", "-d", "ipvlan", "-o", "parent=far0", "-o", "ipvlan_mode=l3", "thin"]);
    if made.status.success() {
        node.ok(&["run", "--rm", "--network", "thin", "busybox", "ip", "addr"]);
        node.ok(&["network", "rm", "thin"]);
    } else {
        let error = String::from_utf8(made.stderr).unwrap();
        assert!(
            error.contains("create ipvlan device") && !node.in_host(&["ip", "link"]).contains("orcatry"),
            "{error}"
        );
    }
    let file = node.file(
        "compose.yml",
        "services: {web: {image: busybox, ports: ['80:80'], networks: [lan]}}\nnetworks: {lan: {external: true}}\n",
    );
    let error = node.fails(1, &["compose", "-p", "out", "-f", file.to_str().unwrap(), "up", "-d"]);
    assert!(error.contains("service web: its ports cannot be published: on network lan"), "{error}");

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

#[test]
fn a_device_has_what_it_is_told_to() {
    let mut node = Node::start().with_busybox();
    let labels = node.file("labels", "# of the team\nteam=blue\nbare\nkind=file\n");
    node.ok(&["network", "create", "front"]);
    let options = "name=front,\"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.proxy_arp=1\",driver-opt=com.docker.network.endpoint.ifname=lan.7";
    let labelled = ["--label-file", labels.to_str().unwrap(), "--label", "kind=flag"];
    let linked = ["--link-local-ip", "169.254.7.8", "--link-local-ip", "fe80::7"];
    let run =
        [&["run", "-d", "--name", "told"], &labelled[..], &linked, &["--network", options, "busybox", "sleep", "1000"]];
    node.ok(&run.concat());
    let settings = "cat /proc/sys/net/ipv4/conf/lan.7/log_martians /proc/sys/net/ipv4/conf/lan.7/proxy_arp";
    let check = |node: &Node| {
        let addresses = exec(node, "told", "ip addr show dev lan.7");
        assert!(addresses.contains("169.254.7.8/16") && addresses.contains("fe80::7/64"), "{addresses}");
        assert_eq!(exec(node, "told", settings), "1\n1\n");
    };
    check(&node);
    assert_eq!(
        node.ok(&["inspect", "-f", "{{json .Config.Labels}}", "told"]),
        "{\"bare\":\"\",\"kind\":\"flag\",\"team\":\"blue\"}\n"
    );
    let shown = node.ok(&["inspect", "-f", "{{json .NetworkSettings.Networks.front}}", "told"]);
    assert!(
        shown.contains("net.ipv4.conf.IFNAME.proxy_arp=1") && shown.contains("\"LinkLocalIPs\":[\"169.254.7.8\""),
        "{shown}"
    );
    // They are its own after another run and another daemon, too.
    node.kill_daemon();
    node.start_daemon();
    node.ok(&["restart", "-t", "0", "told"]);
    check(&node);
    node.ok(&["network", "create", "back"]);
    node.ok(&["network", "connect", "--link-local-ip", "169.254.9.9", "back", "told"]);
    assert!(exec(&node, "told", "ip addr show dev eth0").contains("169.254.9.9/16"));
    let file = "
services:
  web:
    image: busybox
    command: sleep 1000
    init: true
    mac_address: 02:42:00:00:00:09
    networks:
      default:
        interface_name: wan
        driver_opts: {com.docker.network.endpoint.sysctls: net.ipv4.conf.IFNAME.log_martians=1}
        link_local_ips: [169.254.7.9]
";
    node.file("compose.yml", file);
    node.ok(&["compose", "-p", "shop", "up", "-d"]);
    let shown = exec(&node, "shop-web-1", "ip addr show dev wan; cat /proc/sys/net/ipv4/conf/wan/log_martians");
    assert!(
        shown.contains("02:42:00:00:00:09") && shown.contains("169.254.7.9/16") && shown.ends_with("\n1\n"),
        "{shown}"
    );
    for (flag, value, words) in [
        ("--link-local-ip", "10.0.0.1", "not link-local"),
        (
            "--network",
            "name=front,driver-opt=com.docker.network.endpoint.sysctls=kernel.x=1",
            "no parameter of a device",
        ),
        (
            "--network",
            "name=front,driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.no_such=1",
            "no_such",
        ),
        ("--label-file", "/nowhere", "/nowhere"),
        ("--use-api-socket", "--rm", "root on the host"),
    ] {
        let error = node.fails(125, &["run", "--rm", flag, value, "busybox", "true"]);
        assert!(error.contains(words), "{flag} {value}: {error}");
    }
    assert!(node.ok(&["image", "inspect", "--platform", "linux/amd64", "busybox"]).contains("amd64"));
    let error = node.fails(1, &["image", "inspect", "--platform", "linux/arm64", "busybox"]);
    assert!(error.contains("linux/arm64"), "{error}");
}
