//! `compose publish` to a real registry, and applications from there.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::Registry;
use crate::support::Node;

/// `orca compose` on the host's own network, in `files/DIR`, with a cache of the test's own.
fn compose(node: &Node, dir: &str, args: &[&str]) -> Output {
    let mut command: Command = node.host_command(env!("CARGO_BIN_EXE_orca"));
    command.env("ORCA_HOST", node.address()).arg("compose").args(args).stdin(std::process::Stdio::null());
    command.env("XDG_CACHE_HOME", node.files().join("cache")).env("DOCKER_CONFIG", node.files().join("docker"));
    command.current_dir(node.files().join(dir)).output().unwrap()
}

fn ok(node: &Node, dir: &str, args: &[&str]) -> String {
    let output = compose(node, dir, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}\n{error}\n{}", node.daemon_log());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(node: &Node, dir: &str, args: &[&str]) -> String {
    let output = compose(node, dir, args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}\n{error}");
    error
}

fn raw(node: &Node, name: &str) -> Value {
    let text = node.in_host(&["skopeo", "inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")]);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn an_application_is_published_and_brought_up_elsewhere() {
    let node = Node::start().with_busybox();
    let registry = Registry::start(&node, "127.0.0.1:5000", "");
    node.file(
        "app/compose.yml",
        "services:\n  web:\n    extends: {service: base, file: base/base.yml}\n    env_file: ./web.env # its own\n    environment: {TIER: front}\n",
    );
    node.file(
        "app/base/base.yml",
        "services:\n  base:\n    image: busybox\n    command: sleep 1000\n    init: true\n    env_file: [base.env]\n",
    );
    node.file("app/base/base.env", "FROM_BASE=1\n");
    node.file("app/web.env", "FROM_WEB=2\n");
    node.file("app/more.yml", "services:\n  web: {labels: {second: file}}\n");
    std::fs::create_dir_all(node.files().join("elsewhere")).unwrap();
    let name = registry.name("team/shop:1");
    let files = ["-f", "compose.yml", "-f", "more.yml"];
    let publish = |more: &[&'static str]| [&files[..], &["publish"], more, &[&name]].concat();

    let error = fails(&node, "app", &publish(&["-y"]));
    for words in ["--with-env", "service \"web\" sets variables", "env_file ./web.env", "env_file base.env"] {
        assert!(error.contains(words), "{error}");
    }
    let said = ok(&node, "app", &publish(&["-y", "--with-env"]));
    assert!(said.starts_with(&format!("{name}@sha256:")), "{said}");
    let manifest = raw(&node, &name);
    assert_eq!(manifest["artifactType"], "application/vnd.docker.compose.project");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    let layers = manifest["layers"].as_array().unwrap();
    let kinds: Vec<&str> = layers.iter().map(|layer| layer["mediaType"].as_str().unwrap()).collect();
    let (file, env) = ("application/vnd.docker.compose.file+yaml", "application/vnd.docker.compose.envfile");
    assert_eq!(kinds, [file, file, file, env, env]);
    assert_eq!(layers[1]["annotations"]["com.docker.compose.file"], "more.yml");
    assert_eq!(layers[2]["annotations"]["com.docker.compose.extends"], "true");

    // With its images, which are copied from where they are.
    node.ok(&["tag", "busybox", &registry.name("base:1")]);
    node.ok(&["push", &registry.name("base:1")]);
    node.file("whole/compose.yml", &format!("services: {{a: {{image: '{}'}}}}", registry.name("base:1")));
    let whole = registry.name("team/whole:1");
    ok(&node, "whole", &["publish", "-y", "--app", &whole]);
    let base: Value = serde_json::from_str(&raw(&node, &registry.name("base:1")).to_string()).unwrap();
    let layer = base["layers"][0]["digest"].as_str().unwrap();
    let url = format!("http://{}/v2/team/whole/blobs/{layer}", registry.address);
    node.in_host(&["curl", "-fsSo", "/dev/null", &url]);

    // By tag, by digest from the cache, and included.
    let remote = format!("oci://{name}");
    let whole = ok(&node, "elsewhere", &["-f", &remote, "config"]);
    assert!(
        whole.starts_with("name: shop\n") && whole.contains("FROM_WEB: \"2\"") && whole.contains("second: file"),
        "{whole}"
    );
    ok(&node, "elsewhere", &["-f", &remote, "up", "-d"]);
    let shown = node.ok(&["exec", "shop-web-1", "sh", "-c", "echo $FROM_BASE $FROM_WEB $TIER"]);
    assert_eq!(shown, "1 2 front\n");
    assert!(ok(&node, "elsewhere", &["-f", &remote, "ps", "-q"]).len() > 1);
    ok(&node, "elsewhere", &["-f", &remote, "down"]);
    node.file(
        "elsewhere/compose.yml",
        &format!("name: other\ninclude: ['{remote}']\nservices: {{web: {{labels: {{own: one}}}}}}\n"),
    );
    let included = ok(&node, "elsewhere", &["config"]);
    assert!(included.contains("own: one") && included.contains("FROM_BASE: \"1\""), "{included}");
    let digest = said.trim().split('@').nth(1).unwrap();
    drop(registry);
    let pinned = format!("oci://127.0.0.1:5000/team/shop@{digest}");
    assert_eq!(ok(&node, "elsewhere", &["-f", &pinned, "config"]), whole);
    let error = fails(&node, "elsewhere", &["-f", &remote, "config"]);
    assert!(error.contains("cannot reach 127.0.0.1:5000"), "{error}");
}

#[test]
fn what_must_not_go_or_come_is_refused() {
    let node = Node::start().with_busybox();
    let registry = Registry::start(&node, "127.0.0.1:5000", "");
    let name = registry.name("app");
    let publish = |text: &str, more: &[&str]| {
        node.file("app/compose.yml", text);
        compose(&node, "app", &[&["publish"], more, &[&name]].concat())
    };
    let error = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let bind = "services: {a: {image: busybox, command: sleep 1000, init: true, volumes: ['./data:/data']}}";
    let said = error(publish(bind, &[]));
    assert!(said.contains("app/data") && said.contains("cancelled"), "nobody said yes: {said}");
    let said = error(publish("services: {a: {image: busybox, labels: {DB_PASSWORD: correct-horse}}}", &[]));
    assert!(said.contains("compose.yml:1: password or key") && said.contains("cancelled"), "{said}");
    let said = error(publish("include: [x.yml]\nservices: {a: {image: busybox}}", &["-y"]));
    assert!(said.contains("x.yml"), "{said}");
    node.file("app/x.yml", "services: {b: {image: busybox}}");
    let said = error(publish("include: [x.yml]\nservices: {a: {image: busybox}}", &["-y"]));
    assert!(said.contains("includes the local file x.yml"), "{said}");
    let said = error(publish("services: {a: {build: .}}", &["-y"]));
    assert!(said.contains("services a have a build section and no image"), "{said}");

    // Older registries, and a directory that only the author has.
    let output = publish(bind, &["-y", "--oci-version", "1.0"]);
    assert!(output.status.success(), "{}", error(output));
    assert_eq!(raw(&node, &name)["config"]["mediaType"], "application/vnd.docker.compose.config.empty.v1+json");
    let remote = format!("oci://{name}");
    let said = fails(&node, ".", &["-f", &remote, "up", "-d"]);
    assert!(said.contains("needs ./data") && said.contains("--project-directory"), "{said}");
    node.file("mine/data/here", "yes");
    let mine = node.files().join("mine");
    ok(&node, ".", &["-f", &remote, "--project-directory", mine.to_str().unwrap(), "-p", "mine", "up", "-d"]);
    assert_eq!(node.ok(&["exec", "mine-a-1", "cat", "/data/here"]), "yes");
    ok(&node, ".", &["-p", "mine", "down"]);

    let text = format!("services: {{a: {{image: '{}'}}}}", registry.name("missing:1"));
    node.file("app/compose.yml", &text);
    let said = fails(&node, "app", &["publish", "-y", "--app", &registry.name("whole")]);
    assert!(said.contains("missing:1 not found"), "{said}");
    assert!(fails(&node, ".", &["-f", &format!("oci://{}", registry.name("whole")), "config"]).contains("not found"));

    let image = registry.name("box:1");
    node.ok(&["tag", "busybox", &image]);
    node.ok(&["push", &image]);
    let said = fails(&node, ".", &["-f", &format!("oci://{image}"), "config"]);
    assert!(said.contains("is not a Compose application"), "{said}");
    assert!(fails(&node, ".", &["-f", &format!("oci://{}", registry.name("none")), "config"]).contains("not found"));
    assert!(Path::new(&node.files().join("cache/orca/compose")).is_dir());
}
