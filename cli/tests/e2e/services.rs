//! Services by themselves, and stacks, on several nodes.

use std::path::Path;

use crate::hosts::{Cluster, Host};
use crate::support::busybox;

fn start(hosts: usize) -> Cluster {
    let cluster = Cluster::start(Path::new(env!("CARGO_BIN_EXE_orca")), hosts);
    let dir = tempfile::tempdir().unwrap();
    let tar = busybox(dir.path());
    for host in &cluster.hosts {
        host.ok(&["import", tar.to_str().unwrap(), "busybox", "-c", "CMD [\"sh\"]"]);
    }
    cluster
}

/// `orca service create --network none --stop-grace-period 0s FLAGS... busybox COMMAND...`
fn create(host: &Host, flags: &[&str], command: &[&str]) -> String {
    host.ok(&[&CREATE, flags, &["busybox"], command].concat())
}

const CREATE: [&str; 6] = ["service", "create", "--network", "none", "--stop-grace-period", "0s"];

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

/// Node and state of the tasks that are to run.
fn running(host: &Host, service: &str) -> Vec<String> {
    lines(&host.ok(&["service", "ps", service, "--filter", "desired-state=running", "--format", "{{.Node}}"]))
}

fn code(host: &Host, args: &[&str]) -> (Option<i32>, String) {
    let output = host.orca(args);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_lone_node_has_services_too() {
    let cluster = start(1);
    let host = cluster.host(1);
    let id = create(host, &["--name", "web", "--replicas", "2", "--label", "tier=front"], &["sleep", "600"]);
    assert_eq!(id.trim().len(), 25);
    let row = host.ok(&["service", "ls", "--format", "{{.Name}} {{.Mode}} {{.Replicas}} {{.Image}}"]);
    assert_eq!(row, "web replicated 2/2 busybox:latest\n");
    assert_eq!(host.ok(&["service", "ls", "-q", "--filter", "label=tier=front"]).trim(), id.trim());
    assert_eq!(host.ok(&["service", "ls", "-q", "--filter", "mode=global"]), "");
    // What a user has to say, and what is known only then.
    assert!(host.fails(&["service", "create", "--name", "web", "busybox"]).contains("exists already"));
    assert!(host.fails(&["service", "inspect", "nope"]).contains("No such service: nope"));
    assert!(host.fails(&["service", "rollback", "web"]).contains("does not have a previous spec"));
    let inspected = "{{.Spec.Mode.Replicated.Replicas}} {{index .Spec.TaskTemplate.ContainerSpec.Args 0}}";
    assert_eq!(host.ok(&["service", "inspect", "-f", inspected, "web"]), "2 sleep\n");
    assert!(host.ok(&["service", "inspect", "--pretty", "web"]).contains("Service Mode:\tReplicated"));
    // Changes, and what is left of what was before.
    host.ok(&["service", "scale", "web=1"]);
    let update =
        ["service", "update", "--update-monitor", "200ms", "--env-add", "A=1", "--update-order", "start-first"];
    host.ok(&[&update[..], &["web"]].concat());
    let history = host.ok(&["service", "ps", "web", "--format", "{{.DesiredState}} {{.CurrentState}}"]);
    let history = lines(&history);
    assert!(history.len() == 2 && history[0].starts_with("Running Running") && history[1].starts_with("Shutdown Shut"));
    let state = "{{.UpdateStatus.State}} {{index .Spec.TaskTemplate.ContainerSpec.Env 0}}";
    assert_eq!(host.ok(&["service", "inspect", "-f", state, "web"]), "completed A=1\n");
    host.ok(&["service", "rollback", "-q", "web"]);
    assert_eq!(host.ok(&["service", "inspect", "-f", "{{.UpdateStatus.State}}", "web"]), "rollback_completed\n");
    // What nobody has is refused before anything changes.
    assert!(host.fails(&["service", "update", "-q", "--image", "nope:1", "web"]).contains("nope:1"));
    // An update that fails says so, and takes nothing with it.
    let (exit, error) = code(host, &["service", "update", "-q", "--no-resolve-image", "--image", "nope:1", "web"]);
    assert!(exit == Some(122) && error.contains("update paused due to failure"), "{exit:?} {error}");
    assert_eq!(running(host, "web").len(), 1, "the old one is there as long as the new one is not");
    let bad = ["service", "update", "-q", "--update-failure-action", "rollback", "--rollback-monitor", "200ms"];
    let (exit, error) = code(host, &[&bad[..], &["--no-resolve-image", "--image", "nope:2", "web"]].concat());
    assert!(exit == Some(123) && error.contains("rolled back"), "{exit:?} {error}");
    host.ok(&["service", "rm", "web"]);
    cluster.wait_for("its containers are gone", || host.ok(&["ps", "-aq"]).is_empty());
    assert!(host.fails(&["service", "ps", "web"]).contains("No such service"));
}

#[test]
fn jobs_end_with_the_code_of_what_failed() {
    let cluster = start(1);
    let host = cluster.host(1);
    let flags = ["--mode", "replicated-job", "--replicas", "3", "--max-concurrent", "2", "--name", "good", "-q"];
    create(host, &flags, &["true"]);
    assert_eq!(host.ok(&["service", "ls", "--format", "{{.Replicas}}"]), "0/0 (3/3 completed)\n");
    let flags = ["--mode", "replicated-job", "--restart-condition", "none", "--name", "bad", "-q"];
    let (exit, error) = code(host, &[&CREATE, &flags[..], &["busybox", "sh", "-c", "exit 7"]].concat());
    assert!(exit == Some(7) && error.contains("job bad failed"), "{exit:?} {error}");
    // Another run of the same.
    host.ok(&["service", "update", "-q", "--force", "good"]);
    assert_eq!(host.ok(&["service", "ps", "good", "-q"]).lines().count(), 6);
    let error = host.fails(&[&CREATE, &["--mode", "global-job", "--restart-condition", "any", "busybox"][..]].concat());
    assert!(error.contains("is a job"), "{error}");
}

#[test]
fn services_are_where_they_may_be_and_everywhere() {
    let mut cluster = start(3);
    cluster.form(1, 1);
    let first = cluster.host(1);
    create(first, &["--name", "agents", "--mode", "global", "-q"], &["sleep", "600"]);
    assert_eq!(running(first, "agents"), ["host1", "host2"]);
    // A node joins, and has it at once.
    let token = first.ok(&["swarm", "join-token", "-q", "worker"]);
    cluster.host(3).ok(&["swarm", "join", "--token", token.trim(), &first.address()]);
    cluster.wait_for("host3 has one", || running(first, "agents") == ["host1", "host2", "host3"]);
    first.ok(&["node", "update", "--label-add", "disk=ssd", "host2"]);
    let flags = ["--name", "db", "--constraint", "node.labels.disk==ssd", "--replicas", "2", "-q"];
    create(first, &flags, &["sleep", "600"]);
    assert_eq!(running(first, "db"), ["host2", "host2"]);
    // One that fits nowhere says why.
    create(first, &["-d", "--name", "none", "--constraint", "node.labels.disk==tape"], &["sleep", "600"]);
    cluster.wait_for("it says why", || {
        let error = first.ok(&["service", "ps", "none", "--no-trunc", "--format", "{{.Error}}"]);
        error.contains("3 nodes: constraint node.labels.disk==tape not met")
    });
    // The label goes to another node, and the tasks follow; a drained node is left.
    first.ok(&["node", "update", "--label-add", "disk=ssd", "host3"]);
    first.ok(&["node", "update", "--label-rm", "disk", "host2"]);
    cluster.wait_for("the tasks follow", || running(first, "db") == ["host3", "host3"]);
    first.ok(&["node", "update", "--availability", "drain", "host2"]);
    cluster.wait_for("host2 is left", || running(first, "agents") == ["host1", "host3"]);
    // Rolled over the nodes, one after the other, and back.
    first.ok(&[
        "service",
        "update",
        "-q",
        "--update-monitor",
        "200ms",
        "--rollback-monitor",
        "200ms",
        "--force",
        "agents",
    ]);
    assert_eq!(running(first, "agents"), ["host1", "host3"]);
    first.ok(&["service", "scale", "db=3"]);
    assert_eq!(running(first, "db"), ["host3", "host3", "host3"]);
}

#[test]
fn stacks_say_what_becomes_of_them() {
    let cluster = start(1);
    let host = cluster.host(1);
    let file = |image: &str, replicas: u32| {
        let text = format!(
            "services:\n  web:\n    image: {image}\n    command: sleep 600\n    network_mode: none\n    stop_grace_period: 0s\n    \
             deploy:\n      replicas: {replicas}\n      update_config: {{monitor: 200ms, order: start-first}}\n  \
             once:\n    image: busybox\n    command: 'true'\n    network_mode: none\n    deploy: {{mode: replicated-job}}\n"
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    };
    let first = file("busybox", 2);
    let deploy = |file: &tempfile::NamedTempFile| {
        vec!["stack".into(), "deploy".into(), "-c".into(), file.path().to_str().unwrap().to_owned(), "shop".to_owned()]
    };
    let run = |args: Vec<String>| host.orca(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let output = run(deploy(&first));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && out.contains("Creating service shop_web"), "{output:?}");
    assert_eq!(host.ok(&["stack", "ls", "--format", "{{.Name}} {{.Services}}"]), "shop 2\n");
    let rows = host.ok(&["stack", "services", "shop", "--format", "{{.Name}} {{.Replicas}}"]);
    assert_eq!(lines(&rows), ["shop_once 0/0 (1/1 completed)", "shop_web 2/2"]);
    // The same again changes nothing.
    let before = host.ok(&["ps", "-q"]);
    assert!(run(deploy(&first)).status.success());
    assert_eq!(lines(&host.ok(&["ps", "-q"])), lines(&before));
    let bad = file("nope:1", 2);
    let bad = run([deploy(&bad), vec!["--resolve-image".into(), "never".into()]].concat());
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stderr).contains("paused"), "{bad:?}");
    let config = host.ok(&["stack", "config", "-c", first.path().to_str().unwrap()]);
    assert!(config.contains("order: start-first"), "{config}");
    host.ok(&["stack", "rm", "shop"]);
    assert_eq!(host.ok(&["stack", "ls", "--format", "{{.Name}}"]), "");
}

