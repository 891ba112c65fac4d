//! Networks that the node keeps: made, joined, left and removed with `orca network`.

use serde_json::Value;

use crate::support::Node;

fn inspect(node: &Node, network: &str) -> Value {
    let text = node.ok(&["network", "inspect", network]);
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

fn exec(node: &Node, container: &str, script: &str) -> String {
    node.ok(&["exec", container, "sh", "-c", script])
}

fn knows(node: &Node, container: &str, name: &str) -> bool {
    node.orca(&["exec", container, "nslookup", name]).status.success()
}

#[test]
fn a_network_is_made_used_and_removed_as_in_docker() {
    let mut node = Node::start().with_busybox();
    for name in ["bridge", "host", "none"] {
        let listed = node.ok(&["network", "ls", "--format", "{{.Name}}"]);
        assert_eq!(listed.lines().filter(|line| *line == name).count(), 1, "{listed}");
        assert!(node.fails(1, &["network", "rm", name]).contains("pre-defined"));
    }
    let id = node.ok(&[
        "network",
        "create",
        "--subnet",
        "10.77.0.0/24",
        "--gateway",
        "10.77.0.9",
        "--ip-range",
        "10.77.0.128/25",
        "--aux-address",
        "router=10.77.0.128",
        "--label",
        "tier=web",
        "-o",
        "com.docker.network.driver.mtu=1400",
        "front",
    ]);
    assert_eq!(node.ok(&["network", "ls", "-q", "--no-trunc", "--filter", "label=tier=web"]), id);
    let error = node.fails(1, &["network", "create", "front"]);
    assert!(error.contains("network with name front already exists"), "{error}");
    let error = node.fails(1, &["network", "create", "--subnet", "10.77.0.0/16", "other"]);
    assert!(error.contains("10.77.0.0/16") && error.contains("network front"), "{error}");
    node.in_host(&["ip", "route", "add", "10.78.0.0/24", "dev", "lo"]);
    let error = node.fails(1, &["network", "create", "--subnet", "10.78.0.0/16", "other"]);
    assert!(error.contains("10.78.0.0/24") && error.contains("device lo"), "{error}");
    for driver in ["overlay", "ipvlan", "weave"] {
        assert!(node.fails(1, &["network", "create", "-d", driver, "other"]).contains("driver"), "{driver}");
    }
    assert!(node.fails(1, &["network", "inspect", "nobody"]).contains("nobody"));

    node.ok(&["run", "-d", "--name", "web", "--network", "name=front,alias=site", "busybox", "sleep", "1000"]);
    let fixed =
        "name=front,ip=10.77.0.40,mac-address=02:42:00:00:00:40,driver-opt=com.docker.network.endpoint.ifname=lan";
    node.ok(&["run", "-d", "--name", "fixed", "--network", fixed, "busybox", "sleep", "1000"]);
    let error = node.fails(125, &["run", "--rm", "--network", "front", "--ip", "10.77.0.40", "busybox", "true"]);
    assert!(error.contains("10.77.0.40"), "{error}");
    assert_eq!(
        exec(&node, "fixed", "cat /sys/class/net/lan/address /sys/class/net/lan/mtu"),
        "02:42:00:00:00:40\n1400\n"
    );
    assert!(exec(&node, "fixed", "cat /etc/hosts").contains("10.77.0.40\t"));

    let check = |node: &Node| {
        let network = inspect(node, "front");
        assert_eq!(network["IPAM"]["Config"][0]["Gateway"], "10.77.0.9");
        assert_eq!(network["IPAM"]["Config"][0]["AuxiliaryAddresses"]["router"], "10.77.0.128");
        assert_eq!(network["Labels"]["tier"], "web");
        let containers = network["Containers"].as_object().unwrap();
        let of = |name: &str| containers.values().find(|container| container["Name"] == name).unwrap().clone();
        assert_eq!(of("web")["IPv4Address"], "10.77.0.129/24", "the range's first that is nobody's");
        assert_eq!(of("web")["MacAddress"], "02:42:0a:4d:00:81");
        assert_eq!(of("fixed")["IPv4Address"], "10.77.0.40/24");
        assert!(knows(node, "fixed", "site") && knows(node, "web", "fixed"));
        assert!(exec(node, "web", "ping -c 1 -w 5 fixed").contains("1 packets received"));
    };
    check(&node);
    node.kill_daemon();
    node.start_daemon();
    check(&node);
    let error = node.fails(1, &["network", "rm", "front"]);
    assert!(error.contains("active endpoints") && error.contains("web"), "{error}");
    node.ok(&["rm", "-f", "web", "fixed"]);
    assert_eq!(node.ok(&["network", "rm", "front"]), "front\n");
    assert!(node.fails(125, &["run", "--rm", "--network", "front", "busybox", "true"]).contains("front"));
    let routed = |node: &Node| node.in_host(&["ip", "route"]).contains("10.77.");
    node.wait_for("its route goes", || !routed(&node));
    node.ok(&["network", "create", "--subnet", "10.77.0.0/24", "left"]);
    node.wait_for("a route comes", || routed(&node));
    node.ok(&["system", "reset", "--force"]);
    node.kill_daemon();
    assert!(!routed(&node));
    node.start_daemon();
    assert!(!node.ok(&["network", "ls"]).contains("left"));
}

#[test]
fn containers_join_and_leave_while_they_run() {
    let mut node = Node::start().with_busybox();
    node.ok(&["network", "create", "one"]);
    node.ok(&["network", "create", "two"]);
    node.ok(&["network", "create", "--internal", "inside"]);
    node.ok(&["run", "-d", "--name", "one-a", "--network", "one", "busybox", "sleep", "1000"]);
    node.ok(&["run", "-d", "--name", "two-b", "--network", "two", "busybox", "sleep", "1000"]);
    node.ok(&["run", "-d", "--name", "lonely", "--network", "none", "busybox", "sleep", "1000"]);
    assert!(!knows(&node, "two-b", "one-a"));

    node.ok(&["network", "connect", "--alias", "friend", "two", "one-a"]);
    let together = |node: &Node| {
        assert!(exec(node, "two-b", "ping -c 1 -w 5 friend").contains("1 packets received"));
        assert!(exec(node, "one-a", "ping -c 1 -w 5 two-b").contains("1 packets received"));
        assert_eq!(exec(node, "one-a", "grep -c \"$(hostname)\" /etc/hosts"), "2\n");
    };
    together(&node);
    let error = node.fails(1, &["network", "connect", "two", "one-a"]);
    assert!(error.contains("already connected"), "{error}");
    node.kill_daemon();
    node.start_daemon();
    together(&node);

    // The first network goes: the second keeps its device and becomes the way out.
    node.ok(&["network", "disconnect", "one", "one-a"]);
    together_after_leaving(&node);
    node.ok(&["restart", "-t", "0", "one-a"]);
    together_after_leaving(&node);
    assert!(node.fails(1, &["network", "disconnect", "one", "one-a"]).contains("not connected"));
    node.ok(&["network", "disconnect", "--force", "one", "one-a"]);

    node.ok(&["network", "connect", "two", "lonely"]);
    assert!(exec(&node, "lonely", "ping -c 1 -w 5 two-b").contains("1 packets received"));
    node.ok(&["network", "disconnect", "two", "lonely"]);
    assert_eq!(exec(&node, "lonely", "ls /sys/class/net"), "lo\n");

    // A container that does not run joins for its next run.
    node.ok(&["create", "--name", "later", "--network", "inside", "busybox", "sleep", "1000"]);
    node.ok(&["network", "connect", "--ip", "10.64.4.77", "two", "later"]);
    node.ok(&["start", "later"]);
    assert!(exec(&node, "later", "ip -4 addr show eth1").contains("10.64.4.77/22"));
    assert!(exec(&node, "later", "ip route").contains("default via 169.254.1.1 dev eth1"));
    node.ok(&["network", "create", "unused"]);
    assert_eq!(node.ok(&["network", "prune", "-f"]), "Deleted Networks:\none\nunused\n\n");
}

fn together_after_leaving(node: &Node) {
    assert_eq!(exec(node, "one-a", "ls /sys/class/net"), "eth1\nlo\n");
    assert!(exec(node, "one-a", "ip route").contains("default via 169.254.1.1 dev eth1"));
    assert_eq!(exec(node, "one-a", "grep -c \"$(hostname)\" /etc/hosts"), "1\n");
    assert!(exec(node, "two-b", "ping -c 1 -w 5 friend").contains("1 packets received"));
}

#[test]
fn a_container_shares_the_network_of_another() {
    let mut node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "web", "--hostname", "front", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc"]);
    let get =
        "hostname; printf 'GET /passwd HTTP/1.0\\r\\n\\r\\n' | nc -w 3 127.0.0.1 80 | grep -c root; cat /etc/hosts";
    let said = node.ok(&["run", "--rm", "--network", "container:web", "busybox", "sh", "-c", get]);
    assert!(said.starts_with("front\n1\n") && said.contains("\tfront\n"), "{said}");
    for (flags, words) in [
        (["-p", "80:80"], "container"),
        (["--hostname", "x"], "hostname"),
        (["--add-host", "a:10.0.0.1"], "extra hosts"),
    ] {
        let error = node
            .fails(125, &[&["run", "--rm", "--network", "container:web"][..], &flags, &["busybox", "true"]].concat());
        assert!(error.contains(words), "{error}");
    }
    node.ok(&["stop", "-t", "0", "web"]);
    assert!(
        node.fails(125, &["run", "--rm", "--network", "container:web", "busybox", "true"]).contains("does not run")
    );
    assert!(node.fails(125, &["run", "--rm", "--network", "container:nobody", "busybox", "true"]).contains("nobody"));
    let file = node.file(
        "compose.yml",
        "name: pair\nservices:\n  web: { image: busybox, command: [httpd, -f, -p, '80', -h, /etc], ports: ['8089:80'], stop_grace_period: 0s }\n  \
         side: { image: busybox, command: [sleep, '1000'], stop_grace_period: 0s, network_mode: 'service:web' }\n",
    );
    let (path, file) = (file.clone(), file.to_str().unwrap());
    node.ok(&["up", "-d", "-f", file]);
    assert_eq!(
        exec(&node, "pair-side-1", "readlink /proc/self/ns/net"),
        exec(&node, "pair-web-1", "readlink /proc/self/ns/net")
    );
    assert!(knows(&node, "pair-side-1", "web"));
    let namespace =
        |node: &Node, container: &str| node.orca(&["exec", container, "readlink", "/proc/self/ns/net"]).stdout;
    let share = |node: &Node, a: &str, b: &str| {
        let (a, b) = (namespace(node, a), namespace(node, b));
        !a.is_empty() && a == b
    };
    // Who restarts has another namespace; who shares it comes along.
    let before = namespace(&node, "pair-web-1");
    node.ok(&["compose", "-f", file, "restart", "web"]);
    assert_ne!(namespace(&node, "pair-web-1"), before);
    node.wait_for("they share it again", || share(&node, "pair-side-1", "pair-web-1"));
    let text = std::fs::read_to_string(&path).unwrap();
    node.file("compose.yml", &text.replace("ports:", "environment: {NEW: one}, ports:"));
    node.ok(&["up", "-d", "-f", file]);
    node.wait_for("they share what was made anew", || share(&node, "pair-side-1", "pair-web-1"));
    node.ok(&["down", "-f", file]);
    let sleep = ["busybox", "sleep", "1000"];
    node.ok(&[&["run", "-d", "--restart", "always", "--name", "owner"][..], &sleep].concat());
    node.ok(&[&["run", "-d", "--stop-timeout", "0", "--network", "container:owner", "--name", "guest"][..], &sleep]
        .concat());
    assert!(share(&node, "owner", "guest"));
    let pid = node.ok(&["inspect", "-f", "{{.State.Pid}}", "owner"]);
    node.kill_daemon();
    std::process::Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
    node.start_daemon();
    node.wait_for("they share it again", || share(&node, "owner", "guest"));
}

#[test]
fn projects_and_standalone_containers_meet_on_the_nodes_networks() {
    let node = Node::start().with_busybox();
    node.ok(&["network", "create", "shared"]);
    let file = node.file(
        "compose.yml",
        "name: meet\nservices:\n  web: { image: busybox, command: [sleep, '1000'], networks: { default: {}, shared: { aliases: [site] } } }\n\
         networks: { shared: { external: true } }\n",
    );
    let file = file.to_str().unwrap();
    node.ok(&["up", "-d", "-f", file]);
    node.ok(&["run", "-d", "--name", "tool", "--network", "shared", "busybox", "sleep", "1000"]);
    for name in ["web", "site", "meet-web-1"] {
        assert!(exec(&node, "tool", &format!("ping -c 1 -w 5 {name}")).contains("1 packets received"), "{name}");
    }
    node.ok(&["run", "--rm", "--network", "meet_default", "busybox", "ping", "-c", "1", "-w", "5", "web"]);
    let network = inspect(&node, "meet_default");
    assert_eq!(network["Labels"]["com.docker.compose.project"], "meet");
    assert!(node.fails(1, &["network", "rm", "meet_default"]).contains("orca down"));
    node.ok(&["down", "-f", file]);
    assert_eq!(inspect(&node, "shared")["Containers"].as_object().unwrap().len(), 1);
    let missing = node.file(
        "missing.yml",
        "name: no\nservices: { a: { image: busybox, networks: [x] } }\nnetworks: { x: { external: true } }\n",
    );
    assert!(node.fails(1, &["up", "-d", "-f", missing.to_str().unwrap()]).contains("x"));
}
