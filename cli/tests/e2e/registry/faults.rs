//! Registries that misbehave, mirrors, and pulls beside other work.

use std::sync::{Arc, Condvar, Mutex};

use serde_json::json;

use super::images::{Compression, Content, INDEX, noise};
use super::orca_as;
use super::server::{Cut, Response, Server};
use crate::support::Node;

/// What a bad registry makes of a good answer to a path.
type Spoiler = Box<dyn Fn(Response, &str) -> Response + Send + Sync>;

/// An image of one layer that is large enough to be cut.
fn one_layer() -> (Content, String) {
    let mut content = Content::default();
    let image = content.image("linux/amd64", &[&noise(300_000)], Compression::Gzip);
    content.tag("1", &image);
    let layer = content.layers(&image).remove(0);
    (content, layer)
}

fn has_nothing(node: &Node) {
    let names = node.ok(&["images", "-a", "--format", "json"]);
    assert!(!names.contains("127.0.0.1"), "{names}");
}

#[test]
fn what_breaks_off_goes_on_where_it_was() {
    let node = Node::start_with(&["--registry-timeout", "1"]);
    let (content, layer) = one_layer();
    let length = content.blobs[&layer].len();
    let times = Mutex::new(0);
    let server = Server::start(&node, move |request| {
        let response = content.answer(request);
        if !request.path.contains(&layer) {
            return response;
        }
        let mut times = times.lock().unwrap();
        *times += 1;
        match *times {
            1 => response.cut(100_000, Cut::Close),
            2 => response.cut(50_000, Cut::Silence),
            3 => Response::new(500, "{}"),
            // As servers do that know no ranges.
            4 => Response::new(200, content.blobs[&layer].clone()).cut(200_000, Cut::Close),
            _ => response,
        }
    });
    let name = format!("{}/x:1", server.address);
    let pulled = node.ok(&["pull", &name]);
    assert!(pulled.contains("Retrying: ") && pulled.contains("Status: Downloaded newer image"), "{pulled}");
    let asked: Vec<Option<usize>> = server
        .requests()
        .iter()
        .filter(|request| request.path.contains("/blobs/sha256") && request.header("accept").is_none())
        .map(super::server::Request::range)
        .skip(1)
        .collect();
    assert_eq!(asked, [None, Some(100_000), Some(150_000), Some(150_000), Some(200_000)], "of {length}");
}