#[test]
fn a_wait_that_ends_early_says_so_and_ends_nothing() {
    let cluster = start(1);
    let host = cluster.host(1);
    let sick = ["--health-cmd", "false", "--health-interval", "1s", "--health-retries", "100"];
    let slow = [&CREATE[..], &["--name", "slow", "--timeout", "1s"], &sick, &["busybox", "sleep", "600"]].concat();
    let (exit, error) = code(host, &slow);
    assert!(exit == Some(124) && error.contains("not converged within 1s"), "{exit:?} {error}");
    assert!(error.contains("`orca service ps slow` shows how far it is"), "{error}");
    assert_eq!(running(host, "slow").len(), 1);
    // Ctrl-C.
    let mut waiting = host.orca_command(&["service", "update", "--force", "slow"]);
    let waiting = waiting.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let state = ["service", "inspect", "-f", "{{.UpdateStatus.State}}", "slow"];
    cluster.wait_for("the update is under way", || host.orca(&state).stdout == b"updating\n");
    let pid = rustix::process::Pid::from_child(&waiting);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = waiting.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(130) && error.contains("Operation continuing in background"), "{error}");
    assert_eq!(host.ok(&state), "updating\n");
    // What is refused is told apart from what has failed.
    assert_eq!(code(host, &["service", "create", "--name", "slow", "busybox"]).0, Some(125));
    assert_eq!(code(host, &["service", "scale", "nope=2"]).0, Some(125));
    host.ok(&["service", "rm", "slow"]);
}
