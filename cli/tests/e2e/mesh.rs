//! Containers of one network on several nodes.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::hosts::{Cluster, Host};
use crate::support::busybox;

/// A cluster of so many hosts, the first its manager, with the image of the tests everywhere.
fn start(hosts: usize) -> Cluster {
    let mut cluster = Cluster::start(Path::new(env!("CARGO_BIN_EXE_orca")), hosts);
    let dir = tempfile::tempdir().unwrap();
    let tar = busybox(dir.path());
    for host in &cluster.hosts {
        host.ok(&["import", tar.to_str().unwrap(), "busybox", "-c", "CMD [\"sh\"]"]);
    }
    cluster.form(1, hosts - 1);
    cluster
}

/// Who answers at port 80 says its own name and who asked, or something large.
const ANSWER: &str = "mkdir /www /www/cgi-bin; head -c 3000000 /dev/zero | tr '\\0' 'x' > /www/big; \
                      printf '#!/bin/sh\\necho; echo $$(hostname) $$REMOTE_ADDR\\n' > /www/cgi-bin/me; \
                      chmod +x /www/cgi-bin/me; exec httpd -f -h /www -p 80";

/// The command that asks an address for a path, and prints the last line of the answer.
fn ask(address: &str, path: &str) -> String {
    format!("printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} 80 | tail -n 1 | tr -d '\\n'")
}

/// `web` and `ask` on one network with a task a node, and `alone` on another network. One after the other, so that they are
/// spread evenly.
fn deploy(host: &Host, replicas: usize) {
    let service = |name: &str, network: &str, command: &str| {
        format!(
            "  {name}:\n    image: busybox\n    command: [sh, -c, {command:?}]\n    stop_grace_period: 0s\n    networks: [{network}]\n    \
             deploy:\n      replicas: {replicas}\n"
        )
    };
    let services = [
        service("web", "front", ANSWER),
        service("ask", "front", "exec sleep 600"),
        service("alone", "back", "exec sleep 600"),
    ];
    for count in 1..=services.len() {
        let text = format!("services:\n{}networks:\n  front: {{}}\n  back: {{}}\n", services[..count].concat());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        host.ok(&["stack", "deploy", "-c", file.path().to_str().unwrap(), "shop"]);
    }
}

/// The id of a container of a service that a host runs.
fn container_on(host: &Host, service: &str) -> Option<String> {
    let found = host.ok(&["ps", "-q", "--filter", &format!("name=shop_{service}")]);
    found.lines().next().map(str::to_owned)
}

/// A host that runs the service, other than this one, and the id of its container.
fn elsewhere<'a>(cluster: &'a Cluster, service: &str, than: Option<&Host>) -> (&'a Host, String) {
    let others = cluster.hosts.iter().filter(|host| than.is_none_or(|than| than.name() != host.name()));
    let mut found = others.filter_map(|host| Some((host, container_on(host, service)?)));
    found.next().unwrap_or_else(|| panic!("no {service} elsewhere"))
}

