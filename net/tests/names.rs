//! netd: names by asker, reserved ports, a life beyond its daemon's, and its successor.
#![allow(clippy::unwrap_used)]

mod topology;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use model::{NetworkId, Protocol};
use net::Network;
use net::netd::{Client, Tables};
use net::plan::PortPlan;
use net::resolve::{self, Asker, Zone};
use topology::{HOST, HOST6, OUTSIDE, Topology, container, dual_plan, key, plan, port};

const RUN_DIR: &str = "ORCA_TEST_NETD_RUN_DIR";
const TAKEOVER: &str = "ORCA_TEST_NETD_TAKEOVER";

/// Not a test of its own: in a process that [`netd`] starts, this is netd.
#[test]
fn netd_process() {
    let Some(run_dir) = std::env::var_os(RUN_DIR) else { return };
    let mut arguments = vec!["--run-dir".into(), run_dir];
    arguments.extend(std::env::var_os(TAKEOVER).map(|_| "--takeover".into()));
    let _ = net::netd::main(arguments);
    std::process::exit(0);
}

/// The command that runs netd on the test's host.
fn netd(t: &Topology) -> std::process::Command {
    let program = std::env::current_exe().unwrap();
    let mut command = t.command("host", program.to_str().unwrap());
    command.args(["--exact", "netd_process", "--nocapture"]).env(RUN_DIR, t.run_dir());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn start(t: &Topology) -> Client {
    Client::connect_or_spawn(t.run_dir(), netd(t).into()).await.unwrap()
}

/// Ends netd with the test, whatever happens.
struct Ended<'a>(&'a Topology);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let end = async {
            if let Ok(client) = Client::connect(self.0.run_dir()).await {
                let _ = client.shutdown().await;
            }
        };
        block_on(end);
    }
}

/// a and b on network 1, b on 3 too, c on 2, d on the internal 3.
fn tables(t: &Topology) -> Tables {
    let zone = |n: u8, names: &[(&str, u8)]| {
        let mut zone = Zone::new(format!("net{n}"), format!("10.{n}.0.0/24").parse().unwrap(), None);
        for &(name, c) in names {
            zone.add(name, Ipv4Addr::new(10, n, 0, c).into());
        }
        (NetworkId::from_random(n.into()), zone)
    };
    let asker = |name: &str, c: u8, networks: &[u8], forward| {
        let networks = networks.iter().map(|&n| NetworkId::from_random(n.into())).collect();
        let servers = vec![SocketAddr::from((OUTSIDE, 5300))];
        (container(c), Asker { netns: t.path(name), networks, forward, servers, links: Default::default() })
    };
    let many: Vec<(&str, u8)> = (10..90).map(|c| ("many", c)).collect();
    let mut dns = resolve::Tables {
        zones: [zone(1, &[("web", 2), ("a", 5)]), zone(2, &[("web", 9)]), zone(3, &many)].into(),
        askers: [
            asker("a", 5, &[1], true),
            asker("b", 6, &[1, 3], true),
            asker("c", 7, &[2], true),
            asker("d", 8, &[3], false),
        ]
        .into(),
    };
    if let Some(zone) = dns.zones.get_mut(&NetworkId::from_random(1)) {
        zone.set_reverse(Ipv4Addr::new(10, 1, 0, 5).into(), "a.net1");
    }
    Tables { dns, ..Tables::default() }
}

