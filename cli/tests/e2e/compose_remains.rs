//! What `orca compose` leaves, removes and makes again: orphans, images, volumes, and names.

use crate::support::Node;

const FILE: &str = "
name: shop
services:
  web: {image: busybox, command: sleep 1000, init: true}
  db: {image: busybox, command: sleep 1000, init: true}
";

fn images(node: &Node) -> String {
    node.ok(&["images", "--format", "{{.Repository}}"])
}

#[test]
fn kill_removes_who_is_in_the_file_no_more() {
    let node = Node::start().with_busybox();
    node.file("compose.yml", FILE);
    node.ok(&["up", "-d"]);
    node.file("compose.yml", &FILE.replace("  web:", "  front:"));
    let told = String::from_utf8(node.orca(&["compose", "--dry-run", "kill", "--remove-orphans"]).stderr).unwrap();
    assert!(told.contains("Container shop-web-1  Removed") && told.contains("Container shop-db-1  Killed"), "{told}");
    node.ok(&["compose", "kill", "--remove-orphans", "-s", "KILL"]);
    node.wait_for("db has ended", || node.ok(&["ps", "-q"]).is_empty());
    assert_eq!(node.ok(&["ps", "-a", "--format", "{{.Names}}"]), "shop-db-1\n");
    node.ok(&["compose", "down"]);
}

#[test]
fn start_waits_until_it_is_healthy() {
    let node = Node::start().with_busybox();
    let file = "
name: shop
services:
  slow:
    image: busybox
    command: sh -c 'sleep 0.3; touch /tmp/ready; exec sleep 1000'
    init: true
    healthcheck: {test: 'test -e /tmp/ready', interval: 100ms, retries: 1000}
  never:
    image: busybox
    command: sleep 1000
    init: true
    healthcheck: {test: 'false', interval: 100ms, start_period: 1h}
";
    node.file("compose.yml", file);
    node.ok(&["compose", "create"]);
    let health = |name: &str| node.ok(&["inspect", "-f", "{{.State.Health.Status}}", name]);
    node.ok(&["compose", "start", "--wait", "slow"]);
    assert_eq!(health("shop-slow-1"), "healthy\n");
    let error = node.fails(1, &["compose", "start", "--wait", "--wait-timeout", "1", "never"]);
    assert!(error.contains("was not ready within 1 s"), "{error}");
    assert_eq!(health("shop-never-1"), "starting\n");
    node.ok(&["compose", "start", "never"]);
    node.ok(&["compose", "down", "-t", "0"]);
}

#[test]
fn what_no_service_uses_is_made_when_asked_for() {
    let node = Node::start().with_busybox();
    let unused = format!("{FILE}volumes: {{used-by-nobody: {{labels: {{mine: '1'}}}}}}\n");
    node.file("compose.yml", &unused);
    node.ok(&["up", "-d", "web"]);
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "");
    assert!(!node.ok(&["compose", "config"]).contains("used-by-nobody"));
    assert!(node.ok(&["compose", "--all-resources", "config"]).contains("used-by-nobody"));
    node.ok(&["compose", "--all-resources", "up", "-d", "web"]);
    assert_eq!(node.ok(&["volume", "ls", "-q", "--filter", "label=mine=1"]), "shop_used-by-nobody\n");
    node.file("compose.yml", &format!("{FILE}networks: {{lonely: {{}}}}\n"));
    let error = node.fails(1, &["compose", "--all-resources", "up", "-d"]);
    assert!(error.contains("network shop_lonely"), "{error}");
    node.ok(&["compose", "down", "-v"]);
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "");
}

#[test]
fn down_takes_images_along() {
    let node = Node::start().with_busybox();
    node.ok(&["tag", "busybox", "named"]);
    node.file("other/Dockerfile", "FROM busybox\nLABEL other=1\n");
    node.ok(&["build", "-q", "-t", "busy", "other"]);
    node.file("Dockerfile", "FROM busybox\nRUN echo made > /made\n");
    let file = "
name: shop
services:
  made: {build: ., command: sleep 1000, init: true}
  named: {image: named, command: sleep 1000, init: true}
  busy: {image: busy, command: sleep 1000, init: true}
";
    node.file("compose.yml", file);
    node.ok(&["up", "-d"]);
    let told = String::from_utf8(node.orca(&["compose", "--dry-run", "down", "--rmi", "local"]).stderr).unwrap();
    assert!(told.contains("Image shop-made  Removed") && !told.contains("Image named"), "{told}");
    node.ok(&["compose", "down", "-t", "0", "--rmi", "local"]);
    let left = images(&node);
    assert!(!left.contains("shop-made") && left.contains("named") && left.contains("busybox"), "{left}");
    node.ok(&["up", "-d"]);
    node.ok(&["run", "-d", "--init", "--name", "user", "busy", "sleep", "1000"]);
    let ended = node.orca(&["compose", "down", "-t", "0", "--rmi", "all"]);
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && told.contains("image busy stays"), "{told}");
    let left = images(&node);
    assert!(!left.contains("shop-made") && !left.contains("named") && left.contains("busy\n"), "{left}");
    node.fails(16, &["compose", "down", "--rmi", "some"]);
}

