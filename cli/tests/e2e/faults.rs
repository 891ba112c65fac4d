//! Whoever is killed, and before whatever step: what is not wanted any more goes, and what is wanted stays.
//! `ORCA_FAULTS=n` tries n of the steps, `ORCA_FAULTS=all` each; `ORCA_SEED=n` takes others.

use std::process::{Command, Stdio};

use crate::remains::{self, Remains};
use crate::steps::{self, Steps, Who};
use crate::support::Node;

const VERBS: [&str; 4] = ["create", "start", "stop", "rm"];

fn kill(pid: i32) {
    // It may just have ended by itself.
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
}

fn shims(node: &Node) -> Vec<i32> {
    let found = remains::processes(&node.data_dir().display().to_string());
    found.into_iter().filter(|(_, line)| line.contains("--bundle")).map(|(pid, _)| pid).collect()
}

/// Everybody who works for the node.
fn processes(node: &Node) -> Vec<(Who, i32)> {
    let netd = remains::netd(node).map(|pid| (Who::Netd, pid));
    let shims = shims(node).into_iter().map(|pid| (Who::Shim, pid));
    [(Who::Daemon, node.daemon_pid())].into_iter().chain(netd).chain(shims).collect()
}

fn strike(node: &Node, victim: Who) {
    match victim {
        Who::Daemon => kill(node.daemon_pid()),
        Who::Netd => remains::netd(node).into_iter().for_each(kill),
        Who::Shim => shims(node).into_iter().for_each(kill),
    }
}

/// The steps before which somebody is killed: all, or so many, spread over every verb and victim.
fn chosen(made: &[(&'static str, Steps)]) -> Vec<(&'static str, Who, u64)> {
    let wanted = std::env::var("ORCA_FAULTS").unwrap_or_else(|_| "20".into());
    let seed: u64 = std::env::var("ORCA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let kinds: Vec<(&str, Who, u64)> = made
        .iter()
        .flat_map(|(verb, steps)| steps.iter().map(move |(who, count)| (*verb, *who, *count)))
        .filter(|(.., count)| *count > 0)
        .collect();
    let of_kind = |(verb, who, count): (&'static str, Who, u64)| {
        let tries = match wanted.as_str() {
            "all" => count,
            number => (number.parse::<u64>().unwrap() / kinds.len() as u64).clamp(1, count),
        };
        let offset = seed.wrapping_mul(0x9e37_79b9) % count;
        (0..tries).map(move |number| (verb, who, 1 + (offset + number * count / tries) % count)).collect::<Vec<_>>()
    };
    kinds.iter().copied().flat_map(of_kind).collect()
}

#[test]
fn a_kill_before_any_step_orphans_nothing_and_loses_no_volume() {
    let mut node = Node::start().with_busybox();
    node.ok(&["run", "--rm", "-p", "8093:80", "-v", "kept:/kept", "busybox", "sh", "-c", "echo precious > /kept/file"]);
    let clean = remains::at_rest(&node);
    let made = VERBS.map(|verb| {
        prepare(&node, verb);
        let followed = steps::follow(node.orca_command(&command(verb)), &processes(&node), None);
        node.orca(&["rm", "-f", "-v", "cu"]);
        check(&node, &clean, &format!("{verb}, nobody killed"));
        (verb, followed.steps)
    });
    println!("steps: {made:?}");
    for (verb, steps) in &made {
        assert!(steps.get(&Who::Daemon).is_some_and(|count| *count > 0), "{verb} is not followed: {steps:?}");
        let of_shim = steps.get(&Who::Shim).is_some_and(|count| *count > 0);
        assert!(of_shim || *verb == "create", "{verb} is not followed: {steps:?}");
    }
    for (verb, victim, step) in chosen(&made) {
        let what = format!("{victim:?} killed before its step {step} of {verb}");
        try_once(&mut node, verb, victim, step, &what);
        check(&node, &clean, &what);
    }
}

fn check(node: &Node, clean: &Remains, what: &str) {
    remains::wait_until_again(node, clean, what);
    let kept = node.data_dir().join("volumes/kept/_data/file");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "precious\n", "{what}");
}

const ARGS: [&str; 11] =
    ["--name", "cu", "-p", "8093:80", "-v", "kept:/kept", "-v", "/anonymous", "busybox", "sleep", "1000"];

/// What there is before the verb.
fn prepare(node: &Node, verb: &str) {
    match verb {
        "create" => {}
        "start" => drop(node.ok(&[&["create"], &ARGS[..]].concat())),
        _ => drop(node.ok(&[&["run", "-d"], &ARGS[..]].concat())),
    }
}

fn command(verb: &'static str) -> Vec<&'static str> {
    match verb {
        "create" => [&["create"], &ARGS[..]].concat(),
        "stop" => vec!["stop", "-t", "0", "cu"],
        "rm" => vec!["rm", "-f", "-v", "cu"],
        _ => vec![verb, "cu"],
    }
}

fn try_once(node: &mut Node, verb: &'static str, victim: Who, step: u64, what: &str) {
    prepare(node, verb);
    let followed = steps::follow(node.orca_command(&command(verb)), &processes(node), Some((victim, step)));
    match followed.struck {
        Some(call) => println!("{what}: system call {call}"),
        // This time there were fewer.
        None => strike(node, victim),
    }
    if victim == Who::Daemon {
        node.kill_daemon();
        node.start_daemon();
    }
    if node.ok(&["ps", "-aq"]).is_empty() {
        return;
    }
    // It was not removed, so it can be used: whatever happened to it, it runs again.
    if verb != "rm" {
        node.wait_for(&format!("it runs again: {what}"), || {
            node.orca(&["start", "cu"]);
            node.orca(&["exec", "cu", "cat", "/kept/file"]).stdout == b"precious\n"
        });
    }
    node.orca(&["rm", "-f", "-v", "cu"]);
}

/// netd holds names and ports; without it no name is known and a port could be taken by others.
#[test]
fn a_killed_netd_is_back_without_anybody_asking() {
    let node = Node::start().with_busybox();
    node.ok(&["run", "-d", "--name", "web", "-p", "8094:80", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc"]);
    let first = remains::netd(&node).unwrap();
    kill(first);
    node.wait_for("another netd", || remains::netd(&node).is_some_and(|netd| netd != first));
    assert!(node.get("http://127.0.0.1:8094/passwd").is_some());
    node.wait_for("names are known again", || node.orca(&["exec", "web", "nslookup", "web"]).status.success());
}
