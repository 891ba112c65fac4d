//! Files of containers: cp, diff, export, commit.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use crate::support::Node;

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn cp_follows_dockers_rules_into_and_out_of_containers() {
    let node = Node::start().with_busybox();
    let dir = node.files();
    node.file("tree/sub/file", "one\n");
    node.file("single", "two\n");
    node.ok(&["run", "-d", "--name", "up", "busybox", "sleep", "1000"]);
    node.ok(&["create", "--name", "down", "busybox"]);
    for name in ["up", "down"] {
        let at = |path: &str| format!("{name}:{path}");
        // A directory to a new name, into one that is there, and only what is in it.
        node.ok(&["cp", "tree", &at("/new")]);
        node.ok(&["cp", "tree", &at("/tmp")]);
        node.ok(&["cp", "tree/.", &at("/root/")]);
        node.ok(&["cp", "single", &at("/tmp/renamed")]);
        // The directory above must be there; a file is no directory.
        node.fails(1, &["cp", "single", &at("/none/file")]);
        node.fails(1, &["cp", "single", &at("/none/")]);
        node.fails(1, &["cp", "tree", &at("/etc/passwd")]);
        let error = node.fails(1, &["cp", &at("/no/such/file"), "."]);
        assert!(error.contains("could not find the file /no/such/file"), "{error}");
        for (path, content) in [
            ("/new/sub/file", "one\n"),
            ("/tmp/tree/sub/file", "one\n"),
            ("/root/sub/file", "one\n"),
            ("/tmp/renamed", "two\n"),
        ] {
            let back = dir.join(format!("back-{name}"));
            node.ok(&["cp", &at(path), back.to_str().unwrap()]);
            assert_eq!(text(&back), content, "{path}");
        }
        // Out: to a new name, into a directory, only what is in it.
        let out = dir.join(format!("out-{name}"));
        node.ok(&["cp", &at("/new"), out.to_str().unwrap()]);
        assert_eq!(text(&out.join("sub/file")), "one\n");
        node.ok(&["cp", &at("/new"), out.to_str().unwrap()]);
        assert_eq!(text(&out.join("new/sub/file")), "one\n");
        node.ok(&["cp", &at("/new/sub/."), out.to_str().unwrap()]);
        assert_eq!(text(&out.join("file")), "one\n");
        node.fails(1, &["cp", &at("/new"), dir.join("none/out").to_str().unwrap()]);
        // Through standard output and input.
        let archive = node.orca(&["cp", &at("/new"), "-"]).stdout;
        assert!(archive.windows(12).any(|text| text == b"new/sub/file"));
        let mut child = node.orca_command(&["cp", "-", &at("/var")]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&archive).unwrap();
        assert!(child.wait().unwrap().success());
        node.ok(&["cp", &at("/var/new/sub/file"), dir.join("again").to_str().unwrap()]);
    }
    // What was copied into the stopped one is there when it runs.
    node.ok(&["start", "down"]);
    assert_eq!(node.ok(&["exec", "up", "cat", "/new/sub/file"]), "one\n");
    node.fails(1, &["cp", "up:/new", "down:/x"]);
    node.fails(1, &["cp", "single", "tree"]);
}

#[test]
fn cp_keeps_owners_and_links_as_asked() {
    let node = Node::start().with_busybox();
    let file = node.file("mine", "x");
    std::os::unix::fs::chown(&file, Some(1234), Some(4321)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("mine", node.files().join("link")).unwrap();
    node.ok(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    let stat = |path: &str| node.ok(&["exec", "box", "stat", "-c", "%u:%g:%a", path]);
    node.ok(&["cp", "mine", "box:/plain"]);
    assert_eq!(stat("/plain"), "0:0:755\n");
    node.ok(&["cp", "-a", "mine", "box:/kept"]);
    assert_eq!(stat("/kept"), "1234:4321:4755\n");
    node.ok(&["cp", "link", "box:/as-link"]);
    assert_eq!(node.ok(&["exec", "box", "readlink", "/as-link"]), "mine\n");
    node.ok(&["cp", "-L", "link", "box:/as-file"]);
    assert_eq!(node.ok(&["exec", "box", "cat", "/as-file"]), "x");
    // Out of it: what is in a container makes no program that runs as root here.
    let out = node.files().join("out");
    node.ok(&["cp", "box:/kept", out.to_str().unwrap()]);
    let found = fs::metadata(&out).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o755));
    node.ok(&["cp", "-a", "box:/kept", out.to_str().unwrap()]);
    let found = fs::metadata(&out).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (1234, 0o4755));
    // A link that is followed keeps its name.
    node.ok(&["exec", "box", "sh", "-c", "mkdir /d /real && echo y > /real/f && ln -s /real /d/l"]);
    node.ok(&["cp", "-L", "box:/d/l", node.files().join("followed").to_str().unwrap()]);
    assert_eq!(text(&node.files().join("followed/f")), "y\n");
    fs::create_dir(node.files().join("into")).unwrap();
    node.ok(&["cp", "-L", "box:/d/l", node.files().join("into").to_str().unwrap()]);
    assert_eq!(text(&node.files().join("into/l/f")), "y\n");
}