fn dig(t: &Topology, from: &str, arguments: &str) -> Vec<String> {
    let mut all = vec!["+short", "+tries=1", "+time=3"];
    if !arguments.contains('@') {
        all.push("@127.0.0.11");
    }
    all.extend(arguments.split_whitespace());
    let output = String::from_utf8(t.run(from, "dig", &all).stdout).unwrap();
    let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn status(t: &Topology, from: &str, arguments: &str) -> String {
    let mut all = vec!["@127.0.0.11", "+tries=1", "+time=3"];
    all.extend(arguments.split_whitespace());
    let output = String::from_utf8(t.run(from, "dig", &all).stdout).unwrap();
    let status = output.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
    status.unwrap_or("no answer").to_owned()
}

/// An upstream that answers every question with 198.51.100.1, over UDP.
const UPSTREAM: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('192.0.2.2', 5300)); print('ready', flush=True)
while True:
    q, peer = s.recvfrom(512)
    end = q.index(b'\0', 12) + 5
    s.sendto(q[:2] + b'\x81\x80\0\1\0\1\0\0\0\0' + q[12:end] + b'\xc0\x0c\0\1\0\1\0\0\0\x05\0\x04' + bytes([198, 51, 100, 1]), peer)
"#;

#[test]
fn names_are_answered_by_asker() {
    let mut t = Topology::new();
    let plan = plan(&mut t);
    t.on_host(|| Network::new(key()).apply(&plan).unwrap());
    let mut upstream = t.command("outside", "python3").args(["-c", UPSTREAM]).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(upstream.stdout.as_mut().unwrap(), &mut [0; 5]).unwrap();
    let _ended = Ended(&t);
    let report = block_on(async { start(&t).await.set_tables(&tables(&t)).await.unwrap() });
    assert_eq!(report, net::netd::Report::default());

    for transport in ["+notcp", "+tcp"] {
        assert_eq!(dig(&t, "a", &format!("{transport} WEB")), ["10.1.0.2"]);
        assert_eq!(dig(&t, "c", &format!("{transport} web")), ["10.2.0.9"]);
        assert_eq!(dig(&t, "d", &format!("{transport} many")).len(), 80, "by TCP where a datagram is too small");
    }
    assert_eq!(dig(&t, "a", "-x 10.1.0.5"), ["a.net1."]);
    assert_eq!(status(&t, "a", "web AAAA"), "NOERROR");
    assert_eq!(dig(&t, "a", "web AAAA"), [""; 0]);
    assert_eq!(dig(&t, "a", "elsewhere.example"), ["198.51.100.1"], "forwarded");
    assert_eq!(status(&t, "d", "elsewhere.example"), "NXDOMAIN", "internal: not forwarded");
    upstream.kill().unwrap();
    upstream.wait().unwrap();
    assert_eq!(status(&t, "a", "+time=8 elsewhere.example"), "SERVFAIL");
}

/// A name server of a container's own: answers every question on all its addresses with 203.0.113.9, over UDP.
const OWN_SERVER: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 53))
t = socket.socket(); t.bind(('0.0.0.0', 53)); t.listen(8); print('ready', flush=True)
while True:
    q, peer = s.recvfrom(512)
    end = q.index(b'\0', 12) + 5
    s.sendto(q[:2] + b'\x81\x80\0\1\0\1\0\0\0\0' + q[12:end] + b'\xc0\x0c\0\1\0\1\0\0\0\x05\0\x04' + bytes([203, 0, 113, 9]), peer)
"#;

#[test]
fn a_container_may_have_a_name_server_of_its_own() {
    let mut t = Topology::new();
    let plan = plan(&mut t);
    t.on_host(|| Network::new(key()).apply(&plan).unwrap());
    let _ended = Ended(&t);
    // Whichever of the two comes first.
    let own = t.spawn("a", OWN_SERVER, &[]);
    let tables = tables(&t);
    block_on(async { start(&t).await.set_tables(&tables).await.unwrap() });
    let check = |t: &Topology| {
        for transport in ["+notcp", "+tcp"] {
            assert_eq!(dig(t, "a", &format!("{transport} web")), ["10.1.0.2"]);
        }
        assert_eq!(dig(t, "b", "@10.1.0.5 whatever"), ["203.0.113.9"], "asked by others");
        assert_eq!(dig(t, "a", "@10.1.0.5 whatever"), ["203.0.113.9"], "asked by itself");
    };
    check(&t);
    t.kill(own);
    t.spawn("a", OWN_SERVER, &[]);
    check(&t);
    // A netd that was killed has a successor with other ports.
    let pid = block_on(async { Client::connect(t.run_dir()).await.unwrap().pid() });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    block_on(async { while Client::connect(t.run_dir()).await.is_ok() {} });
    block_on(async { start(&t).await.set_tables(&tables).await.unwrap() });
    check(&t);
    // Whoever tracks connections in the container sees questions and answers as one.
    let stateful = "table ip t { chain i { type filter hook input priority 0; policy drop; ct state established accept; ct state new accept; }; \
                    chain o { type filter hook output priority 0; policy drop; ct state new,established accept; }; }";
    assert!(t.run("a", "nft", &[stateful]).status.success());
    check(&t);
}

