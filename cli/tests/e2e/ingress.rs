//! Published ports answer on every node, and who answers sees who has asked.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::hosts::{Cluster, Host};
use crate::support::busybox;

/// Answers on port 80, TCP and UDP of both families, who has asked, and then, on TCP, whatever it is told.
const SERVER: &str = r#"
import socket, threading
def on(kind):
    s = socket.socket(socket.AF_INET6, kind); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('::', 80)); return s
who = lambda peer: peer[0].removeprefix('::ffff:').encode()
def datagrams():
    s = on(socket.SOCK_DGRAM)
    while True:
        text, peer = s.recvfrom(70000); s.sendto(who(peer) + b' %d' % len(text), peer)
def speak(c, peer):
    c.sendall(who(peer) + b'\n')
    while text := c.recv(100000): c.sendall(text)
    c.close()
threading.Thread(target=datagrams, daemon=True).start()
t = on(socket.SOCK_STREAM); t.listen(64)
print('ready', flush=True)
while True: threading.Thread(target=speak, args=t.accept(), daemon=True).start()
"#;

/// Asks for `KIND ADDRESS PORT` in turn, each of its arguments, and prints what it hears on a line, or the error's name.
const CLIENT: &str = r#"
import socket, sys
for kind, ip, port in (words.split() for words in sys.argv[1:]):
    family = socket.AF_INET6 if ':' in ip else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM); s.settimeout(3)
    try:
        s.connect((ip, int(port)))
        # Longer than one packet between nodes; in IPv6 who sends learns of that by an error.
        if kind == 'udp': s.send(b'x' * (1000 if ':' in ip else 3000))
        print(s.recv(100).decode().strip())
    except Exception as e: print(type(e).__name__)
    s.close()
"#;

/// One port of a client's to all addresses at once: each must be heard, and go on to be, while the others are. Says what each
/// has heard first, and whether what it said then came back whole.
const ONE_PORT: &str = r#"
import socket, sys, os, threading
port, socks = None, []
for ip in sys.argv[1:]:
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.settimeout(10)
    s.bind(('', port or 0)); port = s.getsockname()[1]; s.connect((ip, 8080)); socks.append(s)
for s in socks:
    heard = s.makefile('rb').readline().strip().decode()
    said = os.urandom(1 << 20); back = bytearray()
    writer = threading.Thread(target=s.sendall, args=(said,)); writer.start()
    while len(back) < len(said): back += s.recv(1 << 20)
    writer.join()
    print(heard, bytes(back) == said)
"#;

/// One connection on which something is said and heard all the time. At each line of its input it prints how many answers there were
/// since the last one and how many milliseconds the longest of them has taken, and ends with its input.
const TALK: &str = r#"
import socket, sys, threading, time
s = socket.create_connection((sys.argv[1], 8080), 10); s.settimeout(60); f = s.makefile('rb')
f.readline()
count, longest, ended = 0, 0.0, False
def talk():
    global count, longest
    while not ended:
        begin = time.monotonic(); s.sendall(b'on\n')
        if f.readline() != b'on\n': break
        count += 1; longest = max(longest, time.monotonic() - begin); time.sleep(0.005)
thread = threading.Thread(target=talk, daemon=True); thread.start()
print('ready', flush=True)
for _ in sys.stdin:
    print(count if thread.is_alive() else 0, int(longest * 1000), flush=True); count, longest = 0, 0.0
ended = True
"#;

/// Such a connection.
struct Talk(Child, std::io::BufReader<std::process::ChildStdout>);

impl Talk {
    fn start(cluster: &Cluster, address: &str) -> Self {
        let mut command = cluster.outside_command("python3");
        command.args(["-c", TALK, address]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child, said)
    }

