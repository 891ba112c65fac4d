//! `orca stats` and `orca events`.

use serde_json::Value;

use crate::support::Node;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What has happened since the beginning, up to now.
fn events(node: &Node, filters: &[&str]) -> Vec<Value> {
    let filters = filters.iter().flat_map(|filter| ["--filter", filter]);
    let args: Vec<&str> =
        ["events", "--since", "1", "--until", "0s", "--format", "json"].into_iter().chain(filters).collect();
    lines(&node.ok(&args))
}

fn actions(node: &Node, filters: &[&str]) -> Vec<String> {
    events(node, filters).iter().map(|event| event["Action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_container_s_life_is_told() {
    let node = Node::start().with_busybox();
    node.ok(&["volume", "create", "data"]);
    node.ok(&[
        "run",
        "-d",
        "--name",
        "cu",
        "-l",
        "tier=front",
        "-v",
        "data:/d",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 3' TERM; while :; do sleep 0.05 & wait $!; done",
    ]);
    node.ok(&["pause", "cu"]);
    node.ok(&["unpause", "cu"]);
    node.ok(&["exec", "cu", "true"]);
    node.ok(&["rename", "cu", "do"]);
    node.ok(&["stop", "do"]);
    node.ok(&["start", "do"]);
    node.ok(&["rm", "-f", "do"]);
    assert_eq!(
        actions(&node, &["type=container"]),
        [
            "create",
            "start",
            "pause",
            "unpause",
            "exec_create: true",
            "exec_start: true",
            "exec_die",
            "rename",
            "kill",
            "die",
            "stop",
            "start",
            "kill",
            "die",
            "destroy"
        ]
    );
    let died = &events(&node, &["event=die"])[0];
    assert_eq!(died["Actor"]["Attributes"]["exitCode"], "3");
    assert_eq!(died["Actor"]["Attributes"]["tier"], "front");
    assert_eq!((died["from"].as_str(), died["Actor"]["Attributes"]["name"].as_str()), (Some("busybox"), Some("do")));
    assert_eq!(actions(&node, &["type=volume", "volume=data"]), ["create", "mount", "unmount", "mount", "unmount"]);
    assert_eq!(actions(&node, &["event=connect", "event=disconnect"])[..2], ["connect", "disconnect"]);
    assert_eq!(actions(&node, &["type=image"]), ["import"]);
    assert_eq!(actions(&node, &["label=tier=back"]), Vec::<String>::new());
    let text =
        node.ok(&["events", "--since", "1", "--until", "0s", "--filter", "event=create", "--filter", "type=container"]);
    assert!(text.contains(" container create ") && text.contains("image=busybox, name=cu, tier=front)"), "{text}");
    let error = node.fails(1, &["events", "--filter", "colour=red"]);
    assert!(error.contains("colour"), "{error}");
}

#[test]
fn events_come_as_they_happen() {
    let node = Node::start().with_busybox();
    let output = node.files().join("events");
    let mut listener = node
        .orca_command(&["events", "--format", "json", "--filter", "event=health_status", "--filter", "event=oom"])
        .stdout(std::fs::File::create(&output).unwrap())
        .spawn()
        .unwrap();
    // One of these is heard once the listener is there.
    node.wait_for("the verdict is told", || {
        node.ok(&[
            "run",
            "-d",
            "--rm",
            "--health-cmd",
            "true",
            "--health-interval",
            "50ms",
            "busybox",
            "sleep",
            "1000",
        ]);
        std::fs::read_to_string(&output).unwrap().contains("health_status: healthy")
    });
    node.fails(137, &["run", "--rm", "-m", "32m", "busybox", "sh", "-c", "x=$(yes | head -c 100000000); echo"]);
    node.wait_for("the kernel's kill is told", || std::fs::read_to_string(&output).unwrap().contains("\"oom\""));
    listener.kill().unwrap();
    listener.wait().unwrap();
}

#[test]
fn use_is_counted() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "busy", "-m", "64m", "busybox", "sh", "-c", "while :; do :; done"]);
    node.ok(&["run", "-d", "--name", "idle", "busybox", "sleep", "1000"]);
    node.ok(&["create", "--name", "made", "busybox"]);
    let rows = lines(&node.ok(&["stats", "--no-stream", "--format", "json"]));
    let names: Vec<&str> = rows.iter().map(|row| row["Name"].as_str().unwrap()).collect();
    assert_eq!(names, ["busy", "idle"]);
    let share = |row: &Value| row["CPUPerc"].as_str().unwrap().trim_end_matches('%').parse::<f64>().unwrap();
    assert!(share(&rows[0]) > share(&rows[1]), "{rows:?}");
    assert!(rows[0]["MemUsage"].as_str().unwrap().ends_with(" / 64MiB"), "{rows:?}");
    assert_eq!(rows[1]["PIDs"], "1");
    let all = node.ok(&["stats", "--no-stream", "-a"]);
    assert!(all.starts_with("CONTAINER ID   NAME") && all.contains("0B / 0B"), "{all}");
    assert_eq!(lines(&node.ok(&["stats", "--no-stream", "--format", "json", "idle"])).len(), 1);
    let error = node.fails(1, &["stats", "no-such"]);
    assert!(error.contains("no-such"), "{error}");
}
