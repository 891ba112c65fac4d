//! Obligations of the OCI runtime specification: what the process sees for what the configuration says. Every row runs under
//! crun first, which shows that the row is right, and then under the shim with the same bundle.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::Sandbox;

/// What makes a row's configuration of the usual one.
type Change = Box<dyn Fn(&mut Value)>;

/// One obligation.
struct Row {
    name: &'static str,
    change: Change,
    script: String,
    expected: String,
}

fn row(
    name: &'static str,
    change: impl Fn(&mut Value) + 'static,
    script: impl Into<String>,
    expected: impl Into<String>,
) -> Row {
    Row { name, change: Box::new(change), script: script.into(), expected: expected.into() }
}

/// The row's bundle.
fn sandbox(row: &Row) -> Sandbox {
    let mut sandbox = Sandbox::new(&["sh", "-c", &row.script]);
    std::fs::create_dir(sandbox.path().join("shared")).unwrap();
    std::fs::write(sandbox.path().join("shared/file"), "shared\n").unwrap();
    let shared = sandbox.path().join("shared");
    (row.change)(&mut sandbox.config);
    let text = sandbox.config.to_string().replace("SHARED", shared.to_str().unwrap());
    sandbox.config = serde_json::from_str(&text).unwrap();
    sandbox
}

/// What the process prints under crun, with its exit code.
fn crun(row: &Row) -> String {
    let mut sandbox = sandbox(row);
    sandbox.config["root"]["path"] = json!(sandbox.path().join("lower"));
    sandbox.write();
    // Debian's crun knows no hybrid cgroups: it gets to see those of v1 only. None of the rows is about cgroups.
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --cgroup-manager disabled \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh", "--root"])
        .arg(sandbox.path().join("crun"))
        .args(["run", "--bundle"])
        .arg(sandbox.path())
        .arg(&sandbox.id)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    format!("{text}{error}{}={}", left_outside(&sandbox), output.status.code().unwrap())
}

/// What a hook has written after the container's end.
fn left_outside(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.path().join("shared/after")).unwrap_or_default()
}

/// The same under the shim.
fn shim(row: &Row) -> String {
    let mut sandbox = sandbox(row);
    let code = match sandbox.launch() {
        model::shim::Report::Started { .. } => {
            sandbox.wait();
            sandbox.record().exit_code
        }
        other => panic!("{}: {other:?}", row.name),
    };
    let lines = sandbox.log();
    let of = |name: &str| {
        lines.iter().filter(|(stream, _)| stream == name).map(|(_, text)| text.as_str()).collect::<String>()
    };
    format!("{}{}{}={code}", of("stdout"), of("stderr"), left_outside(&sandbox))
}

