//! Nothing stays of containers that are gone, and of a node that was reset. `ORCA_LEAKS=200` counts with more containers.

use std::fs;
use std::path::Path;

use crate::remains;
use crate::support::Node;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Bytes of all files below, but for databases, which grow in steps and keep what they have.
fn bytes(dir: &Path) -> u64 {
    let mut total = 0;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let metadata = entry.metadata().unwrap();
        total += if metadata.is_dir() { bytes(&path) } else { metadata.len() };
    }
    total
}

#[test]
fn containers_leave_nothing_behind() {
    let node = Node::start().with_busybox();
    let count = number("ORCA_LEAKS", 40);
    let round = |names: &[String]| {
        for (index, name) in names.iter().enumerate() {
            let port = format!("{}:80", 20_000 + index);
            node.ok(&["run", "-d", "--name", name, "-p", &port, "-v", "/anonymous", "busybox", "sleep", "1000"]);
        }
        for some in names.chunks(20) {
            node.ok(&[&["rm", "-f", "-v"], &some.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
        }
    };
    let names = |count: usize| (0..count).map(|number| format!("c{number}")).collect::<Vec<_>>();
    // What the first containers make for all: netd, the table, the secrets' file system.
    round(&names(2));
    let (daemon, netd) = (node.daemon_pid(), remains::netd(&node).unwrap());
    let disk = || ["containers", "volumes", "image"].map(|dir| bytes(&node.data_dir().join(dir)));
    let before = (remains::at_rest(&node), disk());
    node.wait_for("connections are closed", || {
        let first = (remains::descriptors(daemon), remains::descriptors(netd));
        std::thread::sleep(std::time::Duration::from_millis(200));
        first == (remains::descriptors(daemon), remains::descriptors(netd))
    });
    let descriptors = (remains::descriptors(daemon), remains::descriptors(netd));
    round(&names(count));
    remains::wait_until_again(&node, &before.0, "after all containers were removed");
    assert_eq!(disk(), before.1, "bytes of disk");
    assert_eq!(remains::netd(&node), Some(netd));
    node.wait_for("no descriptor is left open", || {
        (remains::descriptors(daemon), remains::descriptors(netd)) <= descriptors
    });
}

/// Otherwise each container would cost more than the one before.
#[test]
fn a_shim_does_not_see_the_namespaces_of_other_containers() {
    let node = Node::start_with(&["--add-runtime", "runc=/usr/sbin/runc"]).with_busybox();
    for (name, runtime) in [("one", "orca"), ("two", "runc"), ("three", "orca"), ("four", "runc")] {
        node.ok(&["run", "-d", "--name", name, "--runtime", runtime, "busybox", "sleep", "1000"]);
    }
    ["three", "four"].into_iter().for_each(|name| sees_its_own_alone(&node, name));
}

fn sees_its_own_alone(node: &Node, name: &str) {
    let inspected: serde_json::Value = serde_json::from_str(&node.ok(&["inspect", name])).unwrap();
    let init = inspected[0]["State"]["Pid"].as_i64().unwrap();
    let stat = fs::read_to_string(format!("/proc/{init}/stat")).unwrap();
    let shim = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap();
    let mounts = fs::read_to_string(format!("/proc/{shim}/mountinfo")).unwrap();
    let bound: Vec<&str> = mounts.lines().filter(|line| line.contains(&node.run_dir().display().to_string())).collect();
    let namespaces: Vec<&&str> = bound.iter().filter(|line| line.contains(" - nsfs ")).collect();
    assert_eq!(namespaces.len(), 1, "{bound:#?}");
    assert!(namespaces[0].contains(inspected[0]["Id"].as_str().unwrap()), "{bound:#?}");
}

/// What the whole machine shows of this host.
fn listings(node: &Node) -> Vec<String> {
    let commands: [&[&str]; 5] = [
        &["nft", "list", "ruleset"],
        &["ip", "-o", "link"],
        &["ip", "-o", "address"],
        &["ip", "route", "show", "table", "all"],
        &["ip", "rule"],
    ];
    let mut listings: Vec<String> = commands.iter().map(|command| node.in_host(command)).collect();
    let dir = node.dir().display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    listings.push(mounts.lines().filter(|line| line.contains(&dir)).collect::<Vec<_>>().join("\n"));
    listings
}

fn cgroups_with(text: &str, dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() || path.is_symlink() {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(text) {
            found.push(path.display().to_string());
        }
        cgroups_with(text, &path, found);
    }
}

#[test]
fn a_reset_leaves_the_host_as_it_was() {
    everything_and_a_reset(Node::prepare(&[]), "- { type: image, source: busybox, target: /image }");
}

#[test]
fn a_reset_of_a_node_with_users_of_its_own_leaves_the_host_as_it_was() {
    let mut node = Node::prepare(&[]);
    node.file("etc/passwd", "root:x:0:0::/:\n");
    node.file("etc/group", "root:x:0:\n");
    let databases = node.files().join("etc").display().to_string();
    node.add_args(&["--userns-remap", "default", "--user-databases", &databases]);
    // To other users a mounted image is of no use.
    everything_and_a_reset(node, "");
}

/// Has the node make one of each thing that it can put into the kernel, and takes all of it away again.
fn everything_and_a_reset(mut node: Node, image: &str) {
    node.in_host(&["ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1"]);
    node.in_host(&["ip", "link", "set", "lan0", "up"]);
    let before = listings(&node);
    node.start_daemon();
    let mut node = node.with_busybox();
    let text = r#"
name: app
services:
  web:
    image: busybox
    command: [httpd, -f, -p, "80"]
    ports: ["8091:80"]
    volumes:
      - data:/data
      - scratch:/scratch
      IMAGE
      - { type: volume, source: data, target: /part, volume: { subpath: part } }
    secrets: [word]
    networks: [inside, default, link, six]
volumes:
  data: {}
  scratch: { driver_opts: { type: tmpfs, device: tmpfs } }
networks:
  inside: { internal: true }
  link: { driver_opts: { com.docker.network.bridge.name: br-app } }
  six: { enable_ipv6: true, ipam: { config: [{ subnet: "fd00:77::/64" }] } }
secrets: { word: { file: ./word } }
"#;
    let file = node.file("compose.yml", &text.replace("IMAGE", image));
    node.file("word", "secret");
    node.ok(&["run", "--rm", "-v", "app_data:/data", "busybox", "mkdir", "/data/part"]);
    node.ok(&["up", "-d", "-f", file.to_str().unwrap()]);
    node.ok(&["run", "-d", "-p", "8092:80/udp", "-v", "/anonymous", "busybox", "sleep", "1000"]);
    node.ok(&["network", "create", "-d", "macvlan", "--subnet", "198.51.100.0/24", "-o", "parent=lan0", "lan"]);
    node.ok(&["run", "-d", "--network", "lan", "--tmpfs", "/t", "busybox", "sleep", "1000"]);
    assert_ne!(listings(&node), before, "it does make something");
    let key = node.key();
    node.reset();
    assert_eq!(listings(&node), before);
    let mut cgroups = Vec::new();
    cgroups_with(&key, Path::new("/sys/fs/cgroup"), &mut cgroups);
    assert_eq!(cgroups, [""; 0]);
    assert!(!Path::new(&format!("/run/orca-{key}")).exists());
    let dir = node.dir().display().to_string();
    let left = remains::processes(&dir);
    assert!(left.is_empty(), "{left:?}");
}
