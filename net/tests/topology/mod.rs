//! A host and an outside machine as network namespaces of this test's own, with containers made by the code under test.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use model::{ContainerId, NetworkId, NodeId, Protocol};
use net::netlink::netns;
use net::plan::{AttachmentPlan, Family, NetworkPlan, NodeKey, NodePlan, PortPlan, SubnetPlan, VipPlan};

/// The host's address towards the outside, and the outside machine's.
pub const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub const OUTSIDE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// Answers every connection and datagram with "NAME CLIENT-ADDRESS".
const SERVER: &str = r#"
import socket, sys, threading
name, ip, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ':' in ip else socket.AF_INET
u = socket.socket(family, socket.SOCK_DGRAM); u.bind((ip, port))
t = socket.socket(family); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind((ip, port)); t.listen(64)
def udp():
    while True:
        _, peer = u.recvfrom(100); u.sendto(f'{name} {peer[0]}'.encode(), peer)
threading.Thread(target=udp, daemon=True).start()
print('ready', flush=True)
while True:
    c, peer = t.accept(); c.sendall(f'{name} {peer[0]}'.encode()); c.close()
"#;

/// Asks a server once; prints what it says or the error's name.
const CLIENT: &str = r#"
import socket, sys
kind, ip, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for _ in range(count):
    family = socket.AF_INET6 if ':' in ip else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM); s.settimeout(1.5)
    try:
        s.connect((ip, port))
        if kind == 'udp': s.send(b'x')
        print(s.recv(100).decode())
    except Exception as e: print(type(e).__name__)
    s.close()
"#;

pub struct Topology {
    dir: tempfile::TempDir,
    children: Mutex<Vec<Child>>,
    names: Vec<PathBuf>,
}

impl Topology {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix(&format!("orca-t{}-", std::process::id())).tempdir().unwrap();
        let mut this = Self { dir, children: Mutex::default(), names: Vec::new() };
        for name in ["host", "outside"] {
            this.namespace(name);
        }
        this.ip("host", "link add uplink0 type veth peer name eth0 netns /proc/self/fd/0");
        for (name, device, address) in [("host", "uplink0", HOST), ("outside", "eth0", OUTSIDE)] {
            this.ip(name, &format!("addr add {address}/24 dev {device}"));
            this.ip(name, &format!("link set {device} up"));
        }
        // Linux sends a peer one ICMP error a second (icmp(7)); a quick test asks for more refusals than that.
        let sysctl = this.run("host", "sh", &["-c", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit"]);
        assert!(sysctl.status.success(), "{}", String::from_utf8_lossy(&sysctl.stderr));
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn run_dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn namespace(&mut self, name: &str) -> PathBuf {
        let path = self.path(name);
        netns::create(&path).unwrap();
        self.names.push(path.clone());
        path
    }

    pub fn command(&self, name: &str, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path(name).display())).arg("--").arg(program);
        command
    }

    pub fn ip(&self, name: &str, arguments: &str) {
        // The peer's namespace comes as standard input, so that ip(8) needs no name for it.
        let outside = std::fs::File::open(self.path("outside")).unwrap();
        let output = self.command(name, "ip").args(arguments.split_whitespace()).stdin(outside).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn run(&self, name: &str, program: &str, arguments: &[&str]) -> Output {
        self.command(name, program).args(arguments).output().unwrap()
    }

    /// Runs code of the crate as on the host.
    pub fn on_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::within(&self.path("host"), || Ok(work())).unwrap()
    }

    pub fn serve(&self, name: &str, address: impl Into<IpAddr>, port: u16) -> usize {
        let address = address.into();
        self.spawn(name, SERVER, &[name, &address.to_string(), &port.to_string()])
    }

