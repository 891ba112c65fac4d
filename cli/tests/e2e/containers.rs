//! `orca run` and what people do with containers.

use std::io::Write;
use std::process::Stdio;

use crate::support::Node;

#[test]
fn run_prints_and_passes_the_exit_code_on() {
    let node = Node::start().with_busybox();
    assert_eq!(node.ok(&["run", "--rm", "busybox", "echo", "hello"]), "hello\n");
    node.fails(37, &["run", "--rm", "busybox", "sh", "-c", "exit 37"]);
    node.fails(137, &["run", "--rm", "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]);
    let error = node.fails(127, &["run", "--rm", "busybox", "no-such-program"]);
    assert!(error.contains("no-such-program"), "{error}");
    let error = node.fails(126, &["run", "--rm", "busybox", "/etc/passwd"]);
    assert!(error.contains("/etc/passwd"), "{error}");
    let error = node.fails(125, &["run", "--rm", "no-such-image"]);
    assert!(error.contains("no-such-image"), "{error}");
    node.fails(125, &["run", "--no-such-flag", "busybox"]);
    assert_eq!(node.ok(&["ps", "-aq"]), "", "containers with --rm are gone");
}

#[test]
fn detached_containers_live_through_their_verbs() {
    let node = Node::start().with_busybox();
    let id = node.ok(&["run", "-d", "--name", "sleeper", "busybox", "sh", "-c", "echo started; sleep 1000"]);
    assert_eq!(id.trim().len(), 64);
    node.wait_for("the line is in the log", || node.ok(&["logs", "sleeper"]) == "started\n");
    let row = node.ok(&["ps", "--format", "json"]);
    let row: serde_json::Value = serde_json::from_str(row.trim()).unwrap();
    assert_eq!((row["Names"].as_str(), row["State"].as_str()), (Some("sleeper"), Some("running")));
    assert!(row["Status"].as_str().unwrap().starts_with("Up "));
    let error = node.fails(125, &["run", "-d", "--name", "sleeper", "busybox"]);
    assert!(error.contains("sleeper"), "{error}");

    assert_eq!(node.ok(&["exec", "sleeper", "cat", "/proc/1/comm"]), "sleep\n");
    node.fails(3, &["exec", "sleeper", "sh", "-c", "exit 3"]);
    node.fails(127, &["exec", "sleeper", "no-such-program"]);
    assert_eq!(
        node.ok(&["exec", "-u", "user", "-w", "/tmp", "-e", "A=b", "sleeper", "sh", "-c", "id -u; pwd; echo $A"]),
        "1000\n/tmp\nb\n"
    );

    node.ok(&["stop", "-t", "1", "sleeper"]);
    let state = node.ok(&["inspect", "sleeper"]);
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state[0]["State"]["Status"], "exited");
    assert_eq!(state[0]["State"]["ExitCode"], 137, "sleep has no handler, and process 1 needs one");
    node.ok(&["start", "sleeper"]);
    node.wait_for("it logs again", || node.ok(&["logs", "sleeper"]) == "started\nstarted\n");
    node.ok(&["restart", "-t", "0", "sleeper"]);
    node.wait_for("and again", || {
        node.ok(&["logs", "--tail", "1", "sleeper"]) == "started\n"
            && node.ok(&["logs", "sleeper"]).lines().count() == 3
    });
    let error = node.fails(1, &["rm", "sleeper"]);
    assert!(error.contains("running"), "{error}");
    node.ok(&["rm", "-f", "sleeper"]);
    assert_eq!(node.ok(&["ps", "-aq"]), "");
    node.fails(1, &["inspect", "sleeper"]);
}

#[test]
fn standard_input_goes_through_whole() {
    let node = Node::start().with_busybox();
    let mut child = node
        .orca_command(&["run", "--rm", "-i", "busybox", "wc", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&vec![b'x'; 5_000_000]).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "5000000");
}

#[test]
fn defaults_are_dockers() {
    let node = Node::start().with_busybox();
    let run = |args: &[&str]| node.ok(&[&["run", "--rm"], args].concat());
    assert!(
        run(&["busybox", "grep", "CapEff", "/proc/self/status"]).contains("00000000a80425fb"),
        "the fourteen capabilities"
    );
    assert!(run(&["busybox", "grep", "Seccomp:", "/proc/self/status"]).contains('2'), "filtered");
    assert!(
        run(&["--security-opt", "seccomp=unconfined", "busybox", "grep", "Seccomp:", "/proc/self/status"])
            .contains('0')
    );
    assert!(
        run(&["--security-opt", "no-new-privileges", "busybox", "grep", "NoNewPrivs", "/proc/self/status"])
            .contains('1')
    );
    let error = node.fails(1, &["run", "--rm", "busybox", "sh", "-c", "echo x > /proc/sys/kernel/hostname || exit 1"]);
    assert!(error.contains("Read-only"), "{error}");
    let env = run(&["--name", "envy", "busybox", "env"]);
    assert!(
        env.contains("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") && env.contains("HOME=/root"),
        "{env}"
    );
    let limits = run(&["-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "busybox", "cat", "/proc/self/cgroup"]);
    assert!(limits.contains("memory") || limits.contains("0::"), "{limits}");
    node.fails(137, &["run", "--rm", "-m", "32m", "busybox", "sh", "-c", "x=$(yes | head -c 100000000); echo"]);
}

#[test]
fn restart_policies_run_the_same_container_again() {
    let node = Node::start().with_busybox();
    let id = node.ok(&["run", "-d", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo run; exit 4"]);
    let id = id.trim();
    node.wait_for("it has been run three times", || node.ok(&["logs", id]) == "run\nrun\nrun\n");
    assert_eq!(node.ok(&["wait", id]), "4\n");
    let state: serde_json::Value = serde_json::from_str(&node.ok(&["inspect", id])).unwrap();
    assert_eq!(state[0]["RestartCount"], 2);
    node.ok(&["rm", id]);
}

#[test]
fn health_is_shown() {
    let node = Node::start().with_busybox();
    node.ok(&[
        "run",
        "-d",
        "--name",
        "sick",
        "--health-cmd",
        "test -f /tmp/well",
        "--health-interval",
        "100ms",
        "--health-retries",
        "2",
        "busybox",
        "sleep",
        "1000",
    ]);
    node.wait_for("unhealthy", || node.ok(&["ps"]).contains("(unhealthy)"));
    node.ok(&["exec", "sick", "touch", "/tmp/well"]);
    node.wait_for("healthy", || node.ok(&["ps"]).contains("(healthy)"));
    node.ok(&["rm", "-f", "sick"]);
}
