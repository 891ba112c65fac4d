//! Namespaces, confinement, limits and devices, as the process in the container and the kernel see them.

use std::path::{Path, PathBuf};

use crate::support::Node;

/// The container's directory of a v1 controller, or of v2.
fn cgroup(controller: &str, id: &str) -> PathBuf {
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let root = Path::new("/sys/fs/cgroup").join(if unified { "" } else { controller });
    let nodes = std::fs::read_dir(&root).unwrap().flatten().map(|entry| entry.path());
    nodes.map(|node| node.join(id)).find(|path| path.exists()).unwrap_or_else(|| panic!("no {id} in {root:?}"))
}

fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A disk of this machine.
fn disk() -> String {
    let names = std::fs::read_dir("/sys/block").unwrap().flatten().map(|entry| entry.file_name());
    let paths = names.map(|name| format!("/dev/{}", name.to_string_lossy()));
    paths.filter(|path| Path::new(path).exists()).min_by_key(|path| path.contains("loop")).unwrap()
}

#[test]
fn namespaces_are_shared_as_asked() {
    let node = Node::start().with_busybox();
    let run = |args: &[&str]| node.ok(&[&["run", "--rm"], args].concat());
    let own = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string() + "\n";
    for (flag, name) in
        [("--pid=host", "pid"), ("--ipc=host", "ipc"), ("--uts=host", "uts"), ("--cgroupns=host", "cgroup")]
    {
        let link = format!("/proc/self/ns/{name}");
        assert_eq!(run(&[flag, "busybox", "readlink", &link]), own(name), "{flag}");
        assert_ne!(run(&["--cgroupns=private", "busybox", "readlink", &link]), own(name), "its own {name}");
    }
    assert_eq!(run(&["--userns=host", "busybox", "readlink", "/proc/self/ns/user"]), own("user"));
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(run(&["--uts=host", "busybox", "hostname"]), name);

    node.ok(&[
        "run",
        "-d",
        "--name",
        "donor",
        "--ipc",
        "shareable",
        "--shm-size",
        "1m",
        "busybox",
        "sh",
        "-c",
        "echo hello > /dev/shm/greeting; sleep 1000",
    ]);
    node.wait_for("the greeting is there", || {
        node.orca(&["exec", "donor", "test", "-s", "/dev/shm/greeting"]).status.success()
    });
    assert_eq!(run(&["--ipc=container:donor", "busybox", "cat", "/dev/shm/greeting"]), "hello\n");
    run(&["--ipc=container:donor", "busybox", "sh", "-c", "echo back > /dev/shm/answer"]);
    assert_eq!(node.ok(&["exec", "donor", "cat", "/dev/shm/answer"]), "back\n", "it is one file system");
    assert_eq!(run(&["--pid=container:donor", "busybox", "cat", "/proc/1/comm"]), "sleep\n");
    node.fails(3, &["run", "--rm", "--pid=container:donor", "busybox", "sh", "-c", "exit 3"]);
    assert_eq!(node.ok(&["exec", "donor", "cat", "/proc/1/comm"]), "sleep\n", "the donor has survived it");
    assert!(run(&["--ipc=none", "busybox", "sh", "-c", "grep -c ' /dev/shm ' /proc/mounts || true"]).starts_with('0'));

    node.ok(&["run", "-d", "--name", "private", "busybox", "sleep", "1000"]);
    let error = node.fails(125, &["run", "--rm", "--ipc=container:private", "busybox", "true"]);
    assert!(error.contains("--ipc shareable"), "{error}");
    let error = node.fails(125, &["run", "--rm", "--pid=container:nobody", "busybox", "true"]);
    assert!(error.contains("No such container: nobody"), "{error}");
    node.ok(&["stop", "-t", "0", "donor"]);
    let error = node.fails(125, &["run", "--rm", "--pid=container:donor", "busybox", "true"]);
    assert!(error.contains("donor is not running"), "{error}");
}

