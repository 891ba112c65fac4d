//! From start to exit record: exit codes, failures, signals, limits, and what is left behind.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use model::shim::*;
use serde_json::json;
use support::{Sandbox, until};

#[test]
fn output_and_exit_code_are_kept_and_nothing_else_is_left() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "echo out; echo err >&2; echo -n tail; exit 37"]);
    let record = sandbox.run();
    assert_eq!((record.exit_code, record.signal, record.oom_killed, record.run_generation), (37, None, false, 1));
    assert!(record.started_at > 0 && record.finished_at >= record.started_at);
    let log = sandbox.log();
    assert!(log.contains(&("stdout".into(), "out\n".into())) && log.contains(&("stderr".into(), "err\n".into())));
    assert!(log.contains(&("stdout".into(), "tail".into())));
    assert_eq!(sandbox.container_cgroups(), Vec::<std::path::PathBuf>::new());
    for gone in ["state", SOCKET_FILE, ERROR_FILE, SHIM_LOG_FILE, ".exit.json.tmp"] {
        assert!(
            !sandbox.path().join(gone).exists(),
            "{gone} is left: {:?}",
            fs::read_to_string(sandbox.path().join(gone))
        );
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&sandbox.id), "the snapshot is mounted in the host's namespace");
}

#[test]
fn create_and_start_are_separate() {
    let mut sandbox = Sandbox::new(&["echo", "hello"]);
    sandbox.spec.start_immediately = false;
    let Report::Created { pid } = sandbox.launch() else { panic!() };
    let mut client = sandbox.connect();
    let Reply::State(state) = client.ask(&Request::State) else { panic!() };
    assert_eq!((state.status, state.pid, state.started_at), (Status::Created, pid, None));
    assert!(matches!(
        client.ask(&Request::Exec(support::exec(&["true"]))),
        Reply::Error(Failure { class: ErrorClass::WrongState, .. })
    ));
    let mut waiter = sandbox.connect();
    waiter.send(&Request::Wait);
    assert!(matches!(client.ask(&Request::Start), Reply::Started { .. }));
    assert!(matches!(waiter.reply(), Reply::Exit(ExitRecord { exit_code: 0, .. })));
    assert_eq!(sandbox.wait(), 0);
    assert_eq!(sandbox.output(), "hello\n");
}

#[test]
fn a_layer_that_need_not_reach_the_disk_is_still_there_for_the_next_run() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "grep -c volatile /proc/mounts; cat /kept; echo first > /kept"]);
    sandbox.spec.snapshot.as_mut().unwrap().volatile = true;
    sandbox.run();
    sandbox.spec.run_generation = 2;
    assert_eq!(sandbox.run().run_generation, 2);
    let output: Vec<String> = sandbox.log().into_iter().filter(|(from, _)| from == "stdout").map(|(_, l)| l).collect();
    assert_eq!(output, ["1\n", "1\n", "first\n"]);
}

#[test]
fn a_created_container_can_be_killed() {
    let mut sandbox = Sandbox::new(&["echo", "never"]);
    sandbox.spec.start_immediately = false;
    sandbox.launch();
    assert_eq!(sandbox.connect().ask(&Request::Kill { signal: 9, all: false }), Reply::Ok);
    sandbox.wait();
    let record = sandbox.record();
    assert_eq!((record.exit_code, record.started_at), (137, 0));
    assert_eq!(sandbox.output(), "");
}

#[track_caller]
fn refused(mut sandbox: Sandbox, class: ErrorClass, code: i32, text: &str) {
    let Report::Failed(failure) = sandbox.launch() else { panic!("it was made") };
    assert_eq!(failure.class, class, "{failure:?}");
    assert!(failure.message.contains(text), "{failure:?}");
    assert_eq!(sandbox.wait(), code);
    let left: Failure = serde_json::from_slice(&fs::read(sandbox.path().join(ERROR_FILE)).unwrap()).unwrap();
    assert_eq!(left, failure);
    assert_eq!(sandbox.container_cgroups(), Vec::<std::path::PathBuf>::new());
    for gone in ["state", SOCKET_FILE, EXIT_FILE] {
        assert!(!sandbox.path().join(gone).exists(), "{gone} is left");
    }
}

#[test]
fn commands_that_cannot_be_executed_have_dockers_codes() {
    refused(Sandbox::new(&["nothing-here"]), ErrorClass::CommandNotFound, 127, "nothing-here");
    refused(Sandbox::new(&["/bin/none"]), ErrorClass::CommandNotFound, 127, "/bin/none");
    refused(Sandbox::new(&["plain"]), ErrorClass::CommandNotExecutable, 126, "permission denied");
    refused(Sandbox::new(&["/bin"]), ErrorClass::CommandNotExecutable, 126, "is a directory");
    refused(Sandbox::new(&["garbage"]), ErrorClass::CommandNotExecutable, 126, "Exec format");
}

