//! Sessions: everything, then differences one way, statuses and heartbeats the other. A stream is in order, or it is gone.

use std::time::Duration;

use manager::assignment::assignments;
use manager::liveness;
use manager::state::Command;
use model::{Assignments, AssignmentsDiff, NodeDescription, TaskId, TaskStatus};

use super::World;
use crate::event::{Author, Event};

/// The manager's end of a stream.
#[derive(Debug)]
pub struct Session {
    pub number: u64,
    sent: Option<Assignments>,
    due: bool,
    /// When the last message arrives: none arrives before it.
    arrives: Duration,
}

impl World {
    /// An agent has found the leader, or not.
    pub(super) fn connect(&mut self, node: usize, life: u64) {
        if !self.lives(node, life) || self.nodes[node].daemon.session.is_some() {
            return;
        }
        if !self.manager.leads || self.nodes[node].partitioned {
            let delay = self.random.millis(200, 900);
            self.queue.after(delay, Event::Connect { node, life });
            return;
        }
        let id = self.nodes[node].id;
        let description = NodeDescription { nano_cpus: 4_000_000_000, memory: 8 << 30, ..NodeDescription::default() };
        self.commit(Author::Nodes, vec![Command::RegisterNode { node: id, description }]);
        self.sessions_made += 1;
        let (number, now) = (self.sessions_made, self.queue.now());
        self.manager.sessions.insert(node, Session { number, sent: None, due: false, arrives: now });
        let first = self.sessions_made <= self.nodes.len() as u64;
        let daemon = &mut self.nodes[node].daemon;
        daemon.session = Some(number);
        if first || self.mutant != Some(crate::mutant::Mutant::ReportsOnce) {
            daemon.told.clear();
        }
        self.heard(node);
        self.dispatch_soon(node);
        self.tell_soon(node);
        self.queue.after(liveness::period(self.manager.liveness.patience), Event::Beat { node, session: number });
    }

    /// The stream is lost; what is on its way never arrives.
    pub(super) fn end_session(&mut self, node: usize) {
        self.manager.sessions.remove(&node);
        let agent = &mut self.nodes[node];
        if agent.daemon.session.take().is_some() {
            let life = agent.life;
            let delay = self.random.millis(10, 500);
            self.queue.after(delay, Event::Connect { node, life });
        }
    }

    fn is_open(&self, node: usize, session: u64) -> bool {
        self.manager.sessions.get(&node).is_some_and(|open| open.number == session)
    }

    pub(super) fn beat(&mut self, node: usize, session: u64) {
        if self.is_open(node, session) {
            self.heard(node);
            self.queue.after(liveness::period(self.manager.liveness.patience), Event::Beat { node, session });
        }
    }

    pub(super) fn dispatch_soon(&mut self, node: usize) {
        let Some(session) = self.manager.sessions.get_mut(&node).filter(|session| !session.due) else { return };
        session.due = true;
        self.queue.after(Duration::from_millis(5), Event::Dispatch { node, session: session.number });
    }

    pub(super) fn dispatch(&mut self, node: usize, number: u64) {
        if !self.is_open(node, number) {
            return;
        }
        if self.chaos && self.random.chance(1) {
            self.trace.note(self.queue.now(), "the stream breaks");
            self.end_session(node);
            return;
        }
        let slow = if self.chaos && self.random.chance(5) { 800 } else { 10 };
        let delay = self.random.millis(1, slow);
        let next = assignments(&self.manager.state, self.nodes[node].id);
        let Some(session) = self.manager.sessions.get_mut(&node) else { return };
        session.due = false;
        let full = session.sent.is_none();
        let mut diff = session.sent.take().unwrap_or_default().diff(&next);
        session.sent = Some(next);
        if !full && diff.is_empty() {
            return;
        }
        if let Some(mutant) = self.mutant {
            mutant.diff(&mut diff);
        }
        session.arrives = session.arrives.max(self.queue.now() + delay);
        self.queue.at(session.arrives, Event::Assign { node, session: number, full, diff: Box::new(diff) });
    }

    pub(super) fn assign(&mut self, node: usize, session: u64, full: bool, diff: AssignmentsDiff) {
        let daemon = &mut self.nodes[node].daemon;
        if daemon.session != Some(session) {
            return;
        }
        let assignments = daemon.assignments.get_or_insert_default();
        if full {
            *assignments = Assignments::default();
        }
        assignments.apply(diff);
        self.reconcile_soon(node);
    }

    /// Sends the statuses that the session has not been told, now and then twice.
    pub(super) fn tell(&mut self, node: usize) {
        let agent = &mut self.nodes[node];
        agent.daemon.tell_due = false;
        let Some(session) = agent.daemon.session else { return };
        let reports = agent.untold();
        if reports.is_empty() {
            return;
        }
        for (task, status) in &reports {
            agent.daemon.told.insert(*task, status.revision);
        }
        let copies = if self.chaos && self.random.chance(10) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.random.millis(1, if self.chaos { 60 } else { 5 });
            self.queue.after(delay, Event::Report { node, session, reports: reports.clone() });
        }
    }

    pub(super) fn report(&mut self, node: usize, session: u64, reports: Vec<(TaskId, TaskStatus)>) {
        if self.is_open(node, session) {
            self.heard(node);
            let node = self.nodes[node].id;
            self.propose(Author::Reports, vec![Command::ReportStatuses { node, reports }]);
        }
    }
}
