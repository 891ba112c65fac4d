//! `compose config --resolve-image-digests` and `--lock-image-digests`.

use super::Registry;
use crate::support::Node;

#[test]
fn images_are_named_by_the_digest_that_their_registry_has() {
    let node = Node::start().with_busybox();
    let registry = Registry::start(&node, "127.0.0.1:5000", "");
    let web = registry.name("shop/web:1");
    for name in [&web, &registry.name("shop/db")] {
        node.ok(&["tag", "busybox", name]);
        node.ok(&["push", "-q", name]);
        node.ok(&["rmi", name]);
    }
    let accept =
        "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
    let head = node.in_host(&["curl", "-fsSI", "-H", accept, "http://127.0.0.1:5000/v2/shop/web/manifests/1"]);
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("docker-content-digest:")).unwrap();
    let digest = line.split_once(':').unwrap().1.trim();
    let other = format!("sha256:{}", "0".repeat(64));
    let file = node.file(
        "compose.yml",
        &format!(
            "name: shop\nservices:\n  web: {{image: '{web}'}}\n  db: {{image: 127.0.0.1:5000/shop/db}}\n  \
             old: {{image: 'busybox:1.36@{other}'}}\n  built: {{build: .}}\n"
        ),
    );
    let file = file.to_str().unwrap();
    let config = |files: &[&str], args: &[&str]| {
        let files: Vec<&str> = files.iter().flat_map(|file| ["-f", *file]).collect();
        node.ok(&[&["compose"][..], &files, &["config"], args].concat())
    };
    let images = node.ok(&["images", "-q"]);
    let resolved = config(&[file], &["--resolve-image-digests"]);
    for image in [
        format!("{web}@{digest}"),
        format!("127.0.0.1:5000/shop/db:latest@{digest}"),
        format!("docker.io/library/busybox@{other}"),
    ] {
        assert!(resolved.contains(&format!("image: {image}\n")), "{image}\n{resolved}");
    }
    assert_eq!(node.ok(&["images", "-q"]), images, "nothing is pulled");
    node.ok(&["compose", "-f", file, "--dry-run", "config", "--resolve-image-digests", "-q"]);

    let lock = config(&[file], &["--lock-image-digests"]);
    assert_eq!(lock.matches("image: ").count(), 3, "{lock}");
    assert!(lock.contains("built: {}"), "as the reference has it: {lock}");
    let lock = node.file("lock.yml", &lock);
    assert_eq!(config(&[file, lock.to_str().unwrap()], &[]), resolved, "the lock names what is resolved");

    let lost = node.file("lost.yml", "services: {a: {image: '127.0.0.1:5000/shop/lost:9'}}");
    let error = node.fails(1, &["compose", "-f", lost.to_str().unwrap(), "config", "--resolve-image-digests"]);
    assert!(error.contains("service a: manifest for 127.0.0.1:5000/shop/lost:9"), "{error}");
}