/// Configurations with which no container may come to be: neither crun nor the shim executes anything.
fn refuse(changes: Vec<(&'static str, Change)>) {
    for (name, change) in changes {
        let row = Row { name, change, script: "echo ran".into(), expected: String::new() };
        let output = crun(&row);
        assert!(!output.contains("ran\n") && !output.ends_with("=0"), "{name}: crun takes it: {output}");
        let mut sandbox = sandbox(&row);
        match sandbox.launch() {
            model::shim::Report::Failed(failure) => assert!(!failure.message.is_empty(), "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        assert!(sandbox.log().is_empty(), "{name}: {:?}", sandbox.log());
    }
}

fn hold(rows: Vec<Row>) {
    for row in rows {
        let expected = if row.expected.contains('=') && !row.expected.ends_with('\n') {
            row.expected.clone()
        } else {
            format!("{}=0", row.expected)
        };
        assert_eq!(crun(&row), expected, "{}: crun does not agree, so the row is wrong", row.name);
        assert_eq!(shim(&row), expected, "{}", row.name);
    }
}

fn own_namespace(name: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string()
}

fn set(path: &'static str, value: Value) -> impl Fn(&mut Value) {
    move |config| {
        let (parent, key) = path.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value.clone();
    }
}

fn mount(mount: Value) -> impl Fn(&mut Value) {
    move |config| config["mounts"].as_array_mut().unwrap().push(mount.clone())
}

#[test]
fn the_process() {
    hold(vec![
        row("process.cwd", set("/process/cwd", json!("/tmp")), "pwd", "/tmp\n"),
        row("process.args, exit code", |_| {}, "exit 7", "=7"),
        row("signals end it with 128 + n", |_| {}, "{ sh -c 'kill -9 $$'; } 2>/dev/null; echo $?", "137\n"),
        row(
            "process.env is all of the environment",
            |config| {
                config["process"]["env"] = json!(["PATH=/bin", "HOME=/h", "A=b c"]);
            },
            "busybox tr '\\0' '\\n' < /proc/1/environ | busybox sort",
            "A=b c\nHOME=/h\nPATH=/bin\n",
        ),
        row(
            "process.user",
            set("/process/user", json!({"uid": 33, "gid": 34, "additionalGids": [44, 55]})),
            "id -u; id -g; id -G",
            "33\n34\n34 44 55\n",
        ),
        row("process.user.umask", set("/process/user", json!({"uid": 0, "gid": 0, "umask": 0o27})), "umask", "0027\n"),
        row(
            "process.rlimits",
            set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}])),
            "ulimit -n; ulimit -Hn",
            "77\n88\n",
        ),
        row(
            "process.noNewPrivileges",
            set("/process/noNewPrivileges", json!(true)),
            "grep NoNewPrivs /proc/self/status",
            "NoNewPrivs:\t1\n",
        ),
        row(
            "process.noNewPrivileges: false",
            set("/process/noNewPrivileges", json!(false)),
            "grep NoNewPrivs /proc/self/status",
            "NoNewPrivs:\t0\n",
        ),
        row("process.oomScoreAdj", set("/process/oomScoreAdj", json!(77)), "cat /proc/self/oom_score_adj", "77\n"),
        row("it leads a session of its own", |_| {}, "read a b c d e sid rest < /proc/self/stat; echo $sid", "1\n"),
        row("no signal is blocked", |_| {}, "grep SigBlk /proc/1/status", "SigBlk:\t0000000000000000\n"),
        row(
            "no descriptor leaks",
            |config| config["process"]["args"] = json!(["ls", "/proc/self/fd"]),
            "",
            "0\n1\n2\n3\n",
        ),
    ]);
}

#[test]
fn privileges() {
    let caps = |sets: Value| {
        move |config: &mut Value| {
            config["process"]["capabilities"] = sets.clone();
        }
    };
    let chown = json!(["CAP_CHOWN"]);
    let sets = "grep Cap /proc/self/status";
    let expected = |inherited: u8, permitted: u8, effective: u8, bounding: u8, ambient: u8| {
        format!(
            "CapInh:\t{inherited:016x}\nCapPrm:\t{permitted:016x}\nCapEff:\t{effective:016x}\nCapBnd:\t{bounding:016x}\nCapAmb:\t{ambient:016x}\n"
        )
    };
    let user = |config: &mut Value| config["process"]["user"] = json!({"uid": 33, "gid": 34});
    let both = {
        let change = caps(
            json!({"bounding": chown, "permitted": chown, "effective": chown, "inheritable": chown, "ambient": chown}),
        );
        move |config: &mut Value| {
            change(config);
            user(config);
        }
    };
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]});
    let strict = {
        let filter = filter.clone();
        move |config: &mut Value| {
            config["linux"]["seccomp"] = filter.clone();
            config["process"]["noNewPrivileges"] = json!(true);
        }
    };
    hold(vec![
        row(
            "capabilities of root",
            caps(json!({"bounding": chown, "permitted": chown, "effective": chown})),
            sets,
            expected(0, 1, 1, 1, 0),
        ),
        row("no capabilities", caps(json!({})), sets, expected(0, 0, 0, 0, 0)),
        row("ambient capabilities of a user", both, sets, expected(1, 1, 1, 1, 1)),
        row(
            "a user without ambient ones has none",
            user,
            "grep -E 'CapPrm|CapEff|CapAmb' /proc/self/status",
            "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n",
        ),
        row(
            "linux.seccomp",
            set("/linux/seccomp", filter),
            "mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status",
            "mkdir: can't create directory '/tmp/x': No space left on device\nSeccomp:\t2\n",
        ),
        row("linux.seccomp with noNewPrivileges", strict, "mkdir /tmp/x 2>&1 | wc -l", "1\n"),
    ]);
}

