//! Volumes and mounts in all their kinds.

use std::fs;

use crate::support::Node;

/// Whether something is mounted at a path of the node's.
fn is_mounted(node: &Node, path: &str) -> bool {
    let point = node.data_dir().join(path);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == point.to_str())
}

#[test]
fn a_volume_with_a_file_system_is_mounted_while_it_is_used() {
    let mut node = Node::start().with_busybox();
    node.ok(&["volume", "create", "-o", "type=tmpfs", "-o", "o=size=1m,uid=1000", "-o", "device=tmpfs", "fast"]);
    let mounted = |node: &Node| is_mounted(node, "volumes/fast/_data");
    assert!(!mounted(&node), "before its first use");
    let sleep = ["busybox", "sleep", "1000"];
    node.ok(&[&["run", "-d", "--name", "one", "-v", "fast:/f"][..], &sleep].concat());
    node.ok(&[&["run", "-d", "--name", "two", "-v", "fast:/f"][..], &sleep].concat());
    assert!(mounted(&node));
    node.ok(&["exec", "one", "sh", "-c", "echo here > /f/x; stat -c %u /f | grep -x 1000"]);
    assert_eq!(node.ok(&["exec", "two", "cat", "/f/x"]), "here\n");
    node.ok(&["rm", "-f", "one"]);
    assert!(mounted(&node), "while another uses it");
    // Whatever happens to the daemon, the last container takes it along.
    node.kill_daemon();
    node.start_daemon();
    assert_eq!(node.ok(&["exec", "two", "cat", "/f/x"]), "here\n");
    assert!(mounted(&node));
    node.kill_daemon();
    let pid = fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let own = fs::read_link(entry.path().join("root")).ok()?;
        let table = fs::read_to_string(entry.path().join("mountinfo")).ok()?;
        let its = table.contains(" /f ") && table.contains("size=1024k");
        (line.starts_with(b"sleep\0") && own.to_str() == Some("/") && its).then(|| entry.file_name())
    });
    std::process::Command::new("kill").arg("-9").arg(pid.unwrap()).status().unwrap();
    node.start_daemon();
    node.wait_for("it is unmounted", || !mounted(&node));
    node.ok(&["rm", "-f", "two"]);
    node.ok(&["volume", "rm", "fast"]);

    let source = node.file("source/file", "shared\n");
    let device = format!("device={}", source.parent().unwrap().display());
    node.ok(&["volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", &device, "bound"]);
    assert_eq!(node.ok(&["run", "--rm", "-v", "bound:/b", "busybox", "cat", "/b/file"]), "shared\n");
    node.fails(1, &["run", "--rm", "-v", "bound:/b", "busybox", "sh", "-c", "echo x > /b/file || exit 1"]);
    node.ok(&["volume", "rm", "bound"]);
    assert_eq!(fs::read_to_string(&source).unwrap(), "shared\n", "what is bound is not the volume's to remove");
    let error = node.fails(1, &["volume", "create", "-o", "type=nfs", "-o", "o=rw", "-o", "device=:/x", "remote"]);
    assert!(error.contains("addr="), "{error}");
    node.fails(1, &["volume", "create", "-d", "rexray", "plug"]);
    node.ok(&["volume", "create", "-o", "type=ext4", "-o", "device=/no/such/disk", "broken"]);
    let error = node.fails(125, &["run", "--rm", "-v", "broken:/b", "busybox", "true"]);
    assert!(error.contains("mount"), "{error}");
}

