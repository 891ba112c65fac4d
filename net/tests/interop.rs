//! The mesh beside a standard peer: wireguard-go, configured by wg(8).
#![allow(clippy::unwrap_used)]

mod topology;

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use model::{MeshKey, NodeId};
use net::mesh::Tunnel;
use net::peers::{Mesh, Peer, Zone};
use topology::{OUTSIDE, Topology, key};

const PORT: u16 = 2378;

/// The standard peer, in the namespace of the outside machine.
struct Standard(Child);

impl Drop for Standard {
    fn drop(&mut self) {
        // Asked to end, it removes its device and its socket.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Sends a stream of bytes one way and prints whether it came whole.
const STREAM: &str = r#"
import hashlib, socket, sys
if sys.argv[1] == 'send':
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((sys.argv[2], 5000)); s.listen()
    print('ready', flush=True)
    c, _ = s.accept(); c.sendall(bytes(range(251)) * 20000); c.close()
else:
    s = socket.create_connection((sys.argv[2], 5000), 10); got = bytearray()
    while part := s.recv(1 << 20): got += part
    print(bytes(got) == bytes(range(251)) * 20000)
"#;

/// Datagrams that are none of WireGuard's, or only as long as they begin so.
const NOISE: &str = r#"
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 2378))
for kind in range(6):
    for length in (*range(0, 200, 7), 148, 92, 64, 32, 1400, 9000):
        s.send((bytes([kind, 0, 0, 0]) + os.urandom(length))[:length])
"#;

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn it_speaks_with_a_standard_peer() {
    let t = Topology::new();
    let shell = |name: &str, script: &str| {
        let output = t.run(name, "sh", &["-c", script]);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let python = |script: &str, text: &str| {
        let output = t.run("outside", "python3", &["-c", script, text]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let device = format!("wgt{}", std::process::id());
    let mut command = t.command("outside", "wireguard-go");
    let _standard = Standard(command.args(["-f", &device]).env("WG_PROCESS_FOREGROUND", "1").spawn().unwrap());
    until("a standard peer", || t.run("outside", "wg", &["show", &device]).status.success());
    let private = t.path("private");
    let private = private.display();
    let theirs = shell("outside", &format!("umask 077; wg genkey > {private}; wg pubkey < {private}"));
    let theirs: MeshKey =
        python("import base64, sys; print(base64.b64decode(sys.argv[1]).hex())", &theirs).parse().unwrap();

    let prefixes = |address: &str| BTreeSet::from([address.parse().unwrap()]);
    let peer = Peer {
        node: NodeId::from_random(2),
        key: theirs,
        endpoint: (OUTSIDE, PORT).into(),
        prefixes: prefixes("10.5.0.2/32"),
        zone: Zone::NONE,
    };
    let mesh = Mesh { device: key().mesh(), port: PORT, mtu: 1420, peers: vec![peer], ingress: None };
    let open = || {
        t.on_host(|| {
            net::netlink::ensure_mesh(&mesh.device, mesh.mtu).unwrap();
            Tunnel::open(&mesh, Some([7; 32])).unwrap()
        })
    };
    let tunnel = open();
    let to_base64 = "import base64, sys; print(base64.b64encode(bytes.fromhex(sys.argv[1])).decode())";
    let own = python(to_base64, &tunnel.key().to_string());
    shell("host", &format!("ip addr add 10.5.0.1/24 dev {}", mesh.device));
    let configure = format!(
        "wg set {device} listen-port {PORT} private-key {private} peer {own} allowed-ips 10.5.0.1/32 endpoint 192.0.2.1:{PORT} && \
         ip addr add 10.5.0.2/24 dev {device} && ip link set {device} mtu 1420 up"
    );
    shell("outside", &configure);
    let ping = |name: &str, to: &str| t.run(name, "busybox", &["ping", "-c", "1", "-W", "1", to]).status.success();

    // The standard peer begins.
    until("the peer begins a session", || ping("outside", "10.5.0.1"));
    for (sender, address, receiver) in [("host", "10.5.0.1", "outside"), ("outside", "10.5.0.2", "host")] {
        t.spawn(sender, STREAM, &["send", address]);
        let heard = t.run(receiver, "python3", &["-c", STREAM, "receive", address]);
        assert_eq!(String::from_utf8_lossy(&heard.stdout).trim(), "True", "from {sender}");
    }
    // What is nobody's changes nothing, and ends nothing.
    python(NOISE, "");
    assert!(ping("outside", "10.5.0.1") || ping("outside", "10.5.0.1"));
    // The peer moves: it is followed to where its packets come from.
    shell("outside", &format!("wg set {device} listen-port {}", PORT + 1));
    until("the peer is heard from elsewhere", || ping("outside", "10.5.0.1"));
    assert!(ping("host", "10.5.0.2"), "and answered there");
    shell("outside", &format!("wg set {device} listen-port {PORT}"));
    // This end begins, as a successor that has only the key.
    drop(tunnel);
    let _tunnel = open();
    until("this end begins a session", || ping("host", "10.5.0.2"));
}