#[test]
fn the_file_system() {
    hold(vec![
        row(
            "root.readonly",
            set("/root/readonly", json!(true)),
            "{ echo > /x; } 2>&1 || echo refused",
            "sh: can't create /x: Read-only file system\nrefused\n",
        ),
        row(
            "mounts: tmpfs and its options",
            mount(
                json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec", "ro", "size=64k", "mode=700"]}),
            ),
            "grep ' /t ' /proc/mounts",
            "tmpfs /t tmpfs ro,nosuid,nodev,noexec,relatime,size=64k,mode=700 0 0\n",
        ),
        row(
            "mounts: a bind, read-only",
            mount(json!({"destination": "/s", "type": "bind", "source": "SHARED", "options": ["rbind", "ro"]})),
            "cat /s/file; { echo > /s/file; } 2>&1 || echo refused",
            "shared\nsh: can't create /s/file: Read-only file system\nrefused\n",
        ),
        row(
            "mounts: a bind of a file",
            mount(json!({"destination": "/etc/one", "type": "bind", "source": "SHARED/file", "options": ["bind"]})),
            "cat /etc/one",
            "shared\n",
        ),
        row(
            "mounts: in their order",
            |config| {
                let mounts = config["mounts"].as_array_mut().unwrap();
                mounts.push(json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs"}));
                mounts.push(json!({"destination": "/t/s", "type": "bind", "source": "SHARED", "options": ["rbind"]}));
            },
            "cat /t/s/file",
            "shared\n",
        ),
        row(
            "linux.maskedPaths",
            set("/linux/maskedPaths", json!(["/proc/keys", "/sys/fs", "/not/there"])),
            "wc -c < /proc/keys; ls /sys/fs | wc -l",
            "0\n0\n",
        ),
        row(
            "linux.readonlyPaths",
            set("/linux/readonlyPaths", json!(["/proc/sys", "/not/there"])),
            "{ echo 1 > /proc/sys/kernel/shmmni; } 2>&1 || echo refused",
            "sh: can't create /proc/sys/kernel/shmmni: Read-only file system\nrefused\n",
        ),
        row(
            "default devices and links",
            |_| {},
            "for n in null zero full random urandom tty; do test -c /dev/$n || echo no $n; done; readlink /dev/stdin; readlink /dev/stdout; readlink /dev/stderr; readlink /dev/fd; readlink /dev/ptmx; echo x > /dev/null; head -c 3 /dev/zero | wc -c",
            "/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n/proc/self/fd\npts/ptmx\n3\n",
        ),
        row(
            "linux.devices",
            set(
                "/linux/devices",
                json!([{"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 33, "gid": 34}]),
            ),
            "ls -ln /dev/mine | while read mode links uid gid major minor rest; do echo $mode $uid $gid $major $minor; done",
            "crw-r----- 33 34 1, 5\n",
        ),
        row(
            "linux.rootfsPropagation: mounts stay inside",
            |_| {},
            "grep ' / / ' /proc/self/mountinfo | grep -c shared: || true",
            "0\n",
        ),
    ]);
}

#[test]
fn namespaces() {
    let mut rows = vec![
        row("hostname", set("/hostname", json!("named")), "cat /proc/sys/kernel/hostname", "named\n"),
        row("domainname", |config| config["domainname"] = json!("nis"), "cat /proc/sys/kernel/domainname", "nis\n"),
        row(
            "linux.sysctl",
            set("/linux/sysctl", json!({"net.core.somaxconn": "77"})),
            "cat /proc/sys/net/core/somaxconn",
            "77\n",
        ),
        row("it is the first process", |_| {}, "echo $$", "1\n"),
        row(
            "hooks.createRuntime",
            |config| {
                config["mounts"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"destination": "/s", "type": "bind", "source": "SHARED", "options": ["rbind"]}));
                config["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "grep -q ociVersion && echo ran > SHARED/hook"]}]});
            },
            "cat /s/hook",
            "ran\n",
        ),
    ];
    for kind in ["pid", "ipc", "uts", "mount", "network", "cgroup"] {
        let file = match kind {
            "mount" => "mnt",
            "network" => "net",
            other => other,
        };
        let script = format!(
            "test \"$(readlink /proc/self/ns/{file})\" = '{}' && echo the hosts || echo its own",
            own_namespace(file)
        );
        rows.push(row(kind, |_| {}, script.clone(), "its own\n"));
        if kind != "mount" {
            let without = move |config: &mut Value| {
                config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != kind);
                if kind == "uts" {
                    config.as_object_mut().unwrap().remove("hostname");
                }
            };
            rows.push(row(kind, without, script.clone(), "the hosts\n"));
        }
        if matches!(kind, "ipc" | "network" | "pid") {
            let path = format!("/proc/{}/ns/{file}", std::process::id());
            let joined = move |config: &mut Value| {
                for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
                    if namespace["type"] == kind {
                        namespace["path"] = json!(path);
                    }
                }
            };
            rows.push(row(kind, joined, script, "the hosts\n"));
        }
    }
    hold(rows);
}

#[test]
fn mount_options() {
    let shown = |options: &'static [&'static str], expected: &'static str| {
        let tmpfs = json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": options});
        row(options[0], mount(tmpfs), "grep ' /t ' /proc/mounts", format!("tmpfs /t tmpfs {expected} 0 0\n"))
    };
    hold(vec![
        shown(&["defaults"], "rw,relatime"),
        shown(&["rw", "suid", "dev", "exec", "async"], "rw,relatime"),
        shown(&["ro"], "ro,relatime"),
        shown(&["nosuid"], "rw,nosuid,relatime"),
        shown(&["nodev"], "rw,nodev,relatime"),
        shown(&["noexec"], "rw,noexec,relatime"),
        shown(&["noatime"], "rw,noatime"),
        shown(&["relatime"], "rw,relatime"),
        shown(&["strictatime"], "rw"),
        shown(&["nodiratime"], "rw,nodiratime,relatime"),
        row(
            "a destination that is not absolute is taken from /",
            mount(json!({"destination": "t", "type": "tmpfs", "source": "tmpfs"})),
            "grep -c ' /t ' /proc/mounts",
            "1\n",
        ),
    ]);
}

