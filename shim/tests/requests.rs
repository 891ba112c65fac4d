//! The socket: exec in all its forms, pause, kill, and what malformed clients get.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use model::shim::frame::Kind;
use model::shim::*;
use serde_json::json;
use support::{Sandbox, exec, until};

fn sleeper() -> Sandbox {
    let mut sandbox = Sandbox::new(&["sleep", "1000"]);
    sandbox.started();
    sandbox
}

fn run(sandbox: &Sandbox, request: ExecRequest) -> (String, String, Reply) {
    let mut client = sandbox.connect();
    client.send(&Request::Exec(request));
    client.follow()
}

#[test]
fn exec_runs_in_the_container_with_its_limits() {
    let sandbox = sleeper();
    let (out, err, last) =
        run(&sandbox, exec(&["sh", "-c", "ps | grep -c sleep; echo err >&2; pwd; grep Cap /proc/self/status; exit 9"]));
    assert_eq!(last, Reply::ExecExit { exit_code: 9 });
    assert_eq!(err, "err\n");
    assert!(out.contains("\n/\n") && out.contains("CapEff:\t00000000a80425fb"), "{out}");
    let mut request = exec(&["sh", "-c", "id -u; id -G; echo $A $HOME; pwd"]);
    request.user = Some("web".into());
    request.env = vec!["A=b".into()];
    request.cwd = Some("/tmp".into());
    assert_eq!(run(&sandbox, request).0, "33\n34 44\nb /tmp\n/tmp\n");
    let mut request = exec(&["grep", "CapEff", "/proc/self/status"]);
    request.capabilities = Some(vec!["CAP_CHOWN".into()]);
    assert_eq!(run(&sandbox, request).0, "CapEff:\t0000000000000001\n");
}

#[test]
fn an_exec_has_the_containers_seccomp_filter() {
    let mut sandbox = Sandbox::new(&["sleep", "1000"]);
    sandbox.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
    });
    sandbox.config["process"]["noNewPrivileges"] = json!(false);
    sandbox.started();
    let (_, err, last) = run(&sandbox, exec(&["mkdir", "/tmp/x"]));
    assert_eq!(last, Reply::ExecExit { exit_code: 1 });
    assert!(err.contains("not permitted"), "{err}");
    let mut privileged = exec(&["mkdir", "/tmp/x"]);
    privileged.privileged = true;
    assert_eq!(run(&sandbox, privileged).2, Reply::ExecExit { exit_code: 0 });
}

#[test]
fn failed_execs_are_classified_reaped_and_harmless() {
    let sandbox = sleeper();
    for (args, class) in [
        (&["nothing"][..], ErrorClass::CommandNotFound),
        (&["plain"], ErrorClass::CommandNotExecutable),
        (&["garbage"], ErrorClass::CommandNotExecutable),
    ] {
        let (_, _, last) = run(&sandbox, exec(args));
        assert!(matches!(&last, Reply::Error(failure) if failure.class == class), "{args:?}: {last:?}");
    }
    let mut request = exec(&["true"]);
    request.cwd = Some("/not/there".into());
    assert!(matches!(run(&sandbox, request).2, Reply::Error(Failure { class: ErrorClass::BadWorkingDirectory, .. })));
    let mut request = exec(&["true"]);
    request.user = Some("stranger".into());
    assert!(matches!(run(&sandbox, request).2, Reply::Error(Failure { class: ErrorClass::UnknownUser, .. })));
    let mut client = sandbox.connect();
    until("no exec is left", || matches!(client.ask(&Request::State), Reply::State(state) if state.execs.is_empty()));
    let shim = sandbox.shim_pid();
    let children = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).unwrap();
    assert_eq!(children.split_whitespace().count(), 1, "zombies: {children}");
}

#[test]
fn exec_takes_input_a_terminal_and_signals() {
    let sandbox = sleeper();
    let mut request = exec(&["cat"]);
    request.stdin = true;
    let mut client = sandbox.connect();
    client.send(&Request::Exec(request));
    client.send_frame(Kind::Stdin, b"through");
    client.send(&Request::CloseStdin);
    assert_eq!(client.follow(), ("through".into(), String::new(), Reply::ExecExit { exit_code: 0 }));
    let mut request = exec(&["sh", "-c", "tty; stty size"]);
    request.terminal = true;
    request.stdin = true;
    request.terminal_size = Some(TerminalSize { rows: 11, cols: 22 });
    let (out, _, last) = run(&sandbox, request);
    assert_eq!(last, Reply::ExecExit { exit_code: 0 });
    assert!(out.contains("/dev/pts/") && out.contains("11 22"), "{out}");
    let mut client = sandbox.connect();
    assert!(matches!(client.ask(&Request::Exec(exec(&["sleep", "1000"]))), Reply::ExecStarted { .. }));
    client.send(&Request::Kill { signal: 15, all: false });
    assert_eq!(client.follow().2, Reply::ExecExit { exit_code: 143 });
}

