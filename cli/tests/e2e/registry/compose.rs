//! `compose pull|push|images`, and the pulls that `up` begins with.

use super::Registry;
use crate::support::Node;

#[test]
fn up_pulls_as_its_services_say() {
    let node = Node::start().with_busybox();
    let registry = Registry::start(&node, "127.0.0.1:5000", "");
    for name in ["web", "db"] {
        node.ok(&["tag", "busybox", &registry.name(&format!("{name}:1"))]);
    }
    let file = node.file(
        "compose.yml",
        &format!(
            "name: shop\nservices:\n  web:\n    image: {0}/web:1\n    command: sleep 1000\n    init: false\n  db:\n    image: {0}/db:1\n    command: sleep 1000\n    pull_policy: daily\n",
            registry.address
        ),
    );
    let built = node.file("built.yml", &format!("name: shop\nservices:\n  web:\n    image: {0}/web:1\n    build: .\n  db:\n    image: {0}/db:1\n    build: .\n  none:\n    image: x\n", registry.address));
    let (file, built) = (file.to_str().unwrap(), built.to_str().unwrap());
    let output = node.orca(&["compose", "-f", built, "push", "-q"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let remove = || {
        let id = node.ok(&["images", "-q", "--no-trunc", &registry.name("web:1")]);
        node.ok(&["rmi", "-f", id.trim()]);
    };
    remove();

    let error = node.fails(1, &["up", "-d", "--pull", "never", "-f", file]);
    assert!(error.contains("No such image"), "{error}");
    let output = node.orca(&["up", "-d", "-f", file]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains(" web Pulling\n") && said.contains(" db Pulled\n"), "{said}");
    let images = node.ok(&["compose", "-f", file, "images"]);
    let row = images.lines().find(|line| line.starts_with("shop-web-1 ")).unwrap_or_default();
    assert!(row.contains(&registry.name("web")) && row.contains(" linux/"), "{images}");
    assert_eq!(node.ok(&["compose", "-f", file, "images", "-q"]).lines().count(), 1);

    // Nothing is due now; `always` asks all the same.
    let said = String::from_utf8_lossy(&node.orca(&["up", "-d", "-f", file]).stderr).into_owned();
    assert!(!said.contains("Pulling"), "{said}");
    let said = String::from_utf8_lossy(&node.orca(&["up", "-d", "--pull", "always", "-f", file]).stderr).into_owned();
    assert!(said.contains(" db Pulling\n"), "{said}");
    node.ok(&["down", "-f", file]);
    remove();
    node.ok(&["compose", "-f", file, "pull", "-q", "web"]);
    node.ok(&["image", "inspect", &registry.name("web:1")]);
    node.fails(1, &["image", "inspect", &registry.name("db:1")]);
    let missing = node.file("missing.yml", &format!("services:\n  a:\n    image: {}/missing\n", registry.address));
    let missing = missing.to_str().unwrap();
    let error = node.fails(1, &["compose", "-f", missing, "pull"]);
    assert!(error.contains("service a: cannot pull 127.0.0.1:5000/missing: manifest for"), "{error}");
    node.ok(&["compose", "-f", missing, "pull", "--ignore-pull-failures"]);
}
