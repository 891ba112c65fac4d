//! `orca compose watch` and `up --watch`, with real files and containers.

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;

use crate::support::Node;

const FILE: &str = "
name: live
services:
  web:
    image: busybox
    command: sh -c \"echo started >> /starts; exec sleep 1000\"
    init: true
    scale: 2
    develop:
      watch:
        - {action: sync, path: ./src, target: /app, ignore: [node_modules/], initial_sync: true}
        - {action: sync+restart, path: ./web.conf, target: /etc/web.conf}
        - action: sync+exec
          path: ./pages
          target: /pages
          include: '*.html'
          exec: {command: \"sh -c 'echo $$WHAT >> /execs'\", environment: {WHAT: rendered}, user: root}
  db:
    image: busybox
    command: sleep 1000
    init: true
    develop:
      watch: [{action: restart, path: ./db.conf}]
";

struct Session {
    node: Node,
    watcher: Child,
}

/// Starts `orca compose ARGS` and waits until it watches.
fn watching(args: &[&str]) -> Session {
    let node = Node::start().with_busybox();
    node.file("compose.yml", FILE);
    node.file("src/first", "1");
    node.file("src/node_modules/lib", "1");
    node.file("web.conf", "1");
    node.file("db.conf", "1");
    std::fs::create_dir(node.files().join("pages")).unwrap();
    watching_on(node, args)
}

/// The same with the files that are there.
fn watching_on(node: Node, args: &[&str]) -> Session {
    let output = File::create(node.files().join("output")).unwrap();
    let errors = output.try_clone().unwrap();
    let watcher = node.orca_command(&[&["compose"], args].concat()).stdout(output).stderr(errors).spawn().unwrap();
    let session = Session { node, watcher };
    session.node.wait_for("it watches", || session.output().contains("Watch enabled"));
    session
}

impl Session {
    fn output(&self) -> String {
        std::fs::read_to_string(self.node.files().join("output")).unwrap()
    }

    fn sh(&self, container: &str, script: &str) -> String {
        let output = self.node.orca(&["exec", container, "sh", "-c", script]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn shows(&self, container: &str, script: &str, expected: &str) {
        let what = format!("{container}: {script}: {expected:?}\n{}", self.output());
        self.node.wait_for(&what, || self.sh(container, script) == expected);
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) -> (Node, Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.watcher);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let code = self.watcher.wait().unwrap().code();
        let output = self.output();
        (self.node, code, output)
    }
}

#[test]
fn changes_come_to_the_containers() {
    let session = watching(&["watch"]);
    let node = &session.node;
    let src = |name: &str| -> PathBuf { node.files().join("src").join(name) };
    // What was there, and nothing that is ignored.
    for container in ["live-web-1", "live-web-2"] {
        session.shows(container, "cat /app/first; ls /app", "1first\n");
    }
    // A save as editors do it, a new directory, and a name with a space.
    node.file("src/.first.tmp", "2");
    std::fs::rename(src(".first.tmp"), src("first")).unwrap();
    node.file("src/new/deep/a b", "3");
    node.file("src/node_modules/lib", "2");
    node.file("src/.git/HEAD", "x");
    session.shows("live-web-2", "cat /app/first '/app/new/deep/a b'", "23");
    session.shows("live-web-1", "cat /app/first '/app/new/deep/a b'; ls -A /app", "23first\nnew\n");
    // What goes here goes there; what is the container's own stays.
    session.sh("live-web-1", "echo own > /app/own");
    std::fs::remove_dir_all(src("new")).unwrap();
    session.shows("live-web-1", "ls -A /app", "first\nown\n");
    // Restarts: of the service that asks for it, and with its files.
    session.shows("live-web-1", "wc -l < /starts", "1\n");
    let before = node.ok(&["inspect", "-f", "{{.State.StartedAt}}", "live-db-1"]);
    node.file("web.conf", "2");
    session.shows("live-web-1", "cat /etc/web.conf; wc -l < /starts", "22\n");
    assert_eq!(node.ok(&["inspect", "-f", "{{.State.StartedAt}}", "live-db-1"]), before);
    node.file("db.conf", "2");
    node.wait_for("db is restarted", || node.ok(&["inspect", "-f", "{{.State.StartedAt}}", "live-db-1"]) != before);
    // Commands, only for what is included.
    node.file("pages/style.css", "");
    node.file("pages/index.html", "");
    session.shows("live-web-2", "ls /pages; cat /execs", "index.html\nrendered\n");
    let (node, code, output) = session.interrupt();
    assert_eq!(code, Some(130), "{output}");
    assert!(output.contains("Syncing service \"web\" after 1 changes were detected"), "{output}");
    assert!(node.ok(&["ps"]).contains("live-web-1"), "the application goes on");
}

#[test]
fn a_dry_run_tells_of_changes_and_makes_none() {
    let session = watching(&["--dry-run", "watch"]);
    let told = |line: &str| session.node.wait_for(line, || session.output().contains(line));
    told("DRY-RUN MODE -  Container live-web-1  Started");
    told("DRY-RUN MODE -  File web:/app/first  Synced");
    session.node.file("src/second", "2");
    told("DRY-RUN MODE -  File web:/app/second  Synced");
    session.node.file("db.conf", "2");
    told("DRY-RUN MODE -  Service db  Restarted");
    session.node.file("pages/index.html", "");
    told("  Executed");
    let (node, code, output) = session.interrupt();
    assert_eq!(code, Some(130), "{output}");
    assert_eq!(node.ok(&["ps", "-aq"]), "");
}

#[test]
fn images_that_a_rebuild_replaces_go() {
    for (args, left) in [(&["watch", "--quiet"][..], 0), (&["watch", "--prune=false"], 1)] {
        let node = Node::start().with_busybox();
        node.file("Dockerfile", "FROM busybox\nCOPY src /src\n");
        node.file("src/page", "1");
        let file = "
name: live
services:
  web:
    {build: ., command: sleep 1000, init: true, develop: {watch: [{action: rebuild, path: ./src}]}}
";
        node.file("compose.yml", file);
        let session = watching_on(node, args);
        session.shows("live-web-1", "cat /src/page", "1");
        session.node.file("src/page", "2");
        session.shows("live-web-1", "cat /src/page", "2");
        let dangling = || session.node.ok(&["images", "-q", "--filter", "dangling=true"]).lines().count();
        session.node.wait_for("what it replaced goes, or stays", || dangling() == left);
        assert_eq!(session.output().contains("COPY src /src"), !args.contains(&"--quiet"), "{}", session.output());
        session.interrupt();
    }
}

#[test]
fn up_shows_output_and_watches() {
    let session = watching(&["up", "--watch"]);
    session.node.file("src/first", "2");
    session.shows("live-web-1", "cat /app/first", "2");
    let (node, code, output) = session.interrupt();
    assert_eq!(code, Some(130), "{output}");
    assert!(!node.ok(&["ps"]).contains("live-web"), "{output}");
}

#[test]
fn what_cannot_be_watched_is_said() {
    let node = Node::start().with_busybox();
    let file = |watch: &str| {
        let text = format!("services: {{a: {{image: busybox, volumes: ['./b:/b'], develop: {{watch: [{watch}]}}}}}}");
        node.file("compose.yml", &text);
    };
    node.file("compose.yml", "services: {a: {image: busybox}}");
    let error = node.fails(1, &["compose", "watch"]);
    assert!(error.contains("none of the services is configured for watch"), "{error}");
    file("{action: rebuild, path: .}");
    let error = node.fails(1, &["compose", "watch"]);
    assert!(error.contains("rebuild") && error.contains("no build section"), "{error}");
    file("{action: sync+exec, path: ., target: /x}");
    let error = node.fails(1, &["compose", "up", "-w"]);
    assert!(error.contains("compose.yml:1:") && error.contains("exec is required"), "{error}");
    file("{action: sync, path: ., target: /x, ignore: '['}");
    let error = node.fails(1, &["compose", "watch"]);
    assert!(error.contains("invalid ignore pattern"), "{error}");
    assert_eq!(node.ok(&["ps", "-aq"]), "", "nothing was started");
}