#[test]
fn cp_sees_volumes_and_heeds_what_is_read_only() {
    let node = Node::start().with_busybox();
    node.file("in", "payload\n");
    let shared = node.file("shared/there", "bound\n");
    let bind = format!("{}:/shared:ro", shared.parent().unwrap().display());
    let volume = ["-v", "data:/data", "-v", &bind, "busybox", "sleep", "1000"];
    node.ok(&[&["create", "--name", "box"][..], &volume].concat());
    for running in [false, true] {
        if running {
            node.ok(&["start", "box"]);
        }
        let name = format!("box:/data/{running}");
        node.ok(&["cp", "in", &name]);
        assert_eq!(text(&node.data_dir().join(format!("volumes/data/_data/{running}"))), "payload\n");
        let back = node.files().join("back");
        node.ok(&["cp", "box:/shared/there", back.to_str().unwrap()]);
        assert_eq!(text(&back), "bound\n");
        node.ok(&["cp", &name, back.to_str().unwrap()]);
        assert_eq!(text(&back), "payload\n");
        let error = node.fails(1, &["cp", "in", "box:/shared/no"]);
        assert!(error.contains("read-only"), "{error}");
        assert!(!shared.with_file_name("no").exists());
    }
    // A file that is mounted is written in place.
    node.file("hosts", "127.0.0.1 mine\n");
    node.ok(&["cp", "hosts", "box:/etc/hosts"]);
    assert_eq!(node.ok(&["exec", "box", "cat", "/etc/hosts"]), "127.0.0.1 mine\n");
    node.ok(&["run", "-d", "--name", "ro", "--read-only", "busybox", "sleep", "1000"]);
    assert!(node.fails(1, &["cp", "in", "ro:/x"]).contains("read-only"));
    node.ok(&["rm", "-f", "ro"]);
    node.ok(&["create", "--name", "ro", "--read-only", "busybox"]);
    assert!(node.fails(1, &["cp", "in", "ro:/x"]).contains("read-only"));
}

/// CVE-2018-15664 and CVE-2019-14271: a container that exchanges a directory with a link to the host's files all the time.
#[test]
fn a_hostile_container_gets_nothing_of_the_host() {
    let node = Node::start().with_busybox();
    let secret = node.file("outside/secret", "THE HOST'S SECRET\n");
    let outside = secret.parent().unwrap().to_str().unwrap().to_owned();
    let swap = format!(
        "mkdir -p /a/d; echo own > /a/d/secret; ln -s {outside} /a/l; ln -s {outside} /fixed; \
         while :; do mv -T /a/d /a/t; mv -T /a/l /a/d; mv -T /a/t /a/l; mv -T /a/d /a/t; mv -T /a/l /a/d; mv -T /a/t /a/l; done"
    );
    node.ok(&["run", "-d", "--name", "evil", "busybox", "sh", "-c", &swap]);
    node.file("planted", "x");
    let got = node.files().join("got");
    node.fails(1, &["cp", "evil:/fixed/secret", got.to_str().unwrap()]);
    for _ in 0..12 {
        let archive = node.orca(&["cp", "evil:/a", "-"]).stdout;
        let single = node.orca(&["cp", "evil:/a/d/secret", "-"]).stdout;
        for bytes in [archive, single] {
            assert!(!bytes.windows(8).any(|text| text == b"THE HOST"));
        }
        let _ = node.orca(&["cp", "planted", "evil:/a/d"]);
        let _ = node.orca(&["cp", "planted", "evil:/a/d/secret"]);
    }
    assert_eq!(text(&secret), "THE HOST'S SECRET\n");
    assert!(!secret.with_file_name("planted").exists());
    node.ok(&["rm", "-f", "evil"]);
}

#[test]
fn archives_from_strangers_stay_where_they_belong() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    let script = r#"
import io, sys, tarfile
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
def add(name, kind, link="", **more):
    i = tarfile.TarInfo(name); i.type = kind; i.linkname = link
    for k, v in more.items(): setattr(i, k, v)
    t.addfile(i)
