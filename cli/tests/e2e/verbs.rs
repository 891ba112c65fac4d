//! What is done to containers that run.

use serde_json::Value;

use crate::support::Node;

fn inspect(node: &Node, name: &str) -> Value {
    serde_json::from_str::<Value>(&node.ok(&["inspect", name])).unwrap()[0].clone()
}

fn state(node: &Node, name: &str) -> String {
    inspect(node, name)["State"]["Status"].as_str().unwrap().to_owned()
}

#[test]
fn paused_containers_stay_so_until_somebody_wants_otherwise() {
    let mut node = Node::start().with_busybox();
    let counts = "trap 'exit 5' TERM; while :; do date +%s%N > /tmp/beat; sleep 0.02 & wait $!; done";
    for name in ["one", "two", "three"] {
        node.ok(&["run", "-d", "--name", name, "busybox", "sh", "-c", counts]);
    }
    assert_eq!(node.ok(&["pause", "one", "two", "three"]), "one\ntwo\nthree\n");
    assert_eq!(state(&node, "one"), "paused");
    assert!(node.ok(&["ps"]).contains("(Paused)"));
    for (verb, words) in [("pause", "already paused"), ("start", "paused"), ("exec", "paused")] {
        let args = if verb == "exec" { vec![verb, "one", "true"] } else { vec![verb, "one"] };
        let error = node.fails(1, &args);
        assert!(error.contains(words), "{verb}: {error}");
    }
    node.kill_daemon();
    node.start_daemon();
    assert_eq!(state(&node, "one"), "paused", "the daemon's end does not thaw it");

    node.ok(&["unpause", "one"]);
    assert_eq!(state(&node, "one"), "running");
    let beat = node.ok(&["exec", "one", "cat", "/tmp/beat"]);
    node.wait_for("it goes on", || node.ok(&["exec", "one", "cat", "/tmp/beat"]) != beat);
    let error = node.fails(1, &["unpause", "one"]);
    assert!(error.contains("not paused"), "{error}");

    node.ok(&["stop", "two"]);
    assert_eq!(inspect(&node, "two")["State"]["ExitCode"], 5, "it was thawed and could end by itself");
    node.ok(&["kill", "-s", "15", "three"]);
    assert_eq!(node.ok(&["wait", "three"]), "5\n");
    node.ok(&["pause", "one"]);
    node.ok(&["rm", "-f", "one"]);
    assert_eq!(node.ok(&["ps", "-q"]), "");
}

#[test]
fn a_new_name_is_known_everywhere() {
    let mut node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "old", "busybox", "sleep", "1000"]);
    node.ok(&["run", "-d", "--name", "peer", "busybox", "sleep", "1000"]);
    assert_eq!(node.ok(&["rename", "old", "new"]), "");
    node.ok(&["exec", "peer", "nslookup", "new"]);
    node.fails(1, &["exec", "peer", "nslookup", "old"]);
    let error = node.fails(1, &["rename", "new", "peer"]);
    assert!(error.contains("already in use"), "{error}");
    let error = node.fails(1, &["rename", "new", "new"]);
    assert!(error.contains("the name that it has"), "{error}");
    node.fails(1, &["rename", "new", "not a name"]);
    node.kill_daemon();
    node.start_daemon();
    assert_eq!(state(&node, "new"), "running");
    node.fails(1, &["inspect", "old"]);
    node.ok(&["run", "-d", "--name", "old", "busybox", "sleep", "1000"]);
}

#[test]
fn processes_are_listed_without_ps() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "cu", "-u", "1000", "busybox", "sh", "-c", "sleep 987 & sleep 654"]);
    node.wait_for("both sleep", || node.ok(&["top", "cu"]).matches("sleep").count() >= 2);
    let table = node.ok(&["top", "cu"]);
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    assert!(table.contains("sleep 987") && table.contains("sleep 654"), "{table}");
    let pid = inspect(&node, "cu")["State"]["Pid"].to_string();
    let chosen = node.ok(&["top", "cu", "-o", "pid,uid,stat,comm=NAME"]);
    let first: Vec<&str> = chosen.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(first[..2], [pid.as_str(), "1000"], "{chosen}");
    assert!(chosen.lines().next().unwrap().ends_with("NAME"));
    assert!(node.ok(&["top", "cu", "aux"]).contains("%CPU"));
    let error = node.fails(1, &["top", "cu", "-o", "pid,colour"]);
    assert!(error.contains("colour"), "{error}");
    node.ok(&["stop", "-t", "0", "cu"]);
    let error = node.fails(1, &["top", "cu"]);
    assert!(error.contains("not running"), "{error}");
}