#[test]
fn parts_of_volumes_and_images() {
    let node = Node::start().with_busybox();
    node.ok(&[
        "run",
        "--rm",
        "-v",
        "data:/d",
        "busybox",
        "sh",
        "-c",
        "mkdir -p /d/a/b; echo part > /d/a/b/f; ln -s / /d/out",
    ]);
    let mount = "source=data,target=/p,volume-subpath=a/b";
    assert_eq!(node.ok(&["run", "--rm", "--mount", mount, "busybox", "cat", "/p/f"]), "part\n");
    for (subpath, reason) in [("out/etc", "out/etc"), ("../..", ".."), ("nothing", "nothing"), ("a/b/f", "a/b/f")] {
        let mount = format!("source=data,target=/p,volume-subpath={subpath}");
        let error = node.fails(125, &["run", "--rm", "--mount", &mount, "busybox", "true"]);
        assert!(error.contains(reason), "{error}");
    }
    // An image of one layer, and one of two.
    node.ok(&["run", "--name", "more", "busybox", "sh", "-c", "echo second > /etc/second"]);
    node.ok(&["commit", "more", "two:1"]);
    node.ok(&["rm", "more"]);
    for (image, file, text) in [("busybox", "var/data/seed", "from-the-image\n"), ("two:1", "etc/second", "second\n")] {
        let mount = format!("type=image,source={image},target=/i");
        let path = format!("/i/{file}");
        assert_eq!(node.ok(&["run", "--rm", "--mount", &mount, "busybox", "cat", &path]), text);
        node.fails(1, &["run", "--rm", "--mount", &mount, "busybox", "sh", "-c", "echo x > /i/x || exit 1"]);
    }
    let mount = "type=image,source=two:1,target=/i,image-subpath=etc";
    node.ok(&["run", "-d", "--name", "holder", "--mount", mount, "busybox", "sleep", "1000"]);
    assert_eq!(node.ok(&["exec", "holder", "cat", "/i/second"]), "second\n");
    let error = node.fails(1, &["rmi", "two:1"]);
    assert!(error.contains("container"), "{error}");
    node.ok(&["rm", "-f", "holder"]);
    assert_eq!(fs::read_dir(node.data_dir().join("mounts")).unwrap().count(), 0);
    node.ok(&["rmi", "two:1"]);
}

#[test]
fn mounts_of_other_containers() {
    let node = Node::start().with_busybox();
    let shared = node.file("shared/file", "bound\n");
    let bind = format!("{}:/bound", shared.parent().unwrap().display());
    node.ok(&[
        "run",
        "--name",
        "from",
        "-v",
        "/anon",
        "-v",
        "data:/data:ro",
        "-v",
        &bind,
        "busybox",
        "sh",
        "-c",
        "echo kept > /anon/f",
    ]);
    let read = "cat /anon/f /bound/file; echo more > /anon/g; echo x > /data/x || echo read-only";
    let output = node.ok(&["run", "--rm", "--volumes-from", "from", "busybox", "sh", "-c", read]);
    assert_eq!(output, "kept\nbound\nread-only\n");
    node.ok(&[
        "create",
        "--name",
        "heir",
        "--volumes-from",
        "from:ro",
        "busybox",
        "sh",
        "-c",
        "cat /anon/g; echo x > /anon/y",
    ]);
    // The anonymous volume stays for who has taken it over.
    node.ok(&["rm", "-v", "from"]);
    let output = node.orca(&["start", "-a", "heir"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "more\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only"));
    node.fails(125, &["run", "--rm", "--volumes-from", "nobody", "busybox", "true"]);
}

#[test]
fn binds_and_tmpfs_with_their_options() {
    let node = Node::start().with_busybox();
    node.file("dir/file", "x\n");
    let run =
        |flag: &str, value: &str, script: &str| node.orca(&["run", "--rm", flag, value, "busybox", "sh", "-c", script]);
    let text = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let options = |output: String| output.split_whitespace().nth(5).unwrap_or_default().to_owned();
    let tmpfs = options(text(run("--tmpfs", "/t:exec,size=1m,uid=7,mode=750", "mount | grep ' /t '")));
    assert!(tmpfs.contains("size=1024k") && tmpfs.contains("uid=7") && !tmpfs.contains("noexec"), "{tmpfs}");
    assert!(tmpfs.contains("mode=750") && tmpfs.contains("nosuid"), "{tmpfs}");
    let long = options(text(run("--mount", "type=tmpfs,target=/t,tmpfs-size=2m,readonly", "mount | grep ' /t '")));
    assert!(long.contains("size=2048k") && long.contains("ro,"), "{long}");
    // What is mounted below a bind: seen and read-only, unless said otherwise.
    let dir = node.files().join("dir");
    fs::create_dir(dir.join("below")).unwrap();
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(dir.join("below")).status();
    assert!(mounted.unwrap().success());
    let script = "mount | grep -c '/b/below '; echo x > /b/below/x && echo written";
    let found = |options: &str| {
        let value = format!("type=bind,source=dir,target=/b,readonly{options}");
        text(run("--mount", &value, script))
    };
    let results = [
        found(""),
        found(",bind-recursive=readonly"),
        found(",bind-recursive=writable"),
        found(",bind-recursive=disabled"),
    ];
    let unmounted = std::process::Command::new("umount").arg(dir.join("below")).status();
    assert!(unmounted.unwrap().success());
    assert_eq!(results, ["1\n", "1\n", "1\nwritten\n", "0\n"]);
    let error = node.fails(125, &["run", "--rm", "-v", "/tmp:/x:rshared", "busybox", "true"]);
    assert!(error.contains("propagation"), "{error}");
    node.fails(125, &["run", "--rm", "--mount", "type=bind,source=/no/such,target=/x", "busybox", "true"]);
    node.fails(125, &["run", "--rm", "-v", "data:/x", "--tmpfs", "/x", "busybox", "true"]);
    // A label that nobody gives is said to be of no effect.
    let output = run("-v", &format!("{}:/b:z", dir.display()), "true");
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && warning.contains("SELinux is not active"), "{warning}");
}

