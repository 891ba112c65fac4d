//! Bad input gets one clear error, a non-zero exit, and leaves nothing behind.

use crate::support::Node;

#[test]
fn compose_files_that_cannot_be() {
    let node = Node::start().with_busybox();
    let table = [
        ("unknown key", "services: { a: { image: busybox, comand: [x] } }", "comand"),
        ("wrong type", "services: { a: { image: busybox, ports: 7.5.3 } }", "ports"),
        (
            "cycle",
            "services: { a: { image: busybox, depends_on: [b] }, b: { image: busybox, depends_on: [a] } }",
            "cycle",
        ),
        ("missing image", "services: { a: { image: nowhere } }", "nowhere"),
        (
            "missing bind",
            "services: { a: { image: busybox, volumes: [{ type: bind, source: /no/such/dir, target: /x }] } }",
            "/no/such/dir",
        ),
        (
            "unreadable secret",
            "services: { a: { image: busybox, secrets: [s] } }\nsecrets: { s: { file: ./nothing } }",
            "nothing",
        ),
        ("unsupported", "services: { a: { image: busybox, storage_opt: { size: 1g } } }", "storage_opt"),
        ("no yaml", "services: [", "compose.yml"),
        ("empty", "", "empty"),
    ];
    for (what, text, expected) in table {
        let file = node.file("compose.yml", text);
        let error = node.fails(1, &["up", "-d", "-f", file.to_str().unwrap()]);
        assert!(error.contains(expected), "{what}: {error}");
        assert!(!error.contains("panicked"), "{what}: {error}");
        assert_eq!(node.ok(&["ps", "-aq"]), "", "{what}: nothing is left");
    }
    node.fails(1, &["up", "-d", "-f", "no-such-file.yml"]);
}

#[test]
fn words_that_the_kernel_or_docker_would_refuse() {
    let node = Node::start().with_busybox();
    let long = "x".repeat(65);
    for (args, words) in [
        (&["-w", "relative"][..], "it needs to be an absolute path"),
        (&["-h", &long], "it has 65 bytes, and Linux takes 64"),
        (&["--domainname", &long], "it has 65 bytes, and Linux takes 64"),
    ] {
        let error = node.fails(125, &[&["run", "--rm"], args, &["busybox", "true"]].concat());
        assert!(error.contains(words), "{args:?}: {error}");
    }
    node.ok(&["run", "--rm", "-h", &long[..64], "busybox", "true"]);
    node.ok(&["network", "create", "n"]);
    // Nobody reads what is said: the exit code tells all the same.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = node.orca_command(&["inspect", "nobody"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn what_is_no_name_of_an_image_is_not_looked_for() {
    let node = Node::start();
    for name in ["", "UPPER", "a//b", "a:b:c", "-x y"] {
        let error = node.fails(125, &["run", "--", name, "true"]);
        assert!(error.contains("invalid reference format"), "{name:?}: {error}");
    }
    let missing = node.fails(125, &["run", "--pull", "never", "missing:1", "true"]);
    assert!(missing.contains("No such image: missing:1"), "{missing}");
}

#[test]
fn more_ports_than_can_be_published() {
    let node = Node::start().with_busybox();
    let run = |args: &[&str]| node.fails(125, &[&["run", "--rm"], args, &["busybox", "true"]].concat());
    for args in [
        &["-p", "1-65535:1-65535"][..],
        &["-p", "1-9000:1-9000", "-p", "1-9000:1-9000/udp"],
        &["--expose", "1-65535", "-P"],
    ] {
        let error = run(args);
        assert!(error.contains("are too many: at most 16384 can be published"), "{args:?}: {error}");
    }
    let ports = "['1-9000:1-9000', '1-9000:1-9000/udp']";
    let file = node.file("compose.yml", &format!("services: {{ a: {{ image: busybox, ports: {ports} }} }}"));
    let error = node.fails(1, &["up", "-d", "-f", file.to_str().unwrap()]);
    assert!(error.contains("compose.yml:1:") && error.contains("18000 ports are too many"), "{error}");
    assert_eq!(node.ok(&["ps", "-aq"]), "");
}

#[test]
fn a_port_in_use_is_named_and_others_go_on() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "holder", "-p", "8085:80", "busybox", "sleep", "1000"]);
    let file = node.file(
        "compose.yml",
        "name: late\nservices: { web: { image: busybox, command: [sleep, '9'], ports: ['8085:80'] } }",
    );
    let error = node.fails(1, &["up", "-d", "-f", file.to_str().unwrap()]);
    assert!(error.contains("8085"), "{error}");
    assert_eq!(node.ok(&["ps", "-q"]).lines().count(), 1, "the holder is untouched, nothing else is there");
    node.ok(&["rm", "-f", "holder"]);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let node = Node::start().with_busybox();
    let service = |rest: &str| format!("services: {{ a: {{ image: busybox, {rest} }} }}");
    let table = [
        ("env_file", service("env_file: ./absent.env"), "absent.env"),
        ("extends", service("extends: { file: ./absent.yml, service: b }"), "absent.yml"),
        ("include", "include: [./absent-too.yml]\nservices: {}".into(), "absent-too.yml"),
        ("a directory", service("env_file: ./dir"), "dir"),
        ("config", format!("{}\nconfigs: {{ c: {{ file: ./gone }} }}", service("configs: [c]")), "gone"),
    ];
    std::fs::create_dir(node.files().join("dir")).unwrap();
    for (what, text, expected) in table {
        let file = node.file("compose.yml", &text);
        let error = node.fails(1, &["up", "-d", "-f", file.to_str().unwrap()]);
        assert!(error.contains(expected) && !error.contains("panicked"), "{what}: {error}");
    }
    std::fs::write(node.files().join("bytes.yml"), b"services:\n  a: \xff\xfe").unwrap();
    let error = node.fails(1, &["up", "-d", "-f", "bytes.yml"]);
    assert!(error.contains("bytes.yml"), "{error}");
    let error = node.fails(1, &["up", "-d", "-f", "dir"]);
    assert!(error.contains("dir"), "{error}");
    assert_eq!(node.ok(&["ps", "-aq"]), "", "nothing is left");
}