#[test]
fn an_exec_outlives_its_client_or_not_as_asked() {
    let sandbox = sleeper();
    let mut control = sandbox.connect();
    let mut execs = || match control.ask(&Request::State) {
        Reply::State(state) => state.execs.len(),
        other => panic!("{other:?}"),
    };
    let mut mortal = exec(&["sleep", "1000"]);
    mortal.kill_on_disconnect = true;
    let mut client = sandbox.connect();
    assert!(matches!(client.ask(&Request::Exec(mortal)), Reply::ExecStarted { .. }));
    let mut other = sandbox.connect();
    assert!(matches!(other.ask(&Request::Exec(exec(&["sleep", "1000"]))), Reply::ExecStarted { .. }));
    assert_eq!(execs(), 2);
    drop((client, other));
    until("the one that should die does", || execs() == 1);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(execs(), 1);
}

#[test]
fn much_output_of_an_exec_comes_whole_to_a_slow_client() {
    let sandbox = sleeper();
    let mut client = sandbox.connect();
    client.send(&Request::Exec(exec(&["seq", "1", "400000"])));
    std::thread::sleep(Duration::from_millis(700));
    let (out, _, last) = client.follow();
    assert_eq!(last, Reply::ExecExit { exit_code: 0 });
    assert_eq!(out.lines().count(), 400_000);
}

#[test]
fn pausing_stops_and_a_kill_still_works() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "while true; do echo tick; sleep 0.02; done"]);
    sandbox.started();
    let mut client = sandbox.connect();
    assert_eq!(client.ask(&Request::Pause), Reply::Ok);
    assert!(matches!(client.ask(&Request::State), Reply::State(State { status: Status::Paused, .. })));
    assert!(matches!(client.ask(&Request::Pause), Reply::Error(Failure { class: ErrorClass::WrongState, .. })));
    assert!(matches!(
        client.ask(&Request::Exec(exec(&["true"]))),
        Reply::Error(Failure { class: ErrorClass::WrongState, .. })
    ));
    std::thread::sleep(Duration::from_millis(100));
    let before = sandbox.output();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(sandbox.output(), before);
    assert_eq!(client.ask(&Request::Resume), Reply::Ok);
    until("it goes on", || sandbox.output().len() > before.len());
    assert_eq!(client.ask(&Request::Pause), Reply::Ok);
    assert_eq!(client.ask(&Request::Kill { signal: 9, all: false }), Reply::Ok);
    sandbox.wait();
    assert_eq!(sandbox.record().exit_code, 137);
}

#[test]
fn a_signal_can_go_to_all() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "trap 'exit 7' TERM; sleep 1000 & sleep 1000 & wait"]);
    sandbox.started();
    std::thread::sleep(Duration::from_millis(300));
    let mut client = sandbox.connect();
    let Reply::Stats(stats) = client.ask(&Request::Stats) else { panic!() };
    assert_eq!(stats.pids, Some(3));
    assert_eq!(client.ask(&Request::Kill { signal: 15, all: true }), Reply::Ok);
    sandbox.wait();
    assert_eq!(sandbox.record().exit_code, 7);
}

#[test]
fn execs_end_with_their_container() {
    let mut sandbox = sleeper();
    let mut client = sandbox.connect();
    assert!(matches!(client.ask(&Request::Exec(exec(&["sleep", "1000"]))), Reply::ExecStarted { .. }));
    assert_eq!(sandbox.connect().ask(&Request::Kill { signal: 9, all: false }), Reply::Ok);
    assert_eq!(client.follow().2, Reply::ExecExit { exit_code: 137 });
    assert_eq!(sandbox.wait(), 0);
}

#[test]
fn malformed_clients_are_told_and_harm_nobody() {
    let sandbox = sleeper();
    let mode = fs::metadata(sandbox.path().join(SOCKET_FILE)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let mut client = sandbox.connect_raw();
    let Reply::Error(failure) = client.ask(&Request::Hello { version: 77 }) else { panic!() };
    assert!(failure.message.contains("77") && failure.message.contains(&PROTOCOL_VERSION.to_string()), "{failure:?}");
    assert!(client.frame().is_none());
    let mut client = sandbox.connect_raw();
    assert!(matches!(client.ask(&Request::State), Reply::Error(Failure { class: ErrorClass::Protocol, .. })));
    let mut client = sandbox.connect();
    client.send_frame(Kind::Control, b"{\"request\":\"dance\"}");
    assert!(matches!(client.reply(), Reply::Error(Failure { class: ErrorClass::Protocol, .. })));
    let mut client = sandbox.connect();
    std::io::Write::write_all(&mut client.stream, &[0xff; 64]).unwrap();
    assert!(matches!(client.reply(), Reply::Error(Failure { class: ErrorClass::Protocol, .. })));
    assert!(client.frame().is_none());
    assert!(matches!(sandbox.connect().ask(&Request::State), Reply::State(State { status: Status::Running, .. })));
}
