//! `orca compose --dry-run`: says what would be done, and changes nothing.

use crate::support::Node;

const FILE: &str = "
name: dry
services:
  db:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: ['data:/data']
    healthcheck: {test: 'true', interval: 100ms}
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
volumes: {data: {}}
";

/// Everything that the node has: the managers' state by its version, containers, networks, volumes, images.
fn state(node: &Node) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let version = runtime.block_on(async {
        let address = api::client::Endpoint::parse(&node.address()).unwrap();
        let channel = api::client::connect(&address).await.unwrap();
        let mut control = api::client::control_client(channel, api::client::Guard { read_only: true, node: None });
        control.get_cluster(api::control::GetClusterRequest {}).await.unwrap().into_inner().version
    });
    let mut found = format!("version {version}\n");
    for list in [
        &["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}} {{.Image}}"][..],
        &["network", "ls", "--no-trunc"],
        &["volume", "ls"],
        &["images", "-a", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"],
    ] {
        found.push_str(&node.ok(list));
    }
    found
}

/// Settles and looks: reports of a start may still be on their way to the managers.
fn settled(node: &Node) -> String {
    let mut last = state(node);
    node.wait_for("the node is at rest", || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = state(node);
        std::mem::replace(&mut last, now.clone()) == now
    });
    last
}

#[test]
fn no_verb_changes_anything() {
    let node = Node::start().with_busybox();
    let file = node.file("compose.yml", FILE);
    let file = file.to_str().unwrap();
    let told = |args: &[&str]| {
        let output = node.orca(&[&["compose", "-f", file, "--dry-run"], args].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {text}\n{}", node.daemon_log());
        assert!(output.stdout.is_empty(), "{args:?}");
        text.lines()
            .filter_map(|line| line.strip_prefix(" DRY-RUN MODE -  "))
            .map(str::to_owned)
            .collect::<Vec<String>>()
    };
    let nothing = settled(&node);
    let up = told(&["up", "-d"]);
    let expected = [
        "Volume dry_data  Created",
        "Network dry_default  Created",
        "Container dry-db-1  Created",
        "Container dry-db-1  Started",
        "Container dry-db-1  Healthy",
        "Container dry-web-1  Started",
    ];
    let mut rest = up.iter();
    assert!(expected.iter().all(|step| rest.any(|found| found == step)), "{up:?}");
    assert!(told(&["create"]).iter().all(|step| step.ends_with("Created")));
    assert_eq!(told(&["run", "--rm", "--name", "once", "web", "true"]).last().unwrap(), "Container once  Started");
    assert_eq!(told(&["scale", "web=2"]).iter().filter(|step| step.starts_with("Container dry-web-")).count(), 4);
    assert_eq!(told(&["up", "-d", "web", "--no-deps"]).len(), 3);
    node.file("other.yml", "name: dry\nservices: {far: {image: 'registry.invalid/far:1'}}");
    let pulled = node.orca(&["up", "-d", "-f", "other.yml", "--dry-run"]);
    let pulled = String::from_utf8_lossy(&pulled.stderr).into_owned();
    assert!(pulled.contains("DRY-RUN MODE -  Image registry.invalid/far:1  Pulled"), "{pulled}");
    assert!(pulled.contains("DRY-RUN MODE -  Container dry-far-1  Started"), "{pulled}");
    assert_eq!(state(&node), nothing);

    node.ok(&["up", "-d", "--wait", "-f", file]);
    let running = settled(&node);
    assert_eq!(told(&["up", "-d"]), ["Container dry-db-1  Running", "Container dry-web-1  Running"]);
    let forced = told(&["up", "-d", "--force-recreate", "--no-deps", "web"]);
    assert_eq!(
        forced,
        [
            "Container dry-db-1  Running",
            "Container dry-web-1  Stopped",
            "Container dry-web-1  Removed",
            "Container dry-web-1  Created",
            "Container dry-web-1  Started"
        ]
    );
    assert_eq!(told(&["stop"]), ["Container dry-web-1  Stopped", "Container dry-db-1  Stopped"]);
    assert_eq!(told(&["restart", "db"]), ["Container dry-db-1  Restarted"]);
    assert_eq!(told(&["start"]), [""; 0]);
    assert_eq!(told(&["pause", "db"]), ["Container dry-db-1  Paused"]);
    assert_eq!(told(&["kill", "web"]), ["Container dry-web-1  Killed"]);
    assert_eq!(told(&["exec", "web", "rm", "-rf", "/"]), ["Command \"rm -rf /\" in dry-web-1  Executed"]);
    assert_eq!(told(&["cp", file, "web:/x"]).len(), 1);
    assert_eq!(told(&["commit", "web", "mine"]), ["Container dry-web-1  Committed"]);
    assert_eq!(told(&["pull", "--policy", "missing"]), [""; 0]);
    assert_eq!(told(&["publish", "-y", "127.0.0.1:1/app"]), ["Application 127.0.0.1:1/app  Published"]);
    assert_eq!(told(&["rm", "-sf", "web"]), ["Container dry-web-1  Stopped", "Container dry-web-1  Removed"]);
    let down = told(&["down", "-v"]);
    assert_eq!(down[..2], ["Container dry-web-1  Stopped", "Container dry-web-1  Removed"], "dependents first");
    assert_eq!(down.last().unwrap(), "Volume dry_data  Removed");
    assert!(down.contains(&"Network dry_default  Removed".to_owned()));
    let refused = node.fails(1, &["compose", "-f", file, "--dry-run", "attach", "--no-stdin", "web"]);
    assert!(
        refused.contains("cannot tell what it would do without doing it"),
        "what is not told is not done: {refused}"
    );
    assert_eq!(settled(&node), running);
    node.ok(&["down", "-v", "-f", file]);
}
