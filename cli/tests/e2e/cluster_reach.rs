//! Containers of other nodes, reached from any manager.

use std::io::Read;
use std::process::{Child, Stdio};

use crate::attach::Session;
use crate::cluster::{node_ls, places, start, with_busybox};
use crate::hosts::Host;

const STACK: &str = "services:
  web:
    image: busybox
    command: sh -c 'echo begin; while [ ! -e /stop ]; do sleep 0.1; done; echo end'
    network_mode: none
    stop_grace_period: 0s
    deploy:
      replicas: 3
      restart_policy:
        condition: none
";

fn deploy(host: &Host) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), STACK).unwrap();
    host.ok(&["stack", "deploy", "-c", file.path().to_str().unwrap(), "shop"]);
}

/// The name and the id of the task on a node.
fn task_on(host: &Host, node: &str) -> (String, String) {
    let text = host.ok(&["stack", "ps", "shop", "--no-trunc", "--format", "{{.Node}} {{.Name}} {{.ID}}"]);
    let line = text.lines().find(|line| line.starts_with(node)).unwrap();
    let mut words = line.split(' ').skip(1).map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

fn spawn(host: &Host, args: &[&str]) -> Child {
    host.orca_command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_container_is_reached_from_every_manager() {
    let mut cluster = start(3);
    with_busybox(&cluster);
    cluster.form(2, 1);
    let (first, second, third) = (cluster.host(1), cluster.host(2), cluster.host(3));
    cluster.wait_for("two managers", || node_ls(first).iter().any(|line| line == "host2 Ready Active Reachable"));
    deploy(first);
    cluster.wait_for("a task a node", || places(first) == ["host1", "host2", "host3"]);
    let (name, task) = task_on(first, "host3");
    // A process, its exit codes, its streams; from the leader and from another manager.
    first.ok(&["exec", &name, "sh", "-c", "echo mark > /mark"]);
    let own = third.ok(&["ps", "-q", "--no-trunc"]);
    let own = own.trim();
    assert_eq!(third.ok(&["exec", own, "cat", "/mark"]), "mark\n");
    for asked in [&name, &task, &own.to_owned(), &own[..8].to_owned(), &format!("/{name}")] {
        assert_eq!(second.ok(&["exec", asked, "cat", "/mark"]), "mark\n", "{asked}");
    }
    for host in [first, second] {
        assert_eq!(host.orca(&["exec", &name, "sh", "-c", "exit 7"]).status.code(), Some(7));
        assert_eq!(host.orca(&["exec", &name, "/none"]).status.code(), Some(127));
        let piped = host.orca_with(&["exec", "-i", &name, "wc", "-c"], &"x".repeat(3_000_000));
        assert_eq!(String::from_utf8_lossy(&piped.stdout).trim(), "3000000");
        let sum = host.ok(&["exec", &name, "sh", "-c", "head -c 20000000 /dev/zero"]);
        assert_eq!(sum.len(), 20_000_000);
        assert_eq!(host.ok(&["exec", "-t", &name, "sh", "-c", "test -t 1 && echo yes"]), "yes\r\n");
        let script = "stty size; read line; echo got $line; exit 3";
        let terminal = Session::of(host.orca_command(&["exec", "-it", &name, "sh", "-c", script]));
        terminal.wait_for("30 90");
        terminal.type_in("line\n");
        terminal.wait_for("got line");
        assert_eq!(terminal.code(), Some(3));
    }
    // Files, processes, use, details.
    let given = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(given.path(), "given\n").unwrap();
    second.ok(&["cp", given.path().to_str().unwrap(), &format!("{name}:/given")]);
    second.ok(&["cp", &format!("{name}:/given"), given.path().to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(given.path()).unwrap(), "given\n");
    assert!(first.ok(&["diff", &name]).contains("A /given"));
    assert!(first.ok(&["top", &name]).contains("sleep 0.1"));
    let (here, _) = task_on(first, "host1");
    let stats = first.ok(&["stats", "--no-stream", "--format", "{{.Name}}", &here, &name]);
    assert_eq!(stats.lines().count(), 2, "{stats}");
    assert_eq!(first.ok(&["inspect", "-f", "{{.Id}}", &name]).trim(), own);
    // What happens on all nodes, and on one.
    let events = ["events", "--since", "10m", "--until", "0s", "--filter", "event=start", "--format"];
    let format = "{{index .Actor.Attributes \"node\"}}";
    let of = |more: &[&str]| {
        let text = second.ok(&[&events[..], &[format], more].concat());
        let mut nodes: Vec<String> = text.lines().map(str::to_owned).collect();
        nodes.sort();
        nodes
    };
    assert_eq!(of(&[]), ["host1", "host2", "host3"]);
    assert_eq!(of(&["--filter", "node=host3"]), ["host3"]);
    // What is not answered for others, and who may not ask.
    assert!(first.fails(&["rm", &name]).contains("No such container"));
    assert!(first.fails(&["exec", "nobody", "true"]).contains("No such container: nobody"));
    let error = third.fails(&["exec", &here, "true"]);
    assert!(error.contains("No such container") && error.contains("not a manager"), "{error}");
    // As on the own node, a process has no more input once its client has gone.
    let mut client = second.orca_command(&["exec", "-i", &name, "cat"]);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    cluster.wait_for("it runs", || first.ok(&["top", &name]).contains(" cat"));
    client.kill().unwrap();
    client.wait().unwrap();
    cluster.wait_for("it has ended too", || !first.ok(&["top", &name]).contains(" cat"));
    // Output is followed to its end.
    let mut follower = spawn(second, &["logs", "-f", &name]);
    let mut begin = [0; 6];
    follower.stdout.as_mut().unwrap().read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"begin\n");
    let attached = spawn(first, &["attach", "--no-stdin", &name]);
    let attaches = ["events", "--since", "10m", "--until", "0s", "--filter", "event=attach"];
    cluster.wait_for("it is attached to", || first.ok(&attaches).contains("node=host3"));
    first.ok(&["exec", &name, "touch", "/stop"]);
    assert_eq!(ended(follower), (Some(0), "end\n".into(), String::new()));
    assert_eq!(ended(attached), (Some(0), "end\n".into(), String::new()));
    // Of one that has ended there are still output and details.
    assert_eq!(second.ok(&["logs", &name]), "begin\nend\n");
    assert!(first.fails(&["exec", &name, "true"]).contains("node host3: "));
}

#[test]
fn a_node_that_is_gone_is_said_to_be() {
    let mut cluster = start(3);
    with_busybox(&cluster);
    cluster.form(1, 2);
    deploy(cluster.host(1));
    cluster.wait_for("a task a node", || places(cluster.host(1)) == ["host1", "host2", "host3"]);
    let (_, lost) = task_on(cluster.host(1), "host3");
    let (other, _) = task_on(cluster.host(1), "host2");
    let stays = spawn(cluster.host(1), &["exec", &lost, "sleep", "600"]);
    let told = tempfile::NamedTempFile::new().unwrap();
    let mut events = cluster.host(1).orca_command(&["events", "--filter", "event=exec_start"]);
    let mut events = events.stdout(told.reopen().unwrap()).stderr(Stdio::piped()).spawn().unwrap();
    cluster.wait_for("it runs", || cluster.host(1).ok(&["top", &lost]).contains("sleep 600"));
    cluster.cut_power(3);
    let first = cluster.host(1);
    let error = first.fails(&["exec", &lost, "true"]);
    assert!(error.contains("node host3 does not answer") || error.contains("node host3 is down"), "{error}");
    let (code, _, error) = ended(stays);
    assert!(code == Some(1) && error.contains("node host3"), "{code:?} {error}");
    cluster.wait_for("it is down", || node_ls(first).contains(&"host3 Down Active".to_owned()));
    let begin = std::time::Instant::now();
    let error = first.fails(&["logs", "-f", &lost]);
    assert!(error.contains("node host3 is down"), "{error}");
    assert!(begin.elapsed().as_secs() < 3, "nobody waits for what is known to be down");
    // Its daemon alone may come and go: the next call waits for it.
    cluster.kill_daemon(2);
    cluster.start_daemon(2);
    let first = cluster.host(1);
    assert_eq!(first.ok(&["exec", &other, "echo", "there"]), "there\n");
    let has_told = |node: &str| std::fs::read_to_string(told.path()).unwrap().contains(node);
    cluster.wait_for("its events are there again", || has_told("node=host2"));
    events.kill().unwrap();
    let warned = ended(events).2;
    assert!(warned.contains("node host3 is missing"), "{warned}");
}
