//! Terminals and pipes joined to containers.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Node, PATIENCE};

/// `orca` on a terminal of its own.
pub struct Session {
    master: OwnedFd,
    child: Child,
    shown: Arc<Mutex<String>>,
}

impl Session {
    fn start(node: &Node, args: &[&str]) -> Self {
        Self::of(node.orca_command(args))
    }

    pub fn of(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        size(&master, 30, 90);
        let end = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let (reader, sink) = (master.try_clone().unwrap(), shown.clone());
        std::thread::spawn(move || {
            let mut reader = File::from(reader);
            let mut buffer = [0; 4096];
            // The other end's last close is an error on this one.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { master, child, shown }
    }

    pub fn type_in(&self, keys: &str) {
        File::from(self.master.try_clone().unwrap()).write_all(keys.as_bytes()).unwrap();
    }

    pub fn wait_for(&self, text: &str) {
        let begin = Instant::now();
        while !self.shown.lock().unwrap().contains(text) {
            assert!(begin.elapsed() < PATIENCE, "{text:?} is not in {:?}", self.shown.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn size(master: &OwnedFd, rows: u16, columns: u16) {
    tcsetwinsize(master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

/// Runs `orca` with this on its standard input.
fn fed(node: &Node, args: &[&str], input: &[u8]) -> Output {
    let mut command = node.orca_command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_terminal_is_let_go_and_taken_up_again() {
    let node = Node::start().with_busybox();
    let session = Session::start(&node, &["run", "-it", "--name", "term", "busybox", "sh"]);
    session.wait_for("# ");
    session.type_in("stty size\r");
    session.wait_for("30 90");
    size(&session.master, 40, 100);
    let pid = rustix::process::Pid::from_child(&session.child);
    rustix::process::kill_process(pid, rustix::process::Signal::WINCH).unwrap();
    node.wait_for("the new size has come", || {
        session.type_in("stty size\r");
        session.shown.lock().unwrap().contains("40 100")
    });
    session.type_in("\x10\x11");
    assert_eq!(session.code(), Some(0));
    assert!(node.ok(&["ps"]).contains("term"), "it runs on");

    let session = Session::start(&node, &["attach", "--detach-keys", "ctrl-a,d", "term"]);
    session.type_in("echo mark$((40+2))\r");
    session.wait_for("mark42");
    session.type_in("\x01d");
    assert_eq!(session.code(), Some(0));

    let session = Session::start(&node, &["exec", "-it", "--detach-keys", "x,y", "term", "sh"]);
    session.wait_for("# ");
    session.type_in("xy");
    assert_eq!(session.code(), Some(0));

    let session = Session::start(&node, &["attach", "term"]);
    session.type_in("exit 7\r");
    assert_eq!(session.code(), Some(7));
    let error = node.fails(1, &["attach", "term"]);
    assert!(error.contains("start it first"), "{error}");
    let error = node.fails(1, &["attach", "--detach-keys", "ctrl-", "term"]);
    assert!(error.contains("ctrl-") || error.contains("start it first"), "{error}");
}

#[test]
fn pipes_are_joined_to_what_runs_and_to_what_is_started() {
    let node = Node::start().with_busybox();
    node.ok(&[
        "run",
        "-d",
        "-i",
        "--name",
        "echoes",
        "busybox",
        "sh",
        "-c",
        "read x; echo got $x; echo no >&2; exit 3",
    ]);
    for verb in [&["attach", "echoes"][..], &["start", "-ai", "echoes"]] {
        let output = fed(&node, verb, b"it\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "got it\n", "{verb:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "no\n", "{verb:?}");
        assert_eq!(output.status.code(), Some(3), "{verb:?}");
    }
    let both = ["busybox", "sh", "-c", "echo out; echo err >&2"];
    let output = node.orca(&[&["run", "--rm", "-a", "stderr"][..], &both].concat());
    assert_eq!((output.stdout, output.stderr), (Vec::new(), b"err\n".to_vec()));
    node.fails(125, &["run", "-d", "-a", "stdout", "busybox", "true"]);
    let error = node.fails(1, &["start", "-a", "echoes", "other"]);
    assert!(error.contains("several containers"), "{error}");
}

#[test]
fn a_slow_reader_loses_nothing() {
    let node = Node::start().with_busybox();
    let mut child =
        node.orca_command(&["run", "--rm", "busybox", "seq", "1", "1500000"]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 1_500_000);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_init_hands_signals_on_and_takes_leave_of_orphans() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--init", "--name", "with", "busybox", "sh", "-c", "(sleep 0.01 &); sleep 1000"]);
    assert_eq!(node.ok(&["exec", "with", "cat", "/proc/1/comm"]), "docker-init\n");
    let states = || node.ok(&["top", "with", "-o", "pid,s,comm"]);
    node.wait_for("nothing is left of the orphan", || {
        !states().contains(" Z ") && states().matches("sleep").count() == 1
    });
    node.fails(1, &["exec", "with", "sh", "-c", "echo x > /sbin/docker-init"]);
    node.ok(&["stop", "-t", "60", "with"]);
    assert_eq!(node.ok(&["wait", "with"]), "143\n", "the command got the signal and had no handler");
    node.fails(9, &["run", "--rm", "--init", "busybox", "sh", "-c", "exit 9"]);
    node.fails(127, &["run", "--rm", "--init", "busybox", "no-such-program"]);
}

#[test]
fn signals_are_passed_on_unless_they_are_not_to_be() {
    let node = Node::start().with_busybox();
    let traps = "trap 'exit 11' USR1; echo ready; while :; do sleep 0.05 & wait $!; done";
    let mut child = node
        .orca_command(&["run", "--name", "proxied", "busybox", "sh", "-c", traps])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.wait_for("it is ready", || node.orca(&["logs", "proxied"]).stdout == b"ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(11));
}

#[test]
fn ids_are_written_and_what_is_to_go_goes() {
    let mut node = Node::start().with_busybox();
    let file = node.files().join("id");
    let path = file.to_str().unwrap();
    let id = node.ok(&["run", "-d", "--rm", "--name", "gone", "--cidfile", path, "busybox", "sleep", "1000"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), id.trim());
    node.fails(125, &["create", "--cidfile", path, "busybox"]);
    let state: serde_json::Value = serde_json::from_str(&node.ok(&["inspect", "gone"])).unwrap();
    let pid = state[0]["State"]["Pid"].as_i64().unwrap();
    node.kill_daemon();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    node.start_daemon();
    node.wait_for("it removed itself though no daemon saw its end", || node.ok(&["ps", "-aq"]).is_empty());

    node.ok(&["create", "--name", "made", "-l", "keep", "busybox"]);
    node.ok(&["run", "--name", "ended", "busybox", "true"]);
    node.ok(&["run", "-d", "--name", "runs", "busybox", "sleep", "1000"]);
    let text = node.ok(&["container", "prune", "-f", "--filter", "label!=keep"]);
    assert!(text.starts_with("Deleted Containers:\n"), "{text}");
    let names = node.ok(&["ps", "-a", "--format", "json"]);
    assert!(!names.contains("ended") && names.contains("made") && names.contains("runs"), "{names}");
}

#[test]
fn limits_are_changed_as_it_runs_and_stay_so() {
    let mut node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "limited", "-m", "64m", "busybox", "sleep", "1000"]);
    let limit = |node: &Node| node.ok(&["stats", "--no-stream", "--format", "json", "limited"]);
    assert!(limit(&node).contains(" / 64MiB"));
    node.ok(&["update", "-m", "100m", "--pids-limit", "3", "--cpus", "0.5", "--restart", "on-failure:3", "limited"]);
    assert!(limit(&node).contains(" / 100MiB"));
    let error = node.fails(2, &["exec", "limited", "sh", "-c", "sleep 5 & sleep 5 & sleep 5 & sleep 5 & wait"]);
    assert!(error.contains("fork"), "the limit of processes: {error}");
    // Period and quota take the place of --cpus only where that was not given.
    let error = node.fails(1, &["update", "--cpu-quota", "20000", "limited"]);
    assert!(error.contains("cpu_quota"), "{error}");
    node.ok(&["run", "-d", "--name", "timed", "busybox", "sleep", "1000"]);
    node.ok(&["update", "--cpu-period", "50000", "--cpu-quota", "20000", "--cpuset-mems", "0", "timed"]);
    let state: serde_json::Value = serde_json::from_str(&node.ok(&["inspect", "timed"])).unwrap();
    let config = &state[0]["HostConfig"];
    assert_eq!((&config["CpuPeriod"], &config["CpuQuota"]), (&50_000.into(), &20_000.into()));
    let id = state[0]["Id"].as_str().unwrap();
    let find = format!("find /sys/fs/cgroup -path '*{id}/cpu.cfs_quota_us' -o -path '*{id}/cpu.max'");
    let found = std::process::Command::new("sh").args(["-c", &format!("cat $({find})")]).output().unwrap();
    assert!(found.stdout.starts_with(b"20000"), "{}", String::from_utf8_lossy(&found.stdout));
    node.ok(&["update", "-m", "50m", "limited"]);
    assert!(limit(&node).contains(" / 50MiB"));
    let error = node.fails(1, &["update", "-m", "1m", "limited"]);
    assert!(error.contains("6 MiB"), "{error}");
    node.fails(1, &["update", "limited"]);
    node.kill_daemon();
    node.start_daemon();
    node.ok(&["restart", "-t", "0", "limited"]);
    assert!(limit(&node).contains(" / 50MiB"));
    let state: serde_json::Value = serde_json::from_str(&node.ok(&["inspect", "limited"])).unwrap();
    assert_eq!(state[0]["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 3);
}
