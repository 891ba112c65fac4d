//! The world: managers, agents, processes, users and faults on one queue, in one thread, on a virtual clock.
//!
//! - `leader`: proposals, elections, deadlines of nodes
//! - `session`: what managers and agents tell each other
//! - `node`: daemons around the agent's cores
//! - `executor`: what a node does: processes, shims, exit records
//! - `users`: stacks applied, changed, stopped, removed
//! - `faults`: what breaks, until it is healed

mod executor;
mod faults;
mod leader;
mod node;
mod session;
mod users;

use std::collections::BTreeMap;
use std::time::Duration;

use manager::state::{IdSource, State};
use model::{ServiceId, Stack, Timestamp};

use crate::event::{Event, Queue};
use crate::mutant::Mutant;
use crate::random::Random;
use crate::safety::History;
use crate::trace::Trace;

pub use executor::Shim;
pub use leader::Manager;
pub use node::{Node, Record};

/// A run with more events goes round in circles: the longest honest ones stay below a third of it.
const EVENTS_MAX: u64 = 60_000;

/// Everything.
#[derive(Debug)]
pub struct World {
    pub(crate) queue: Queue,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) manager: Manager,
    pub(crate) nodes: Vec<Node>,
    /// What users have declared last, by name.
    pub(crate) stacks: BTreeMap<String, Stack>,
    /// What has really happened to services.
    pub(crate) history: BTreeMap<ServiceId, History>,
    /// Whether users and faults are at work.
    pub(crate) chaos: bool,
    pub(crate) sessions_made: u64,
    pub(crate) entries: u64,
    pub(crate) violation: Option<String>,
}

impl World {
    /// A cluster that has just been made.
    pub fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut random = Random::new(seed);
        let nodes = (0..1 + random.below(3)).map(|_| Node::new(random.bits())).collect();
        let mut world = Self {
            queue: Queue::default(),
            manager: Manager::new(IdSource::new(random.bits())),
            trace: Trace::default(),
            mutant,
            nodes,
            stacks: BTreeMap::new(),
            history: BTreeMap::new(),
            chaos: true,
            sessions_made: 0,
            entries: 0,
            violation: None,
            random,
        };
        world.bootstrap();
        for node in 0..world.nodes.len() {
            world.queue.after(Duration::from_millis(node as u64), Event::Boot { node, life: 1 });
        }
        world.queue.after(Duration::from_millis(500), Event::User);
        world.queue.after(Duration::from_secs(3), Event::Fault);
        world
    }

    /// Lets time pass; stops at the first thing that must not be.
    pub fn run_until(&mut self, until: Duration) {
        while self.violation.is_none()
            && let Some(event) = self.queue.next(until)
        {
            self.trace.note(self.queue.now(), &event.label());
            self.handle(event);
            self.check_nodes();
            if self.trace.events() > EVENTS_MAX {
                self.violate("things happen without end".into());
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::User => self.user(),
            Event::Fault => self.fault(),
            Event::Elected { term } => self.elected(term),
            Event::Decide { term, overdue } => self.decide(term, overdue),
            Event::Deadline { term } => self.deadlines(term),
            Event::Land(proposal) => self.land(*proposal),
            Event::Dispatch { node, session } => self.dispatch(node, session),
            Event::Assign { node, session, full, diff } => self.assign(node, session, full, *diff),
            Event::Report { node, session, reports } => self.report(node, session, reports),
            Event::Beat { node, session } => self.beat(node, session),
            Event::Connect { node, life } => self.connect(node, life),
            Event::Boot { node, life } => self.boot(node, life),
            Event::Ended { node, container, generation, code } => self.ended(node, container, generation, code),
            Event::Reconcile { node, life } if self.lives(node, life) => self.reconcile(node),
            Event::Tell { node, life } if self.lives(node, life) => self.tell(node),
            Event::Tick { node, life } if self.lives(node, life) => self.tick(node),
            Event::Perform { node, life, container, action } if self.lives(node, life) => {
                self.perform(node, container, action);
            }
            Event::Happened { node, life, container, event } if self.lives(node, life) => {
                self.happened(node, container, event);
            }
            // Of a daemon that is dead.
            Event::Reconcile { .. }
            | Event::Tell { .. }
            | Event::Tick { .. }
            | Event::Perform { .. }
            | Event::Happened { .. } => {}
        }
    }

    /// Virtual wall time.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp(1_700_000_000_000_000_000).plus(self.queue.now())
    }

    /// Something must not be. The first one counts.
    pub(crate) fn violate(&mut self, what: String) {
        if self.violation.is_none() {
            self.trace.note(self.queue.now(), &format!("VIOLATION {what}"));
            self.violation = Some(what);
        }
    }

    /// What managers agree on.
    pub fn state(&self) -> &State {
        &self.manager.state
    }

    /// What must not be, if anything.
    pub fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// What has happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// How many entries have changed the state.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The virtual time.
    pub fn now(&self) -> Duration {
        self.queue.now()
    }
}
