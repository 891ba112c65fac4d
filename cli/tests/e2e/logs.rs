//! What containers write, and where it goes.

use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::Node;

/// Prints numbered lines, some thousand a burst.
fn writer(lines: u32) -> String {
    format!(
        r#"awk 'BEGIN {{ for (i = 1; i <= {lines}; i++) {{ print "line " i; if (i % 2000 == 0) {{ fflush(); system("sleep 0.02") }} }} }}'"#
    )
}

fn numbers(text: &str) -> Vec<u32> {
    text.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_follower_sees_every_line_once_through_many_rotations() {
    let node = Node::start().with_busybox();
    let lines = 60_000;
    let options = ["--log-opt", "max-size=100k", "--log-opt", "max-file=200", "--log-opt", "compress=true"];
    let script = writer(lines);
    let args = [&["run", "-d", "--name", "writer"], &options[..], &["busybox", "sh", "-c", &script]].concat();
    node.ok(&args);
    let follower = node.orca_command(&["logs", "-f", "writer"]).stdout(Stdio::piped()).spawn().unwrap();
    let output = follower.wait_with_output().unwrap();
    let expected: Vec<u32> = (1..=lines).collect();
    assert!(numbers(&String::from_utf8(output.stdout).unwrap()) == expected, "every line once, in order");
    let log = inspect(&node, "writer", "LogPath");
    assert!(std::path::Path::new(&format!("{log}.40.gz")).exists(), "it was rotated and compressed many times");

    assert!(numbers(&node.ok(&["logs", "writer"])) == expected);
    assert!(
        numbers(&node.ok(&["logs", "-n", "30000", "writer"])) == expected[30_000..],
        "a tail that begins in compressed files"
    );
    assert_eq!(numbers(&node.ok(&["logs", "--tail", "3", "writer"])), [59_998, 59_999, 60_000]);
    let stamped = node.ok(&["logs", "-t", "writer"]);
    let stamped: Vec<&str> = stamped.lines().collect();
    let time = |line: &str| line.split(' ').next().unwrap().to_owned();
    let (since, until) = (time(stamped[20_000]), time(stamped[40_000]));
    let wanted: Vec<u32> = stamped
        .iter()
        .filter(|line| (since.as_str()..=until.as_str()).contains(&line.split(' ').next().unwrap()))
        .map(|line| numbers(line)[0])
        .collect();
    assert!(wanted.contains(&20_001) && wanted.contains(&40_001));
    assert!(numbers(&node.ok(&["logs", "--since", &since, "--until", &until, "writer"])) == wanted);
    assert_eq!(node.ok(&["logs", "--until", "1h", "writer"]), "");
    assert_eq!(node.ok(&["logs", "--since", "10m", "-n", "1", "writer"]), "line 60000\n");
    node.fails(1, &["logs", "--since", "soon", "writer"]);
}

fn inspect(node: &Node, container: &str, key: &str) -> String {
    let state: serde_json::Value = serde_json::from_str(&node.ok(&["inspect", container])).unwrap();
    state[0][key].as_str().unwrap().to_owned()
}

#[test]
fn lines_come_with_what_belongs_to_them() {
    let node = Node::start().with_busybox();
    let script = "head -c 50000 /dev/zero | tr '\\0' x; echo; echo error >&2";
    node.ok(&[
        "run",
        "-d",
        "--name",
        "one",
        "--label",
        "team=a b",
        "-e",
        "STAGE=test",
        "--log-opt",
        "labels=team",
        "--log-opt",
        "env-regex=^STA",
        "--log-opt",
        "tag={{.Name}}",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    node.ok(&["wait", "one"]);
    let output = node.orca(&["logs", "-t", "--details", "one"]);
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let front = "STAGE=test,tag=one,team=a+b ";
    assert!(stdout.ends_with("x\n") && stdout.lines().count() == 1, "one line, of several pieces");
    assert_eq!(stdout.len(), 31 + front.len() + 50_001);
    assert!(stdout[31..].starts_with(front) && stderr[31..].starts_with(front), "{stderr}");
    assert!(stderr.ends_with("error\n"));

    node.ok(&["run", "--name", "silent", "--log-driver", "none", "busybox", "echo", "hello"]);
    assert!(node.fails(1, &["logs", "silent"]).contains("keeps no files"));
    node.ok(&["run", "--name", "small", "--log-driver", "local", "busybox", "echo", "hello"]);
    assert_eq!(node.ok(&["logs", "small"]), "hello\n");
    for (args, words) in [
        (["--log-driver", "gelf"], "\"gelf\" is not supported"),
        (["--log-opt", "max-file=3"], "it needs max-size"),
        (["--log-opt", "tag={{.Nonsense}}"], ".Nonsense"),
        (["--log-opt", "fluentd-address=x"], "fluentd-address"),
    ] {
        let error = node.fails(125, &[&["run"], &args[..], &["busybox", "true"]].concat());
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_journal_and_syslog_get_every_line_and_logs_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let journal_path = dir.path().join("journal");
    let journal = UnixDatagram::bind(&journal_path).unwrap();
    let node = Node::start_with(&["--journal-socket", journal_path.to_str().unwrap(), "--log-driver", "journald"]);
    let node = node.with_busybox();
    node.ok(&[
        "run",
        "-d",
        "--name",
        "entry",
        "--log-opt",
        "tag=my/{{.Name}}",
        "busybox",
        "sh",
        "-c",
        "echo out; echo bad >&2",
    ]);
    node.ok(&["wait", "entry"]);
    let mut buffer = vec![0; 65536];
    let mut entry = || {
        let count = journal.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    };
    let mut entries = [entry(), entry()];
    entries.sort();
    assert!(entries[0].starts_with("MESSAGE=bad\nPRIORITY=3\n") && entries[1].starts_with("MESSAGE=out\nPRIORITY=6\n"));
    for field in
        ["CONTAINER_NAME=entry\n", "CONTAINER_TAG=my/entry\n", "SYSLOG_IDENTIFIER=my/entry\n", "IMAGE_NAME=busybox\n"]
    {
        assert!(entries[0].contains(field), "{field}: {}", entries[0]);
    }
    assert_eq!(node.ok(&["logs", "entry"]), "out\n", "a copy is kept");

    let server_path = dir.path().join("syslog");
    let server = UnixListener::bind(&server_path).unwrap();
    let address = format!("syslog-address=unix://{}", server_path.display());
    let args = [
        "run",
        "-d",
        "--name",
        "sys",
        "--log-driver",
        "syslog",
        "--log-opt",
        &address,
        "--log-opt",
        "syslog-facility=local0",
    ];
    let script = "for i in 1 2 3; do echo line $i; done";
    node.ok(&[&args[..], &["--log-opt", "syslog-format=rfc5424", "busybox", "sh", "-c", script]].concat());
    let (mut stream, _) = server.accept().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("<134>1 20") && lines[2].ends_with(" - line 3"), "{text}");
    assert_eq!(node.ok(&["logs", "sys"]), "line 1\nline 2\nline 3\n");

    // Nobody listens: the container goes on all the same, and says how much was lost.
    drop(journal);
    std::fs::remove_file(&journal_path).unwrap();
    node.ok(&[
        "run",
        "-d",
        "--name",
        "alone",
        "--log-opt",
        "mode=non-blocking",
        "busybox",
        "sh",
        "-c",
        &writer(40_000),
    ]);
    assert_eq!(node.ok(&["wait", "alone"]), "0\n");
    assert_eq!(numbers(&node.ok(&["logs", "alone"])).len(), 40_000);
}

/// A container that harms itself harms nobody else.
#[test]
fn floods_and_deaf_containers_leave_others_alone() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "flood", "--log-opt", "max-size=1m", "--log-opt", "max-file=2", "busybox", "yes"]);
    let mut deaf = node
        .orca_command(&["run", "-i", "--name", "deaf", "busybox", "sleep", "1000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = deaf.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || while stdin.write_all(&[b'x'; 65536]).is_ok() {});
    let mut reader = node.orca_command(&["logs", "-f", "flood"]).stdout(Stdio::null()).spawn().unwrap();
    node.wait_for("both run", || node.ok(&["ps", "-q"]).lines().count() == 2);
    for round in 0..5 {
        let begin = Instant::now();
        node.ok(&["run", "--rm", "busybox", "true"]);
        node.ok(&["exec", "deaf", "true"]);
        node.ok(&["logs", "-n", "1", "flood"]);
        assert!(begin.elapsed() < Duration::from_secs(10), "round {round} took {:?}", begin.elapsed());
    }
    node.ok(&["rm", "-f", "flood", "deaf"]);
    reader.wait().unwrap();
    deaf.wait().unwrap();
    feeder.join().unwrap();
}

#[test]
fn compose_shows_the_lines_of_a_project() {
    let node = Node::start().with_busybox();
    let file = node.file(
        "compose.yml",
        r#"
name: app
services:
  web:
    image: busybox
    command: [sh, -c, "echo one; echo two; printf three; exec sleep 1000"]
    stop_signal: SIGKILL
    deploy: { replicas: 2 }
    logging: { driver: local, options: { max-size: 1m, max-file: "3" } }
"#,
    );
    let compose = |args: &[&str]| node.ok(&[&["compose", "-f", file.to_str().unwrap()], args].concat());
    compose(&["up", "-d"]);
    node.wait_for("all is written", || compose(&["logs", "web"]).matches("two").count() == 2);
    let mut lines: Vec<String> = compose(&["logs"]).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["web-1  | one", "web-1  | two", "web-2  | one", "web-2  | two"]);
    assert_eq!(compose(&["logs", "--no-log-prefix", "--index", "2", "--tail", "1"]), "two\n");
    let stamped = compose(&["logs", "-t", "--index", "1", "web"]);
    let (first, time) = stamped.lines().map(|line| (line, line.split(' ').nth(3).unwrap())).next().unwrap();
    assert!(first.starts_with("web-1  | 20") && first.ends_with("Z one"), "{first}");
    assert!(compose(&["logs", "--index", "1", "--since", time]).starts_with("web-1  | one\n"));
    assert_eq!(compose(&["logs", "--until", "1h"]), "");
    compose(&["down"]);
}
