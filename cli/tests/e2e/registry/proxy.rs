//! Registries that are reached through a proxy only.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::Registry;
use crate::support::Node;

/// A proxy on the node's host, the only one who knows where the registries are. First lines and credentials are kept.
fn proxy(node: &Node) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = net::netlink::netns::within(&node.host(), || Ok(TcpListener::bind("127.0.0.1:0").unwrap())).unwrap();
    let address = listener.local_addr().unwrap();
    let (lines, host) = (Arc::new(Mutex::new(Vec::new())), node.host());
    let kept = Arc::clone(&lines);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (kept, host) = (Arc::clone(&kept), host.clone());
            std::thread::spawn(move || relay(stream, &host, &kept));
        }
    });
    (address, lines)
}

fn relay(mut client: TcpStream, host: &Path, lines: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let first = head.lines().next().unwrap().to_owned();
    let shown = head.lines().find(|line| line.to_lowercase().starts_with("proxy-authorization:")).unwrap_or("nobody");
    lines.lock().unwrap().push(format!("{first} by {shown}"));
    let to = if first.contains("plain.test") { "127.0.0.1:5001" } else { "127.0.0.1:5002" };
    let mut upstream = net::netlink::netns::within(host, || Ok(TcpStream::connect(to))).unwrap().unwrap();
    if first.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    } else {
        // A server takes a request with a whole URL too.
        upstream.write_all(head.as_bytes()).unwrap();
    }
    let (mut from, mut back) = (upstream.try_clone().unwrap(), client);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut back);
        let _ = back.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut reader, &mut upstream);
    let _ = upstream.shutdown(std::net::Shutdown::Write);
}

#[test]
fn registries_behind_a_proxy_are_reached_with_and_without_tls() {
    let mut node = Node::prepare(&["--insecure-registry", "plain.test:5001"]);
    // Names that nobody can look up: only the proxy leads there.
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["secure.test".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let cert = node.file("tls/cert.pem", &cert.pem());
    let key = node.file("tls/key.pem", &key.serialize_pem());
    let certs = node.file("certs/secure.test:5002/ca.crt", &ca).parent().unwrap().parent().unwrap().to_owned();
    let _plain = Registry::start(&node, "127.0.0.1:5001", "");
    let tls = format!("  tls:\n    certificate: {}\n    key: {}---", cert.display(), key.display());
    let _secure = Registry::start(&node, "127.0.0.1:5002", &tls);
    let (address, lines) = proxy(&node);
    node.add_args(&["--registry-certs", certs.to_str().unwrap()]);
    node.add_env("http_proxy", &format!("http://ann:word@{address}"));
    node.add_env("https_proxy", &format!("http://ann:word@{address}"));
    node.add_env("no_proxy", "direct.test");
    node.start_daemon();
    let node = node.with_busybox();
    for name in ["plain.test:5001/a:1", "secure.test:5002/a:1"] {
        node.ok(&["tag", "busybox", name]);
        node.ok(&["push", name]);
        node.ok(&["rmi", name]);
        node.ok(&["pull", name]);
        assert_eq!(node.ok(&["run", "--rm", name, "echo", "here"]), "here\n");
    }
    let told = |word: &str| {
        let lines = lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(word)).cloned().collect::<Vec<_>>().join("\n")
    };
    let (plain, secure) = (told("http://plain.test"), told("secure.test"));
    // Basic ann:word (RFC 7617).
    let by_ann = "by proxy-authorization: Basic YW5uOndvcmQ=".to_lowercase();
    assert!(plain.contains("http://plain.test:5001/v2/") && plain.to_lowercase().contains(&by_ann), "{plain}");
    assert!(
        secure.contains("CONNECT secure.test:5002 HTTP/1.1") && secure.to_lowercase().contains(&by_ann),
        "{secure}"
    );
    assert!(!secure.contains("/v2/"), "what is in the tunnel the proxy doesn't see: {secure}");
    let error = node.fails(1, &["pull", "direct.test/a:1"]);
    assert!(error.contains("direct.test") && told("direct.test").is_empty(), "{error}");
}