#[test]
fn bad_directories_and_users_are_named() {
    let mut sandbox = Sandbox::new(&["true"]);
    sandbox.config["process"]["cwd"] = json!("/not/there");
    refused(sandbox, ErrorClass::BadWorkingDirectory, 126, "");
    let mut sandbox = Sandbox::new(&["true"]);
    sandbox.spec.user = Some("stranger".into());
    refused(sandbox, ErrorClass::UnknownUser, 125, "stranger");
}

#[test]
fn bundles_that_contradict_themselves_are_refused() {
    let mut sandbox = Sandbox::new(&["true"]);
    sandbox.spec.cgroup = "/".into();
    sandbox.config["linux"]["cgroupsPath"] = json!("");
    refused_early(sandbox, "cgroup");
    let mut sandbox = Sandbox::new(&["true"]);
    sandbox.config["mounts"][0] = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"});
    refused_early(sandbox, "/sys/fs/cgroup");
    let mut sandbox = Sandbox::new(&["true"]);
    sandbox.config["process"]["oomScoreAdj"] = json!(-900);
    refused_early(sandbox, "CAP_SYS_RESOURCE");
    let mut sandbox = Sandbox::new(&["true"]);
    sandbox.spec.version = 99;
    refused_early(sandbox, "99");
}

#[track_caller]
fn refused_early(mut sandbox: Sandbox, text: &str) {
    let Report::Failed(failure) = sandbox.launch() else { panic!("it was made") };
    assert_eq!(failure.class, ErrorClass::InvalidBundle);
    assert!(failure.message.contains(text), "{failure:?}");
    assert_eq!(sandbox.wait(), 125);
    assert!(!sandbox.path().join(SOCKET_FILE).exists());
}

#[test]
fn the_user_is_looked_up_and_the_directory_made() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "id -u; id -g; id -G; pwd; echo $HOME; umask"]);
    sandbox.spec.user = Some("web".into());
    sandbox.spec.create_cwd = true;
    sandbox.config["process"]["cwd"] = json!("/srv/new");
    sandbox.config["process"]["noNewPrivileges"] = json!(false);
    assert_eq!(sandbox.run().exit_code, 0);
    assert_eq!(sandbox.output(), "33\n34\n34 44\n/srv/new\n/tmp\n0022\n");
}

#[test]
fn a_signal_gives_128_and_its_number() {
    let mut sandbox = Sandbox::new(&["sleep", "100"]);
    sandbox.started();
    let mut client = sandbox.connect();
    assert!(matches!(client.ask(&Request::Kill { signal: 99, all: false }), Reply::Error(_)));
    assert_eq!(client.ask(&Request::Kill { signal: 9, all: false }), Reply::Ok);
    sandbox.wait();
    let record = sandbox.record();
    assert_eq!((record.exit_code, record.signal, record.oom_killed), (137, Some(9), false));
}

