//! `post_start` and `pre_stop`: commands in a container at its start and before its stop signal.

use crate::support::Node;

/// Every command leaves a line in the volume, in the order in which it ran.
const FILE: &str = r#"
name: hooked
services:
  db:
    image: busybox
    user: "1000"
    command: [sh, -c, "trap 'echo term >> /log/order; exit 0' TERM; echo begun; while :; do sleep 0.05 & wait $$!; done"]
    environment: {FROM: container}
    volumes: ["log:/log"]
    post_start:
      - command: chmod 777 /log
        user: root
      - command: [sh, -c, "sleep 0.3; echo post $$(id -u) $$(pwd) $$FROM $$MORE >> /log/order"]
        working_dir: /tmp
        environment: [MORE=hook]
    pre_stop:
      - command: sh -c 'sleep 0.3; echo pre >> /log/order'
      - command: "false"
      - command: sh -c 'echo last >> /log/order'
  web:
    image: busybox
    command: sh -c 'echo dependent >> /log/order; exec sleep 1000'
    stop_signal: SIGKILL
    volumes: ["log:/log"]
    depends_on: [db]
volumes: {log: {}}
"#;

#[test]
fn hooks_run_at_their_turns() {
    let node = Node::start().with_busybox();
    let file = node.file("compose.yml", FILE);
    let compose = |args: &[&str]| node.ok(&[&["compose", "-f", file.to_str().unwrap()], args].concat());
    let order = || node.ok(&["run", "--rm", "-v", "hooked_log:/log", "busybox", "cat", "/log/order"]);
    compose(&["up", "-d"]);
    node.wait_for("the dependent has begun", || order().contains("dependent"));
    let begun = "post 1000 /tmp container hook\ndependent\n";
    assert_eq!(order(), begun, "a dependent waits for the hooks");
    compose(&["stop", "-t", "30", "db"]);
    assert_eq!(order(), format!("{begun}pre\nlast\nterm\n"), "one that fails keeps nothing from ending");
    compose(&["start", "db"]);
    node.wait_for("its hooks run again", || order().matches("post").count() == 2);
    compose(&["kill", "db"]);
    node.wait_for("it has ended", || compose(&["ps", "-q"]).lines().count() == 1);
    assert_eq!(order().matches("pre").count(), 1, "what is killed has no time for hooks");
    compose(&["down", "-v"]);
}

#[test]
fn a_hook_that_fails_fails_the_container_and_up() {
    let node = Node::start().with_busybox();
    let text = r#"
name: failing
services:
  app:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    restart: always
    post_start: [{command: sh -c 'echo the table is locked >&2; exit 3'}]
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: [app]}
"#;
    let file = node.file("compose.yml", text);
    let file = file.to_str().unwrap();
    let told = node.fails(1, &["up", "-d", "-f", file]);
    assert!(told.contains("failing-app-1: post_start hook 1"), "{told}");
    assert!(told.contains("exited with status 3: the table is locked"), "{told}");
    node.wait_for("it has ended", || node.ok(&["ps", "-q"]).is_empty());
    node.file("compose.yml", &text.replace("exit 3", "exit 0"));
    node.ok(&["up", "-d", "-f", file]);
    assert_eq!(node.ok(&["ps", "-q"]).lines().count(), 2, "once it is mended, up goes on");
    node.ok(&["down", "-f", file]);
}

#[test]
fn the_next_daemon_goes_on_with_the_hook_that_was_under_way() {
    let mut node = Node::start().with_busybox();
    let text = r#"
name: cut
services:
  app:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    volumes: ["log:/log"]
    post_start:
      - command: sh -c 'echo first >> /log/order'
      - command: sh -c 'echo second >> /log/order; until [ -e /log/go ]; do sleep 0.05; done; echo done >> /log/order'
    pre_stop:
      - command: sh -c 'echo bye >> /log/order; until [ -e /log/leave ]; do sleep 0.05; done; echo left >> /log/order'
volumes: {log: {}}
"#;
    let file = node.file("compose.yml", text).display().to_string();
    let log = node.data_dir().join("volumes/cut_log/_data");
    let order = || std::fs::read_to_string(log.join("order")).unwrap_or_default();
    let mut up = node.orca_command(&["up", "-d", "-f", &file]).spawn().unwrap();
    node.wait_for("the second hook is under way", || order() == "first\nsecond\n");
    node.kill_daemon();
    up.wait().unwrap();
    node.start_daemon();
    node.wait_for("it is begun again", || order() == "first\nsecond\nsecond\n");
    std::fs::write(log.join("go"), "").unwrap();
    node.ok(&["up", "-d", "-f", &file]);
    assert_eq!(order(), "first\nsecond\nsecond\ndone\n", "each has ended once");
    let mut stop = node.orca_command(&["compose", "-f", &file, "stop"]).spawn().unwrap();
    node.wait_for("the hook before the stop is under way", || order().ends_with("bye\n"));
    node.kill_daemon();
    stop.wait().unwrap();
    node.start_daemon();
    node.wait_for("it is begun again", || order().ends_with("bye\nbye\n"));
    std::fs::write(log.join("leave"), "").unwrap();
    node.wait_for("it has stopped", || node.ok(&["ps", "-q"]).is_empty());
    assert!(order().ends_with("bye\nbye\nleft\n"), "{}", order());
    node.ok(&["down", "-v", "-f", &file]);
}

