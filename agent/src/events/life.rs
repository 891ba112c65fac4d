//! Which events a move of a container's machine is. Pure.

use model::Health;

use crate::task::{Exit, Machine, Stage};

/// What events are about, before or after a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    starting: bool,
    running: bool,
    paused: bool,
    stopped: bool,
    killed: bool,
    health: Health,
    exit: Option<Exit>,
}

/// An action and what belongs to it.
pub type Happened = (String, Vec<(&'static str, String)>);

impl Look {
    /// The machine as it is.
    pub fn of(machine: &Machine) -> Self {
        Self {
            starting: machine.stage() == Stage::Starting,
            running: matches!(machine.stage(), Stage::Running { .. }),
            paused: machine.is_paused(),
            stopped: machine.is_stopped(),
            killed: machine.is_killed(),
            health: machine.health(),
            exit: machine.last_exit(),
        }
    }
}

/// What has happened between two looks, in Docker's order.
pub fn happened(before: Look, after: Look) -> Vec<Happened> {
    let mut found: Vec<Happened> = Vec::new();
    let mut plain = |action: &str| found.push((action.to_owned(), Vec::new()));
    if before.running && after.running {
        match (before.paused, after.paused) {
            (false, true) => plain("pause"),
            (true, false) => plain("unpause"),
            _ => {}
        }
        if let Some(health) = health_word(after.health).filter(|_| before.health != after.health) {
            plain(&format!("health_status: {health}"));
        }
    }
    // A start that has failed is no run that has ended.
    if let Some(exit) = after.exit.filter(|exit| after.exit != before.exit && exit.started_at.is_set()) {
        if exit.oom_killed {
            plain("oom");
        }
        let seconds = exit.finished_at.since(exit.started_at).as_secs();
        found.push(("die".into(), vec![("exitCode", exit.code.to_string()), ("execDuration", seconds.to_string())]));
        if after.stopped && !before.killed {
            found.push(("stop".into(), Vec::new()));
        }
    }
    if before.starting && after.running {
        found.push(("start".into(), Vec::new()));
    }
    found
}

fn health_word(health: Health) -> Option<&'static str> {
    match health {
        Health::Healthy => Some("healthy"),
        Health::Unhealthy => Some("unhealthy"),
        Health::None | Health::Starting => None,
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    const IDLE: Look = Look {
        starting: false,
        running: false,
        paused: false,
        stopped: false,
        killed: false,
        health: Health::None,
        exit: None,
    };
    const RUNNING: Look = Look { running: true, ..IDLE };

    fn words(before: Look, after: Look) -> Vec<String> {
        happened(before, after).into_iter().map(|(action, _)| action).collect()
    }

    fn exit(code: i32, oom_killed: bool) -> Option<Exit> {
        Some(Exit { code, oom_killed, started_at: Timestamp(1), finished_at: Timestamp(3_000_000_001) })
    }

    #[test]
    fn a_life_in_events() {
        assert_eq!(words(Look { starting: true, ..IDLE }, RUNNING), ["start"]);
        assert!(words(IDLE, RUNNING).is_empty(), "what an earlier daemon started is no news");
        let paused = Look { paused: true, ..RUNNING };
        assert_eq!(words(RUNNING, paused), ["pause"]);
        assert_eq!(words(paused, RUNNING), ["unpause"]);
        assert_eq!(words(RUNNING, Look { health: Health::Unhealthy, ..RUNNING }), ["health_status: unhealthy"]);
        assert_eq!(words(RUNNING, Look { exit: exit(137, true), ..IDLE }), ["oom", "die"]);
        let stopped = Look { stopped: true, ..RUNNING };
        let ended = Look { stopped: true, exit: exit(0, false), ..IDLE };
        assert_eq!(words(stopped, ended), ["die", "stop"]);
        assert_eq!(words(Look { killed: true, ..stopped }, ended), ["die"], "a kill is no stop");
        let died = happened(RUNNING, Look { exit: exit(7, false), ..IDLE });
        assert_eq!(died[0].1, [("exitCode", "7".to_owned()), ("execDuration", "3".to_owned())]);
        let never = Exit { started_at: Timestamp::NEVER, ..Exit::default() };
        assert!(words(Look { starting: true, ..IDLE }, Look { exit: Some(never), ..IDLE }).is_empty());
    }
}