#[test]
fn limits_reach_the_kernel() {
    let node = Node::start().with_busybox();
    let disk = disk();
    let numbers = std::fs::read_to_string(format!("/sys/block/{}/dev", disk.trim_start_matches("/dev/"))).unwrap();
    let numbers = numbers.trim();
    let rate = |value: &str| format!("{disk}:{value}");
    let (read_bps, write_bps, read_iops, write_iops) = (rate("1mb"), rate("2mb"), rate("30"), rate("40"));
    let mut flags = vec![
        "-m",
        "64m",
        "--memory-reservation=32m",
        "--cpu-period=50000",
        "--cpu-quota=25000",
        "--cpu-shares=512",
        "--cpuset-cpus=0",
        "--cpuset-mems=0",
        "--pids-limit=33",
        "--cgroup-parent=nested/deep",
        "--device-read-bps",
        &read_bps,
        "--device-write-bps",
        &write_bps,
        "--device-read-iops",
        &read_iops,
        "--device-write-iops",
        &write_iops,
    ];
    if !is_unified() {
        flags.extend(["--oom-kill-disable", "--memory-swappiness=7"]);
    }
    let id = node.ok(&[&["run", "-d"], &flags[..], &["busybox", "sleep", "1000"]].concat());
    let id = id.trim();
    let read = |controller: &str, file: &str| {
        let path = cgroup(controller, &format!("nested/deep/{id}")).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
    };
    if is_unified() {
        assert_eq!(read("", "cpu.max"), "25000 50000");
        assert_eq!(read("", "memory.low"), (32 << 20).to_string());
        assert_eq!(read("", "io.max"), format!("{numbers} rbps=1048576 wbps=2097152 riops=30 wiops=40"));
    } else {
        for (controller, file, value) in [
            ("memory", "memory.limit_in_bytes", (64 << 20).to_string()),
            ("memory", "memory.soft_limit_in_bytes", (32 << 20).to_string()),
            ("memory", "memory.swappiness", "7".to_owned()),
            ("cpu", "cpu.cfs_period_us", "50000".to_owned()),
            ("cpu", "cpu.cfs_quota_us", "25000".to_owned()),
            ("cpu", "cpu.shares", "512".to_owned()),
            ("cpuset", "cpuset.cpus", "0".to_owned()),
            ("cpuset", "cpuset.mems", "0".to_owned()),
            ("pids", "pids.max", "33".to_owned()),
            ("blkio", "blkio.throttle.read_bps_device", format!("{numbers} 1048576")),
            ("blkio", "blkio.throttle.write_bps_device", format!("{numbers} 2097152")),
            ("blkio", "blkio.throttle.read_iops_device", format!("{numbers} 30")),
            ("blkio", "blkio.throttle.write_iops_device", format!("{numbers} 40")),
        ] {
            assert_eq!(read(controller, file), value, "{file}");
        }
        assert!(read("memory", "memory.oom_control").contains("oom_kill_disable 1"));
    }
    node.ok(&["rm", "-f", id]);
}