#[test]
fn volumes_are_listed_filtered_and_pruned() {
    let node = Node::start().with_busybox();
    node.ok(&["volume", "create", "--label", "tier=db", "named"]);
    node.ok(&["volume", "create", "spare"]);
    node.ok(&["create", "--name", "user", "-v", "named:/n", "busybox"]);
    node.ok(&["run", "--name", "left", "-v", "/anon", "busybox", "sh", "-c", "head -c 100000 /dev/zero > /anon/zeros"]);
    node.ok(&["rm", "left"]);
    assert_eq!(node.ok(&["volume", "ls", "-q", "-f", "label=tier=db"]), "named\n");
    assert_eq!(node.ok(&["volume", "ls", "-q", "-f", "dangling=false"]), "named\n");
    assert_eq!(node.ok(&["volume", "ls", "-q", "-f", "dangling=true"]).lines().count(), 2);
    node.fails(1, &["volume", "ls", "-f", "color=red"]);
    let pruned = node.ok(&["volume", "prune", "-f"]);
    assert!(pruned.contains("Deleted Volumes:") && !pruned.contains("spare") && !pruned.contains(" 0B"), "{pruned}");
    assert!(node.ok(&["volume", "prune", "-f", "-a", "--filter", "label!=tier"]).contains("spare"));
    assert_eq!(node.ok(&["volume", "prune", "-f", "-a"]), "Total reclaimed space: 0B\n");
    node.ok(&["rm", "user"]);
    assert!(node.ok(&["volume", "prune", "-f", "-a"]).contains("named"));
}

#[test]
fn compose_carries_its_mounts() {
    let node = Node::start().with_busybox();
    node.file("host/file", "bound\n");
    node.file(
        "compose.yml",
        r#"
name: app
services:
  first:
    image: busybox
    stop_grace_period: 0s
    command: sh -c 'mkdir -p /data/sub; echo deep > /data/sub/f; touch /data/done; sleep 1000'
    volumes:
      - data:/data
      - type: volume
        source: fast
        target: /fast
        volume: {nocopy: true}
      - type: bind
        source: ./host
        target: /host
        read_only: true
        bind: {propagation: rslave, create_host_path: false, recursive: writable}
      - type: tmpfs
        target: /scratch
        tmpfs: {size: 1m, mode: 0700}
      - type: image
        source: busybox
        target: /image
        image: {subpath: var/data}
    healthcheck: {test: test -e /data/done, interval: 200ms}
  second:
    image: busybox
    stop_grace_period: 0s
    depends_on: {first: {condition: service_healthy}}
    volumes_from: ["first:ro"]
    volumes:
      - {type: volume, source: data, target: /part, volume: {subpath: sub}}
    command: sh -c 'cat /part/f /host/file /image/seed; echo x > /data/y || echo refused; sleep 1000'
volumes:
  data: {labels: {a: b}}
  fast: {driver: local, driver_opts: {type: tmpfs, o: "size=1m", device: tmpfs}}
"#,
    );
    let up = node.orca(&["up", "-d"]);
    assert!(up.status.success(), "{} {}", String::from_utf8_lossy(&up.stderr), node.ok(&["inspect", "app-first-1"]));
    let expected = ["deep", "bound", "from-the-image", "refused"];
    node.wait_for("the second has read it all", || {
        let logs = node.ok(&["logs", "app-second-1"]);
        expected.iter().all(|line| logs.contains(line))
    });
    let mounts = node.ok(&["exec", "app-first-1", "mount"]);
    assert!(mounts.contains(" /scratch ") && mounts.contains(" /fast "), "{mounts}");
    assert!(is_mounted(&node, "volumes/app_fast/_data"));
    node.ok(&["down", "-v"]);
    assert_eq!(node.ok(&["volume", "ls", "-q"]), "");
}
