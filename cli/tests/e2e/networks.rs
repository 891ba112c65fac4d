//! Networks, names and published ports.

use crate::support::{Node, busybox};

const APP: &str = r#"
name: net
services:
  web: { image: busybox, command: [httpd, -f, -p, "80", -h, /etc], networks: { front: { aliases: [site] } }, ports: ["8081:80", "127.0.0.1:8082:80"] }
  db: { image: busybox, command: [httpd, -f, -p, "80", -h, /etc], networks: [back] }
  both: { image: busybox, command: [sleep, "1000"], networks: [front, back] }
  alone: { image: busybox, command: [sleep, "1000"], network_mode: none }
  host: { image: busybox, command: [sleep, "1000"], network_mode: host }
  echo: { image: orca/demo, command: [echo, --port, "5000"], ports: ["5353:5000/udp"], networks: [front] }
networks: { front: {}, back: { internal: true } }
"#;

/// Asks a page by name. The static busybox cannot load the C library's resolver; nslookup and nc do without.
pub fn fetch(name: &str) -> String {
    format!(
        "address=$(nslookup {name} | awk '/^Name/ {{ found = 1 }} found && /^Address/ {{ print $NF; exit }}'); {}",
        get("$address")
    )
}

/// Asks a page of an address.
fn get(address: &str) -> String {
    format!("printf 'GET /passwd HTTP/1.0\\r\\n\\r\\n' | timeout 5 nc -w 3 {address} 80 | grep root")
}

#[test]
fn names_isolation_and_ports() {
    let node = Node::start().with_busybox();
    let file = node.file("compose.yml", APP);
    let file = file.to_str().unwrap();
    node.ok(&["up", "-d", "-f", file]);
    let exec = |service: &str, script: &str| {
        let output = node.orca(&["compose", "-f", file, "exec", "-T", service, "sh", "-c", script]);
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for name in ["web", "site", "net-web-1", "db"] {
        assert!(exec("both", &fetch(name)).0, "both reaches {name}");
    }
    assert!(!exec("web", "nslookup db").0, "web does not know db: no network in common");
    let (_, address) = exec("db", "ip -4 -o addr show eth0 | awk '{print $4}' | cut -d/ -f1");
    assert!(!exec("web", &get(address.trim())).0, "nor reaches its address");
    assert_eq!(exec("alone", "ls /sys/class/net").1, "lo\n");
    assert!(exec("host", "ls /sys/class/net").1.lines().count() > 2, "the host's devices");
    assert!(exec("web", "cat /etc/resolv.conf").1.contains("nameserver 127.0.0.11"));

    assert!(node.get("http://127.0.0.1:8081/passwd").is_some(), "published on every address");
    assert!(node.get("http://127.0.0.1:8082/passwd").is_some(), "published on 127.0.0.1");
    let ask = "exec 3<>/dev/udp/127.0.0.1/5353; echo ping >&3; timeout 5 head -n 1 <&3";
    assert_eq!(node.in_host(&["bash", "-c", ask]), "ping\n", "udp");
    let error = node.fails(125, &["run", "--rm", "-p", "8081:80", "busybox", "true"]);
    assert!(error.contains("8081"), "{error}");
    node.ok(&["down", "-f", file]);
    assert!(node.get("http://127.0.0.1:8081/passwd").is_none());
}

#[test]
fn standalone_containers_publish_ports() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "web", "-p", "8083:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc"]);
    node.wait_for("it answers", || node.get("http://127.0.0.1:8083/passwd").is_some());
    assert!(node.ok(&["ps"]).contains("0.0.0.0:8083->80/tcp"));
    node.ok(&["rm", "-f", "web"]);
    assert!(node.get("http://127.0.0.1:8083/passwd").is_none());
}

#[test]
fn exposed_ports_are_shown_and_published_with_all() {
    let node = Node::start().with_busybox();
    let run = |args: &[&str]| node.ok(&[&["run", "-d", "--expose", "80", "--expose", "7000-7001/udp"], args].concat());
    run(&["--name", "shown", "busybox", "sleep", "1000"]);
    let shown = node.ok(&["ps", "--filter", "expose=80", "--format", "{{.Names}} {{.Ports}}"]);
    assert_eq!(shown, "shown 7000/udp, 7001/udp, 80/tcp\n");
    let ports = node.ok(&["inspect", "-f", "{{json .NetworkSettings.Ports}} {{json .Config.ExposedPorts}}", "shown"]);
    assert!(ports.contains("\"80/tcp\":null") && ports.contains("\"7001/udp\":{}"), "{ports}");
    run(&["--name", "published", "-P", "-p", "8085:80", "busybox", "httpd", "-f", "-h", "/etc"]);
    assert!(node.get("http://127.0.0.1:8085/passwd").is_some());
    assert_eq!(node.ok(&["port", "published"]).lines().filter(|line| line.contains("/udp")).count(), 2);
    assert!(node.fails(125, &["run", "--rm", "--expose", "0", "busybox", "true"]).contains("--expose"));
}

#[test]
fn a_port_is_chosen_from_a_range() {
    let node = Node::start().with_busybox();
    for name in ["one", "two"] {
        node.ok(&[
            "run",
            "-d",
            "--name",
            name,
            "-p",
            "8100-8101:80",
            "busybox",
            "httpd",
            "-f",
            "-p",
            "80",
            "-h",
            "/etc",
        ]);
    }
    for (name, port) in [("one", "8100"), ("two", "8101")] {
        assert!(node.ok(&["port", name]).contains(&format!("80/tcp -> 0.0.0.0:{port}")), "{name}");
        node.wait_for("it answers", || node.get(&format!("http://127.0.0.1:{port}/passwd")).is_some());
    }
    let error = node.fails(125, &["run", "-d", "-p", "8100-8101:80", "busybox", "true"]);
    assert!(error.contains("no free port in 8100-8101"), "{error}");
}

#[test]
fn ports_that_an_image_exposes_are_published_on_free_ones() {
    let node = Node::start();
    let tar = busybox(&node.files());
    let changes = ["-c", "EXPOSE 80 53/udp", "-c", "CMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/etc\"]"];
    node.ok(&[&["import", tar.to_str().unwrap(), "site"][..], &changes].concat());
    node.ok(&["run", "-d", "-P", "--name", "web", "site"]);
    let listed = node.ok(&["port", "web"]);
    let of = |target: &str| {
        let line = listed.lines().find(|line| line.starts_with(target)).unwrap();
        line.rsplit(':').next().unwrap().parse::<u16>().unwrap()
    };
    assert!(of("53/udp") >= 32_768);
    let url = format!("http://127.0.0.1:{}/passwd", of("80/tcp"));
    node.wait_for("it answers", || node.get(&url).is_some());
}
