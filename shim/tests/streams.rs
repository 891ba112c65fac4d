//! Standard streams: logs, rotation, full disks, attached clients, terminals.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use model::shim::frame::Kind;
use model::shim::*;
use support::{Sandbox, until};

#[test]
fn every_line_is_kept_once() {
    let mut sandbox = Sandbox::new(&["seq", "1", "300000"]);
    let begin = Instant::now();
    assert_eq!(sandbox.run().exit_code, 0);
    let took = begin.elapsed();
    let expected: String = (1..=300_000).map(|number| format!("{number}\n")).collect();
    assert!(sandbox.output() == expected, "lines are lost, doubled or out of order");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn logs_are_rotated() {
    let mut sandbox = Sandbox::new(&["seq", "1", "10000"]);
    sandbox.spec.log.max_size = 100_000;
    sandbox.spec.log.max_files = 3;
    assert_eq!(sandbox.run().log_lines_lost, 0);
    let newest = sandbox.output();
    assert!(newest.ends_with("9999\n10000\n") && fs::metadata(sandbox.path().join("c.log")).unwrap().len() <= 100_200);
    let file = |number: u32| sandbox.path().join(format!("c.log.{number}"));
    assert!(file(1).exists() && file(2).exists() && !file(3).exists());
}

#[test]
fn a_container_without_a_log_runs_all_the_same() {
    let mut sandbox = Sandbox::new(&["seq", "1", "100000"]);
    sandbox.spec.log.driver = LogDriver::None;
    assert_eq!(sandbox.run().exit_code, 0);
    assert!(!sandbox.path().join("c.log").exists());
}

#[test]
fn a_full_disk_loses_lines_but_no_container() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "seq 1 20000; exit 3"]);
    let disk = sandbox.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(&disk).status().unwrap();
    assert!(mounted.success());
    sandbox.spec.log.path = disk.join("c.log");
    let record = sandbox.run();
    let lines = sandbox.log().len() as u64;
    let unmounted = Command::new("umount").arg(&disk).status().unwrap();
    assert!(unmounted.success());
    assert_eq!(record.exit_code, 3);
    assert!(record.log_lines_lost > 0 && lines > 0);
    assert_eq!(record.log_lines_lost + lines, 20_000);
}

#[test]
fn standard_input_reaches_the_container() {
    let mut sandbox = Sandbox::new(&["cat"]);
    sandbox.spec.stdin = StdinMode::Open;
    sandbox.started();
    let mut client = sandbox.connect();
    assert_eq!(
        client.ask(&Request::Attach { stdin: true, stdout: true, stderr: true, lossless: false }),
        Reply::Attached
    );
    let text: Vec<u8> = (0..200_000u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let mut writer = client.stream.try_clone().unwrap();
    let sent = text.clone();
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        for piece in sent.chunks(60_000) {
            let mut out = Vec::new();
            frame::encode(Kind::Stdin, piece, &mut out).unwrap();
            writer.write_all(&out).unwrap();
        }
        let mut out = Vec::new();
        frame::encode(Kind::Control, &serde_json::to_vec(&Request::CloseStdin).unwrap(), &mut out).unwrap();
        writer.write_all(&out).unwrap();
    });
    let (out, _, last) = client.follow();
    sending.join().unwrap();
    assert!(matches!(last, Reply::Exit(ExitRecord { exit_code: 0, .. })), "{last:?}");
    assert!(out.into_bytes() == text);
    sandbox.wait();
}

#[test]
fn a_client_that_does_not_read_harms_nobody() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "sleep 0.5; seq 1 500000; exit 4"]);
    sandbox.started();
    let mut stuck = sandbox.connect();
    assert_eq!(
        stuck.ask(&Request::Attach { stdin: false, stdout: true, stderr: true, lossless: false }),
        Reply::Attached
    );
    assert_eq!(sandbox.wait(), 0);
    assert_eq!(sandbox.record().exit_code, 4);
    assert_eq!(sandbox.log().len(), 500_000);
}

#[test]
fn a_client_that_must_get_everything_is_waited_for() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "sleep 0.5; seq 1 500000; exit 4"]);
    sandbox.started();
    let mut client = sandbox.connect();
    let attach = Request::Attach { stdin: false, stdout: true, stderr: true, lossless: true };
    assert_eq!(client.ask(&attach), Reply::Attached);
    // Long enough for the container to have written all, had it not been held.
    std::thread::sleep(Duration::from_millis(1500));
    let (out, _, last) = client.follow();
    assert!(matches!(last, Reply::Exit(ExitRecord { exit_code: 4, .. })), "{last:?}");
    assert_eq!(out.lines().count(), 500_000);
    assert_eq!(sandbox.wait(), 0);
    assert_eq!(sandbox.log().len(), 500_000);
}

#[test]
fn a_terminal_is_given_sized_and_resized() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "tty; stty size; read line; stty size; echo got $line"]).terminal();
    sandbox.spec.terminal_size = Some(TerminalSize { rows: 30, cols: 90 });
    sandbox.spec.start_immediately = false;
    sandbox.launch();
    let mut client = sandbox.connect();
    assert_eq!(
        client.ask(&Request::Attach { stdin: true, stdout: true, stderr: true, lossless: false }),
        Reply::Attached
    );
    let mut control = sandbox.connect();
    assert!(matches!(control.ask(&Request::Start), Reply::Started { .. }));
    until("the terminal's first size is printed", || sandbox.output().contains("30 90"));
    client.send(&Request::Resize(TerminalSize { rows: 31, cols: 91 }));
    client.send_frame(Kind::Stdin, b"word\n");
    let (out, _, last) = client.follow();
    assert!(matches!(last, Reply::Exit(ExitRecord { exit_code: 0, .. })), "{last:?}");
    for text in ["/dev/pts/0", "30 90", "31 91", "got word"] {
        assert!(out.contains(text) && sandbox.output().contains(text), "{text}: {out:?}");
    }
    sandbox.wait();
}

#[test]
fn output_held_open_by_a_grandchild_does_not_delay_the_end() {
    // Without a PID namespace the grandchild would live on; it is killed with the container.
    let mut sandbox = Sandbox::new(&["sh", "-c", "sleep 100 & echo done"]);
    let namespaces = sandbox.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    let begin = Instant::now();
    assert_eq!(sandbox.run().exit_code, 0);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(sandbox.output(), "done\n");
    assert_eq!(sandbox.container_cgroups(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn an_idle_shim_is_small() {
    let mut sandbox = Sandbox::new(&["sh", "-c", "seq 1 100000; sleep 100"]);
    sandbox.started();
    until("the output is logged", || sandbox.output().ends_with("\n100000\n"));
    std::thread::sleep(Duration::from_secs(1));
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", sandbox.shim_pid())).unwrap();
    let private = |name: &str| -> u64 {
        rollup.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()).unwrap()
    };
    // Pages of the executable are shared by all shims; what each has of its own is what counts.
    let own = private("Private_Dirty:");
    assert!(own <= 1024, "{own} KiB of its own: {rollup}");
}
