//! Containers whose users are not the host's: `--userns-remap`.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::support::Node;

/// Ids that are nobody's on this machine.
const FIRST: u32 = 1_900_000_000;

/// User databases of a node's own: `alice` has ids, `bob` has none.
fn databases(node: &Node) -> PathBuf {
    node.file("etc/passwd", "root:x:0:0::/:\nalice:x:1000:1000::/:\nbob:x:1001:1001::/:\n");
    node.file("etc/group", "root:x:0:\nalice:x:1000:\nbob:x:1001:\n");
    node.file("etc/subuid", &format!("alice:{FIRST}:65536\n"));
    node.file("etc/subgid", &format!("alice:{FIRST}:65536\n"));
    node.files().join("etc")
}

/// A node whose containers have the ids of this user.
fn remapped(user: &str, args: &[&str]) -> Node {
    let mut node = Node::prepare(args);
    let etc = databases(&node);
    node.add_args(&["--userns-remap", user, "--user-databases", etc.to_str().unwrap()]);
    node.start_daemon();
    node.with_busybox()
}

fn owner(path: &Path) -> (u32, u32) {
    let found = std::fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    (found.uid(), found.gid())
}

fn container_dir(node: &Node, name: &str) -> PathBuf {
    let id = node.ok(&["inspect", "-f", "{{.Id}}", name]);
    node.data_dir().join("containers").join(id.trim())
}