/// A root file system whose links lead to a file of the host, and what a container must not make of that.
const TRAPS: &str = r#"
    set -e; root=$(mktemp -d); mkdir -p $root/bin $root/etc $root/tmp; up=../../../../../../../../../../..
    cp "$(command -v busybox)" $root/bin/busybox
    for applet in sh cat ls touch true pwd; do ln -s /bin/busybox $root/bin/$applet; done
    for name in passwd group hosts hostname resolv.conf; do ln -s $up$1/victim $root/etc/$name; done
    ln -s $up$1 $root/out; ln -s $1 $root/straight
    tar --numeric-owner -C $root -cf "$2" .; rm -rf $root"#;

#[test]
fn links_in_an_image_do_not_lead_out_of_the_root() {
    let node = Node::start();
    let host = node.files().join("host");
    std::fs::create_dir(&host).unwrap();
    let secret = "root:x:0:0:of the host:/:/bin/sh\nmallory:x:777:777::/:/bin/sh\n";
    std::fs::write(host.join("victim"), secret).unwrap();
    let tar = node.files().join("traps.tar");
    let status = std::process::Command::new("sh").args(["-c", TRAPS, "sh"]).arg(&host).arg(&tar).status().unwrap();
    assert!(status.success());
    node.ok(&["import", tar.to_str().unwrap(), "traps"]);

    let seen = node.orca(&["run", "--rm", "traps", "sh", "-c", "cat /etc/passwd /out/victim /straight/victim; true"]);
    assert!(!String::from_utf8_lossy(&seen.stdout).contains("of the host"), "{seen:?}");
    let error = node.fails(125, &["run", "--rm", "-u", "mallory", "traps", "true"]);
    assert!(error.contains("mallory"), "{error}");
    for place in ["/out", "/straight"] {
        let inside = format!("v:{place}/made");
        node.orca(&["run", "--rm", "-v", &inside, "-w", &format!("{place}/cwd"), "traps", "touch", "here"]);
    }
    let left: Vec<_> = std::fs::read_dir(&host).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["victim"], "nothing was made on the host");
    assert_eq!(std::fs::read_to_string(host.join("victim")).unwrap(), secret, "nothing was written on the host");
}

#[test]
fn an_archive_that_leads_out_of_the_root_is_refused() {
    let node = Node::start().with_busybox();
    let evil = node.files().join("evil");
    let outside = node.files().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    let dots = "../".repeat(12) + outside.to_str().unwrap().trim_start_matches('/') + "/dots";
    let (link, plain) = (outside.to_str().unwrap(), outside.join("absolute"));
    let table: [&[(&str, &str)]; 3] =
        [&[(&dots, "file")], &[("link", link), ("link/through", "file")], &[(plain.to_str().unwrap(), "file")]];
    for (number, entries) in table.iter().enumerate() {
        write_tar(&evil, entries);
        let name = format!("evil{number}");
        let imported = node.orca(&["import", evil.to_str().unwrap(), &name]);
        let run = node.orca(&["run", "--rm", &name, "/bin/true"]);
        assert!(!run.status.success(), "{number}: {imported:?} {run:?}");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{number}: written outside: {imported:?} {run:?}");
    }
    assert_eq!(node.ok(&["run", "--rm", "busybox", "echo", "others go on"]), "others go on\n");
    assert_eq!(node.ok(&["ps", "-aq"]), "");
}

/// A tar of files (content "file") and symbolic links, with names that no honest archiver would write.
fn write_tar(path: &std::path::Path, entries: &[(&str, &str)]) {
    let mut out = Vec::new();
    for (name, content) in entries {
        let is_file = *content == "file";
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(if is_file { b"00000000004\0" } else { b"00000000000\0" });
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].copy_from_slice(b"        ");
        header[156] = if is_file { b'0' } else { b'2' };
        if !is_file {
            header[157..157 + content.len()].copy_from_slice(content.as_bytes());
        }
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        out.extend_from_slice(&header);
        if is_file {
            out.extend_from_slice(b"evil");
            out.resize(out.len().next_multiple_of(512), 0);
        }
    }
    out.resize(out.len() + 1024, 0);
    std::fs::write(path, out).unwrap();
}