#[test]
fn names_of_compose_v1() {
    let node = Node::start().with_busybox();
    node.file("Dockerfile", "FROM busybox\n");
    let file = "
name: shop
services:
  web: {image: busybox, command: sleep 1000, init: true, deploy: {resources: {limits: {memory: 64M}}}}
  made: {build: ., command: sleep 1000, init: true, pid: 'service:web'}
";
    node.file("compose.yml", file);
    node.ok(&["compose", "--compatibility", "up", "-d", "--scale", "web=2"]);
    let names = || node.ok(&["ps", "--format", "{{.Names}} {{.Image}}"]);
    let mut lines: Vec<String> = names().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["shop_made_1 shop_made", "shop_web_1 busybox", "shop_web_2 busybox"]);
    assert_eq!(node.ok(&["inspect", "-f", "{{.HostConfig.Memory}}", "shop_web_1"]), "67108864\n");
    // The same containers, whatever the manner of names.
    let id = node.ok(&["inspect", "-f", "{{.Id}}", "shop_web_1"]);
    node.ok(&["up", "-d", "web"]);
    assert!(node.ok(&["compose", "ps", "-q", "--no-trunc", "web"]).contains(&id));
    assert_eq!(node.ok(&["compose", "config", "--images"]), "busybox\nshop-made\n");
    let mut by_variable = node.orca_command(&["compose", "config", "--images"]);
    let output = by_variable.env("COMPOSE_COMPATIBILITY", "1").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "busybox\nshop_made\n");
    let name = node.ok(&["compose", "--compatibility", "run", "-d", "web", "true"]);
    assert!(name.starts_with("shop_web_run_"), "{name}");
    node.ok(&["compose", "down", "-t", "0", "--remove-orphans"]);
    assert_eq!(node.ok(&["ps", "-aq"]), "");
}

#[test]
fn a_volume_that_the_file_has_changed() {
    let node = Node::start().with_busybox();
    let file = |options: &str| {
        format!(
            "
name: shop
services:
  web: {{image: busybox, command: sleep 1000, init: true, stop_grace_period: 0s, volumes: ['data:/data']}}
  db: {{image: busybox, command: sleep 1000, init: true}}
volumes: {{data: {{{options}}}}}
"
        )
    };
    node.file("compose.yml", &file(""));
    node.ok(&["up", "-d"]);
    node.ok(&["exec", "shop-web-1", "touch", "/data/old"]);
    let db = node.ok(&["inspect", "-f", "{{.Id}}", "shop-db-1"]);
    node.file("compose.yml", &file("driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}"));
    let told = String::from_utf8(node.orca(&["up", "-d"]).stderr).unwrap();
    assert!(told.contains("volume shop_data is not as the Compose file has it"), "{told}");
    node.ok(&["exec", "shop-web-1", "test", "-e", "/data/old"]);
    let told = String::from_utf8(node.orca(&["compose", "--dry-run", "up", "-d", "--yes"]).stderr).unwrap();
    assert!(told.contains("Volume shop_data  Recreated"), "{told}");
    node.ok(&["up", "-d", "-y"]);
    node.fails(1, &["exec", "shop-web-1", "test", "-e", "/data/old"]);
    assert!(node.ok(&["exec", "shop-web-1", "grep", " /data ", "/proc/mounts"]).starts_with("tmpfs "));
    assert_eq!(node.ok(&["inspect", "-f", "{{.Id}}", "shop-db-1"]), db, "who does not use it goes on");
    assert!(!String::from_utf8(node.orca(&["up", "-d"]).stderr).unwrap().contains("WARNING"));
    node.ok(&["compose", "down", "-v"]);
}