#[test]
fn confinement_is_as_asked() {
    let node = Node::start().with_busybox();
    let run = |args: &[&str]| node.ok(&[&["run", "--rm"], args].concat());
    let profile = node.file(
        "no-mkdir.json",
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1},
        {"names":["rmdir"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"excludes":{"caps":["CAP_SYS_ADMIN"]}}]}"#,
    );
    let option = format!("seccomp={}", profile.display());
    let error = node.fails(1, &["run", "--rm", "--security-opt", &option, "busybox", "sh", "-c", "mkdir /x; mkdir /y"]);
    assert!(error.contains("Operation not permitted"), "{error}");
    let rmdir = "rmdir /root && echo removed || echo kept";
    assert!(run(&["--security-opt", &option, "busybox", "sh", "-c", rmdir]).ends_with("kept\n"));
    assert_eq!(run(&["--security-opt", &option, "--cap-add=SYS_ADMIN", "busybox", "sh", "-c", rmdir]), "removed\n");
    let exec = node.ok(&["run", "-d", "--security-opt", &option, "busybox", "sleep", "1000"]);
    node.fails(1, &["exec", exec.trim(), "mkdir", "/x"]);

    let write = "echo 0 > /proc/sys/kernel/shmmni 2>/dev/null && echo written || echo protected";
    assert_eq!(run(&["busybox", "sh", "-c", write]), "protected\n");
    assert_eq!(run(&["--security-opt", "systempaths=unconfined", "busybox", "sh", "-c", write]), "written\n");
    assert_eq!(run(&["busybox", "sh", "-c", "wc -c < /proc/keys"]), "0\n", "masked");
    assert_ne!(run(&["--privileged", "busybox", "sh", "-c", "wc -c < /proc/keys"]), "0\n");
    assert_eq!(
        run(&["--privileged", "busybox", "sh", "-c", "test -c /dev/kmsg && grep -c Seccomp:.0 /proc/1/status"]),
        "1\n"
    );
    assert_eq!(run(&["--sysctl", "kernel.msgmax=4096", "busybox", "cat", "/proc/sys/kernel/msgmax"]), "4096\n");
    assert_eq!(run(&["--ulimit", "nofile=77:88", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn"]), "77\n88\n");
    assert_eq!(
        run(&["--shm-size", "3m", "busybox", "sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'"]),
        "3072\n"
    );
    assert_eq!(
        run(&["--group-add", "extra", "--group-add", "77", "-u", "1000", "busybox", "id", "-G"]),
        "1000 77 2000\n"
    );
    assert_eq!(run(&["--oom-score-adj", "77", "busybox", "cat", "/proc/self/oom_score_adj"]), "77\n");
    let error = node.fails(1, &["run", "--rm", "--read-only", "busybox", "touch", "/x"]);
    assert!(error.contains("Read-only"), "{error}");
    assert_eq!(
        run(&["--security-opt", "apparmor=unconfined", "--security-opt", "label=disable", "busybox", "echo", "ok"]),
        "ok\n"
    );
}

#[test]
fn devices_are_those_granted() {
    let node = Node::start().with_busybox();
    let run = |args: &[&str]| node.ok(&[&["run", "--rm"], args].concat());
    let disk = format!("{}:/dev/one:r", disk());
    let script = "head -c 1 /dev/one > /dev/null && echo readable; echo x > /dev/one || echo read-only";
    assert_eq!(run(&["--device", &disk, "busybox", "sh", "-c", script]), "readable\nread-only\n");
    // Character device 1:11 is the kernel's log, which a container may make but not open.
    let open_it = "mknod /tmp/kmsg c 1 11 && (true < /tmp/kmsg) 2>/dev/null && echo opened || echo denied";
    assert_eq!(run(&["--cap-add=SYSLOG", "busybox", "sh", "-c", open_it]), "denied\n");
    let rule = ["--cap-add=SYSLOG", "--device-cgroup-rule", "c 1:11 r", "busybox", "sh", "-c", open_it];
    assert_eq!(run(&rule), "opened\n");
    let directory = node.files().join("devices");
    std::fs::create_dir_all(&directory).unwrap();
    node.in_host(&["mknod", directory.join("null").to_str().unwrap(), "c", "1", "3"]);
    let device = format!("{}:/dev/group", directory.display());
    assert_eq!(run(&["--device", &device, "busybox", "sh", "-c", "echo x > /dev/group/null && echo ok"]), "ok\n");
}

#[test]
fn what_cannot_be_had_is_refused_by_name() {
    let node = Node::start().with_busybox();
    for (flags, expected) in [
        (&["--kernel-memory", "10m"][..], "--kernel-memory"),
        (&["--storage-opt", "size=1g"], "overlayfs"),
        (&["--gpus", "all"], "no device of kind nvidia.com/gpu"),
        (&["--device", "v.test/c=x"], "v.test/c"),
        (&["--isolation", "hyperv"], "isolation"),
        (&["--cpu-count", "2"], "Windows"),
        (&["--io-maxbandwidth", "2"], "Windows"),
        (&["--runtime", "kata"], "--add-runtime"),
        (&["--pid", "container"], "container:NAME"),
        (&["--userns", "keep-id"], "host"),
        (&["--security-opt", "apparmor=mine"], "apparmor"),
        (&["--security-opt", "label=type:x"], "label"),
        (&["--security-opt", "seccomp=/nonexistent.json"], "/nonexistent.json"),
        (&["--security-opt", "proc-opts=x"], "expected apparmor"),
        (&["--sysctl", "vm.swappiness=1"], "whole host"),
        (&["--network", "host", "--sysctl", "net.core.somaxconn=1"], "the host's"),
        (&["--uts", "host", "--hostname", "x"], "hostname"),
        (&["--ipc", "host", "--shm-size", "1m"], "shm_size"),
        (&["--cpuset-cpus", "4000"], "the node has 0"),
        (&["--cpus", "1", "--cpu-quota", "5000"], "cpu_quota"),
        (&["--blkio-weight", "3"], "10 to 1000"),
        (&["--cgroup-parent", "../x"], "cgroup_parent"),
        (&["--device", "/etc/passwd"], "not a device"),
        (&["--device-read-bps", "/dev/null:1"], "not a block device"),
        (&["--device-cgroup-rule", "x"], "device cgroup rule"),
        (&["--oom-score-adj", "-1001"], "oom_score_adj"),
    ] {
        let error = node.fails(125, &[&["run", "--rm"], flags, &["busybox", "true"]].concat());
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
    assert_eq!(node.ok(&["ps", "-aq"]), "");
}

#[test]
fn compose_services_share_namespaces() {
    let node = Node::start().with_busybox();
    let file = node.file("compose.yaml", "name: share\nservices:\n  donor:\n    image: busybox\n    ipc: shareable\n    command: sh -c 'echo hi > /dev/shm/x; exec sleep 1000'\n    stop_grace_period: 0s\n  guest:\n    image: busybox\n    pid: service:donor\n    ipc: service:donor\n    oom_score_adj: 5\n    command: sh -c 'while ! test -s /dev/shm/x; do sleep 0.1; done; cat /dev/shm/x /proc/1/comm; sleep 1000'\n");
    let file = file.to_str().unwrap();
    node.ok(&["compose", "-f", file, "up", "-d"]);
    node.wait_for("the guest has seen it", || node.ok(&["logs", "share-guest-1"]) == "hi\nsleep\n");
    node.ok(&["compose", "-f", file, "down"]);
}

#[test]
fn a_container_sees_its_own_limits_and_can_change_none() {
    let node = Node::start().with_busybox();
    let run = |script: &str| node.orca(&["run", "--rm", "-m", "64m", "--cpus", "0.5", "busybox", "sh", "-c", script]);
    let (memory, cpus, expected) = match is_unified() {
        true => ("memory.max", "cpu.max", "67108864\n50000 100000\n"),
        false => ("memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us", "67108864\n50000\n"),
    };
    let read = run(&format!("cd /sys/fs/cgroup && cat {memory} {cpus}"));
    assert_eq!(String::from_utf8_lossy(&read.stdout), expected);
    for script in [format!("echo 1 > {memory}"), "mkdir pids/x || mkdir x".into(), "touch x".into()] {
        let done = run(&format!("cd /sys/fs/cgroup && {script}"));
        assert!(!done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    }
    node.ok(&["run", "--rm", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro", "busybox", "true"]);
}
