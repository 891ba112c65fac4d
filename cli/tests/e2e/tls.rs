//! A daemon that answers commands of other machines, over TCP with mutual TLS.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

use crate::support::Node;

struct Authority(CertifiedIssuer<'static, KeyPair>);

/// How a certificate is made.
struct Wanted<'a> {
    name: &'a str,
    expired: bool,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A directory with ca.pem, cert.pem and key.pem.
    fn issue(&self, dir: &Path, trusted: &Authority, wanted: Wanted<'_>) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![wanted.name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if wanted.expired {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        }
        let cert = params.signed_by(&key, &self.0).unwrap();
        std::fs::create_dir_all(dir).unwrap();
        for (name, text) in [("ca.pem", trusted.0.pem()), ("cert.pem", cert.pem()), ("key.pem", key.serialize_pem())] {
            std::fs::write(dir.join(name), text).unwrap();
        }
        dir.to_owned()
    }
}

const FINE: Wanted<'static> = Wanted { name: "127.0.0.1", expired: false };

/// The flags of a daemon, or of a command, for such a directory.
fn flags(dir: &Path) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("{flag}={}", dir.join(name).display());
    vec![
        "--tlsverify".into(),
        file("--tlscacert", "ca.pem"),
        file("--tlscert", "cert.pem"),
        file("--tlskey", "key.pem"),
    ]
}

/// `orca` on the node's host, so that it reaches the daemon's port.
fn orca(node: &Node, env: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String) {
    let mut command = node.host_command(env!("CARGO_BIN_EXE_orca"));
    command.env_remove("ORCA_HOST").env("ORCA_CONFIG", node.files().join("config")).args(args).stdin(Stdio::null());
    command.envs(env.iter().copied());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn certificates_of_both_sides_are_demanded() {
    let mut node = Node::prepare(&[]);
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let files = node.files();
    let dir = |name: &str| files.join(name);
    let server = own.issue(&dir("server"), &own, FINE);
    let client = own.issue(&dir("client"), &own, FINE);
    let listen = ["-H".to_owned(), "tcp://127.0.0.1:2376".to_owned()];
    let args: Vec<String> = listen.into_iter().chain(flags(&server)).collect();
    node.add_args(&args.iter().map(String::as_str).collect::<Vec<_>>());
    node.start_daemon();
    let node = node.with_busybox();

    // By environment, in Docker's words and in Orca's.
    let path = client.to_str().unwrap();
    for name in ["DOCKER", "ORCA"] {
        let (host, verify, certs) = (format!("{name}_HOST"), format!("{name}_TLS_VERIFY"), format!("{name}_CERT_PATH"));
        let env = [(host.as_str(), "tcp://127.0.0.1:2376"), (&verify, "1"), (&certs, path)];
        let (code, text) = orca(&node, &env, &["run", "--rm", "busybox", "echo", "over-tls"]);
        assert_eq!((code, text.as_str()), (Some(0), "over-tls\n"), "{name}");
    }
    // By flags.
    let by_flags = |dir: &Path, host: &str| {
        let flags = flags(dir);
        let mut args: Vec<&str> = flags.iter().map(String::as_str).collect();
        args.extend(["-H", host, "ps", "-q"]);
        orca(&node, &[], &args)
    };
    assert_eq!(by_flags(&client, "tcp://127.0.0.1").0, Some(0));
    // By context, which also travels.
    let endpoint = format!("host=tcp://127.0.0.1:2376,ca={path}/ca.pem,cert={path}/cert.pem,key={path}/key.pem");
    let ok = |args: &[&str]| {
        let (code, text) = orca(&node, &[], args);
        assert_eq!(code, Some(0), "{args:?}: {text}");
        text
    };
    ok(&["context", "create", "far", "--docker", &endpoint]);
    let file = node.files().join("far.tar");
    ok(&["context", "export", "far", file.to_str().unwrap()]);
    ok(&["context", "rm", "far"]);
    ok(&["context", "import", "again", file.to_str().unwrap()]);
    let listed = Command::new("tar").arg("-tf").arg(&file).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(listed, "meta.json\ntls/docker/ca.pem\ntls/docker/cert.pem\ntls/docker/key.pem\n");
    assert!(ok(&["context", "inspect", "again"]).contains("key.pem"));
    assert_eq!(ok(&["--context", "again", "run", "--rm", "-i", "busybox", "echo", "by-context"]), "by-context\n");
    for path in [&file, &node.files().join("config/contexts/again.json")] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{path:?} has a key");
    }

    // Each failure says what it is.
    let refused = |dir: &Path, host: &str, words: &str| {
        let (code, text) = by_flags(dir, host);
        assert!(code == Some(1) && text.contains(words) && text.contains("127.0.0"), "{words}: {code:?} {text}");
    };
    let address = "tcp://127.0.0.1:2376";
    refused(&own.issue(&dir("distrusting"), &other, FINE), address, "is not by the CA that is trusted here");
    refused(&other.issue(&dir("stranger"), &own, FINE), address, "does not trust this client's certificate");
    let late = Wanted { expired: true, ..FINE };
    refused(&own.issue(&dir("late"), &own, late), address, "this client's certificate has expired");
    refused(&client, "tcp://127.0.0.2:2376", "onnection refused");
    let (code, text) = orca(&node, &[("ORCA_HOST", address)], &["ps"]);
    assert!(code == Some(1) && text.contains("without certificates"), "{text}");
    let (_, text) = orca(&node, &[], &["context", "create", "bare", "--docker", "host=tcp://127.0.0.1:2376"]);
    assert!(text.contains("needs ca=FILE"), "{text}");

    // Who speaks no TLS learns nothing, and harms nobody.
    let plain = node.host_command("curl").args(["-s", "--max-time", "5", "http://127.0.0.1:2376/"]).output().unwrap();
    assert!(!plain.status.success() && plain.stdout.is_empty());
    assert_eq!(by_flags(&client, "tcp://127.0.0.1").0, Some(0));
}

