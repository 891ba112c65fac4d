//! What can happen in the simulated world, and the one queue of it.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::task;
use manager::state::Command;
use model::{AssignmentsDiff, ContainerId, TaskId, TaskStatus, Timestamp};

/// One thing that happens. `node` is an index; `life` is the daemon's, so that nothing of a killed one goes on.
#[derive(Debug, Clone)]
pub enum Event {
    /// A user does something.
    User,
    /// Something breaks.
    Fault,
    /// A manager begins to lead.
    Elected { term: u64 },
    /// The leader decides; `overdue`: no answer has come to its last proposal.
    Decide { term: u64, overdue: bool },
    /// The leader looks at the nodes' deadlines.
    Deadline { term: u64 },
    /// A proposal reaches the log.
    Land(Box<Proposal>),
    /// A session sends what has changed.
    Dispatch { node: usize, session: u64 },
    /// It arrives.
    Assign { node: usize, session: u64, full: bool, diff: Box<AssignmentsDiff> },
    /// Statuses arrive at the manager.
    Report { node: usize, session: u64, reports: Vec<(TaskId, TaskStatus)> },
    /// An agent is heard of.
    Beat { node: usize, session: u64 },
    /// An agent looks for the leader.
    Connect { node: usize, life: u64 },
    /// A daemon starts.
    Boot { node: usize, life: u64 },
    /// An agent compares assignments with containers.
    Reconcile { node: usize, life: u64 },
    /// An agent sends statuses.
    Tell { node: usize, life: u64 },
    /// An agent carries an action out.
    Perform { node: usize, life: u64, container: ContainerId, action: task::Action },
    /// The agent learns of something.
    Happened { node: usize, life: u64, container: ContainerId, event: task::Event },
    /// Deadlines of containers.
    Tick { node: usize, life: u64 },
    /// A process ends; the shim writes it down, whoever listens.
    Ended { node: usize, container: ContainerId, generation: u64, code: i32 },
}

/// Who proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The leader's cores.
    Leader,
    /// Agents' statuses.
    Reports,
    /// What is known of nodes.
    Nodes,
    /// A user.
    User,
}

/// Commands on their way into the log.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Whose term it was made in.
    pub term: u64,
    /// By whom.
    pub author: Author,
    /// When.
    pub now: Timestamp,
    /// The state's version that was decided on.
    pub seen: u64,
    /// Whether the author learns what became of it.
    pub answered: bool,
    /// What to do.
    pub commands: Vec<Command>,
}

impl Event {
    /// For the trace.
    pub fn label(&self) -> String {
        match self {
            Self::Land(proposal) => {
                let names: Vec<String> = proposal.commands.iter().map(command_label).collect();
                format!("land term {} {:?}: {}", proposal.term, proposal.author, names.join(", "))
            }
            Self::Assign { node, session, full, diff } => {
                let (new, gone) = (diff.upserts.tasks.len(), diff.removed_tasks.len());
                format!("assign node {node} session {session} full {full}: {new} tasks, {gone} gone")
            }
            Self::Report { node, session, reports } => {
                let one = |(task, status): &(TaskId, TaskStatus)| {
                    format!("{} {}#{}", short(task), status.state, status.revision)
                };
                format!(
                    "report node {node} session {session}: {}",
                    reports.iter().map(one).collect::<Vec<_>>().join(", ")
                )
            }
            Self::Perform { node, container, action, .. } => {
                format!("perform node {node} {} {action:?}", container.short())
            }
            Self::Happened { node, container, event, .. } => {
                format!("happened node {node} {} {event:?}", container.short())
            }
            Self::Ended { node, container, generation, code } => {
                format!("ended node {node} {} run {generation} code {code}", container.short())
            }
            other => format!("{other:?}"),
        }
    }
}

/// The beginning of an id.
pub fn short(id: &impl ToString) -> String {
    id.to_string().chars().take(6).collect()
}

fn command_label(command: &Command) -> String {
    match command {
        Command::ApplyStack(apply) => {
            let of = |spec: &model::ServiceSpec| format!("{} {:?}", spec.key(), spec.mode);
            let services: Vec<String> = apply.stack.services.iter().map(of).collect();
            format!("ApplyStack {} [{}] {:?}", apply.stack.name, services.join(", "), apply.recreate)
        }
        Command::CreateTask { task, .. } => format!("CreateTask {} {} {}", short(&task.id), task.name, task.desired),
        Command::SetDesired { task, desired, .. } => format!("SetDesired {} {desired}", short(task)),
        Command::AssignTask { task, .. } => format!("AssignTask {}", short(task)),
        Command::DeleteTask { task, .. } => format!("DeleteTask {}", short(task)),
        Command::SetIntent { tasks, action, .. } => {
            format!("SetIntent {:?} {action:?}", tasks.iter().map(short).collect::<Vec<_>>())
        }
        Command::RemoveStack { stack, services } => format!("RemoveStack {stack} {services:?}"),
        Command::ReportStatuses { reports, .. } => format!("ReportStatuses {}", reports.len()),
        other => format!("{other:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned(),
    }
}

/// Events in the order of their times, and of their making where these are the same.
#[derive(Debug, Default)]
pub struct Queue {
    now: Duration,
    made: u64,
    events: BTreeMap<(Duration, u64), Event>,
}

impl Queue {
    /// The virtual time.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Lets something happen after a while.
    pub fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    /// Lets something happen at a time, or now if that has passed.
    pub fn at(&mut self, at: Duration, event: Event) {
        self.made += 1;
        self.events.insert((at.max(self.now), self.made), event);
    }

    /// The next event up to a time; the clock goes with it.
    pub fn next(&mut self, until: Duration) -> Option<Event> {
        match self.events.first_entry() {
            Some(first) if first.key().0 <= until => {
                self.now = first.key().0;
                Some(first.remove())
            }
            _ => {
                self.now = self.now.max(until);
                None
            }
        }
    }
}
