//! An upload whose connection breaks goes on where the registry has got to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Registry;
use crate::support::Node;

const MIB: u64 = 1 << 20;
/// Bytes of the layer, and after how many of them its connection breaks.
const LAYER: u64 = 24 * MIB;
const BREAK: u64 = 16 * MIB;

/// Leads to `to`, breaks the first connection that carries much, and counts the bytes on the way there.
fn relay(node: &Node, to: SocketAddr) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = net::netlink::netns::within(&node.host(), || Ok(TcpListener::bind("127.0.0.1:0").unwrap())).unwrap();
    let (address, host) = (listener.local_addr().unwrap(), node.host());
    let (carried, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let counter = Arc::clone(&carried);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let upstream = net::netlink::netns::within(&host, || Ok(TcpStream::connect(to))).unwrap().unwrap();
            let (mut from, mut back) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut back));
            let (counter, broken) = (Arc::clone(&counter), Arc::clone(&broken));
            std::thread::spawn(move || carry(client, upstream, &counter, &broken));
        }
    });
    (address, carried)
}

fn carry(mut client: TcpStream, mut upstream: TcpStream, counter: &AtomicU64, broken: &AtomicBool) {
    let (mut buffer, mut own) = (vec![0; 64 << 10], 0);
    loop {
        let count = client.read(&mut buffer).unwrap_or(0);
        if count == 0 || upstream.write_all(&buffer[..count]).is_err() {
            break;
        }
        counter.fetch_add(count as u64, Ordering::Relaxed);
        own += count as u64;
        if own > BREAK && !broken.swap(true, Ordering::Relaxed) {
            let _ = client.shutdown(std::net::Shutdown::Both);
            break;
        }
    }
    // What has been carried arrives; then the registry finds that no more comes.
    let _ = upstream.shutdown(std::net::Shutdown::Write);
}

#[test]
fn an_upload_goes_on_where_it_broke() {
    let node = Node::start().with_busybox();
    let registry = Registry::start(&node, "127.0.0.1:5000", "");
    let (relayed, carried) = relay(&node, registry.address.parse().unwrap());
    // Nothing that compresses.
    let script = format!("mkdir -p r && head -c {LAYER} /dev/urandom > r/noise && tar -C r -cf noise.tar . && rm -r r");
    let status = std::process::Command::new("sh").args(["-c", &script]).current_dir(node.files()).status().unwrap();
    assert!(status.success());
    let name = format!("{relayed}/noise:1");
    node.ok(&["import", "noise.tar", &name]);
    node.ok(&["push", &name]);
    let carried = carried.load(Ordering::Relaxed);
    assert!(carried > LAYER, "{carried}");
    assert!(carried < LAYER + BREAK / 2, "{carried} bytes: it was sent from its beginning again\n{}", registry.log());
    node.ok(&["rmi", &name]);
    node.ok(&["pull", &registry.name("noise:1")]);
}