exec(sys.argv[1])
t.close()
"#;
    for (entries, reason) in [
        ("add('../../escaped', tarfile.REGTYPE)", ".."),
        ("add('disk', tarfile.BLKTYPE, devmajor=8, devminor=0)", "device"),
        ("add('wh', tarfile.CHRTYPE, devmajor=0, devminor=0)", "device"),
        ("add('l', tarfile.SYMTYPE, '/nowhere'); add('l/x', tarfile.REGTYPE)", "link that leads nowhere"),
        ("add('h', tarfile.LNKTYPE, '../../etc/passwd')", ".."),
    ] {
        let made = std::process::Command::new("python3").args(["-c", script, entries]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child =
            node.orca_command(&["cp", "-", "box:/tmp"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(&made.stdout);
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{entries}: {error}");
        assert!(error.contains(reason), "{entries}: {error}");
    }
}

#[test]
fn diff_export_and_commit_tell_the_same_story() {
    let node = Node::start().with_busybox();
    let script = "echo more >> /etc/passwd; rm -rf /var/data; mkdir /new; echo n > /new/file; touch /wh; \
                  mkdir -p /root/deep; chown 7:8 /new/file; ln /new/file /new/same; sleep 1000";
    node.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "-e",
        "A=b",
        "-v",
        "data:/data",
        "-p",
        "8080:80",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    node.wait_for("it has made its changes", || {
        node.orca(&["exec", "box", "test", "-e", "/new/same"]).status.success()
    });
    node.ok(&["exec", "box", "sh", "-c", "echo inside > /data/file"]);
    let expected = "C /etc\nC /etc/passwd\nA /data\nA /new\nA /new/file\nA /new/same\nC /root\nA /root/deep\nC /var\nD /var/data\nA /wh\n";
    let mut lines: Vec<&str> = expected.lines().collect();
    let found = node.ok(&["diff", "box"]);
    let mut told: Vec<&str> = found.lines().collect();
    lines.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, lines);

    let tar = node.files().join("c.tar");
    node.ok(&["export", "-o", tar.to_str().unwrap(), "box"]);
    let listed = std::process::Command::new("tar").arg("-tf").arg(&tar).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let names: Vec<&str> = listed.lines().collect();
    assert!(names.contains(&"new/file") && names.contains(&"data/") && !names.contains(&"data/file"), "{names:?}");
    assert!(!names.contains(&"var/data/seed"));

    node.fails(1, &["commit", "-c", "NONSENSE x", "box"]);
    let id =
        node.ok(&["commit", "-a", "Ann", "-m", "a message", "-c", "ENV C=d", "-c", "CMD [\"env\"]", "box", "made:1"]);
    assert!(id.starts_with("sha256:"), "{id}");
    let image: serde_json::Value = serde_json::from_str(&node.ok(&["image", "inspect", "made:1"])).unwrap();
    assert_eq!(image[0]["Author"], "Ann");
    assert_eq!(image[0]["Comment"], "a message");
    let env = node.ok(&["run", "--rm", "made:1"]);
    assert!(env.contains("A=b") && env.contains("C=d"), "{env}");
    let check = "cat /new/same; stat -c %u:%g:%h /new/file; ls /var /data; tail -n 1 /etc/passwd";
    assert_eq!(node.ok(&["run", "--rm", "made:1", "sh", "-c", check]), "n\n7:8:2\n/data:\n\n/var:\nmore\n");
    // It runs on, thawed.
    assert_eq!(node.ok(&["exec", "box", "echo", "alive"]), "alive\n");
    // Stopped, it says the same; without changes there is no layer.
    node.ok(&["stop", "-t", "0", "box"]);
    assert_eq!(node.ok(&["diff", "box"]), found);
    node.ok(&["export", "-o", tar.to_str().unwrap(), "box"]);
    node.ok(&["create", "--name", "fresh", "busybox"]);
    assert_eq!(node.ok(&["diff", "fresh"]), "");
    node.ok(&["commit", "fresh", "same:1"]);
    let same: serde_json::Value = serde_json::from_str(&node.ok(&["image", "inspect", "same:1"])).unwrap();
    assert_eq!(same[0]["RootFS"]["Layers"].as_array().unwrap().len(), 1);
}

#[test]
fn services_files_by_their_names() {
    let node = Node::start().with_busybox();
    node.file(
        "compose.yml",
        "name: app\nservices:\n  web:\n    image: busybox\n    command: sleep 1000\n    init: false\n    scale: 2\n    stop_grace_period: 0s\n",
    );
    node.ok(&["up", "-d"]);
    node.file("in", "to all\n");
    node.ok(&["compose", "cp", "in", "web:/in"]);
    for index in ["1", "2"] {
        let out = node.files().join(index);
        node.ok(&["compose", "cp", "--index", index, "web:/in", out.to_str().unwrap()]);
        assert_eq!(text(&out), "to all\n");
    }
    let tar = node.files().join("web.tar");
    node.ok(&["compose", "export", "-o", tar.to_str().unwrap(), "web"]);
    assert!(fs::metadata(&tar).unwrap().len() > 1 << 20);
    assert!(node.ok(&["compose", "commit", "--index", "2", "web", "web:made"]).starts_with("sha256:"));
    node.fails(1, &["compose", "cp", "--index", "3", "web:/in", "."]);
    node.ok(&["down"]);
}