#[test]
fn a_busy_registry_is_waited_for_and_one_that_lies_is_refused() {
    let node = Node::start();
    let (content, layer) = one_layer();
    let times = Mutex::new(0);
    let answers = content.clone();
    let busy = Server::start(&node, move |request| {
        let mut times = times.lock().unwrap();
        *times += u32::from(request.path.contains("/manifests/"));
        match (*times, request.path.contains("/manifests/")) {
            (1, true) => Response::new(429, r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#).with("Retry-After", "1"),
            (2, true) => Response::new(503, "busy"),
            _ => answers.answer(request),
        }
    });
    let begin = std::time::Instant::now();
    node.ok(&["pull", &format!("{}/x:1", busy.address)]);
    assert!(begin.elapsed() >= std::time::Duration::from_secs(1), "Retry-After is to be respected");
    let id = node.ok(&["images", "-q", "--no-trunc", &format!("{}/x:1", busy.address)]);
    node.ok(&["rmi", "-f", id.trim()]);

    let refused = |what: &str, words: &str, answer: Spoiler| {
        let answers = content.clone();
        let server = Server::start(&node, move |request| answer(answers.answer(request), &request.path));
        let error = node.fails(1, &["pull", &format!("{}/x:1", server.address)]);
        assert!(error.contains(words), "{what}: {error}");
        has_nothing(&node);
        server
    };
    let blob = layer.clone();
    refused(
        "another content",
        "digest mismatch",
        Box::new(move |mut response, path| {
            if path.contains(&blob) {
                response.body[1000] ^= 1;
            }
            response
        }),
    );
    let blob = layer.clone();
    refused(
        "too many bytes",
        "more bytes than its manifest says",
        Box::new(move |mut response, path| {
            if path.contains(&blob) {
                response.body.push(0);
            }
            response
        }),
    );
    let asked_for_long = refused(
        "a long wait",
        "429",
        Box::new(|response, path| {
            if path.contains("manifests") {
                Response::new(429, "slow down").with("Retry-After", "3600")
            } else {
                response
            }
        }),
    );
    assert_eq!(asked_for_long.count("GET", "/manifests/"), 1);
    refused(
        "a huge manifest",
        "more than the limit",
        Box::new(|mut response, path| {
            if path.contains("manifests") {
                response.body = vec![b' '; 9 << 20];
            }
            response
        }),
    );
    refused(
        "another digest than it says",
        "digest mismatch",
        Box::new(|response, path| {
            if path.contains("manifests") {
                return response.with("Docker-Content-Digest", format!("sha256:{}", "0".repeat(64)));
            }
            response
        }),
    );
    refused(
        "a loop",
        "there are too many",
        Box::new(|response, path| {
            if path.contains("manifests") {
                Response::new(307, "").with("Location", "/v2/x/manifests/1")
            } else {
                response
            }
        }),
    );
}

#[test]
fn redirects_get_no_credentials_and_platforms_are_chosen() {
    let node = Node::start();
    let mut content = Content::default();
    let attestation = content.image("unknown/unknown", &[b"attestation"], Compression::Gzip);
    let mut attestation = attestation;
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let host = content.image("linux/amd64", &[b"host", &noise(2000)], Compression::Zstd);
    let other = content.image("linux/riscv64", &[b"other"], Compression::Gzip);
    let manifests = [attestation, other.clone(), host.clone()];
    let index = content.manifest(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}));
    content.tag("1", &index);
    let blobs = content.clone();
    let elsewhere = Server::start(&node, move |request| blobs.answer(request));
    let to = elsewhere.address;
    let registry = Server::start(&node, move |request| {
        if request.header("authorization") != Some("Basic dXNlcjpwYXNz") {
            return Response::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\"");
        }
        if request.path.contains("/blobs/") {
            return Response::new(307, "").with("Location", format!("http://{to}{}", request.path));
        }
        content.answer(request)
    });
    let name = format!("{}/x:1", registry.address);
    let config = node.files().join("docker");
    node.file(
        "docker/config.json",
        &json!({"auths": {registry.address.to_string(): {"auth": "dXNlcjpwYXNz"}}}).to_string(),
    );
    let run = |args: &[&str]| {
        let output = orca_as(&node, &config, args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let (ok, said) = run(&["pull", &name]);
    assert!(ok && said.contains(&format!("Digest: {}", index["digest"].as_str().unwrap())), "{said}");
    let redirected = elsewhere.requests();
    assert!(redirected.len() >= 3 && redirected.iter().all(|request| request.header("authorization").is_none()));
    let platform = || node.ok(&["image", "inspect", &name]).contains("\"platform\": \"linux/amd64\"");
    assert!(platform());
    let (ok, said) = run(&["pull", "--platform", "linux/riscv64", &name]);
    assert!(ok && !platform(), "{said}");
    let (ok, said) = run(&["pull", "--platform", "linux/s390x", &name]);
    assert!(!ok && said.contains("has no image for platform linux/s390x: it has linux/amd64, linux/riscv64"), "{said}");
    let (ok, said) = run(&["push", "--platform", "linux/amd64", &name]);
    assert!(!ok && said.contains("has no image for platform linux/amd64: it has linux/riscv64"), "{said}");
}

/// A gate that a test opens.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

#[test]
fn pulls_share_their_layers_and_nothing_is_collected_under_them() {
    let node = Node::start();
    let mut content = Content::default();
    let image = content.image("linux/amd64", &[b"first", &noise(100_000)], Compression::Gzip);
    content.tag("1", &image);
    let layers = content.layers(&image);
    let gate = Gate::default();
    let (held, second) = (gate.clone(), layers[1].clone());
    let server = Server::start(&node, move |request| {
        if request.path.contains(&second) {
            held.pass();
        }
        content.answer(request)
    });
    let name = format!("{}/x:1", server.address);
    let pull = || {
        let mut command = node.orca_command(&["pull", &name]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let pulls = [pull(), pull(), pull()];
    node.wait_for("all of them have begun", || server.count("GET", "/manifests/1") == 3);
    node.wait_for("a layer is waited for", || server.count("GET", &layers[1]) == 1);
    let first = node.data_dir().join("image/blobs/sha256").join(layers[0].trim_start_matches("sha256:"));
    node.wait_for("the first layer is here", || first.exists());
    node.ok(&["image", "prune", "-af"]);
    assert!(first.exists(), "a running pull needs it");
    gate.open();
    for pull in pulls {
        let output = pull.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for layer in &layers {
        assert_eq!(server.count("GET", layer), 1, "each layer is downloaded once");
    }
    node.ok(&["create", &name, "x"]);
}

#[test]
fn an_abandoned_pull_leaves_nothing_and_a_daemon_that_dies_neither() {
    let mut node = Node::start();
    let (content, layer) = one_layer();
    let gate = Gate::default();
    let (held, blob) = (gate.clone(), layer.clone());
    let server = Server::start(&node, move |request| {
        if request.path.contains(&blob) {
            held.pass();
        }
        content.answer(request)
    });
    let name = format!("{}/x:1", server.address);
    let begin = || node.orca_command(&["pull", &name]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut given_up = begin();
    node.wait_for("the pull waits", || server.count("GET", &layer) == 1);
    given_up.kill().unwrap();
    given_up.wait().unwrap();
    let mut pull = begin();
    node.wait_for("another one begins", || server.count("GET", "/manifests/1") == 2);
    node.kill_daemon();
    assert!(!pull.wait().unwrap().success());
    gate.open();
    node.start_daemon();
    has_nothing(&node);
    node.ok(&["pull", &name]);
    let id = node.ok(&["images", "-q", "--no-trunc", &name]);
    node.ok(&["rmi", id.trim()]);
    let left = std::fs::read_dir(node.data_dir().join("image/staging")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn a_mirror_is_asked_first_and_passed_over_when_it_fails() {
    let (content, _) = one_layer();
    // The mirrors' ports must be known before the daemon starts.
    let mirrors = ["--registry-mirror", "http://127.0.0.1:1", "--registry-mirror", "http://127.0.0.1:5999/sub"];
    let node = Node::start_with(&mirrors);
    let server = Server::start_at(&node, "127.0.0.1:5999", move |request| {
        let mut request = request.clone();
        request.path = request.path.trim_start_matches("/sub").to_owned();
        content.answer(&request)
    });
    let pulled = node.ok(&["pull", "x:1"]);
    assert!(pulled.ends_with("Status: Downloaded newer image for x:1\ndocker.io/library/x:1\n"), "{pulled}");
    assert!(server.requests().iter().all(|request| request.path.starts_with("/sub/v2/library/x/")));
    // The registry itself is out of reach here, and is what the error is about.
    let error = node.fails(1, &["pull", "x:2"]);
    assert!(error.contains("cannot reach registry-1.docker.io"), "{error}");
}