    /// Starts a Python program, which says when it is ready and ends with the topology.
    pub fn spawn(&self, name: &str, program: &str, arguments: &[&str]) -> usize {
        use std::io::Read as _;
        let mut command = self.command(name, "python3");
        command.args(["-c", program]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        let mut children = self.children.lock().unwrap();
        children.push(child);
        children.len() - 1
    }

    pub fn kill(&self, index: usize) {
        let child = &mut self.children.lock().unwrap()[index];
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks once; what came back and how long it took.
    pub fn ask(&self, from: &str, kind: &str, to: impl Into<IpAddr>, port: u16) -> String {
        self.ask_often(from, kind, to, port, 1).pop().unwrap()
    }

    pub fn ask_often(&self, from: &str, kind: &str, to: impl Into<IpAddr>, port: u16, count: usize) -> Vec<String> {
        let to = to.into().to_string();
        let output = self.run(from, "python3", &["-c", CLIENT, kind, &to, &port.to_string(), &count.to_string()]);
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    pub fn timed<T>(&self, work: impl FnOnce(&Self) -> T) -> (T, Duration) {
        let start = Instant::now();
        (work(self), start.elapsed())
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        for child in self.children.get_mut().unwrap() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in &self.names {
            let _ = netns::remove(name);
        }
    }
}

pub fn key() -> NodeKey {
    NodeKey::of(NodeId::from_random(7))
}

pub fn container(c: u8) -> ContainerId {
    ContainerId::from_random([c; 32])
}

pub fn network(n: u8, internal: bool) -> NetworkPlan {
    NetworkPlan {
        id: NetworkId::from_random(n.into()),
        name: format!("net{n}"),
        subnets: vec![SubnetPlan {
            subnet: format!("10.{n}.0.0/24").parse().unwrap(),
            gateway: Ipv4Addr::new(10, n, 0, 1).into(),
        }],
        internal,
        mtu: None,
        link: model::Link::Routed,
        apart: false,
        own_source: false,
    }
}

pub fn attachment(path: &Path, c: u8, n: u8, interface: &str) -> AttachmentPlan {
    AttachmentPlan {
        container: container(c),
        netns: path.into(),
        network: NetworkId::from_random(n.into()),
        interface: interface.into(),
        addresses: vec![Ipv4Addr::new(10, n, 0, c).into()],
        mac: Some([2, 0x42, 10, n, 0, c]),
        link_local: Vec::new(),
        sysctls: BTreeMap::new(),
        ways_out: if interface == "eth0" { Family::ALL.to_vec() } else { Vec::new() },
    }
}

pub fn port(protocol: Protocol, published: u16, backends: &[(u8, u16)]) -> PortPlan {
    let backends = backends.iter().map(|&(c, port)| SocketAddr::new(Ipv4Addr::new(10, 1, 0, c).into(), port)).collect();
    PortPlan { protocol, published, host_ip: None, backends, snat: false }
}

pub fn vip(backends: &[u8]) -> VipPlan {
    VipPlan {
        network: NetworkId::from_random(1),
        address: Ipv4Addr::new(10, 1, 0, 2).into(),
        backends: backends.iter().map(|&c| Ipv4Addr::new(10, 1, 0, c).into()).collect(),
    }
}

/// The same, with IPv6 on networks 1 to 3 (`fd00:N::/64`), a network 4 that has IPv6 alone, with e (9), and f (10) with IPv4
/// alone on 2. The host and the outside machine have IPv6 too.
pub fn dual_plan(topology: &mut Topology) -> NodePlan {
    for (name, device, address) in [("host", "uplink0", HOST6), ("outside", "eth0", OUTSIDE6)] {
        let on = format!(
            "echo 0 > /proc/sys/net/ipv6/conf/{device}/disable_ipv6; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit"
        );
        assert!(topology.run(name, "sh", &["-c", &on]).status.success());
        topology.ip(name, &format!("addr add {address}/64 dev {device} nodad"));
    }
    let mut plan = plan(topology);
    let side = |n: u8| SubnetPlan {
        subnet: format!("fd00:{n}::/64").parse().unwrap(),
        gateway: format!("fd00:{n}::1").parse().unwrap(),
    };
    for (network, n) in plan.networks.iter_mut().zip(1..) {
        network.subnets.push(side(n));
    }
    for attachment in &mut plan.attachments {
        if let IpAddr::V4(four) = attachment.addresses[0] {
            let [_, n, _, c] = four.octets();
            attachment.addresses.push(format!("fd00:{n}::{c}").parse().unwrap());
        }
    }
    plan.networks.push(NetworkPlan { subnets: vec![side(4)], ..network(4, false) });
    let [e, f] = ["e", "f"].map(|name| topology.namespace(name));
    let addresses = vec!["fd00:4::9".parse().unwrap()];
    plan.attachments.push(AttachmentPlan { addresses, ..attachment(&e, 9, 4, "eth0") });
    plan.attachments.push(attachment(&f, 10, 2, "eth0"));
    plan
}

/// Networks 1, 2 and the internal 3. Containers: a (5) and b (6) on 1, b on 3 too, c (7) on 2, d (8) on 3.
pub fn plan(topology: &mut Topology) -> NodePlan {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| topology.namespace(name));
    NodePlan {
        node_key: key(),
        networks: vec![network(1, false), network(2, false), network(3, true)],
        attachments: vec![
            attachment(&a, 5, 1, "eth0"),
            attachment(&b, 6, 1, "eth0"),
            attachment(&b, 6, 3, "eth1"),
            attachment(&c, 7, 2, "eth0"),
            attachment(&d, 8, 3, "eth0"),
        ],
        vips: vec![vip(&[5, 6])],
        ports: vec![
            port(Protocol::Tcp, 8080, &[(5, 80), (6, 80)]),
            port(Protocol::Udp, 8080, &[(5, 80), (6, 80)]),
            port(Protocol::Tcp, 8081, &[(5, 80)]),
            port(Protocol::Tcp, 8443, &[]),
        ],
        mesh: None,
    }
}

/// The node's table of a family as nft(8) lists it, its white space evened out.
pub fn listed(topology: &Topology, word: &str) -> String {
    let output = topology.run("host", "nft", &["list", "table", word, &key().table()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}