#[test]
fn a_containers_root_is_nobody_on_the_host() {
    let mut node = remapped("default", &["--add-runtime", "runc=/usr/sbin/runc"]);
    let reserved = std::fs::read_to_string(node.files().join("etc/subuid")).unwrap();
    let first = FIRST + 65_536;
    assert!(reserved.ends_with(&format!("\ndockremap:{first}:65536\n")), "beyond those of others: {reserved}");
    let run = |args: &[&str]| node.ok(&[&["run", "--rm"], args].concat());

    // Who it is, inside and outside.
    let map = run(&["busybox", "cat", "/proc/self/uid_map", "/proc/self/gid_map"]);
    let fields: Vec<String> = map.split_whitespace().map(str::to_owned).collect();
    let range = ["0".to_owned(), first.to_string(), "65536".to_owned()];
    assert_eq!(fields, [range.clone(), range].concat());
    node.ok(&["run", "-d", "--name", "web", "-v", "data:/var/data", "-v", "fresh:/fresh", "busybox", "sleep", "1000"]);
    let pid = node.ok(&["inspect", "-f", "{{.State.Pid}}", "web"]);
    assert_eq!(owner(Path::new(&format!("/proc/{}", pid.trim()))), (first, first), "the process on the host");

    // Layers, volumes and Orca's own files belong to the container's users; on disk all have the container's ids.
    let inside = |path: &str| node.ok(&["exec", "web", "stat", "-c", "%u:%g", path]);
    for path in ["/", "/bin/busybox", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/fresh", "/dev", "/dev/pts"] {
        assert_eq!(inside(path), "0:0\n", "{path}");
    }
    assert_eq!(inside("/var/data"), "1000:1000\n", "filled from the image with its owners");
    node.ok(&[
        "exec",
        "web",
        "sh",
        "-c",
        "echo x > /made; mkdir -p /srv/deep; chown 1000:2000 /made; echo y > /fresh/file; echo >> /etc/passwd",
    ]);
    node.ok(&["exec", "-u", "user", "web", "sh", "-c", "echo z > /var/data/own; echo to-stdout > /dev/stdout"]);
    let upper = container_dir(&node, "web").join("upper");
    assert_eq!((owner(&upper.join("made")), owner(&upper.join("srv/deep"))), ((1000, 2000), (0, 0)));
    let volumes = node.data_dir().join("volumes");
    assert_eq!(owner(&volumes.join("fresh/_data/file")), (0, 0));
    assert_eq!(owner(&volumes.join("data/_data/own")), (1000, 1000));
    assert_eq!(
        run(&["--userns=host", "-v", "data:/d", "busybox", "stat", "-c", "%u", "/d/own"]),
        "1000\n",
        "any container sees them so"
    );

    // Parts of volumes too; what is a path of the host under another name is the host's.
    let part = "type=volume,src=fresh,dst=/part,volume-subpath=sub";
    node.ok(&["exec", "web", "mkdir", "/fresh/sub"]);
    assert_eq!(run(&["--mount", part, "busybox", "sh", "-c", "touch /part/x; stat -c %u /part"]), "0\n");
    assert_eq!(owner(&volumes.join("fresh/_data/sub/x")), (0, 0));
    let hosts = node.files().join("hosts");
    std::fs::create_dir(&hosts).unwrap();
    let device = format!("device={}", hosts.display());
    node.ok(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "hosts"]);
    node.fails(1, &["run", "--rm", "-v", "hosts:/hosts", "busybox", "touch", "/hosts/x"]);

    // Changes, copies in and out, images made of it.
    let changes = node.ok(&["diff", "web"]);
    assert!(changes.contains("A /made") && changes.contains("C /etc/passwd"), "{changes}");
    let file = node.file("in", "copied");
    node.ok(&["cp", file.to_str().unwrap(), "web:/copied"]);
    assert_eq!(node.ok(&["exec", "web", "sh", "-c", "cat /copied; stat -c %u:%g /copied"]), "copied0:0\n");
    node.ok(&["cp", "-a", "web:/made", node.files().join("out").to_str().unwrap()]);
    assert_eq!(owner(&node.files().join("out")), (1000, 2000), "as the container numbers them");
    node.ok(&["commit", "web", "committed"]);
    assert_eq!(run(&["--userns=host", "committed", "stat", "-c", "%u:%g", "/made", "/copied"]), "1000:2000\n0:0\n");

    // The network, the name, the kernel's parameters, terminals, devices are its own.
    run(&["--cap-add=NET_ADMIN", "busybox", "ip", "link", "set", "lo", "mtu", "1400"]);
    assert_eq!(run(&["--sysctl", "net.ipv4.ip_forward=1", "busybox", "cat", "/proc/sys/net/ipv4/ip_forward"]), "1\n");
    assert_eq!(run(&["--sysctl", "kernel.msgmax=1000", "busybox", "cat", "/proc/sys/kernel/msgmax"]), "1000\n");
    assert_eq!(
        run(&[
            "--device",
            "/dev/null:/dev/nothing",
            "busybox",
            "sh",
            "-c",
            "echo x > /dev/nothing && echo ok > /dev/stderr; echo done"
        ]),
        "done\n"
    );
    assert!(
        run(&["-t", "busybox", "sh", "-c", "test -t 0 && stat -c %u $(readlink /proc/self/fd/0)"]).starts_with('0')
    );
    run(&["-w", "/not/yet/there", "busybox", "sh", "-c", "test $(stat -c %u .) = 0 && touch x"]);
    run(&["--read-only", "--tmpfs", "/scratch", "busybox", "sh", "-c", "touch /scratch/x && ! touch /x"]);

    // Binds are the host's, as in Docker: what its root owns, the container's root has no hand in.
    let dir = node.files().join("bind");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("secret"), "s").unwrap();
    std::fs::set_permissions(dir.join("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let bind = format!("{}:/bind", dir.display());
    node.fails(1, &["run", "--rm", "-v", &bind, "busybox", "cat", "/bind/secret"]);
    chown(&dir, Some(first + 5), Some(first)).unwrap();
    assert_eq!(run(&["-v", &bind, "-u", "5", "busybox", "sh", "-c", "echo mine > /bind/own; stat -c %u /bind"]), "5\n");
    assert_eq!(owner(&dir.join("own")).0, first + 5);

    // A container goes on when the daemon is killed, and what sharing needs is still known.
    node.kill_daemon();
    node.start_daemon();
    assert_eq!(node.ok(&["exec", "web", "id", "-u"]), "0\n");
    assert_eq!(
        node.ok(&["run", "--rm", "--network=container:web", "--pid=container:web", "busybox", "cat", "/proc/1/comm"]),
        "sleep\n"
    );
    let same = |path: &str| {
        let link = |args: &[&str]| node.ok(&[args, &["readlink", path]].concat());
        link(&["run", "--rm", "--network=container:web", "busybox"]) == link(&["exec", "web"])
    };
    assert!(same("/proc/self/ns/user") && same("/proc/self/ns/net"));
    node.ok(&["restart", "-t", "0", "web"]);
    assert_eq!(node.ok(&["exec", "web", "cat", "/made"]), "x\n");
    node.ok(&["stop", "-t", "0", "web"]);
    node.ok(&["cp", file.to_str().unwrap(), "web:/while-stopped"]);
    node.ok(&["start", "web"]);
    assert_eq!(node.ok(&["exec", "web", "stat", "-c", "%u:%g", "/while-stopped"]), "0:0\n");

    // What is the host's stays the host's, also beside runtimes that give their standard input away.
    node.ok(&["run", "--rm", "--runtime", "runc", "busybox", "true"]);
    assert_eq!((owner(Path::new("/dev/null")), owner(Path::new("/dev/zero"))), ((0, 0), (0, 0)));

    // Nothing stays.
    node.ok(&["rm", "-f", "-v", "web"]);
    for dir in ["userns", "netns"] {
        assert_eq!(std::fs::read_dir(node.run_dir().join(dir)).unwrap().count(), 0, "{dir}");
    }
    let stage = PathBuf::from(format!("/run/orca-{}", node.key()));
    assert_eq!(std::fs::read_dir(&stage).unwrap().count(), 0, "mounted in shims only");
    node.reset();
    assert!(!stage.exists());
}

#[test]
fn what_other_users_rule_out_is_refused_and_the_hosts_are_there_on_demand() {
    let node = remapped("1000:alice", &["--idmap-binds"]);
    let own = std::fs::read_link("/proc/self/ns/user").unwrap().display().to_string() + "\n";
    let link = ["busybox", "readlink", "/proc/self/ns/user"];
    assert_eq!(node.ok(&[&["run", "--rm", "--userns=host"], &link[..]].concat()), own);
    assert_ne!(node.ok(&[&["run", "--rm"], &link[..]].concat()), own);
    node.ok(&["run", "--rm", "--userns=host", "--privileged", "--pid=host", "--net=host", "busybox", "true"]);
    let bind = format!("{}:/bind:rshared", node.files().display());
    for (flags, why) in [
        (&["--privileged"][..], "privileged mode is incompatible with user namespaces"),
        (&["--net=host"], "cannot share the host's network namespace"),
        (&["--pid=host"], "cannot share the host PID namespace"),
        (&["--ipc=host"], "no rights in the host's IPC namespace"),
        (&["-v", &bind], "never shows on the host"),
        (&["-u", "65536"], "no such id"),
        (&["--group-add", "70000"], "no such id"),
    ] {
        let error = node.fails(125, &[&["run", "--rm"], flags, &["busybox", "true"]].concat());
        assert!(error.contains(why) && error.contains("--userns host"), "{flags:?}: {error}");
    }
    let info = node.ok(&["info", "-f", "{{json .SecurityOptions}}"]);
    assert!(info.contains("name=userns") && info.contains("name=seccomp,profile=builtin"), "{info}");
    assert_eq!(info.contains("name=apparmor"), Path::new("/sys/kernel/security/apparmor").exists());

    // Binds with the host's owners, because the node is told so.
    let dir = node.files().join("mine");
    std::fs::create_dir(&dir).unwrap();
    let mine = format!("{}:/mine", dir.display());
    node.ok(&["run", "--rm", "-v", &mine, "busybox", "sh", "-c", "touch /mine/root && chown 7 /mine/root"]);
    assert_eq!(owner(&dir.join("root")), (7, 0));

    // Compose: secrets and configs have the owners that they are given, and a service may have the host's users.
    let secret = node.file("secret.txt", "hush");
    let compose = format!(
        "name: p\nservices:\n  a:\n    image: busybox\n    command: sleep 1000\n    healthcheck: {{test: ['CMD', 'test', '-r', \
         '/run/secrets/s'], interval: 1s}}\n    secrets: [{{source: s, uid: '1000', gid: '2000', mode: 0400}}]\n    \
         configs: [{{source: c, target: /c}}]\n  b:\n    image: busybox\n    command: sleep 1000\n    userns_mode: host\n\
         secrets: {{s: {{file: {0}}}}}\nconfigs: {{c: {{file: {0}}}}}\n",
        secret.display()
    );
    let file = node.file("compose.yml", &compose);
    node.ok(&["compose", "-f", file.to_str().unwrap(), "up", "-d", "--wait"]);
    let exec = |service: &str, args: &[&str]| {
        node.ok(&[&["compose", "-f", file.to_str().unwrap(), "exec", "-T", service], args].concat())
    };
    let stat = ["stat", "-c", "%u:%g %a", "/run/secrets/s", "/c"];
    assert_eq!(exec("a", &stat), "1000:2000 400\n0:0 444\n");
    assert_eq!(exec("a", &["su", "user", "-c", "cat /run/secrets/s"]), "hush");
    assert_eq!(exec("b", &["readlink", "/proc/self/ns/user"]), own);
    node.ok(&["run", "-d", "--name", "hosts", "--userns=host", "busybox", "sleep", "1000"]);
    let error = node.fails(125, &["run", "--rm", "--net=container:hosts", "busybox", "true"]);
    assert!(error.contains("has the host's users"), "{error}");
    node.ok(&["compose", "-f", file.to_str().unwrap(), "down"]);
}

#[test]
fn a_daemon_without_ids_to_give_says_what_is_missing() {
    let mut node = Node::prepare(&[]);
    let etc = databases(&node);
    let daemon = |node: &Node, user: &str| {
        let mut command = node.host_command(env!("CARGO_BIN_EXE_orca"));
        command.args(["daemon", "--userns-remap", user, "--user-databases"]).arg(&etc);
        let output =
            command.arg("--data-dir").arg(node.data_dir()).arg("--run-dir").arg(node.run_dir()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(daemon(&node, "carol").contains("/etc/passwd has no user carol"));
    assert!(daemon(&node, "bob").contains("/etc/subuid has no ids for bob: add a line bob:100000:65536"));
    // A file system that has no idmapped mounts.
    node.mount_disk_of("ramfs", "mode=755");
    let error = daemon(&node, "alice");
    assert!(error.contains("cannot be shown to other users"), "{error}");
}