#[test]
fn a_daemons_own_certificate_must_be_right_too() {
    let node = Node::prepare(&[]);
    let own = Authority::new("own");
    let files = node.files();
    let dir = |name: &str| files.join(name);
    let client = own.issue(&dir("client"), &own, FINE);
    let late = own.issue(&dir("late"), &own, Wanted { expired: true, ..FINE });
    let named = own.issue(&dir("named"), &own, Wanted { name: "elsewhere.test", expired: false });
    for (server, words) in [(&late, "the daemon's certificate has expired"), (&named, "is for another name")] {
        let mut daemon = node.host_command(env!("CARGO_BIN_EXE_orca"));
        daemon.args(["daemon", "-H", "tcp://127.0.0.1:2376"]).args(flags(server)).stderr(Stdio::null());
        daemon.arg("--data-dir").arg(node.data_dir()).arg("--run-dir").arg(node.run_dir());
        let mut daemon = daemon.spawn().unwrap();
        node.wait_for("the daemon answers", || node.orca(&["ps"]).status.success());
        let certs = [
            ("ORCA_TLS_VERIFY", "1"),
            ("ORCA_CERT_PATH", client.to_str().unwrap()),
            ("ORCA_HOST", "tcp://127.0.0.1:2376"),
        ];
        let (code, text) = orca(&node, &certs, &["ps"]);
        assert!(code == Some(1) && text.contains(words), "{words}: {text}");
        node.ok(&["system", "reset", "--force"]);
        daemon.wait().unwrap();
    }
    // No listening without certificates.
    for (args, words) in [
        (&["-H", "tcp://127.0.0.1:2376"][..], "whoever reaches the port would be root"),
        (&["-H", "unix:///x.sock"], "orca.sock in --run-dir"),
        (&["-H", "tcp://127.0.0.1:2376", "--tlsverify", "--tlscacert", "/nonexistent.pem"], "/nonexistent.pem"),
    ] {
        let mut daemon = node.host_command(env!("CARGO_BIN_EXE_orca"));
        daemon.arg("daemon").args(args).arg("--data-dir").arg(node.data_dir()).arg("--run-dir").arg(node.run_dir());
        let output = daemon.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(words), "{args:?}: {text}");
    }
}
