//! Images of a cluster without a registry: what one node has is there for the tasks of all.

use crate::cluster::{places, start};
use crate::hosts::{Cluster, Host};
use crate::support::busybox;

fn with_busybox(host: &Host) {
    let dir = tempfile::tempdir().unwrap();
    host.ok(&["import", busybox(dir.path()).to_str().unwrap(), "busybox", "-c", "CMD [\"sh\"]"]);
}

/// Declares so many containers of the image, as soon as some node that the first knows has it.
fn deploy(cluster: &Cluster, replicas: u32) {
    let text = format!(
        "services:\n  web:\n    image: busybox\n    command: sleep 600\n    network_mode: none\n    stop_grace_period: 0s\n    deploy:\n      replicas: {replicas}\n"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let args = ["stack", "deploy", "-c", file.path().to_str().unwrap(), "shop"];
    // Nodes come to know of each other a moment after they have joined.
    cluster.wait_for("the image is known", || {
        let output = cluster.host(1).orca(&args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || error.contains("no node of the cluster has the image"), "{error}");
        output.status.success()
    });
}

/// A request for images of one node by another one, as curl has it: status and size.
fn ask(from: &Host, to: &Host, path: &str, more: &[&str]) -> String {
    let place = std::fs::read_to_string(from.data_dir().join("swarm/node.json")).unwrap();
    let place: serde_json::Value = serde_json::from_str(&place).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let chain = dir.path().join("cert.pem");
    std::fs::write(&chain, place["certificate"].as_str().unwrap()).unwrap();
    let key = from.data_dir().join("swarm/key.pem");
    let url = format!("https://{}:2377/v2/{path}", to.address());
    let format = "%{http_code} %{size_download}";
    let mut args = vec!["curl", "-sk", "--no-alpn", "-o", "/dev/null", "-w", format, "--max-time", "10"];
    args.extend(["--cert", chain.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    args.extend(more.iter().chain([&url.as_str()]));
    from.run(&args)
}

#[test]
fn an_image_of_one_node_is_there_for_the_tasks_of_all() {
    let mut cluster = start(3);
    cluster.form(1, 2);
    // A worker has it, and neither the manager that is asked nor anybody's registry.
    with_busybox(cluster.host(2));
    deploy(&cluster, 3);
    assert_eq!(places(cluster.host(1)), ["host1", "host2", "host3"]);
    let digest = |host: &Host| host.ok(&["ps", "--no-trunc", "--format", "{{.Image}}"]).trim().to_owned();
    let image = digest(cluster.host(1));
    assert!(image.starts_with("busybox:latest@sha256:"), "{image}");
    assert!(cluster.hosts.iter().all(|host| digest(host) == image), "the same everywhere");
    assert_eq!(cluster.host(3).ok(&["ps", "--format", "{{.Image}}"]), "busybox:latest\n");
    // Nodes give what is asked for by digest, parts of it too, and what names mean to managers only.
    let (first, second, third) = (cluster.host(1), cluster.host(2), cluster.host(3));
    let (_, manifest) = image.split_once('@').unwrap();
    let name = "library/busybox/manifests/latest?ns=docker.io";
    assert!(ask(third, second, &format!("library/busybox/manifests/{manifest}"), &[]).starts_with("200 "));
    assert_eq!(ask(third, second, name, &[]).split(' ').next(), Some("403"));
    assert!(ask(first, second, name, &[]).starts_with("200 "));
    let blob = format!("x/blobs/{manifest}");
    assert_eq!(ask(third, second, &blob, &["-r", "3-9"]), "206 7");
    assert!(ask(third, second, &blob, &["-r", "99999999-"]).starts_with("416 "));
    assert!(ask(third, second, &format!("x/blobs/sha256:{}", "0".repeat(64)), &[]).starts_with("404 "));
    assert!(ask(third, second, "x/blobs/uploads/", &["-X", "POST"]).starts_with("405 "));
    let stranger =
        third.run(&["curl", "-sk", "--no-alpn", "-o", "/dev/null", "-w", "%{http_code}", "https://10.77.0.2:2377/v2/"]);
    assert_eq!(stranger, "403");
    // A name that nobody knows is told before anything is declared.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "services:\n  a:\n    image: 10.77.0.1:9/nobody/has:this\n").unwrap();
    let args = |more: &[&'static str]| -> Vec<String> {
        let words = ["stack", "deploy", "-d", "-c", file.path().to_str().unwrap()].into_iter();
        words.chain(more.iter().copied()).chain(["other"]).map(str::to_owned).collect()
    };
    let words = args(&[]);
    let error = first.fails(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(error.contains("no node of the cluster has the image 10.77.0.1:9/nobody/has:this"), "{error}");
    // What was built anew has another digest, and the tasks roll to it; by `changed` they stay.
    second.ok(&["run", "--name", "next", "--network", "none", "busybox", "touch", "/next"]);
    second.ok(&["commit", "next", "busybox"]);
    second.ok(&["rm", "next"]);
    deploy(&cluster, 3);
    let next = digest(first);
    assert_ne!(next, image);
    let all: Vec<String> = cluster.hosts.iter().map(digest).collect();
    assert!(all.iter().all(|found| *found == next), "{all:?}");
    // Who is no node of the cluster any more is given nothing.
    first.ok(&["node", "rm", "--force", "host3"]);
    cluster.wait_for("it is shut out", || ask(third, second, &blob, &[]).starts_with("403 "));
}

#[test]
fn a_node_whose_disk_lies_is_passed_over() {
    let mut cluster = start(3);
    cluster.form(1, 2);
    let dir = tempfile::tempdir().unwrap();
    with_busybox(cluster.host(1));
    let archive = dir.path().join("image.tar");
    cluster.host(1).ok(&["save", "-o", archive.to_str().unwrap(), "busybox"]);
    cluster.host(2).ok(&["load", "-i", archive.to_str().unwrap()]);
    let blobs = std::fs::read_dir(cluster.host(2).data_dir().join("image/blobs/sha256")).unwrap();
    let largest = blobs.map(|blob| blob.unwrap()).max_by_key(|blob| blob.metadata().unwrap().len()).unwrap().path();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    for host in ["host1", "host2"] {
        cluster.host(1).ok(&["node", "update", "--availability", "drain", host]);
    }
    // The right one is known before the task is there.
    cluster.wait_for("the right node is known", || ask(cluster.host(3), cluster.host(1), "", &[]).starts_with("200 "));
    deploy(&cluster, 1);
    assert_eq!(places(cluster.host(1)), ["host3"]);
}
