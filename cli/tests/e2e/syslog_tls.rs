//! The syslog driver over TLS, to a server of the test's own on the node's host.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::support::Node;

/// Writes `NAME.pem` and `NAME.key` of a certificate for localhost, and `ca.pem` of who vouches for it.
fn certificates(dir: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// Tells what each connection brought, or why it was refused; demands a certificate of those clients whom it trusts.
fn server(node: &Node, dir: &Path) -> (u16, Receiver<Result<String, String>>) {
    let chain = vec![CertificateDer::from_pem_file(dir.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap());
    let listener = net::netlink::netns::within(&node.host(), || Ok(TcpListener::bind("127.0.0.1:0").unwrap())).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let mut text = String::new();
            let read = stream.read_to_string(&mut text);
            if sender.send(read.map(|_| text).map_err(|error| error.to_string())).is_err() {
                return;
            }
        }
    });
    (port, receiver)
}

fn options(port: u16, dir: &Path, more: &[&str]) -> Vec<String> {
    let mut all = vec![format!("syslog-address=tcp+tls://localhost:{port}")];
    all.extend(more.iter().map(|option| option.replace("DIR", dir.to_str().unwrap())));
    all.into_iter().flat_map(|option| ["--log-opt".to_owned(), option]).collect()
}

fn run(node: &Node, options: &[String], script: &str) -> std::process::Output {
    let mut args = vec!["run", "--rm", "--log-driver", "syslog"];
    args.extend(options.iter().map(String::as_str));
    node.orca(&[&args[..], &["busybox", "sh", "-c", script]].concat())
}

const CLIENT: [&str; 2] = ["syslog-tls-cert=DIR/client.pem", "syslog-tls-key=DIR/client.key"];

#[test]
fn lines_reach_a_server_that_both_sides_trust() {
    let node = Node::start().with_busybox();
    let dir: PathBuf = node.files().join("tls");
    certificates(&dir);
    let (port, lines) = server(&node, &dir);
    let script = "for i in 1 2 3; do echo line $i; done; head -c 300000 /dev/zero | tr '\\0' x; echo";

    let trusting = [CLIENT[0], CLIENT[1], "syslog-tls-ca-cert=DIR/ca.pem"];
    let output = run(&node, &options(port, &dir, &trusting), script);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = lines.recv().unwrap().unwrap();
    assert!(text.contains(": line 1\n") && text.contains(": line 3\n"), "{}", &text[..200]);
    assert_eq!(text.matches('x').count(), 300_000);

    // RFC 5425 counts the bytes of each message.
    let counted = [&trusting[..], &["syslog-format=rfc5424"]].concat();
    run(&node, &options(port, &dir, &counted), "echo one; echo two");
    let text = lines.recv().unwrap().unwrap();
    let (count, rest) = text.split_once(' ').unwrap();
    let (first, second) = rest.split_at(count.parse().unwrap());
    assert!(first.starts_with("<30>1 20") && first.ends_with(" - one"), "{first}");
    assert!(second.ends_with(" - two") && !text.contains('\n'), "{second}");

    // Whom the container does not trust, unless it is told not to look, and who is not trusted.
    run(&node, &options(port, &dir, &CLIENT), "echo lost");
    let refusal = lines.recv().unwrap().unwrap_err();
    assert!(refusal.contains("UnknownCA") || refusal.contains("certificate"), "{refusal}");
    while lines.try_recv().is_ok() {}
    run(&node, &options(port, &dir, &[CLIENT[0], CLIENT[1], "syslog-tls-skip-verify=true"]), "echo blind");
    assert!(lines.iter().find_map(Result::ok).unwrap().ends_with(": blind\n"));
    run(&node, &options(port, &dir, &["syslog-tls-ca-cert=DIR/ca.pem"]), "echo nobody");
    assert!(lines.recv().unwrap().unwrap_err().contains("certificate"), "a client without a certificate is refused");
}

#[test]
fn what_cannot_be_reached_is_said_before_the_container_starts() {
    let node = Node::start().with_busybox();
    for (options, words) in [
        (&["syslog-address=tcp+tls://localhost", "syslog-tls-ca-cert=/none/ca.pem"][..], "/none/ca.pem"),
        (&["syslog-address=tcp+tls://localhost", "syslog-tls-cert=/none/x.pem"], "it needs syslog-tls-key"),
        (&["syslog-address=tcp://localhost", "syslog-tls-ca-cert=/none/ca.pem"], "tcp+tls://"),
        (&["syslog-address=udp://no-such-host.invalid:514"], "cannot be resolved"),
    ] {
        let options: Vec<String> = options.iter().flat_map(|option| ["--log-opt".into(), (*option).into()]).collect();
        let output = run(&node, &options, "true");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(words), "{error}");
    }
    assert_eq!(node.ok(&["ps", "-aq"]), "", "nothing is left");
}