/// Every step leaves a line in the volume; the service's containers do, too.
const STEPS: &str = r#"
name: stepped
services:
  db: {image: busybox, command: [sh, -c, "mkdir /www && echo up > /www/index.html; exec httpd -f -p 80 -h /www"], stop_signal: SIGKILL}
  app:
    image: busybox
    user: "1000"
    working_dir: /tmp
    command: sh -c 'echo app >> /log/order; exec sleep 1000'
    stop_signal: SIGKILL
    environment: {FROM: service}
    volumes: ["log:/log", "/anonymous"]
    tmpfs: /scratch
    scale: 2
    depends_on: [db]
    pre_start:
      - command: chmod 777 /log
        user: root
      - command: [sh, -c, "wget -qO- http://db/ >> /log/order; echo $$(id -u) $$(pwd) $$FROM $$MORE $$(ls -d /scratch /anonymous 2>/dev/null | wc -l) >> /log/order"]
        environment: [MORE=step]
      - command: [sh, -c, "echo last >> /log/order"]
        image: busybox:other
volumes: {log: {}}
"#;

#[test]
fn steps_pass_once_before_any_replica_starts() {
    let node = Node::start().with_busybox();
    node.ok(&["tag", "busybox", "busybox:other"]);
    let file = node.file("compose.yml", STEPS).display().to_string();
    let compose = |args: &[&str]| node.ok(&[&["compose", "-f", &file], args].concat());
    let log = node.data_dir().join("volumes/stepped_log/_data/order");
    let order = || std::fs::read_to_string(&log).unwrap_or_default();
    let steps = "up\n1000 /tmp service step 0\nlast\n";
    compose(&["up", "-d"]);
    node.wait_for("both replicas have begun", || order().matches("app").count() == 2);
    assert_eq!(order(), format!("{steps}app\napp\n"), "in their order, once, before the service");
    compose(&["up", "-d"]);
    compose(&["up", "-d", "--scale", "app=3"]);
    compose(&["restart", "app"]);
    compose(&["stop", "app"]);
    compose(&["start", "app"]);
    node.wait_for("they have begun again", || order().matches("app").count() == 9);
    assert_eq!(order().matches("last").count(), 1, "what has passed is not run again");
    assert_eq!(compose(&["config", "--images"]), "busybox\nbusybox:other\n");
    assert_eq!(compose(&["exec", "-T", "--index", "1", "app", "pwd"]), "/tmp\n", "in the service's own container");
    assert_eq!(compose(&["run", "--rm", "-T", "app", "true"]), "");
    assert_eq!(order().matches("last").count(), 1, "run is no start of the service");
    compose(&["up", "-d", "--force-recreate", "--no-deps", "app"]);
    assert_eq!(order().matches("last").count(), 2, "a service made anew has its steps again");
    node.file("compose.yml", &STEPS.replace("echo last", "echo changed"));
    compose(&["up", "-d"]);
    assert_eq!(order().matches("changed").count(), 1, "so has one whose steps have changed");
    let two = STEPS.split("      - command: [sh, -c, \"echo last").next().unwrap().to_owned() + "volumes: {log: {}}\n";
    node.file("compose.yml", &two);
    compose(&["up", "-d"]);
    assert!(
        !compose(&["ps", "-aq"]).is_empty() && !node.ok(&["ps", "-a"]).contains("pre_start-2"),
        "a step that is gone"
    );
    compose(&["down", "app"]);
    assert!(!node.ok(&["ps", "-a"]).contains("app"), "steps go with their service");
    compose(&["down", "-v"]);
}

#[test]
fn a_step_that_fails_keeps_its_service_from_starting() {
    let node = Node::start().with_busybox();
    let text = r#"
name: failing
services:
  app:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    pre_start: [{command: sh -c 'echo the table is locked >&2; exit 3'}, {command: echo next}]
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: [app]}
"#;
    let file = node.file("compose.yml", text);
    let file = file.to_str().unwrap();
    let told = node.fails(1, &["up", "-d", "-f", file]);
    assert!(told.contains("app-pre_start-0 exited with code 3"), "{told}");
    assert!(node.ok(&["ps", "-q"]).is_empty(), "neither the service nor what depends on it has started");
    assert!(node.ok(&["compose", "-f", file, "logs", "app"]).contains("the table is locked"), "its output stays");
    node.file("compose.yml", &text.replace("exit 3", "exit 0"));
    node.ok(&["up", "-d", "-f", file]);
    assert_eq!(node.ok(&["ps", "-q"]).lines().count(), 2, "once it is mended, up goes on");
    node.file("compose.yml", &text.replace("command: echo next", "command: echo next, per_replica: true"));
    let told = node.fails(1, &["up", "-d", "-f", file]);
    assert!(told.contains("compose.yml:8:") && told.contains("pre_start[1].per_replica"), "{told}");
    node.ok(&["down", "-f", file]);
}

#[test]
fn the_next_daemon_goes_on_with_the_step_that_was_under_way() {
    let mut node = Node::start().with_busybox();
    let text = r#"
name: mid
services:
  app:
    image: busybox
    command: sh -c 'echo app >> /log/order; exec sleep 1000'
    stop_signal: SIGKILL
    volumes: ["log:/log"]
    pre_start:
      - command: sh -c 'echo first >> /log/order; until [ -e /log/go ]; do sleep 0.05; done'
      - command: sh -c 'echo second >> /log/order'
volumes: {log: {}}
"#;
    let file = node.file("compose.yml", text).display().to_string();
    let log = node.data_dir().join("volumes/mid_log/_data");
    let order = || std::fs::read_to_string(log.join("order")).unwrap_or_default();
    let mut up = node.orca_command(&["up", "-d", "-f", &file]).spawn().unwrap();
    node.wait_for("the first step is under way", || order() == "first\n");
    node.kill_daemon();
    up.wait().unwrap();
    std::fs::write(log.join("go"), "").unwrap();
    node.start_daemon();
    node.wait_for("the service has begun", || order().ends_with("app\n"));
    assert_eq!(order(), "first\nsecond\napp\n", "each has run once");
    node.ok(&["down", "-v", "-f", &file]);
}
