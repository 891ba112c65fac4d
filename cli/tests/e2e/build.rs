//! `orca build`: Dockerfiles, their cache, and what is wrong with them.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::support::Node;

/// A node with busybox, and a context of these files.
fn context(files: &[(&str, &str)]) -> Node {
    let node = Node::start().with_busybox();
    for (name, text) in files {
        node.file(&format!("ctx/{name}"), text);
    }
    node
}

fn inspect(node: &Node, image: &str) -> Value {
    serde_json::from_str::<Value>(&node.ok(&["image", "inspect", image])).unwrap()[0].take()
}

/// Builds, which must succeed; what was told on the way.
fn build(node: &Node, args: &[&str]) -> String {
    let output = node.orca(&[&["build", "--progress", "plain"], args].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}\n--- daemon\n{}", node.daemon_log());
    told
}

const STAGES: &str = "ARG V=1\nFROM busybox AS builder\nARG V\nWORKDIR /work\nCOPY src/ .\n\
    RUN echo \"building $V as $(id -u) in $(pwd)\"; cat a.txt > out; rm a.txt\nFROM busybox AS unused\nRUN false\n\
    FROM busybox\nENV A=b PATH=/bin:$PATH\nLABEL x=y\nVOLUME /data/v\nEXPOSE 80\nCOPY --from=builder --chown=user --chmod=600 /work/out /data/\n\
    COPY <<EOT /etc/conf\nvalue $A\nEOT\nRUN <<EOT\nset -e\ncat /etc/conf\nEOT\nUSER user\nENTRYPOINT [\"cat\"]\nCMD [\"/data/out\", \"/etc/conf\"]\n";

#[test]
fn stages_are_built_cached_and_run() {
    let node =
        context(&[("Dockerfile", STAGES), ("src/a.txt", "hello\n"), ("b.md", "no"), (".dockerignore", "*.md\n")]);
    let told = build(&node, &["-t", "app:1", "-t", "app:2", "--build-arg", "V=2", "--label", "l=m", "ctx"]);
    assert!(told.contains("building 2 as 0 in /work") && told.contains("[builder 3/4] COPY src/ ."), "{told}");
    assert!(!told.contains("unused"), "{told}");
    assert_eq!(node.ok(&["run", "--rm", "app:1"]), "hello\nvalue b\n");
    let image = inspect(&node, "app:2");
    let config = &image["Config"];
    assert_eq!(
        (config["User"].as_str(), config["Labels"]["x"].as_str(), config["Labels"]["l"].as_str()),
        (Some("user"), Some("y"), Some("m"))
    );
    assert!(config["Volumes"].get("/data/v").is_some() && config["ExposedPorts"].get("80/tcp").is_some());
    // busybox, the copied file, the text, the command; what edits the configuration adds no layer.
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 4, "{image}");
    assert_eq!(node.ok(&["run", "--rm", "--entrypoint", "stat", "app:1", "-c", "%a %U", "/data/out"]), "600 user\n");

    let told = build(&node, &["-t", "app:3", "--build-arg", "V=2", "--label", "l=m", "ctx"]);
    assert!(!told.contains("building 2") && told.matches("CACHED").count() >= 6, "{told}");
    assert_eq!(inspect(&node, "app:3")["Id"], image["Id"]);
    // Another content, and only what depends on it is done again.
    node.file("ctx/src/a.txt", "other\n");
    let told = build(&node, &["-t", "app:4", "--build-arg", "V=2", "ctx"]);
    assert!(told.contains("building 2"), "{told}");
    assert_eq!(node.ok(&["run", "--rm", "app:4"]), "other\nvalue b\n");
    // No container of a build is left or listed, and no image beside those that have names.
    assert_eq!(node.ok(&["ps", "-aq"]), "");
    assert!(!node.ok(&["images"]).contains("<none>"));
    assert!(node.ok(&["buildx", "du"]).contains("Reclaimable"));
    assert!(node.ok(&["builder", "prune", "-af"]).contains("Total:"));
    let told = build(&node, &["-q", "--target", "builder", "ctx"]);
    assert_eq!(told, "");
}

