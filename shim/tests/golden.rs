//! The files and messages of every release, read back: a daemon must understand the shims of the release before.
//! `UPDATE_GOLDEN=1` writes files that are missing; an existing one is never changed.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::path::Path;

use model::shim::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[track_caller]
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(format!("{name}.json"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{name}");
}

fn failure() -> Failure {
    Failure { version: 1, run_generation: 3, class: ErrorClass::CommandNotFound, message: "exec: \"x\"".into() }
}

fn record() -> ExitRecord {
    ExitRecord {
        version: 1,
        run_generation: 3,
        exit_code: 137,
        signal: Some(9),
        oom_killed: true,
        started_at: 10,
        finished_at: 20,
        log_lines_lost: 4,
        reason: Some("shim died".into()),
    }
}

#[test]
fn files() {
    let spec = ShimSpec {
        version: 1,
        container_id: "c".into(),
        run_generation: 3,
        snapshot: Some(Snapshot {
            lower: vec!["/l/2".into(), "/l/1".into()],
            upper: "/u".into(),
            work: "/w".into(),
            volatile: false,
        }),
        log: LogConfig { max_size: 5, max_files: 2, ..LogConfig::plain("/log".into()) },
        cgroup: "/orca-n/c".into(),
        terminal: true,
        terminal_size: Some(TerminalSize { rows: 24, cols: 80 }),
        stdin: StdinMode::Once,
        state_dir: "/run/s".into(),
        start_immediately: true,
        user: Some("web:web".into()),
        create_cwd: true,
        runtime: None,
        shared_shm: None,
        users: None,
        namespace_dirs: Vec::new(),
        donors: Vec::new(),
    };
    golden("shim", &spec);
    golden("exit", &record());
    golden("error", &failure());
    golden("report_created", &Report::Created { pid: 7 });
    golden("report_started", &Report::Started { pid: 7, started_at: 10 });
    golden("report_failed", &Report::Failed(failure()));
}

#[test]
fn requests() {
    golden("hello", &Request::Hello { version: 1 });
    golden("start", &Request::Start);
    golden("kill", &Request::Kill { signal: 15, all: true });
    golden(
        "exec",
        &Request::Exec(ExecRequest {
            args: vec!["sh".into()],
            env: vec!["A=b".into()],
            cwd: Some("/w".into()),
            user: Some("web".into()),
            additional_gids: vec![5],
            terminal: true,
            terminal_size: Some(TerminalSize { rows: 1, cols: 2 }),
            stdin: true,
            capabilities: Some(vec!["CAP_CHOWN".into()]),
            no_new_privileges: Some(true),
            privileged: false,
            kill_on_disconnect: true,
        }),
    );
    golden("attach", &Request::Attach { stdin: true, stdout: true, stderr: false, lossless: false });
    golden("resize", &Request::Resize(TerminalSize { rows: 24, cols: 80 }));
    for (name, request) in [
        ("close_stdin", Request::CloseStdin),
        ("pause", Request::Pause),
        ("resume", Request::Resume),
        ("state", Request::State),
        ("stats", Request::Stats),
        ("wait", Request::Wait),
    ] {
        golden(name, &request);
    }
}

#[test]
fn replies() {
    golden("reply_hello", &Reply::Hello { version: 1, container_id: "c".into(), run_generation: 3 });
    golden("reply_ok", &Reply::Ok);
    golden("reply_error", &Reply::Error(failure()));
    golden("reply_started", &Reply::Started { pid: 7, started_at: 10 });
    golden("reply_exec_started", &Reply::ExecStarted { pid: 8 });
    golden("reply_exec_exit", &Reply::ExecExit { exit_code: 9 });
    golden("reply_attached", &Reply::Attached);
    golden("reply_dropped", &Reply::Dropped { reason: "slow".into() });
    let state = State { status: Status::Paused, pid: 7, started_at: Some(10), execs: vec![8], log_lines_lost: 1 };
    golden("reply_state", &Reply::State(state));
    let stats = Stats { read_at: 1, memory_usage: Some(2), pids: Some(3), ..Stats::default() };
    golden("reply_stats", &Reply::Stats(Box::new(stats)));
    golden("reply_exit", &Reply::Exit(record()));
}
