//! Whoever is killed, and whenever: what is not wanted any more goes, and what is wanted stays.
//! `ORCA_FAULTS=n` tries more often, `ORCA_SEED=n` other moments.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::remains;
use crate::support::Node;

const VERBS: [&str; 4] = ["create", "start", "stop", "rm"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Daemon,
    Netd,
    Shim,
}

const VICTIMS: [Victim; 3] = [Victim::Daemon, Victim::Netd, Victim::Shim];

/// splitmix64 (Sebastiano Vigna, public domain).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn kill(pid: i32) {
    // It may just have ended by itself.
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
}

fn strike(node: &mut Node, victim: Victim) {
    match victim {
        Victim::Daemon => node.kill_daemon(),
        Victim::Netd => remains::netd(node).into_iter().for_each(kill),
        Victim::Shim => {
            let dir = node.data_dir().display().to_string();
            let shims = remains::processes(&dir).into_iter().filter(|(_, line)| line.contains("--bundle"));
            shims.for_each(|(pid, _)| kill(pid));
        }
    }
}

#[test]
fn a_kill_at_any_moment_orphans_nothing_and_loses_no_volume() {
    let (seed, rounds) = (number("ORCA_SEED", 1), number("ORCA_FAULTS", 24));
    let mut random = Random(seed);
    let mut node = Node::start().with_busybox();
    node.ok(&["run", "--rm", "-p", "8093:80", "-v", "kept:/kept", "busybox", "sh", "-c", "echo precious > /kept/file"]);
    let clean = remains::at_rest(&node);
    for round in 0..rounds {
        let victim = VICTIMS[usize::try_from(round % 3).unwrap()];
        let verb = VERBS[usize::try_from(round / 3 % 4).unwrap()];
        let delay = Duration::from_millis(random.below(150));
        let what = format!("seed {seed}, round {round}: {victim:?} killed {delay:?} into {verb}");
        try_once(&mut node, victim, verb, delay, &what);
        remains::wait_until_again(&node, &clean, &what);
        let kept = node.data_dir().join("volumes/kept/_data/file");
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "precious\n", "{what}");
    }
}

fn try_once(node: &mut Node, victim: Victim, verb: &str, delay: Duration, what: &str) {
    let args = ["--name", "cu", "-p", "8093:80", "-v", "kept:/kept", "-v", "/anonymous", "busybox", "sleep", "1000"];
    match verb {
        "create" => {}
        "start" => drop(node.ok(&[&["create"], &args[..]].concat())),
        _ => drop(node.ok(&[&["run", "-d"], &args[..]].concat())),
    }
    let command = match verb {
        "create" => [&["create"], &args[..]].concat(),
        "stop" => vec!["stop", "-t", "0", "cu"],
        "rm" => vec!["rm", "-f", "-v", "cu"],
        _ => vec![verb, "cu"],
    };
    let child = node.orca_command(&command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    strike(node, victim);
    child.wait_with_output().unwrap();
    if victim == Victim::Daemon {
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