#[test]
fn mounts_secrets_networks_and_ignored_files() {
    let file = "FROM busybox\nRUN --mount=type=secret,id=s --mount=type=secret,id=e,env=E cat /run/secrets/s; echo \"env $E\"\n\
        RUN --mount=type=cache,target=/cache,sharing=locked echo x >> /cache/n; echo lines $(wc -l < /cache/n)\n\
        RUN --mount=type=bind,target=/src,rw --mount=type=tmpfs,target=/t cp /src/a.txt /copied && echo w > /src/w && touch /t/x; ls /src\n\
        RUN --network=none ip addr | grep -c ^[0-9]\nRUN test ! -e /cache/n && test ! -e /run/secrets && test ! -e /src\n";
    let node = context(&[("Dockerfile", file), ("a.txt", "a"), ("no.md", ""), (".dockerignore", "*.md")]);
    let secret = node.file("secret.txt", "a-word-that-is-nowhere-else\n");
    let secret = format!("id=s,src={}", secret.display());
    let args = ["-t", "m", "--secret", &secret, "--secret", "id=e,env=NO_COLOR", "--no-cache", "ctx"];
    let told = build(&node, &args);
    assert!(
        told.contains("a-word-that-is-nowhere-else") && told.contains("env 1") && told.contains("lines 1"),
        "{told}"
    );
    assert!(told.contains("a.txt") && !told.contains("no.md"), "{told}");
    assert!(build(&node, &args).contains("lines 2"));
    assert_eq!(
        node.ok(&["run", "--rm", "m", "sh", "-c", "cat /copied; ls / | grep -e cache -e src -e '^t$' | wc -l"]),
        "a0\n"
    );
    let files = std::process::Command::new("grep")
        .args(["-rl", "a-word-that-is-nowhere-else"])
        .arg(node.data_dir())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&files.stdout), "", "a secret is on disk");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let node = context(&[("ok", "")]);
    let fails = |file: &str, parts: &[&str]| {
        node.file("ctx/Dockerfile", file);
        let told = node.fails(1, &["build", "--progress", "plain", "ctx"]);
        for part in parts {
            assert!(told.contains(part), "{file:?} gave no {part:?}:\n{told}");
        }
    };
    fails(
        "FROM busybox\nRUM x\n",
        &["Dockerfile:2", "   2 | >>> RUM x", "unknown instruction: RUM (did you mean RUN?)"],
    );
    fails(
        "FROM busybox\nRUN echo out; exit 3\n",
        &[
            "Dockerfile:2",
            "did not complete successfully: exit code: 3",
            "------\n > [2/2] RUN echo out; exit 3:\nout\n",
        ],
    );
    fails("FROM busybox\nCOPY missing /\n", &["Dockerfile:2", "\"/missing\": not found"]);
    fails("FROM busybox\nCOPY ../../etc/passwd /\n", &["\"/../../etc/passwd\": not found"]);
    fails("FROM busybox AS a\nCOPY --from=b x y\nFROM a AS b\n", &["circular dependency"]);
    fails("FROM busybox\nCOPY --chown=nobody-here ok /\n", &["Dockerfile:2", "unable to find user nobody-here"]);
    fails("FROM busybox\nCOPY ok /etc/passwd/x\n", &["not a directory"]);
    fails("FROM busybox\nRUN --security=insecure x\n", &["security.insecure is not allowed"]);
    fails("FROM busybox\nADD https://example.org/x /\n", &["not supported", "https://example.org/x"]);
    fails("FROM scratch\nRUN x\n", &["Dockerfile:2"]);
    assert!(node.fails(1, &["build", "https://example.org/repo.git"]).contains("not supported"));
    assert!(node.fails(1, &["build", "none"]).contains("Dockerfile"));
    node.file("ctx/Dockerfile", "FROM busybox\n");
    assert!(node.ok(&["build", "--check", "ctx"]).contains("Check complete"));
    assert!(node.fails(1, &["build", "-t", "BAD NAME", "ctx"]).contains("--tag"));
    assert_eq!(node.ok(&["ps", "-aq"]), "");
    // Nobody's container is taken for a build's, which no list shows and the next daemon removes.
    assert!(node.fails(125, &["create", "-l", "io.orca.build=x", "busybox"]).contains("io.orca.build"));
    node.file("ctx/Dockerfile", "FROM busybox\nLABEL io.orca.build=x\n");
    node.ok(&["build", "-q", "-t", "marked", "ctx"]);
    node.ok(&["create", "marked", "true"]);
    assert_eq!(node.ok(&["ps", "-aq"]).lines().count(), 1);
}

