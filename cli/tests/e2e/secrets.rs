//! Secrets and configs of the cluster: given, seen, rotated, filled in, removed; and where they are not.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::hosts::{Cluster, Host};
use crate::support::busybox;

const PLANTED: &str = "pl4nted-in-s3cret";

fn form(hosts: usize) -> Cluster {
    let mut cluster = Cluster::start(Path::new(env!("CARGO_BIN_EXE_orca")), hosts);
    if hosts > 1 {
        cluster.form(1, hosts - 1);
    }
    let dir = tempfile::tempdir().unwrap();
    let tar = busybox(dir.path());
    for host in &cluster.hosts {
        host.ok(&["import", tar.to_str().unwrap(), "busybox", "-c", "CMD [\"sh\"]"]);
    }
    cluster
}

/// Makes a secret or a config of a text on standard input; its id.
fn give(host: &Host, kind: &str, flags: &[&str], name: &str, text: &str) -> String {
    let mut command = host.orca_command(&[&[kind, "create"], flags, &[name, "-"]].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_is_given_is_listed_shown_and_removed_as_docker_does() {
    let cluster = form(1);
    let host = cluster.host(1);
    let secret = give(host, "secret", &["--label", "tier=front"], "key", PLANTED);
    let config = give(host, "config", &[], "conf", "a: b\n");
    assert_eq!((secret.len(), config.len()), (25, 25));
    assert_eq!(
        host.ok(&["secret", "ls", "--format", "{{.ID}} {{.Name}} {{.Driver}}|{{.Label \"tier\"}}"]),
        format!("{secret} key |front\n")
    );
    assert!(host.ok(&["secret", "ls"]).starts_with("ID "));
    assert!(host.ok(&["config", "ls"]).contains("conf"));
    assert_eq!(host.ok(&["config", "ls", "-q", "--filter", "name=co"]).trim(), config);
    assert_eq!(host.ok(&["secret", "ls", "-q", "--filter", "label=tier=back"]), "");
    assert_eq!(host.ok(&["config", "inspect", "-f", "{{.Spec.Data}} {{.Spec.Name}}", &config[..5]]), "YTogYgo= conf\n");
    let shown = host.ok(&["secret", "inspect", "key"]) + &host.ok(&["secret", "inspect", "--pretty", "key"]);
    assert!(shown.contains("\"Name\": \"key\"") && !shown.contains(PLANTED) && !shown.contains("Data"), "{shown}");
    assert!(host.ok(&["config", "inspect", "--pretty", "conf"]).ends_with("Data:\na: b\n"));
    // What is wrong is told by name.
    assert!(host.fails(&["secret", "create", "key", "/etc/hostname"]).contains("secret key exists already"));
    assert!(host.fails(&["secret", "create", "none", "/dev/null"]).contains("larger than 0 bytes"));
    assert!(host.fails(&["config", "create", "zeros", "/dev/zero"]).contains("at most 1024000 are allowed"));
    assert!(host.fails(&["secret", "create", "x", "/nonexistent"]).contains("/nonexistent"));
    assert!(host.fails(&["secret", "create", "--environment", "NOT_THERE", "x"]).contains("NOT_THERE"));
    assert!(host.fails(&["secret", "inspect", "nope"]).contains("No such secret: nope"));
    assert!(host.fails(&["secret", "create", "-d", "vault", "x"]).contains("--driver"));

    let service = ["service", "create", "-q", "--name", "web", "--network", "none", "--secret", "key", "--config"];
    host.ok(&[&service[..], &["source=conf,target=/etc/conf", "--stop-grace-period", "0s", "busybox", "sleep", "600"]]
        .concat());
    let refused = host.fails(&["secret", "rm", "key", "nope"]);
    assert!(refused.contains("secret 'key' is in use by the following service: web"), "{refused}");
    assert!(refused.contains("No such secret: nope"), "{refused}");
    // Docker's way to rotate.
    let mut command = host.orca_command(&["secret", "create", "--environment", "NEXT_KEY", "key2"]);
    assert!(command.env("NEXT_KEY", "another").status().unwrap().success());
    let rotate = ["service", "update", "-q", "--secret-rm", "key", "--secret-add", "source=key2,target=key", "web"];
    host.ok(&rotate);
    let shown = |host: &Host| {
        let id = host.ok(&["ps", "-q", "--filter", "status=running"]);
        host.ok(&["exec", id.trim(), "cat", "/run/secrets/key"])
    };
    assert_eq!(shown(host), "another");
    assert_eq!(host.ok(&["secret", "rm", "key"]), "key\n");
    assert_eq!(host.ok(&["secret", "ls", "--format", "{{.Name}}"]), "key2\n");
    // The way back has what it was.
    host.ok(&["service", "rollback", "-q", "web"]);
    assert_eq!(shown(host), PLANTED);
    host.ok(&["service", "rm", "web"]);
    assert_eq!(host.ok(&["secret", "rm", "key2"]) + &host.ok(&["config", "rm", "conf"]), "key2\nconf\n");
    assert_eq!(host.ok(&["secret", "ls", "-q"]) + &host.ok(&["config", "ls", "-q"]), "");
}

#[test]
fn a_changed_file_rolls_its_services_to_another_version() {
    let cluster = form(1);
    let host = cluster.host(1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("compose.yml");
    let text = "services:\n  web:\n    image: busybox\n    command: sleep 600\n    stop_grace_period: 0s\n    networks: [none]\n    \
                secrets: [key]\n    configs: [{source: conf, target: /etc/conf}]\nnetworks: {none: {}}\nsecrets: {key: {file: ./key}}\n\
                configs: {conf: {file: ./conf, template_driver: golang}}\n";
    std::fs::write(&file, text).unwrap();
    std::fs::write(dir.path().join("key"), "one").unwrap();
    std::fs::write(dir.path().join("conf"), "{{.Service.Name}}.{{.Task.Slot}} key={{secret \"key\"}}").unwrap();
    let deploy = || host.ok(&["stack", "deploy", "-c", file.to_str().unwrap(), "shop"]);
    let shown = || {
        let id = host.ok(&["ps", "-q", "--filter", "status=running"]);
        host.ok(&["exec", id.trim(), "cat", "/etc/conf"])
    };
    deploy();
    cluster.wait_for("the first version runs", || host.ok(&["ps", "-q"]).lines().count() == 1);
    assert_eq!(shown(), "shop_web.1 key=one");
    let version = || host.ok(&["service", "inspect", "-f", "{{.Version.Index}}", "shop_web"]);
    let before = version();
    deploy();
    assert_eq!(version(), before, "the same files change nothing");
    std::fs::write(dir.path().join("key"), "two").unwrap();
    deploy();
    cluster.wait_for("the second version runs", || {
        host.ok(&["ps", "-q"]).lines().count() == 1 && shown().ends_with("two")
    });
    host.ok(&["stack", "rm", "shop"]);
    let left = || host.ok(&["secret", "ls", "-q"]) + &host.ok(&["config", "ls", "-q"]);
    cluster.wait_for("all of it is gone", || left().is_empty());
}

#[test]
fn a_secret_is_on_the_nodes_that_need_it_and_on_no_disk() {
    let cluster = form(3);
    let leader = cluster.host(1);
    give(leader, "secret", &[], "key", PLANTED);
    give(leader, "config", &["--template-driver", "golang"], "conf", "on {{.Node.Hostname}} with {{secret \"key\"}}");
    let place = format!("node.hostname=={}", cluster.host(2).name());
    let flags =
        ["service", "create", "-q", "--name", "web", "--network", "none", "--constraint", &place, "--secret", "key"];
    leader.ok(&[
        &flags[..],
        &["--config", "source=conf,target=/etc/conf", "--stop-grace-period", "0s", "busybox", "sleep", "600"],
    ]
    .concat());
    let worker = cluster.host(2);
    let id = worker.ok(&["ps", "-q"]);
    let expected = format!("on {} with {PLANTED}", worker.name());
    assert_eq!(worker.ok(&["exec", id.trim(), "cat", "/etc/conf"]), expected);
    let backup = leader.data_dir().join("../backup");
    leader.ok(&["swarm", "backup", backup.to_str().unwrap()]);

    for (number, host) in (1..).zip(&cluster.hosts) {
        let base = host.data_dir().parent().unwrap().display().to_string();
        let mut found = lines_of(host.run_command("grep").args(["-rlaF", PLANTED, &base]));
        // In memory, on the node whose task has it, as long as it does.
        let of_task = format!("{base}/run/secrets/");
        if number == 2 {
            assert_eq!(found.iter().filter(|path| path.starts_with(&of_task)).count(), 2, "{found:?}");
        }
        found.retain(|path| number != 2 || !path.starts_with(&of_task));
        assert!(found.is_empty(), "host {number}: {found:?}");
        let all = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'";
        let said = lines_of(host.run_command("sh").args(["-c", all]));
        assert!(!said.iter().any(|line| line.contains(PLANTED)), "host {number}: {said:?}");
    }
    leader.ok(&["service", "rm", "web"]);
    cluster.wait_for("its task is gone", || worker.ok(&["ps", "-aq"]).is_empty());
    let base = worker.data_dir().parent().unwrap().display().to_string();
    assert_eq!(lines_of(worker.run_command("grep").args(["-rlaF", PLANTED, &base])), Vec::<String>::new());
}

fn lines_of(command: &mut std::process::Command) -> Vec<String> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
