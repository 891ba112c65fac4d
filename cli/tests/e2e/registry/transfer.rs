//! Pull and push against a real registry, with skopeo as the judge.

use serde_json::Value;

use super::Registry;
use crate::support::Node;

const ADDRESS: &str = "127.0.0.1:5000";

fn inspect(node: &Node, image: &str) -> Value {
    serde_json::from_str::<Value>(&node.ok(&["image", "inspect", image])).unwrap()[0].clone()
}

#[test]
fn what_is_pushed_is_pulled_by_others_and_back() {
    let node = Node::start().with_busybox();
    let registry = Registry::start(&node, ADDRESS, "");
    let name = registry.name("team/box:1");
    let id = inspect(&node, "busybox")["Id"].as_str().unwrap().to_owned();
    node.ok(&["tag", "busybox", &name]);
    let pushed = node.ok(&["push", &name]);
    assert!(
        pushed.starts_with(&format!("The push refers to repository [{}]\n", registry.name("team/box"))),
        "{pushed}"
    );
    assert!(pushed.contains(": Pushed\n") && pushed.contains("\n1: digest: sha256:"), "{pushed}");
    let digest = pushed.split("digest: ").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(inspect(&node, &name)["RepoDigests"][0], format!("{}@{digest}", registry.name("team/box")));
    assert!(node.ok(&["push", &name]).contains(": Layer already exists\n"));

    // Another repository of the registry takes the layer over.
    let other = registry.name("other/box:1");
    node.ok(&["tag", "busybox", &other]);
    let mounted = node.ok(&["push", &other]);
    assert!(mounted.contains(": Mounted from team/box\n"), "{mounted}\n{}", registry.log());

    let seen = node.in_host(&["skopeo", "inspect", "--tls-verify=false", &format!("docker://{name}")]);
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["Digest"], digest);
    let raw = node.in_host(&["skopeo", "inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]);
    assert!(raw.contains("layer.v1.tar+gzip"), "layers go compressed: {raw}");
    let copy = format!("oci:{}", node.files().join("copy").display());
    node.in_host(&["skopeo", "copy", "-q", "--src-tls-verify=false", &format!("docker://{name}"), &copy]);

    node.ok(&["rmi", "-f", &id]);
    assert_eq!(node.ok(&["pull", "-q", &name]), format!("{name}\n"));
    assert_eq!(inspect(&node, &name)["Id"], id);
    assert_eq!(node.ok(&["run", "--rm", &name, "echo", "hi"]), "hi\n");

    // And what skopeo pushes, as Docker's schema 2 with gzip, is pulled.
    let theirs = registry.name("theirs/box:2");
    let (to, form) = (format!("docker://{theirs}"), ["--format", "v2s2"]);
    node.in_host(&["skopeo", "copy", "-q", "--dest-tls-verify=false", form[0], form[1], &copy, &to]);
    let pulled = node.ok(&["pull", &theirs]);
    assert!(pulled.contains("2: Pulling from theirs/box\n"), "{pulled}");
    assert!(pulled.contains(&format!("Status: Downloaded newer image for {theirs}\n{theirs}\n")), "{pulled}");
    let again = node.ok(&["pull", &theirs]);
    assert!(again.contains("Already exists") && again.contains("Status: Image is up to date"), "{again}");
    assert_eq!(node.ok(&["run", "--rm", &theirs, "echo", "hi"]), "hi\n");
}

#[test]
fn tags_digests_and_what_is_not_there() {
    let node = Node::start().with_busybox();
    let registry = Registry::start(&node, ADDRESS, "");
    for tag in ["a", "b", "c"] {
        node.ok(&["tag", "busybox", &registry.name(&format!("box:{tag}"))]);
    }
    let pushed = node.ok(&["push", "-a", &registry.name("box")]);
    assert_eq!(pushed.matches(": digest: ").count(), 3, "{pushed}");
    let digest = pushed.split("digest: ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let error = node.fails(1, &["push", &registry.name("box:missing")]);
    assert!(error.contains("An image does not exist locally with the tag"), "{error}");
    let error = node.fails(1, &["push", "-a", &registry.name("box:a")]);
    assert!(error.contains("tag can't be used with --all-tags/-a"), "{error}");

    let id = inspect(&node, "busybox")["Id"].as_str().unwrap().to_owned();
    node.ok(&["rmi", "-f", &id]);
    node.ok(&["pull", "-a", &registry.name("box")]);
    assert_eq!(inspect(&node, &id)["RepoTags"].as_array().unwrap().len(), 3);
    node.ok(&["rmi", "-f", &id]);
    let by_digest = registry.name(&format!("box@{digest}"));
    node.ok(&["pull", &by_digest]);
    assert_eq!(inspect(&node, &by_digest)["RepoTags"], Value::Array(Vec::new()));
    node.ok(&["rmi", &by_digest]);

    for missing in ["box:missing", "nothing:1"] {
        let error = node.fails(1, &["pull", &registry.name(missing)]);
        assert!(error.contains(&format!("manifest for {} not found", registry.name(missing))), "{error}");
    }
    let error = node.fails(1, &["pull", "127.0.0.1:1/box"]);
    assert!(error.contains("cannot reach 127.0.0.1:1"), "{error}");
    let error = node.fails(1, &["pull", "nowhere.invalid/box"]);
    assert!(error.contains("cannot reach nowhere.invalid"), "{error}");
}

#[test]
fn run_pulls_what_is_missing() {
    let node = Node::start().with_busybox();
    let registry = Registry::start(&node, ADDRESS, "");
    let name = registry.name("box");
    node.ok(&["tag", "busybox", &name]);
    node.ok(&["push", &name]);
    let id = inspect(&node, "busybox")["Id"].as_str().unwrap().to_owned();
    node.ok(&["rmi", "-f", &id]);

    let error = node.fails(125, &["run", "--rm", "--pull", "never", &name, "true"]);
    assert!(error.contains("No such image"), "{error}");
    let output = node.orca(&["run", "--rm", &name, "echo", "hi"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hi\n", "{error}");
    assert!(error.starts_with(&format!("Unable to find image '{name}:latest' locally\n")), "{error}");
    assert!(error.contains(&format!("Status: Downloaded newer image for {name}:latest\n")), "{error}");
    let output = node.orca(&["create", "--pull", "always", "-q", &name]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let error = node.fails(125, &["run", "--rm", "--platform", "linux/riscv64", &name]);
    assert!(error.contains("has no image for platform linux/riscv64: it has linux/"), "{error}");
    let error = node.fails(125, &["run", "--rm", &registry.name("missing"), "true"]);
    assert!(error.contains("not found"), "{error}");
}