#[test]
fn archives_texts_and_outputs() {
    let node = context(&[
        (
            "Dockerfile",
            "FROM busybox AS b\nRUN echo made > /made\nFROM scratch\nADD t.tar.gz /in/\nCOPY --from=b /made /\n",
        ),
        ("x/inner", "inner"),
    ]);
    let files = node.files();
    let tar = |args: &[&str]| {
        assert!(std::process::Command::new("tar").current_dir(&files).args(args).status().unwrap().success())
    };
    tar(&["-C", "ctx/x", "-czf", "ctx/t.tar.gz", "inner"]);
    let epoch = |args: &[&str]| {
        let output = node
            .orca_command(&[&["build", "-q", "--no-cache"], args].concat())
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // The same digest twice, though everything is done again.
    let first = epoch(&["-t", "r", "--iidfile", "id", "--metadata-file", "meta", "ctx"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(first, epoch(&["-t", "r", "ctx"]));
    assert_eq!(std::fs::read_to_string(files.join("id")).unwrap(), first.trim());
    let meta: Value = serde_json::from_str(&std::fs::read_to_string(files.join("meta")).unwrap()).unwrap();
    assert_eq!(meta["containerimage.config.digest"], first.trim());
    node.ok(&["build", "-q", "-o", "out", "ctx"]);
    assert_eq!(std::fs::read_to_string(files.join("out/in/inner")).unwrap(), "inner");
    assert_eq!(std::fs::read_to_string(files.join("out/made")).unwrap(), "made\n");
    node.ok(&["build", "-q", "-t", "kept:1", "-o", "type=oci,dest=a.tar", "ctx"]);
    assert!(node.fails(1, &["image", "inspect", "kept:1"]).contains("No such image"));
    assert!(node.ok(&["load", "-i", "a.tar"]).contains("kept:1"));
    // An archive, and a Dockerfile alone, on standard input.
    tar(&["-C", "ctx", "-cf", "ctx.tar", "."]);
    let piped = |bytes: &[u8], args: &[&str]| {
        let mut command = node.orca_command(&[&["build", "-q"], args].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(bytes);
        child.wait_with_output().unwrap()
    };
    let output = piped(&std::fs::read(files.join("ctx.tar")).unwrap(), &["-t", "t", "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = piped(b"FROM busybox\nRUN echo alone > /f\n", &["-t", "alone", "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(node.ok(&["run", "--rm", "alone", "cat", "/f"]), "alone\n");
    let output = piped(b"FROM busybox\nCOPY a /\n", &["-"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no build context"));
    let told = build(
        &node,
        &[
            "--build-context",
            "more=ctx/x",
            "--build-context",
            "base=docker-image://busybox",
            "-f",
            node.file("D", "FROM base\nCOPY --from=more inner /\n").to_str().unwrap(),
            "-t",
            "named",
            "ctx",
        ],
    );
    assert_eq!(node.ok(&["run", "--rm", "named", "cat", "/inner"]), "inner", "{told}");
}

#[test]
fn a_build_that_is_killed_leaves_nothing() {
    let mut node = context(&[("Dockerfile", "FROM busybox\nRUN echo begun; sleep 1000\n")]);
    let mut child = node.orca_command(&["build", "--progress", "plain", "ctx"]).stderr(Stdio::null()).spawn().unwrap();
    let mounted = |node: &Node| {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.lines().filter(|line| line.contains(node.dir().to_str().unwrap()) && line.contains("overlay")).count()
    };
    let running = |node: &Node| std::fs::read_dir(node.data_dir().join("containers")).map_or(0, Iterator::count);
    node.wait_for("the step runs", || running(&node) == 1);
    node.kill_daemon();
    child.wait().unwrap();
    node.start_daemon();
    node.wait_for("its container is gone", || running(&node) == 0);
    assert_eq!(mounted(&node), 0);
    assert_eq!(std::fs::read_dir(node.data_dir().join("image/staging")).unwrap().count(), 0);
    // A client that goes away ends its build.
    let mut child = node.orca_command(&["build", "ctx"]).stderr(Stdio::null()).spawn().unwrap();
    node.wait_for("the step runs", || running(&node) == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    node.wait_for("its container is gone", || running(&node) == 0);
}

const PROJECT: &str = "name: built\nservices:\n  base:\n    build: {context: ./base, dockerfile_inline: \"FROM busybox\\nCOPY shared /shared\\n\"}\n    scale: 0\n\
    \x20 web:\n    build:\n      context: ./web\n      args: {V: one}\n      target: final\n      additional_contexts: {common: 'service:base'}\n\
    \x20     secrets: [s]\n      labels: {l: m}\n      tags: ['extra:1']\n    command: [sleep, '1000']\n    stop_grace_period: 0s\n\
    \x20 other: {image: busybox, command: [sleep, '1000'], stop_grace_period: 0s}\nsecrets: {s: {file: ./secret}}\n";

#[test]
fn compose_builds_what_is_missing_and_what_it_is_told_to() {
    let dockerfile = "FROM busybox AS final\nARG V\nCOPY page /page\nCOPY --from=common /shared /shared\n\
        RUN --mount=type=secret,id=s test -s /run/secrets/s && echo $V > /v\nFROM busybox\nRUN false\n";
    let node = context(&[]);
    node.file("web/Dockerfile", dockerfile);
    node.file("web/page", "first\n");
    node.file("base/shared", "shared\n");
    node.file("secret", "hush");
    node.file("compose.yml", PROJECT);
    assert!(node.fails(1, &["compose", "up", "-d", "--no-build"]).contains("built-web"));
    node.ok(&["compose", "up", "-d"]);
    let cat = |file: &str| node.ok(&["compose", "exec", "-T", "web", "cat", file]);
    assert_eq!((cat("/page").as_str(), cat("/shared").as_str(), cat("/v").as_str()), ("first\n", "shared\n", "one\n"));
    let image = inspect(&node, "extra:1");
    assert_eq!(image["Id"], inspect(&node, "built-web")["Id"]);
    assert_eq!(image["Config"]["Labels"]["l"], "m");
    let ids = |service: &str| node.ok(&["compose", "ps", "-q", service]);
    let (web, other) = (ids("web"), ids("other"));
    // What is there is not built again, unless it is asked for; then only what has changed is made anew.
    node.file("web/page", "second\n");
    node.ok(&["compose", "up", "-d"]);
    assert_eq!(ids("web"), web);
    node.ok(&["compose", "up", "-d", "--build"]);
    assert_ne!(ids("web"), web);
    assert_eq!((cat("/page").as_str(), ids("other")), ("second\n", other));
    node.file("web/page", "third\n");
    node.ok(&["compose", "build", "-q", "--build-arg", "V=two", "web"]);
    assert_eq!(node.ok(&["compose", "run", "--rm", "-T", "web", "cat", "/page", "/v"]), "third\ntwo\n");
    node.file("web/Dockerfile", "FROM busybox\nRUN exit 4\n");
    let told = node.fails(1, &["compose", "build", "web"]);
    assert!(
        told.contains("service web") && told.contains("Dockerfile:1") && told.contains("target stage \"final\""),
        "{told}"
    );
    node.file("compose.yml", "services: {a: {build: {context: ., cache_from: [x], ssh: [default]}}}\n");
    let told = node.fails(1, &["compose", "build"]);
    assert!(told.contains("cache_from") && told.contains("ssh"), "{told}");
}