#[test]
fn ends_are_as_asked_for() {
    let node = Node::start().with_busybox();
    let traps =
        "for s in USR1 USR2 HUP TERM; do trap \"exit $(kill -l $s)\" $s; done; while :; do sleep 0.05 & wait $!; done";
    let run = |name: &str, extra: &[&str]| {
        let args = [&["run", "-d", "--name", name], extra, &["busybox", "sh", "-c", traps]].concat();
        node.ok(&args);
        node.wait_for("its traps are set", || !node.ok(&["top", name, "-o", "pid,args"]).is_empty());
        node.wait_for("it sleeps", || node.ok(&["top", name, "-o", "pid,args"]).contains("sleep 0.05"));
    };
    for (name, signal) in [("an", "SIGUSR1"), ("by", "1"), ("cu", "usr2")] {
        run(name, &[]);
        // A machine that stands still for ten seconds must not look like a container that does not end.
        node.ok(&["stop", "-t", "100", "-s", signal, name]);
    }
    assert_eq!(node.ok(&["wait", "an", "by", "cu"]), "10\n1\n12\n");
    run("do", &["--stop-signal", "SIGHUP"]);
    node.ok(&["stop", "do"]);
    assert_eq!(node.ok(&["wait", "do"]), "1\n");
    run("er", &[]);
    let pid = inspect(&node, "er")["State"]["Pid"].clone();
    node.ok(&["restart", "-s", "USR1", "-t", "30", "er"]);
    assert_ne!(inspect(&node, "er")["State"]["Pid"], pid);
    node.ok(&["kill", "-s", "sigusr1", "er"]);
    assert_eq!(node.ok(&["wait", "er"]), "10\n");
    let error = node.fails(1, &["kill", "-s", "NOSUCH", "er"]);
    assert!(error.contains("not running") || error.contains("NOSUCH"), "{error}");
    let error = node.fails(1, &["wait", "an", "no-such"]);
    assert!(error.contains("no-such"), "{error}");
    let error = node.fails(125, &["rm", "-l", "an"]);
    assert!(error.contains("--link"), "{error}");
    node.ok(&["rm", "-f", "no-such", "an"]);
    node.fails(1, &["inspect", "an"]);
}

#[test]
fn ports_are_told() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "cu", "-p", "8080:80", "-p", "127.0.0.1:5353:53/udp", "busybox", "sleep", "1000"]);
    assert!(node.ok(&["port", "cu"]).contains("53/udp -> 127.0.0.1:5353\n"));
    assert!(node.ok(&["port", "cu", "80"]).contains("0.0.0.0:8080\n"));
    assert_eq!(node.ok(&["port", "cu", "53/udp"]), "127.0.0.1:5353\n");
    let error = node.fails(1, &["port", "cu", "81"]);
    assert!(error.contains("81/tcp"), "{error}");
}

#[test]
fn further_processes_are_confined_as_the_first_is() {
    let node = Node::start().with_busybox();
    let shows = "grep -E '^(CapEff|CapBnd|CapPrm|CapInh|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status; \
                 ulimit -n; ulimit -c; sed 's/.*://' /proc/self/cgroup | sort -u";
    let confined: &[&str] =
        &["--security-opt", "no-new-privileges", "--ulimit", "nofile=123:456", "--ulimit", "core=0"];
    for (number, extra) in [&[][..], confined, &["--privileged"], &["--cap-drop", "ALL"]].iter().enumerate() {
        let name = format!("c{number}");
        // Written whole before it has its name.
        let command = format!("({shows}) > /tmp/part; mv /tmp/part /tmp/first; sleep 1000");
        let args = [&["run", "-d", "--name", &name], *extra, &["busybox", "sh", "-c", &command]].concat();
        node.ok(&args);
        node.wait_for("the first process has told", || {
            !node.orca(&["exec", &name, "cat", "/tmp/first"]).stdout.is_empty()
        });
        let first = node.ok(&["exec", &name, "cat", "/tmp/first"]);
        assert_eq!(node.ok(&["exec", &name, "sh", "-c", shows]), first, "{extra:?}");
    }
    let all = node.ok(&["exec", "--privileged", "c3", "sh", "-c", shows]);
    assert!(all.contains("Seccomp:\t0") && !all.contains("CapEff:\t0000000000000000"), "{all}");
}