/// A program of the host's shell in the place of a hook; what it leaves is at /s in the container.
fn hook(kind: &'static str, script: &'static str) -> impl Fn(&mut Value) {
    move |config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        if !mounts.iter().any(|mount| mount["destination"] == "/s") {
            mounts.push(json!({"destination": "/s", "type": "bind", "source": "SHARED", "options": ["rbind"]}));
        }
        // Who does not take what it is told may end crun with a broken pipe.
        let script = format!("state=$(cat); {script}");
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=b c"]});
        match config["hooks"][kind].as_array_mut() {
            Some(hooks) => hooks.push(hook),
            None => config["hooks"][kind] = json!([hook]),
        }
    }
}

#[test]
fn hooks() {
    let in_order = |config: &mut Value| {
        hook("createRuntime", "echo one > SHARED/hook")(config);
        hook("createRuntime", "echo two >> SHARED/hook")(config);
    };
    let after_a_failure = |kind: &'static str, script: &'static str| {
        move |config: &mut Value| {
            hook(kind, "exit 1")(config);
            hook(kind, "kill -9 $$")(config);
            hook(kind, script)(config);
            config["hooks"][kind].as_array_mut().unwrap().insert(1, json!({"path": "/nonexistent"}));
        }
    };
    let wait = "for i in $(seq 200); do test -s /s/hook && break; sleep 0.05; done; cat /s/hook";
    let with_uts = "test $(cat /s/hook) = $(readlink /proc/self/ns/uts) && echo its own || echo the hosts";
    hold(vec![
        row("in their order", in_order, "cat /s/hook", "one\ntwo\n"),
        row("prestart", hook("prestart", "echo ran > SHARED/hook"), "cat /s/hook", "ran\n"),
        row(
            "they have the environment that they name, and no other",
            hook("createRuntime", "/usr/bin/env | grep -v -E '^(PWD|SHLVL|_)=' > SHARED/hook"),
            "cat /s/hook",
            "A=b c\n",
        ),
        row(
            "they are told the state",
            hook(
                "createRuntime",
                r#"echo "$state" | grep -oE '"(bundle|id|ociVersion|pid|status)" *:' | tr -d ' :' | sort > SHARED/hook"#,
            ),
            "cat /s/hook",
            "\"bundle\"\n\"id\"\n\"ociVersion\"\n\"pid\"\n\"status\"\n",
        ),
        row(
            "createRuntime runs in the runtime's namespaces",
            hook("createRuntime", "readlink /proc/self/ns/uts > SHARED/hook"),
            with_uts,
            "the hosts\n",
        ),
        row(
            "createContainer runs in the container's namespaces",
            hook("createContainer", "readlink /proc/self/ns/uts > SHARED/hook"),
            with_uts,
            "its own\n",
        ),
        row(
            "startContainer runs in the container's root, before its process",
            hook("startContainer", "ls / | head -1 > /s/hook"),
            "cat /s/hook",
            "bin\n",
        ),
        row("poststart runs once it has started", hook("poststart", "echo ran > SHARED/hook"), wait, "ran\n"),
        row("a poststart that fails holds up nothing", hook("poststart", "exit 1"), "sleep 0.2; echo on", "on\n"),
        row("those behind it run", after_a_failure("poststart", "echo ran > SHARED/hook"), wait, "ran\n"),
        row(
            "those behind a poststop that fails run",
            after_a_failure("poststop", "echo gone > SHARED/after"),
            "echo on",
            "on\ngone\n",
        ),
        row("poststop runs when it is gone", hook("poststop", "echo gone > SHARED/after"), "echo on", "on\ngone\n"),
    ]);
    let fails = |kind| -> (&'static str, Change) { (kind, Box::new(hook(kind, "exit 1"))) };
    refuse(["prestart", "createRuntime", "createContainer"].map(fails).into());
    let slow = |config: &mut Value| {
        hook("createRuntime", "sleep 60")(config);
        config["hooks"]["createRuntime"][0]["timeout"] = json!(1);
    };
    let missing = |config: &mut Value| config["hooks"]["createRuntime"] = json!([{"path": "/nonexistent"}]);
    refuse(vec![("a hook that takes too long", Box::new(slow)), ("a hook that is not there", Box::new(missing))]);
}

#[test]
fn what_says_nothing_to_the_runtime_is_skipped() {
    hold(vec![
        row("unknown properties", |config| config["process"]["odd"] = json!({"x": 1}), "echo on", "on\n"),
        row("annotations", set("/annotations", json!({"org.example": "x"})), "echo on", "on\n"),
        row(
            "process.consoleSize without a terminal",
            set("/process/consoleSize", json!({"height": 5, "width": 5})),
            "echo on",
            "on\n",
        ),
        row("linux.personality", set("/linux/personality", json!({"domain": "LINUX32"})), "busybox uname -m", "i686\n"),
    ]);
}

/// Operations that the specification has end in an error and change nothing, in their order. A bundle is the shim's id; deleting is
/// what is done when a shim is gone.
const MISTAKES: &str = "start of what runs\ncreate with a used id\ndelete of what runs\nstate of what is not there\nkill of what has ended\n";

/// Which of them crun refuses, and whether the process went on until it was killed.
fn crun_mistakes() -> String {
    let mut sandbox = Sandbox::new(&["sleep", "1000"]);
    sandbox.config["root"]["path"] = json!(sandbox.path().join("lower"));
    sandbox.write();
    let script = r#"
        umount /sys/fs/cgroup/unified 2>/dev/null
        bundle=$1; id=$2; shift 2
        run() { crun --cgroup-manager disabled --root "$bundle/crun" "$@" < /dev/null > /dev/null 2>&1; }
        state() { crun --cgroup-manager disabled --root "$bundle/crun" state "$id" | grep -o '"status": "[a-z]*"'; }
        run create --bundle "$bundle" "$id" && run start "$id" || exit 1
        run start "$id" || echo start of what runs
        run create --bundle "$bundle" "$id" || echo create with a used id
        run delete "$id" || echo delete of what runs
        run state "$id-other" || echo state of what is not there
        test "$(state)" = '"status": "running"' || exit 1
        run kill "$id" KILL
        until test "$(state)" = '"status": "stopped"'; do sleep 0.02; done
        run kill "$id" KILL || echo kill of what has ended
        run delete "$id""#;
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(sandbox.path())
        .arg(&sandbox.id)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn operations_out_of_turn_are_errors_and_change_nothing() {
    use model::shim::{Reply, Report, Request};
    assert_eq!(crun_mistakes(), MISTAKES, "crun does not agree, so the rows are wrong");
    let mut sandbox = Sandbox::new(&["sleep", "1000"]);
    sandbox.spec.start_immediately = false;
    assert!(matches!(sandbox.launch(), Report::Created { .. }));
    let mut client = sandbox.connect();
    assert!(matches!(client.ask(&Request::Start), Reply::Started { .. }));
    let mut refused = String::new();
    let mut note = |is_error: bool, what: &str| {
        if is_error {
            refused.push_str(what);
            refused.push('\n');
        }
    };
    note(matches!(client.ask(&Request::Start), Reply::Error(_)), "start of what runs");
    let mut second = sandbox.command().spawn().unwrap();
    note(!second.wait().unwrap().success(), "create with a used id");
    let mut delete = Command::new(env!("CARGO_BIN_EXE_orca-shim"));
    let delete = delete.args(["shim", "--cleanup", "--bundle"]).arg(sandbox.path()).output().unwrap();
    note(!delete.status.success(), "delete of what runs");
    let other = Sandbox::new(&["true"]);
    let socket = other.path().join(model::shim::SOCKET_FILE);
    note(std::os::unix::net::UnixStream::connect(socket).is_err(), "state of what is not there");
    // It went on all the while.
    assert!(matches!(client.ask(&Request::Kill { signal: 9, all: false }), Reply::Ok));
    sandbox.wait();
    assert_eq!(sandbox.record().exit_code, 137);
    let socket = sandbox.path().join(model::shim::SOCKET_FILE);
    note(std::os::unix::net::UnixStream::connect(socket).is_err(), "kill of what has ended");
    assert_eq!(refused, MISTAKES);
}

#[test]
fn what_cannot_be_had_is_an_error() {
    fn case(name: &'static str, change: impl Fn(&mut Value) + 'static) -> (&'static str, Change) {
        (name, Box::new(change))
    }
    let limit = |kind: &str, soft: u64, hard: u64| json!({"type": kind, "soft": soft, "hard": hard});
    let ipc = |path: &'static str| {
        move |config: &mut Value| config["linux"]["namespaces"][1] = json!({"type": "ipc", "path": path})
    };
    refuse(vec![
        case("process.args is empty", set("/process/args", json!([]))),
        case("an unknown rlimit", set("/process/rlimits", json!([limit("RLIMIT_X", 7, 8)]))),
        case("a soft limit above the hard one", set("/process/rlimits", json!([limit("RLIMIT_NOFILE", 9, 8)]))),
        case("a namespace of another type", ipc("/proc/self/ns/uts")),
        case("a namespace that is not there", ipc("/nonexistent")),
        case("a type of namespace that is not known", |config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "odd"}));
        }),
        case("a bind whose source is not there", {
            mount(json!({"destination": "/s", "type": "bind", "source": "/nonexistent/x", "options": ["bind"]}))
        }),
        case("an unknown file system", mount(json!({"destination": "/s", "type": "odd", "source": "x"}))),
        case("an unknown sysctl", set("/linux/sysctl", json!({"net.odd": "1"}))),
        case("an unknown action of the filter", set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ODD"}))),
        case("another version", set("/ociVersion", json!("9.0.0"))),
    ]);
}
