//! Lists of manifests, and images that go from registry to registry, with skopeo as the judge.

use std::process::Output;

use serde_json::Value;

use super::Registry;
use crate::support::Node;

/// `orca` on the host's own network.
fn orca(node: &Node, args: &[&str]) -> Output {
    let mut command = node.host_command(env!("CARGO_BIN_EXE_orca"));
    command.env("ORCA_HOST", node.address()).env("DOCKER_CONFIG", node.files().join("docker"));
    command.args(args).stdin(std::process::Stdio::null()).output().unwrap()
}

fn ok(node: &Node, args: &[&str]) -> String {
    let output = orca(node, args);
    assert!(output.status.success(), "{args:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(node: &Node, args: &[&str]) -> String {
    let output = orca(node, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn raw(node: &Node, name: &str) -> String {
    node.in_host(&["skopeo", "inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")])
}

#[test]
fn lists_are_made_pushed_and_copied() {
    let node = Node::start().with_busybox();
    let registry = Registry::start(&node, "127.0.0.1:5000", "");
    let (one, two, list) = (registry.name("one:1"), registry.name("two:1"), registry.name("team/app:1"));
    node.ok(&["tag", "busybox", &one]);
    node.ok(&["run", "--name", "maker", "busybox", "sh", "-c", "echo other > /other"]);
    node.ok(&["commit", "maker", &two]);
    for name in [&one, &two] {
        node.ok(&["push", name]);
    }
    assert_eq!(ok(&node, &["manifest", "create", &list, &one, &two]), format!("Created manifest list {list}\n"));
    assert!(fails(&node, &["manifest", "create", &list, &one]).contains("--amend"));
    ok(&node, &["manifest", "create", "--amend", &list, &one]);
    ok(&node, &["manifest", "annotate", &list, &two, "--arch", "arm64", "--variant", "v8", "--os-features", "a,b"]);
    let shown: Value = serde_json::from_str(&ok(&node, &["manifest", "inspect", &list])).unwrap();
    assert_eq!(shown["manifests"].as_array().unwrap().len(), 2);
    let platform = &shown["manifests"][1]["platform"];
    assert_eq!((&platform["architecture"], &platform["os.features"][1]), (&"arm64".into(), &"b".into()), "{shown}");

    let pushed = ok(&node, &["manifest", "push", "--purge", &list]);
    assert!(pushed.contains(&format!("Pushed ref {}@sha256:", registry.name("team/app"))), "{pushed}");
    assert_eq!(serde_json::from_str::<Value>(&raw(&node, &list)).unwrap(), shown);
    assert!(fails(&node, &["manifest", "rm", &list]).contains("o such manifest list"), "it was forgotten");
    let remote = ok(&node, &["manifest", "inspect", &list]);
    assert_eq!(serde_json::from_str::<Value>(&remote).unwrap(), shown);
    let verbose: Value = serde_json::from_str(&ok(&node, &["manifest", "inspect", "-v", &list])).unwrap();
    assert_eq!(verbose[1]["Descriptor"], shown["manifests"][1]);
    assert!(verbose[0]["OCIManifest"]["layers"].is_array(), "{verbose}");
    // The platform's own image, though the list has another one too.
    node.ok(&["pull", "-q", &list]);
    assert_eq!(node.ok(&["run", "--rm", &list, "ls", "/"]).matches("other").count(), 0);

    // To another registry, with every platform, and again, when all is there.
    let other = Registry::start(&node, "127.0.0.1:5001", "");
    let copy = other.name("mirror/app:2");
    let digest = pushed.lines().last().unwrap();
    for _ in 0..2 {
        assert_eq!(ok(&node, &["image", "copy", &list, &copy]), format!("{copy}@{digest}\n"));
    }
    assert_eq!(raw(&node, &copy), raw(&node, &list));
    let to = format!("oci:{}", node.files().join("all").display());
    node.in_host(&["skopeo", "copy", "-q", "-a", "--src-tls-verify=false", &format!("docker://{copy}"), &to]);

    assert!(fails(&node, &["image", "copy", &registry.name("none"), &copy]).contains("not found"));
    assert!(fails(&node, &["image", "copy", &list, &format!("{}@{digest}", other.name("x"))]).contains("name a tag"));
    let within = fails(&node, &["manifest", "create", &registry.name("x"), &list]);
    assert!(within.contains("is a manifest list"), "{within}");
    assert!(fails(&node, &["manifest", "push", &registry.name("x")]).contains("o such manifest list"));
}