    /// Answers since the last time, and the milliseconds of the longest.
    fn heard(&mut self) -> (u64, u64) {
        std::io::Write::write_all(self.0.stdin.as_mut().unwrap(), b"\n").unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut self.1, &mut line).unwrap();
        let (count, longest) = line.trim().split_once(' ').unwrap();
        (count.parse().unwrap(), longest.parse().unwrap())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server beside a container.
struct Server(Child);

impl Server {
    fn start(host: &Host, container: &str) -> Self {
        let pid = host.ok(&["inspect", "-f", "{{.State.Pid}}", container]);
        let mut command = host.run_command("nsenter");
        command.args(["-t", pid.trim(), "--net", "--", "python3", "-c", SERVER]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut said = std::io::BufReader::new(child.stdout.as_mut().unwrap());
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program prints, line by line.
fn lines(command: &mut Command, script: &str, args: &[String]) -> Vec<String> {
    let output = command.args(["-c", script]).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Three hosts with both families, the first their manager.
fn start() -> Cluster {
    let mut cluster = Cluster::start(Path::new(env!("CARGO_BIN_EXE_orca")), 3);
    let dir = tempfile::tempdir().unwrap();
    let tar = busybox(dir.path());
    for (number, host) in (1..).zip(&cluster.hosts) {
        host.run(&["ip", "addr", "add", &format!("fd77::{number}/64"), "dev", "eth0", "nodad"]);
        host.ok(&["import", tar.to_str().unwrap(), "busybox", "-c", "CMD [\"sh\"]"]);
    }
    cluster.form(1, 2);
    cluster
}

fn deploy(host: &Host, text: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    host.ok(&["stack", "deploy", "-c", file.path().to_str().unwrap(), "shop"]);
}

/// The host that runs a service's one task, its number, and the container.
fn at<'a>(cluster: &'a Cluster, service: &str) -> (&'a Host, usize, String) {
    let filter = format!("name=shop_{service}");
    let on = |(number, host): (usize, &'a Host)| {
        let found = host.ok(&["ps", "-q", "--filter", &filter]);
        Some((host, number, found.lines().next()?.to_owned()))
    };
    (1..).zip(&cluster.hosts).find_map(on).expect("the task runs")
}

fn asks(kind: &str, address: &str, port: u16) -> String {
    format!("{kind} {address} {port}")
}

#[test]
fn a_published_port_answers_on_every_node_and_the_client_keeps_its_address() {
    let cluster = start();
    deploy(
        cluster.host(1),
        "services:\n  web:\n    image: busybox\n    command: [sleep, '600']\n    stop_grace_period: 0s\n    networks: [front]\n    \
         ports:\n      - '8080:80'\n      - '8080:80/udp'\n      - {target: 80, published: '8081', mode: host}\n\
         networks:\n  front: {enable_ipv6: true}\n",
    );
    let (home, number, container) = at(&cluster, "web");
    let _server = Server::start(home, &container);
    let all: Vec<(String, String)> =
        (1..).zip(&cluster.hosts).map(|(n, host)| (host.address(), format!("fd77::{n}"))).collect();
    let every: Vec<String> = all
        .iter()
        .flat_map(|(four, six)| {
            let families = [four.as_str(), six.as_str()];
            families
                .into_iter()
                .flat_map(|address| ["tcp", "udp"].map(|kind| asks(kind, address, 8080)))
                .collect::<Vec<_>>()
        })
        .collect();

    // From outside: under the client's own address, whichever node it asks.
    cluster.outside("10.77.0.200/24", "fd77::200/64");
    let heard = |args: &[String]| lines(&mut cluster.outside_command("python3"), CLIENT, args);
    let whole = |text: &str| text.split(' ').next().unwrap().to_owned();
    let expected: Vec<&str> =
        all.iter().flat_map(|_| ["10.77.0.200", "10.77.0.200 3000", "fd77::200", "fd77::200 1000"]).collect();
    let mut found = Vec::new();
    cluster.wait_for("all nodes answer", || {
        found = heard(&every);
        found.iter().all(|text| !text.ends_with("Error"))
    });
    assert_eq!(found, expected);

    // One port of the client's to all of them at once.
    let four: Vec<String> = all.iter().map(|(four, _)| four.clone()).collect();
    let heard_at_once = lines(&mut cluster.outside_command("python3"), ONE_PORT, &four);
    assert_eq!(heard_at_once, ["10.77.0.200 True"; 3]);

    // From the nodes: each to itself, to the others, and at its loopback.
    for (index, host) in cluster.hosts.iter().enumerate() {
        let is_home = index + 1 == number;
        // Whom another node would lead home is known to it by the one address that nodes know each other by.
        let may_ask = |text: &&String| !is_home || !text.contains(':') || text.contains(&all[index].1);
        let mut args: Vec<String> = every.iter().filter(may_ask).cloned().collect();
        let asked = args.len();
        args.extend([asks("tcp", "127.0.0.1", 8080), asks("udp", "127.0.0.1", 8080), asks("tcp", "::1", 8080)]);
        let heard = lines(&mut host.run_command("python3"), CLIENT, &args);
        assert!(heard.iter().all(|text| !text.ends_with("Error")), "{index}: {heard:?}");
        // Its own address reaches a container at another node, whoever is asked.
        let own = |text: &String| is_home || [&all[index].0, &all[index].1].contains(&&whole(text));
        assert!(heard.iter().take(asked).all(own), "{index}: {heard:?}");
        // From a container beside.
        let script = format!("for a in {}; do nc -w 3 $a 8080 < /dev/null; done", four.join(" "));
        let from_container = host.ok(&["run", "--rm", "busybox", "sh", "-c", &script]);
        assert_eq!(from_container.lines().count(), 3, "{index}: {from_container:?}");
    }

    // What is published on the task's node alone, is.
    for (index, address) in four.iter().enumerate() {
        let heard = heard(&[asks("tcp", address, 8081)]);
        let expected = if index + 1 == number { "10.77.0.200" } else { "ConnectionRefusedError" };
        assert_eq!(heard, [expected], "{address}");
    }
}

/// The process id of a host's netd, on that host.
fn netd(host: &Host) -> String {
    // The pattern is no part of what it matches.
    host.run(&["sh", "-c", "pgrep -f '[n]etd --run-dir' | sort -n | tail -n 1"]).trim().to_owned()
}

#[test]
fn connections_that_cross_outlive_netd() {
    let cluster = start();
    deploy(
        cluster.host(1),
        "services:\n  web:\n    image: busybox\n    command: [sleep, '600']\n    stop_grace_period: 0s\n    ports: ['8080:80']\n",
    );
    let (home, number, container) = at(&cluster, "web");
    let _server = Server::start(home, &container);
    let entry = cluster.host(number % 3 + 1);
    cluster.outside("10.77.0.200/24", "fd77::200/64");
    let ask = [asks("tcp", &entry.address(), 8080)];
    let answers = || lines(&mut cluster.outside_command("python3"), CLIENT, &ask) == ["10.77.0.200"];
    cluster.wait_for("the port leads to the other node", answers);
    let mut talk = Talk::start(&cluster, &entry.address());
    let more = |talk: &mut Talk| {
        let (mut all, mut longest) = (0, 0);
        cluster.wait_for("the connection goes on", || {
            let (count, took) = talk.heard();
            (all, longest) = (all + count, longest.max(took));
            all > 50
        });
        longest
    };
    more(&mut talk);
    let mut successors = Vec::new();
    // It is replaced, on either node: a successor has its sockets, its devices and its key.
    for host in [entry, home] {
        let before = netd(host);
        let run_dir = host.socket().trim_start_matches("unix://").trim_end_matches("/orca.sock").to_owned();
        let mut command = host.run_command(host.program().to_str().unwrap());
        let successor = command.args(["netd", "--run-dir", &run_dir, "--takeover"]).spawn().unwrap();
        cluster.wait_for("a successor", || {
            let now = netd(host);
            !now.is_empty()
                && now != before
                && host.run(&["sh", "-c", &format!("kill -0 {before} 2>&1 || echo gone")]).contains("gone")
        });
        let longest = more(&mut talk).max(more(&mut talk));
        eprintln!("handed over on {}: the longest answer took {longest} ms", host.name());
        // Sessions begin anew at once: nobody waits until the other side gives one up, which takes ten seconds.
        assert!(longest < 5_000, "{longest} ms");
        successors.push(successor);
    }
    // It is killed, on either node: its successor has another key, which the others learn from the managers.
    for host in [entry, home] {
        let pid = netd(host);
        host.run(&["kill", "-9", &pid]);
        cluster.wait_for("another one", || {
            let now = netd(host);
            !now.is_empty() && now != pid
        });
        let longest = more(&mut talk);
        eprintln!("killed on {}: the longest answer took {longest} ms", host.name());
        cluster.wait_for("new connections cross", answers);
    }
    for mut successor in successors {
        let _ = successor.wait();
    }
}