#[test]
fn ports_are_reserved_and_conflicts_are_told_by_number() {
    let mut t = Topology::new();
    let mut plan = plan(&mut t);
    t.serve("host", HOST, 8081);
    plan.ports.push(port(Protocol::Udp, 9000, &[]));
    let _ended = Ended(&t);
    let tables = Tables::new(resolve::Tables::default(), &plan);
    let report = block_on(async { start(&t).await.set_tables(&tables).await.unwrap() });
    let [failure] = report.ports.as_slice() else { panic!("{report:?}") };
    assert_eq!(failure.reservation.port, 8081);
    assert!(failure.message.contains("8081/tcp") && failure.message.contains("python3 (pid "), "{}", failure.message);
    let taken = |port: u16| t.on_host(|| std::net::TcpListener::bind((HOST, port)).is_err());
    assert!(taken(8080));
    assert!(t.on_host(|| std::net::UdpSocket::bind((HOST, 9000)).is_err()));
    block_on(async { start(&t).await.set_tables(&Tables::default()).await.unwrap() });
    assert!(!taken(8080), "released with the tables that named it");
}

const ECHO: &str = r#"
import socket, threading
s = socket.socket(); s.bind(('0.0.0.0', 81)); s.listen(8); print('ready', flush=True)
def echo(c):
    while data := c.recv(100): c.sendall(data)
while True: threading.Thread(target=echo, args=(s.accept()[0],), daemon=True).start()
"#;

