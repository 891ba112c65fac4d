//! Managers: one log, and one leader at a time that decides on it. A new leader has the state and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use manager::leader::plan::plan;
use manager::liveness::{self, Down, Liveness};
use manager::state::{Command, Entry, IdSource, State, apply};
use model::{ClusterId, NetworkId, NodeState};

use super::World;
use super::session::Session;
use crate::event::{Author, Event, Proposal};

/// As the leader's loop waits for further changes.
const COALESCE: Duration = Duration::from_millis(5);
/// How long an answer to a proposal may take.
const ANSWER: Duration = Duration::from_millis(200);

/// The managers, seen as the one that leads.
#[derive(Debug)]
pub struct Manager {
    pub state: State,
    pub term: u64,
    pub leads: bool,
    pub ids: IdSource,
    pub liveness: Liveness,
    pub sessions: BTreeMap<usize, Session>,
    /// A proposal is under way.
    proposed: bool,
    decide_due: bool,
}

impl Manager {
    pub fn new(ids: IdSource) -> Self {
        Self {
            state: State::default(),
            term: 1,
            leads: true,
            ids,
            liveness: Liveness::default(),
            sessions: BTreeMap::new(),
            proposed: false,
            decide_due: false,
        }
    }
}

impl World {
    pub(super) fn bootstrap(&mut self) {
        let (cluster, bridge) =
            (ClusterId::from_random(self.random.bits()), NetworkId::from_random(self.random.bits()));
        self.commit(Author::Nodes, vec![Command::Bootstrap { cluster, bridge }]);
    }

    /// Puts commands into the log at once.
    pub(super) fn commit(&mut self, author: Author, commands: Vec<Command>) {
        let (term, seen, now) = (self.manager.term, self.manager.state.version, self.wall());
        self.land(Proposal { term, author, now, seen, answered: true, commands });
    }

    /// Sends commands towards the log: they may take a while, never arrive, or arrive without their author's knowledge.
    pub(super) fn propose(&mut self, author: Author, commands: Vec<Command>) {
        let delay =
            if self.chaos && self.random.chance(5) { self.random.millis(100, 400) } else { self.random.millis(1, 10) };
        let fate = if self.chaos { self.random.below(100) } else { 100 };
        let (term, seen, now) = (self.manager.term, self.manager.state.version, self.wall());
        let proposal = Proposal { term, author, now, seen, answered: fate >= 10, commands };
        // Statuses are proposed until they are in the log.
        if fate < 5 && author != Author::Reports {
            self.trace.note(self.queue.now(), "the proposal is lost");
        } else {
            if fate < 10 && author == Author::Reports {
                self.queue.after(delay + ANSWER, Event::Land(Box::new(proposal.clone())));
            }
            self.queue.after(delay, Event::Land(Box::new(proposal)));
        }
        if author == Author::Leader {
            self.manager.proposed = true;
            self.queue.after(ANSWER, Event::Decide { term, overdue: true });
        }
    }

    pub(super) fn land(&mut self, proposal: Proposal) {
        let Proposal { term, author, now, seen, answered, commands } = proposal;
        let current = term == self.manager.term;
        if !current && self.random.chance(50) {
            return;
        }
        let before = self.manager.state.clone();
        let entry = Entry { now, commands };
        match apply(&mut self.manager.state, &entry) {
            Ok(events) if events.is_empty() => {}
            Ok(_) => {
                self.entries += 1;
                self.broken_statuses(&entry.commands);
                self.check_entry(&before, author);
                self.changed();
            }
            Err(refusal) if author == Author::Leader && seen == before.version => {
                self.violate(format!("a plan on the newest state is refused: {refusal}"));
            }
            Err(refusal) => self.trace.note(self.queue.now(), &format!("refused: {refusal}")),
        }
        if author == Author::Leader && current && answered {
            self.manager.proposed = false;
            self.decide_soon(COALESCE);
        }
    }

    fn changed(&mut self) {
        self.decide_soon(COALESCE);
        let nodes: Vec<usize> = self.manager.sessions.keys().copied().collect();
        for node in nodes {
            self.dispatch_soon(node);
        }
    }

    fn decide_soon(&mut self, delay: Duration) {
        if self.manager.leads && !self.manager.decide_due {
            self.manager.decide_due = true;
            self.queue.after(delay, Event::Decide { term: self.manager.term, overdue: false });
        }
    }

    pub(super) fn decide(&mut self, term: u64, overdue: bool) {
        if term != self.manager.term || !self.manager.leads || overdue && !self.manager.proposed {
            return;
        }
        self.manager.decide_due &= overdue;
        if self.manager.proposed && !overdue {
            return;
        }
        self.manager.proposed = false;
        let now = self.wall();
        let outcome = plan(&self.manager.state, now, &mut self.manager.ids);
        if let Some(refusal) = outcome.refused {
            self.violate(format!("a core decides what the state refuses: {refusal}"));
        }
        let mut commands = outcome.plan.commands;
        if let Some(mutant) = self.mutant {
            mutant.plan(&mut commands);
        }
        if !commands.is_empty() {
            self.propose(Author::Leader, commands);
        } else if let Some(at) = outcome.plan.wake_at {
            // At least a moment later: the state may not have got there yet.
            self.queue.after(at.since(now).max(COALESCE), Event::Decide { term, overdue: false });
        }
    }

    /// The present leader is gone, with everything that it had in memory.
    pub(super) fn depose(&mut self) {
        let (state, term, ids) = (self.manager.state.clone(), self.manager.term + 1, self.manager.ids);
        let nodes: Vec<usize> = self.manager.sessions.keys().copied().collect();
        for node in nodes {
            self.end_session(node);
        }
        self.manager = Manager { state, term, leads: false, ..Manager::new(ids) };
        let delay = self.random.millis(300, 1500);
        self.queue.after(delay, Event::Elected { term });
    }

    pub(super) fn elected(&mut self, term: u64) {
        if term != self.manager.term {
            return;
        }
        self.manager.leads = true;
        self.manager.ids = IdSource::new(self.random.bits());
        let now = self.queue.now();
        for node in self.manager.state.nodes.keys() {
            liveness::step(&mut self.manager.liveness, liveness::Event::Known(*node), now);
        }
        self.decide_soon(COALESCE);
        self.deadline_soon();
    }

    pub(super) fn heard(&mut self, node: usize) {
        let (id, now) = (self.nodes[node].id, self.queue.now());
        liveness::step(&mut self.manager.liveness, liveness::Event::Heard(id), now);
        self.deadline_soon();
        if self.manager.state.nodes.get(&id).is_some_and(|node| node.state != NodeState::Ready) {
            self.commit(Author::Nodes, vec![Command::SetNodeState { node: id, state: NodeState::Ready }]);
        }
    }

    fn deadline_soon(&mut self) {
        if let Some(at) = self.manager.liveness.next() {
            self.queue.at(at, Event::Deadline { term: self.manager.term });
        }
    }

    pub(super) fn deadlines(&mut self, term: u64) {
        if term != self.manager.term || !self.manager.leads {
            return;
        }
        let now = self.queue.now();
        for Down(node) in liveness::step(&mut self.manager.liveness, liveness::Event::Tick, now) {
            self.commit(Author::Nodes, vec![Command::SetNodeState { node, state: NodeState::Down }]);
        }
    }
}
