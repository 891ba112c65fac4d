//! Compose files from git repositories.

use std::process::{Child, Command, Output};

use crate::support::Node;

/// A repository that is served on the host's loopback.
struct Served {
    node: Node,
    server: Child,
}

impl Drop for Served {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.server);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.server.wait();
    }
}

const FILE: &str = r#"
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    env_file: web.env
    volumes: ["./pages:/pages"]
"#;

impl Served {
    fn start() -> Self {
        let node = Node::start().with_busybox();
        let work = node.files().join("work");
        node.file("work/deploy/compose.yaml", FILE);
        node.file("work/deploy/web.env", "GREETING=one\n");
        node.file("work/deploy/pages/index.html", "hello\n");
        node.file("work/part.yaml", "services: {part: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}}\n");
        std::os::unix::fs::symlink("/etc/hostname", work.join("out.yaml")).unwrap();
        git(&node, &["init", "-q", "-b", "main", "."]);
        commit(&node);
        std::fs::create_dir(node.files().join("served")).unwrap();
        git(&node, &["clone", "-q", "--bare", ".", "../served/shop.git"]);
        use std::os::unix::process::CommandExt;
        let base = format!("--base-path={}", node.files().join("served").display());
        let mut server = node.host_command("git");
        server.args(["daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", &base]).process_group(0);
        let server = server.spawn().unwrap();
        let served = Self { node, server };
        let url = "git://127.0.0.1/shop.git";
        served.node.wait_for("git answers", || {
            served.node.host_command("git").args(["ls-remote", "-q", url]).output().unwrap().status.success()
        });
        served
    }

    /// Runs orca on the host that reaches the repository.
    fn orca(&self, args: &[&str]) -> Output {
        let mut command = self.node.host_command(env!("CARGO_BIN_EXE_orca"));
        command.env("ORCA_HOST", self.node.address()).env("XDG_CACHE_HOME", self.node.files().join("cache"));
        command.current_dir(self.node.files()).args(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.orca(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn fails(&self, file: &str) -> String {
        let output = self.orca(&["compose", "-f", file, "config"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{file}: {error}");
        error
    }
}

fn git(node: &Node, args: &[&str]) -> String {
    let output = Command::new("git").args(args).current_dir(node.files().join("work")).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Commits all that is there; the commit.
fn commit(node: &Node) -> String {
    git(node, &["add", "-A"]);
    git(node, &["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "change"]);
    git(node, &["rev-parse", "HEAD"])
}

#[test]
fn an_application_comes_from_a_repository() {
    let mut served = Served::start();
    let url = "git://127.0.0.1/shop.git#main:deploy";
    let config = served.ok(&["compose", "-f", url, "config"]);
    assert!(config.contains("name: deploy") && config.contains("GREETING: one"), "{config}");
    served.ok(&["compose", "-p", "shop", "-f", url, "up", "-d"]);
    assert_eq!(served.node.ok(&["exec", "shop-web-1", "cat", "/pages/index.html"]), "hello\n");
    served.ok(&["compose", "-p", "shop", "-f", url, "down"]);
    // A branch is asked for anew; a commit is what it was, without a server, too.
    let before = git(&served.node, &["rev-parse", "HEAD"]);
    served.node.file("work/deploy/web.env", "GREETING=two\n");
    commit(&served.node);
    git(&served.node, &["push", "-q", "../served/shop.git", "main"]);
    assert!(served.ok(&["compose", "-f", url, "config"]).contains("GREETING: two"));
    // In files, and beside others.
    served.node.file(
        "compose.yaml",
        "name: mine\ninclude: ['git://127.0.0.1/shop.git#main:part.yaml']\nservices: {own: {image: x}}\n",
    );
    assert_eq!(served.ok(&["compose", "config", "--services"]), "own\npart\n");
    let extended = "services: {own: {extends: {file: 'git://127.0.0.1/shop.git#main:part.yaml', service: part}}}\n";
    served.node.file("extending.yaml", extended);
    assert!(served.ok(&["compose", "-f", "extending.yaml", "config"]).contains("image: busybox"));
    for (file, told) in [
        ("git://127.0.0.1/shop.git#nosuch", "it has no \"nosuch\""),
        ("git://127.0.0.1/nosuch.git", "cannot fetch git://127.0.0.1/nosuch.git"),
        ("git://127.0.0.1/shop.git", "it has no Compose file"),
        ("git://127.0.0.1/shop.git#main:../deploy", "the directory \"../deploy\""),
        ("git://127.0.0.1/shop.git#main:out.yaml", "leads out of it"),
        ("git://127.0.0.1/shop.git#--upload-pack=id", "the ref \"--upload-pack=id\""),
        ("https://127.0.0.1/compose.yaml", "only oci:// and git repositories are fetched"),
        ("file:///etc/x.git", "only oci:// and git repositories are fetched"),
    ] {
        let error = served.fails(file);
        assert!(error.contains(told), "{file}: {error}");
    }
    let group = rustix::process::Pid::from_child(&served.server);
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    served.server.wait().unwrap();
    let pinned = format!("git://127.0.0.1/shop.git#{before}:deploy");
    assert!(served.ok(&["compose", "-f", &pinned, "config"]).contains("GREETING: one"));
    assert!(served.fails(url).contains("cannot fetch"));
    let left = std::fs::read_dir(served.node.files().join("cache/orca/compose-git")).unwrap();
    assert_eq!(left.count(), 2, "a directory a commit, and nothing half done");
}

#[test]
fn without_git_it_is_said_what_to_do() {
    let node = Node::prepare(&[]);
    let output = node
        .orca_command(&["compose", "-f", "https://user:secret@host.invalid/shop.git", "config"])
        .env("PATH", node.files())
        .env("XDG_CACHE_HOME", node.files())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("git is not installed") && !error.contains("secret"), "{error}");
}