#[test]
fn running_out_of_memory_is_seen() {
    let mut sandbox = Sandbox::new(&["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]);
    sandbox.config["linux"]["resources"]["memory"] = json!({"limit": 16 << 20});
    let record = sandbox.run();
    assert_eq!((record.exit_code, record.oom_killed), (137, true));
}

#[test]
fn limits_are_in_force_and_privileges_are_not() {
    let mut sandbox = Sandbox::new(&["sleep", "100"]);
    sandbox.config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    sandbox.config["linux"]["resources"]["pids"] = json!({"limit": 50});
    sandbox.config["linux"]["resources"]["cpu"] = json!({"quota": 50000, "period": 100_000});
    sandbox.config["process"]["noNewPrivileges"] = json!(true);
    let pid = sandbox.started();
    let Reply::Stats(stats) = sandbox.connect().ask(&Request::Stats) else { panic!() };
    assert_eq!((stats.memory_limit, stats.pids_limit, stats.pids), (Some(64 << 20), Some(50), Some(1)));
    assert!(stats.cpu_total.is_some() && stats.memory_usage.is_some());
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("CapEff:"), "00000000a80425fb");
    assert_eq!((field("CapInh:"), field("CapAmb:")), ("0000000000000000".into(), "0000000000000000".into()));
    assert_eq!((field("SigBlk:"), field("SigIgn:")), ("0000000000000000".into(), "0000000000000000".into()));
    for dir in sandbox.container_cgroups() {
        if dir.join("cpu.cfs_quota_us").exists() {
            assert_eq!(fs::read_to_string(dir.join("cpu.cfs_quota_us")).unwrap().trim(), "50000");
        }
    }
    sandbox.connect().ask(&Request::Kill { signal: 9, all: true });
    sandbox.wait();
}

#[test]
fn a_broken_pipe_ends_a_writer_silently() {
    // With SIGPIPE ignored, as Rust leaves it, `yes` would complain instead.
    let mut sandbox = Sandbox::new(&["sh", "-c", "yes | head -n 1"]);
    assert_eq!(sandbox.run().exit_code, 0);
    assert_eq!(sandbox.log(), vec![("stdout".to_owned(), "y\n".to_owned())]);
}

#[test]
fn the_shim_is_one_small_thread_that_outlives_its_parent() {
    let sandbox = Sandbox::new(&["sh", "-c", "sleep 2; echo survived; exit 5"]);
    sandbox.write();
    // A daemon that starts the shim and is killed.
    let mut daemon = std::process::Command::new("/bin/sh")
        .args(["-c", "\"$0\" shim --bundle \"$1\" > \"$1/report\"; sleep 100"])
        .arg(env!("CARGO_BIN_EXE_orca-shim"))
        .arg(sandbox.path())
        .process_group_zero()
        .spawn()
        .unwrap();
    let report = sandbox.path().join("report");
    until("the report comes", || fs::read_to_string(&report).is_ok_and(|text| text.ends_with('\n')));
    let shim = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let text = String::from_utf8_lossy(&line).into_owned();
            text.contains(&sandbox.id) && text.contains("orca-shim") && !text.starts_with("/bin/sh")
        })
        .unwrap()
        .path();
    let status = fs::read_to_string(shim.join("status")).unwrap();
    assert!(status.lines().any(|line| line == "Threads:\t1"), "{status}");
    // SAFETY: kill(2) on the process group of our own child.
    unsafe { libc::kill(-i32::try_from(daemon.id()).unwrap(), libc::SIGKILL) };
    daemon.wait().unwrap();
    until("the record comes", || sandbox.path().join(EXIT_FILE).exists());
    assert_eq!(sandbox.record().exit_code, 5);
    assert_eq!(sandbox.output(), "survived\n");
    until("the shim ends", || !sandbox.path().join(SOCKET_FILE).exists());
}

#[test]
fn a_killed_shim_is_cleaned_up_after() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "sleep 1000 & sleep 1000"]);
    let pid = sandbox.started();
    let cleanup = |sandbox: &Sandbox| {
        std::process::Command::new(env!("CARGO_BIN_EXE_orca-shim"))
            .args(["shim", "--cleanup", "--bundle"])
            .arg(sandbox.path())
            .output()
            .unwrap()
    };
    let refused = cleanup(&sandbox);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("living shim"));
    sandbox.kill_shim();
    let done = cleanup(&sandbox);
    assert!(done.status.success(), "{done:?}");
    let record = sandbox.record();
    assert_eq!((record.exit_code, record.reason.as_deref()), (137, Some("shim died")));
    assert_eq!(sandbox.container_cgroups(), Vec::<std::path::PathBuf>::new());
    let stat = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    assert!(!stat.contains("sleep"));
    assert!(cleanup(&sandbox).status.success());
}

#[test]
fn cgroups_made_within_a_container_go_with_it() {
    let mut sandbox = Sandbox::new(&["sleep", "100"]);
    sandbox.started();
    let made: Vec<_> = sandbox.container_cgroups().into_iter().map(|dir| dir.join("nested/deep")).collect();
    for dir in &made {
        fs::create_dir_all(dir).unwrap();
    }
    assert!(!made.is_empty());
    sandbox.connect().ask(&Request::Kill { signal: 9, all: true });
    sandbox.wait();
    assert_eq!(sandbox.container_cgroups(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn many_layers_and_strange_names_are_mounted() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "cat /layer-*/name | wc -l"]);
    let mut snapshot = sandbox.spec.snapshot.take().unwrap();
    for number in 0..120 {
        let layer = sandbox.path().join(format!("a:layer,with\\odd-{}-{number}", "x".repeat(60)));
        fs::create_dir_all(layer.join(format!("layer-{number}"))).unwrap();
        fs::write(layer.join(format!("layer-{number}/name")), "x\n").unwrap();
        snapshot.lower.insert(0, layer);
    }
    sandbox.spec.snapshot = Some(snapshot);
    assert_eq!(sandbox.run().exit_code, 0);
    assert_eq!(sandbox.output().trim(), "120");
}

trait ProcessGroup {
    fn process_group_zero(&mut self) -> &mut Self;
}

impl ProcessGroup for std::process::Command {
    fn process_group_zero(&mut self) -> &mut Self {
        std::os::unix::process::CommandExt::process_group(self, 0)
    }
}
