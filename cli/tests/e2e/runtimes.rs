//! Runtimes that are programs of their own, in the place of the built-in one: Debian's runc and crun.

use std::path::Path;
use std::process::Stdio;

use crate::support::Node;

/// Debian's crun knows no hybrid cgroups: it gets to see those of v1 only. `unified` runs it as it is.
const CRUN: &str = "#!/bin/sh
exec unshare --mount sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun \"$@\"' sh \"$@\"
";

fn node(directory: &Path) -> Node {
    let crun = directory.join("crun");
    std::fs::write(&crun, CRUN).unwrap();
    std::fs::set_permissions(&crun, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let crun = format!("crun={}", crun.display());
    Node::start_with(&["--add-runtime", "runc=/usr/sbin/runc", "--add-runtime", &crun]).with_busybox()
}

/// Cgroups of this node's containers that are left.
fn cgroups(id: &str) -> Vec<std::path::PathBuf> {
    let roots = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    let nodes = roots.chain([Path::new("/sys/fs/cgroup").to_owned()]).flat_map(|root| {
        std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>()
    });
    nodes.map(|node| node.join(id)).filter(|path| path.exists()).collect()
}

fn lives_as_with_the_built_in(runtime: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut node = node(directory.path());
    let flag = format!("--runtime={runtime}");
    let run = |node: &Node, args: &[&str]| node.ok(&[&["run", "--rm", &flag], args].concat());
    assert_eq!(run(&node, &["busybox", "echo", "hello"]), "hello\n");
    node.fails(37, &["run", "--rm", &flag, "busybox", "sh", "-c", "exit 37"]);
    node.fails(137, &["run", "--rm", &flag, "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]);
    let error = node.fails(127, &["run", "--rm", &flag, "busybox", "no-such-program"]);
    assert!(error.contains("no-such-program"), "{error}");
    node.fails(126, &["run", "--rm", &flag, "busybox", "/etc/passwd"]);
    assert!(run(&node, &["-t", "busybox", "tty"]).contains("/dev/pts/0"));
    assert_eq!(run(&node, &["-u", "user", "-w", "/tmp", "busybox", "sh", "-c", "id -u; pwd"]), "1000\n/tmp\n");
    assert!(run(&node, &["busybox", "grep", "CapEff", "/proc/self/status"]).contains("00000000a80425fb"));

    let id = node.ok(&[
        "run",
        "-d",
        &flag,
        "-m",
        "64m",
        "--pids-limit",
        "50",
        "busybox",
        "sh",
        "-c",
        "echo started; exec sleep 1000",
    ]);
    let id = id.trim();
    node.wait_for("the line is in the log", || node.ok(&["logs", id]) == "started\n");
    assert_eq!(node.ok(&["exec", id, "cat", "/proc/1/comm"]), "sleep\n");
    assert_eq!(
        node.ok(&["exec", "-u", "user", "-w", "/tmp", "-e", "A=b", id, "sh", "-c", "id -u; pwd; echo $A"]),
        "1000\n/tmp\nb\n"
    );
    node.fails(3, &["exec", id, "sh", "-c", "exit 3"]);
    node.fails(127, &["exec", id, "no-such-program"]);
    let mut child = node
        .orca_command(&["exec", "-i", id, "wc", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &vec![b'x'; 300_000]).unwrap();
    assert_eq!(String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).trim(), "300000");
    assert!(!cgroups(id).is_empty());

    node.kill_daemon();
    node.start_daemon();
    assert_eq!(node.ok(&["exec", id, "echo", "still here"]), "still here\n");
    node.ok(&["stop", "-t", "0", id]);
    node.ok(&["start", id]);
    node.wait_for("it has been run again", || node.ok(&["logs", id]) == "started\nstarted\n");
    node.ok(&["rm", "-f", id]);
    assert_eq!(cgroups(id), Vec::<std::path::PathBuf>::new());
}

#[test]
fn crun_makes_containers() {
    lives_as_with_the_built_in("crun");
}

#[test]
fn runc_makes_containers() {
    lives_as_with_the_built_in("runc");
}

#[test]
fn runtimes_are_known_by_name_only() {
    let directory = tempfile::tempdir().unwrap();
    let node = node(directory.path());
    assert_eq!(node.ok(&["run", "--rm", "--runtime", "orca", "busybox", "echo", "built in"]), "built in\n");
    let error = node.fails(125, &["run", "--rm", "--runtime", "/usr/bin/crun", "busybox", "true"]);
    assert!(error.contains("crun, orca, runc"), "{error}");
    let output = node.orca(&["daemon", "--add-runtime", "orca=/bin/true"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("built in"));
    let output = node.orca(&["daemon", "--add-runtime", "x=/nonexistent"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent"));
}