/// What a command in a container prints; nothing if it fails.
fn within(host: &Host, container: &str, script: &str) -> String {
    let output = host.orca(&["exec", container, "sh", "-c", script]);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn address(host: &Host, container: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    host.ok(&["inspect", "-f", format, container]).split_whitespace().next().unwrap().to_owned()
}

/// What one container hears from a name, tried so often: who answers, and whom it has seen.
fn answers(host: &Host, asker: &str, name: &str, times: usize) -> Vec<(String, String)> {
    let find = format!(
        "case {name} in *.*) a={name};; *) a=$(nslookup -type=a {name} | sed -n 's/^Address: //p' | head -n 1);; esac"
    );
    let script = format!("{find}; for i in $(seq {times}); do {}; echo; done", ask("$a", "/cgi-bin/me"));
    let text = within(host, asker, &script);
    let mut found: Vec<_> = text
        .lines()
        .map(|line| {
            let (who, whom) = line.split_once(' ').unwrap_or((line, ""));
            (who.to_owned(), whom.to_owned())
        })
        .collect();
    found.sort();
    found
}

/// Counts the bytes of datagrams on the cable until there are as many as are awaited, and those packets that say what they hold.
const CAPTURE: &str = "
import socket, time
cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
cable.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
cable.bind(('eth0', 0))
cable.settimeout(10)
print('ready', flush=True)
total = plain = 0
try:
    while total < 3000000:
        packet = cable.recv(70000)
        total += len(packet)
        plain += b'x' * 16 in packet
except TimeoutError:
    pass
print(total, plain)
";

/// Whether so many answer this one, and nobody fails.
fn is_heard(host: &Host, asker: &str, expected: usize) -> bool {
    let mut who: Vec<_> = answers(host, asker, "web", 15).into_iter().map(|(who, _)| who).collect();
    who.dedup();
    who.len() == expected && !who.contains(&String::new())
}

/// A stream of pings, and how many of them came back.
struct Pings(Child);

impl Pings {
    fn start(host: &Host, container: &str, to: &str) -> Self {
        let child = host
            .orca_command(&["exec", container, "ping", "-W", "2", to])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Ends it; the sequence numbers that came back.
    fn end(mut self, host: &Host, container: &str) -> Vec<u32> {
        host.ok(&["exec", container, "killall", "-INT", "ping"]);
        let output = std::io::read_to_string(self.0.stdout.take().unwrap()).unwrap();
        let _ = self.0.wait();
        let number = |line: &str| line.split("seq=").nth(1)?.split(' ').next()?.parse().ok();
        output.lines().filter_map(number).collect()
    }
}

fn number(host: &Host) -> usize {
    host.name().trim_start_matches("host").parse().unwrap()
}

/// The longest row of numbers that are missing.
fn longest_gap(numbers: &[u32]) -> u32 {
    numbers.windows(2).map(|pair| pair[1].saturating_sub(pair[0] + 1)).max().unwrap_or(u32::MAX)
}

#[test]
fn services_reach_each_other_across_nodes() {
    let mut cluster = start(3);
    deploy(cluster.host(1), 3);
    cluster
        .wait_for("everything runs", || cluster.hosts.iter().all(|host| host.ok(&["ps", "-q"]).lines().count() == 3));
    for host in &cluster.hosts {
        let Some(asker) = container_on(host, "ask") else { continue };
        cluster.wait_for("all tasks of the service are heard", || is_heard(host, &asker, 3));
    }
    let (first, asker) = elsewhere(&cluster, "ask", None);
    let (second, web) = elsewhere(&cluster, "web", Some(first));
    let (third, alone) = elsewhere(&cluster, "alone", None);
    // Who is asked sees who asks, under its own address.
    let own = address(first, &asker);
    let there = address(second, &web);
    let heard = answers(first, &asker, &there, 2);
    assert!(heard.iter().all(|(_, whom)| whom.contains(&own)) && heard.len() == 2, "{heard:?} to {own}");
    // All of them are found by name.
    let names = within(first, &asker, "nslookup tasks.web 2>/dev/null | grep -c 'Address.*: *10\\.'");
    assert_eq!(names, "3", "{}", within(first, &asker, "nslookup tasks.web"));
    // Another network is another world, whoever sends.
    assert_eq!(within(third, &alone, &ask(&there, "/cgi-bin/me")), "");
    let (fourth, other) = elsewhere(&cluster, "alone", Some(third));
    let away = address(fourth, &other);
    assert_eq!(within(first, &asker, &format!("ping -c 1 -W 1 {away} > /dev/null && echo reached")), "");
    assert_eq!(within(third, &alone, &format!("ping -c 1 -W 2 {away} > /dev/null && echo reached")), "reached");
    // A large answer comes whole, and none of it is to be read on the cable.
    let sum = within(second, &web, "md5sum < /www/big");
    let capture = first.run_command("python3").args(["-c", CAPTURE]).stdout(Stdio::piped()).spawn();
    let mut capture = capture.unwrap();
    let mut said = std::io::BufReader::new(capture.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!(within(first, &asker, &format!("{} | md5sum", ask(&there, "/big"))), sum);
    let seen = std::io::read_to_string(said).unwrap();
    let _ = capture.wait();
    let seen: Vec<&str> = seen.split_whitespace().collect();
    assert!(seen[0].parse::<u64>().unwrap() >= 3_000_000, "the packets were on the cable: {seen:?}");
    assert_eq!(seen[1], "0", "plain text on the cable");
    // The daemon goes and comes: no packet is lost.
    let pings = Pings::start(first, &asker, &there);
    let (at, to) = (number(first), number(second));
    cluster.kill_daemon(to);
    cluster.start_daemon(to);
    let first = cluster.host(at);
    // One a second.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let came = pings.end(first, &asker);
    assert!(came.len() >= 3 && longest_gap(&came) == 0, "{came:?}");
}