fn talk(stream: &mut std::net::TcpStream) {
    use std::io::{Read, Write};
    let mut answer = [0; 5];
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_the_packet_filter_cannot_lead_is_relayed() {
    let mut t = Topology::new();
    let mut plan = dual_plan(&mut t);
    // 8082 leads to f, which has IPv4 alone; 8083 is on ::1 alone; 8084 has no backend.
    let four = SocketAddr::from(([10, 2, 0, 10], 80));
    let six = SocketAddr::new("fd00:4::9".parse().unwrap(), 80);
    plan.ports.push(PortPlan { backends: vec![four], ..port(Protocol::Tcp, 8082, &[]) });
    plan.ports.push(PortPlan {
        host_ip: Some("::1".parse().unwrap()),
        backends: vec![six],
        ..port(Protocol::Tcp, 8083, &[])
    });
    plan.ports.push(port(Protocol::Tcp, 8084, &[]));
    let echo = SocketAddr::from(([10, 2, 0, 10], 81));
    plan.ports.push(PortPlan { backends: vec![echo], ..port(Protocol::Tcp, 8085, &[]) });
    t.on_host(|| Network::new(key()).apply(&plan).unwrap());
    t.serve("f", Ipv4Addr::UNSPECIFIED, 80);
    t.serve("e", six.ip(), 80);
    t.spawn("f", ECHO, &[]);
    let _ended = Ended(&t);
    let tables = Tables::new(resolve::Tables::default(), &plan);
    let report = block_on(async { start(&t).await.set_tables(&tables).await.unwrap() });
    assert_eq!(report, net::netd::Report::default());
    let local = std::net::Ipv6Addr::LOCALHOST;
    let check = || {
        assert_eq!(t.ask("host", "tcp", local, 8082), "f 10.2.0.1");
        assert_eq!(t.ask("outside", "tcp", HOST6, 8082), "f 10.2.0.1");
        assert_eq!(t.ask("host", "tcp", local, 8083), "e fd00:4::1");
        assert_eq!(t.ask("outside", "tcp", HOST6, 8083), "ConnectionRefusedError", "on ::1 alone");
        assert_eq!(t.ask("host", "tcp", Ipv4Addr::LOCALHOST, 8083), "ConnectionRefusedError", "on ::1 alone");
        assert_eq!(t.ask("host", "tcp", local, 8084), "ConnectionRefusedError");
    };
    check();
    // A successor serves the same sockets, and the predecessor does not take them along. What it relays already goes on.
    let connect = || t.on_host(|| std::net::TcpStream::connect((local, 8085)).unwrap());
    let mut connections = [connect(), connect()];
    connections.iter_mut().for_each(talk);
    let serving = || block_on(async { Client::connect(t.run_dir()).await.map(|client| client.pid()).ok() });
    let first = serving().unwrap();
    let mut successor = netd(&t).env(TAKEOVER, "1").spawn().unwrap();
    wait_until("a successor", || serving() == Some(successor.id()));
    connections.iter_mut().for_each(talk);
    check();
    assert!(runs(first), "it has connections");
    // Without backends the port is still held, and refuses.
    let mut idle = tables;
    idle.relayed.clear();
    block_on(async { Client::connect(t.run_dir()).await.unwrap().set_tables(&idle).await.unwrap() });
    assert_eq!(t.ask("host", "tcp", local, 8082), "ConnectionRefusedError");
    assert!(t.on_host(|| std::net::TcpListener::bind((local, 8082)).is_err()), "still reserved");
    let [closed, mut last] = connections;
    drop(closed);
    talk(&mut last);
    block_on(async { Client::connect(t.run_dir()).await.unwrap().shutdown().await.unwrap() });
    successor.wait().unwrap();
    wait_until("the predecessor ends with its successor", || !runs(first));
}

#[test]
fn netd_outlives_its_daemon_and_hands_over_to_its_successor() {
    let mut t = Topology::new();
    let plan = plan(&mut t);
    t.on_host(|| Network::new(key()).apply(&plan).unwrap());
    let _ended = Ended(&t);
    let tables = Tables { ports: Tables::new(resolve::Tables::default(), &plan).ports, ..tables(&t) };
    // The client, which is all there is of a daemon here, ends with this block.
    let first = block_on(async {
        let mut client = start(&t).await;
        client.set_tables(&tables).await.unwrap();
        client.pid()
    });
    assert_eq!(dig(&t, "a", "web"), ["10.1.0.2"]);
    let session = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
    let session: u32 = session.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().parse().unwrap();
    assert_eq!(session, first, "a session of its own");

    let mut successor = netd(&t).env(TAKEOVER, "1").spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let second = loop {
        assert!(Instant::now() < deadline, "no successor");
        assert_eq!(dig(&t, "a", "web"), ["10.1.0.2"], "no question is lost during the handover");
        let pid = block_on(async { Client::connect(t.run_dir()).await.map(|client| client.pid()) });
        if let Some(pid) = pid.ok().filter(|pid| *pid != first) {
            break pid;
        }
    };
    assert_eq!(second, successor.id());
    wait_until("the predecessor ends", || !runs(first));
    assert_eq!(dig(&t, "a", "+tcp web"), ["10.1.0.2"]);
    assert!(t.on_host(|| std::net::TcpListener::bind((HOST, 8080)).is_err()), "still reserved");
    block_on(async { Client::connect(t.run_dir()).await.unwrap().shutdown().await.unwrap() });
    successor.wait().unwrap();
    assert!(t.on_host(|| std::net::TcpListener::bind((HOST, 8080)).is_ok()));
}
