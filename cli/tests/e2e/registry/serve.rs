//! `orca registry serve`, with skopeo and buildah as peers.

use std::process::{Child, Stdio};

use crate::support::Node;

/// A registry of Orca's own on a node's host, gone with this value.
struct Served(Child);

impl Served {
    fn start(node: &Node, address: &str, more: &[&str]) -> Self {
        let dir = node.files().join("served");
        let log = std::fs::File::create(node.files().join("served.log")).unwrap();
        let mut command = node.host_command(env!("CARGO_BIN_EXE_orca"));
        command.args(["registry", "serve", "--listen", address, "--data-dir"]).arg(dir).args(more);
        let served = Self(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
        let scheme = if more.is_empty() { "http" } else { "https" };
        let ask = ["-sk", "--max-time", "5", "-o", "/dev/null", &format!("{scheme}://{address}/v2/")];
        node.wait_for("the registry answers", || node.host_command("curl").args(ask).status().unwrap().success());
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const ADDRESS: &str = "127.0.0.1:5005";

#[test]
fn other_tools_push_and_pull() {
    let node = Node::start().with_busybox();
    let served = Served::start(&node, ADDRESS, &[]);
    let name = |rest: &str| format!("{ADDRESS}/{rest}");
    node.ok(&["tag", "busybox", &name("team/box:1")]);
    node.ok(&["push", "-q", &name("team/box:1")]);
    let docker = |rest: &str| format!("docker://{}", name(rest));
    let tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    for (form, tag) in [("oci", "2"), ("v2s2", "3")] {
        let (from, to) = (docker("team/box:1"), docker(&format!("other/box:{tag}")));
        node.in_host(&["skopeo", "copy", "-q", tls[0], tls[1], "--format", form, &from, &to]);
        node.ok(&["pull", "-q", &name(&format!("other/box:{tag}"))]);
        assert_eq!(node.ok(&["run", "--rm", &name(&format!("other/box:{tag}")), "echo", "hi"]), "hi\n");
    }
    let tags = node.in_host(&["skopeo", "list-tags", "--tls-verify=false", &docker("other/box")]);
    assert!(tags.contains("\"2\"") && tags.contains("\"3\""), "{tags}");
    // buildah, with a store of its own.
    let store = node.files().join("buildah");
    let own = |part: &str| store.join(part).display().to_string();
    let buildah = |args: &[&str]| {
        let (root, run) = (own("root"), own("run"));
        let mut words = vec!["buildah", "--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
        words.extend(args);
        node.in_host(&words)
    };
    buildah(&["pull", "-q", "--tls-verify=false", &name("team/box:1")]);
    buildah(&["tag", &name("team/box:1"), &name("built/box:4")]);
    buildah(&["push", "-q", "--tls-verify=false", &name("built/box:4")]);
    // It outlives a crash.
    drop(served);
    let _served = Served::start(&node, ADDRESS, &[]);
    node.ok(&["pull", "-q", &name("built/box:4")]);
    assert_eq!(node.ok(&["run", "--rm", &name("built/box:4"), "echo", "hi"]), "hi\n");
    node.in_host(&["skopeo", "delete", "--tls-verify=false", &docker("built/box:4")]);
    assert!(node.fails(1, &["pull", &name("built/box:4")]).contains("not found"));
    let error = node.fails(1, &["registry", "serve", "--data-dir", &own("x"), "--listen", "0.0.0.0:0"]);
    assert!(error.contains("--htpasswd") && error.contains("--insecure"), "{error}");
}

#[test]
fn only_users_get_in_over_tls() {
    let node = Node::start().with_busybox();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let cert = node.file("tls/ca.crt", &made.cert.pem());
    let key = node.file("tls.key", &made.signing_key.serialize_pem());
    let users = node.file("users", &node.in_host(&["htpasswd", "-Bbn", "-C", "4", "ana", "secret"]));
    let flags = ["--tlscert", cert.to_str().unwrap(), "--tlskey", key.to_str().unwrap(), "--htpasswd"];
    let _served = Served::start(&node, ADDRESS, &[&flags[..], &[users.to_str().unwrap()]].concat());
    let archive = node.files().join("box.tar");
    node.ok(&["save", "-o", archive.to_str().unwrap(), "busybox"]);
    let certs = cert.parent().unwrap().display().to_string();
    let (from, to) = (format!("docker-archive:{}", archive.display()), format!("docker://{ADDRESS}/box:1"));
    let push = |who: &str| {
        let args = ["copy", "-q", "--dest-cert-dir", &certs, "--dest-creds", who, &from, &to];
        node.host_command("skopeo").args(args).output().unwrap().status.success()
    };
    assert!(!push("ana:wrong") && !push("bob:secret"));
    assert!(push("ana:secret"));
    let status = |who: &[&str]| {
        let url = format!("https://{ADDRESS}/v2/box/manifests/1");
        let args = [
            &["curl", "-s", "--cacert", cert.to_str().unwrap(), "-o", "/dev/null", "-w", "%{http_code}"],
            who,
            &[&url],
        ];
        node.in_host(&args.concat())
    };
    assert_eq!((status(&[]), status(&["-u", "ana:secret"])), ("401".to_owned(), "200".to_owned()));
}
