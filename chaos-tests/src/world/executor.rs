//! What a node does: processes begin and end under their shims, whoever is alive to see it.

use std::time::Duration;

use agent::health::Probe;
use agent::task::{Action, Event as TaskEvent, Exit, HookEnd, Turn};
use model::{ContainerId, Timestamp};

use super::World;
use crate::event::Event;
use crate::stacks::Behaviour;

/// A container's shim.
#[derive(Debug, Clone)]
pub struct Shim {
    /// Which run.
    pub generation: u64,
    pub pid: u32,
    pub started_at: Timestamp,
    /// The exit record; `None` while the process runs.
    pub exit: Option<Exit>,
}

impl Shim {
    pub fn runs(&self) -> bool {
        self.exit.is_none()
    }
}

impl World {
    pub(super) fn perform(&mut self, node: usize, id: ContainerId, action: Action) {
        if self.mutant.is_some_and(|mutant| !mutant.performs(&action)) {
            return;
        }
        if self.chaos && self.random.below(300) == 0 {
            self.trace.note(self.queue.now(), "killed before an action");
            self.kill(node);
            return;
        }
        match action {
            Action::Prepare => {
                let failed = self.fails(4);
                let event = if failed { TaskEvent::PrepareFailed("no image".into()) } else { TaskEvent::Prepared };
                self.later(node, id, 10, 400, event);
            }
            Action::Start { generation } => self.start(node, id, generation),
            Action::Signal(_) => self.signal(node, id),
            Action::Kill => self.end(node, id, 1, 10, 137),
            Action::Probe(_) => self.probe(node, id),
            Action::Hook { turn, index, .. } => self.hook(node, id, turn, index),
            Action::Remove { .. } => self.remove(node, id),
            // Nobody freezes processes here, and thawing one that is not frozen does nothing.
            Action::Resume => {}
        }
    }

    fn fails(&mut self, percent: u64) -> bool {
        self.chaos && self.random.chance(percent)
    }

    fn later(&mut self, node: usize, container: ContainerId, least: u64, most: u64, event: TaskEvent) {
        let (delay, life) = (self.random.millis(least, most), self.nodes[node].life);
        self.queue.after(delay, Event::Happened { node, life, container, event });
    }

    fn behaviour(&self, node: usize, id: ContainerId) -> Behaviour {
        self.nodes[node].containers.get(&id).map_or(Behaviour::Serves, |record| Behaviour::of(&record.spec))
    }

    fn start(&mut self, node: usize, id: ContainerId, generation: u64) {
        if self.fails(3) {
            let error = "exec format error".to_owned();
            self.later(node, id, 1, 50, TaskEvent::StartFailed { generation, code: 126, error });
            return;
        }
        let pid = 100 + u32::try_from(self.random.below(30_000)).unwrap_or_default();
        let started_at = self.wall();
        if self.nodes[node].shims.get(&id).is_some_and(Shim::runs) {
            self.violate(format!("container {} is started while its process runs", id.short()));
        }
        self.check_start(node, id);
        self.nodes[node].shims.insert(id, Shim { generation, pid, started_at, exit: None });
        self.later(node, id, 1, 60, TaskEvent::Started { generation, pid, started_at });
        match self.behaviour(node, id) {
            Behaviour::Finishes => self.end(node, id, 500, 2500, 0),
            Behaviour::Fails => self.end(node, id, 200, 1500, 1),
            Behaviour::Serves | Behaviour::Stubborn | Behaviour::Sick => {}
        }
    }

    fn signal(&mut self, node: usize, id: ContainerId) {
        if self.behaviour(node, id) != Behaviour::Stubborn {
            self.end(node, id, 5, 300, 143);
        }
    }

    /// Lets the present process end in a while.
    pub(super) fn end(&mut self, node: usize, container: ContainerId, least: u64, most: u64, code: i32) {
        let Some(generation) = self.nodes[node].shims.get(&container).map(|shim| shim.generation) else { return };
        let delay = self.random.millis(least, most);
        self.queue.after(delay, Event::Ended { node, container, generation, code });
    }

    pub(super) fn ended(&mut self, node: usize, container: ContainerId, generation: u64, code: i32) {
        let finished_at = self.wall();
        let agent = &mut self.nodes[node];
        let (alive, life) = (agent.alive, agent.life);
        let Some(shim) = agent.shims.get_mut(&container) else { return };
        if shim.generation != generation || shim.exit.is_some() {
            return;
        }
        let exit = Exit { code, oom_killed: false, started_at: shim.started_at, finished_at };
        shim.exit = Some(exit);
        self.completed(node, container, code);
        if alive {
            // After the news of its start, as both come from one shim.
            let event = TaskEvent::Exited { generation, exit };
            self.queue.after(Duration::from_millis(61), Event::Happened { node, life, container, event });
        }
    }

    fn probe(&mut self, node: usize, id: ContainerId) {
        let start = self.wall();
        let runs = self.nodes[node].shims.get(&id).is_some_and(Shim::runs);
        let passes = runs && self.behaviour(node, id) != Behaviour::Sick && !self.fails(10);
        if passes {
            self.passed(node, id);
        }
        let end = start.plus(Duration::from_millis(20));
        let probe = Probe { start, end, exit_code: i32::from(!passes), output: String::new() };
        self.later(node, id, 5, 50, TaskEvent::Probed(probe));
    }

    /// A hook of the run that is there; its container may end before it does.
    fn hook(&mut self, node: usize, id: ContainerId, turn: Turn, index: u32) {
        let Some(generation) = self.nodes[node].shims.get(&id).map(|shim| shim.generation) else { return };
        let end = match self.fails(5) {
            true => HookEnd::Failed("exited with status 1".into()),
            false => HookEnd::Passed,
        };
        self.later(node, id, 5, 500, TaskEvent::Hooked { generation, turn, index, end });
    }

    fn remove(&mut self, node: usize, id: ContainerId) {
        if self.nodes[node].shims.get(&id).is_some_and(Shim::runs) {
            self.violate(format!("container {} is removed while its process runs", id.short()));
        }
        if self.fails(5) {
            self.later(node, id, 5, 100, TaskEvent::RemoveFailed("device or resource busy".into()));
            return;
        }
        self.nodes[node].shims.remove(&id);
        self.later(node, id, 5, 100, TaskEvent::Removed);
    }
}
