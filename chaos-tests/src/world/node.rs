//! A node: a daemon around the agent's cores, and what outlives the daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::health::Check;
use agent::task::{Event as TaskEvent, Hooks, Machine, Now, Policy, Saved, Stage};
use agent::worker::{self, Action, Observed, ObservedContainer};
use model::{
    Assignments, ContainerId, ContainerStatus, NodeId, RunIntent, ServiceId, Task, TaskId, TaskState, TaskStatus,
    Timestamp,
};

use super::World;
use super::executor::Shim;
use crate::event::{Event, short};

/// One node.
#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    /// Counts daemons.
    pub life: u64,
    pub alive: bool,
    /// Nobody hears it.
    pub partitioned: bool,
    /// The database: survives the daemon.
    pub containers: BTreeMap<ContainerId, Record>,
    /// Shims and their exit records: survive the daemon.
    pub shims: BTreeMap<ContainerId, Shim>,
    pub daemon: Daemon,
}

/// A container as it is on disk.
#[derive(Debug, Clone)]
pub struct Record {
    pub name: String,
    pub task: TaskId,
    pub service: ServiceId,
    pub slot: u32,
    pub spec: model::ContainerSpec,
    pub intent: RunIntent,
    pub life: Saved,
    pub status: TaskStatus,
    /// How often it has really been started.
    pub runs: u64,
    /// How often its user has asked for another run.
    pub asked: u64,
}

/// What a daemon has in memory.
#[derive(Debug, Default)]
pub struct Daemon {
    pub session: Option<u64>,
    pub assignments: Option<Assignments>,
    pub machines: BTreeMap<ContainerId, Machine>,
    /// Last reports of tasks without a container.
    pub reports: BTreeMap<TaskId, TaskStatus>,
    /// Revisions that the session has been told.
    pub told: BTreeMap<TaskId, u64>,
    pub tell_due: bool,
    reconcile_due: bool,
    tick_at: Option<Duration>,
}

impl Node {
    pub fn new(bits: u128) -> Self {
        Self {
            id: NodeId::from_random(bits),
            life: 1,
            alive: false,
            partitioned: false,
            containers: BTreeMap::new(),
            shims: BTreeMap::new(),
            daemon: Daemon::default(),
        }
    }

    pub fn observed(&self) -> Observed {
        let container = |(id, record): (&ContainerId, &Record)| {
            let machine = self.daemon.machines.get(id)?;
            let at_rest = !machine.is_active();
            let (name, task, intent) = (record.name.clone(), Some(record.task), record.intent);
            let goal = machine.goal();
            Some((*id, ObservedContainer { name, task, goal, intent, at_rest, keeps_volumes: false }))
        };
        Observed {
            containers: self.containers.iter().filter_map(container).collect(),
            reports: self.daemon.reports.iter().map(|(task, status)| (*task, status.state)).collect(),
        }
    }

    /// Every task's last status.
    pub fn statuses(&self) -> impl Iterator<Item = (TaskId, &TaskStatus)> {
        let of_containers = self.containers.values().map(|record| (record.task, &record.status));
        of_containers.chain(self.daemon.reports.iter().map(|(task, status)| (*task, status)))
    }

    pub fn untold(&self) -> Vec<(TaskId, TaskStatus)> {
        let new = |(task, status): &(TaskId, &TaskStatus)| {
            self.daemon.told.get(task).is_none_or(|told| *told < status.revision)
        };
        self.statuses().filter(new).map(|(task, status)| (task, status.clone())).collect()
    }
}

fn policy(spec: &model::ContainerSpec) -> Policy {
    Policy {
        restart: spec.restart.clone(),
        stop_signal: 15,
        grace: spec.stop_grace_period.unwrap_or(Duration::from_secs(10)),
        health: Check::of(spec.healthcheck.as_ref(), None, &[]),
        hooks: Hooks::of(spec),
        auto_remove: false,
        standalone: false,
    }
}

fn status(id: ContainerId, machine: &Machine) -> TaskStatus {
    let exit = machine.last_exit();
    let (pid, started_at) = match machine.stage() {
        Stage::Running { pid, started_at } => (Some(pid), started_at),
        _ => (None, exit.map_or(Timestamp::NEVER, |exit| exit.started_at)),
    };
    let container = ContainerStatus {
        id,
        phase: machine.phase(),
        pid,
        exit_code: exit.map(|exit| exit.code),
        oom_killed: false,
        health: machine.health(),
        restart_count: machine.restart_count(),
        restarts_done: machine.restarts_done(),
        started_at,
        finished_at: exit.map_or(Timestamp::NEVER, |exit| exit.finished_at),
        attachments: Vec::new(),
    };
    let error = machine.error().map(Into::into);
    TaskStatus { state: machine.task_state(), error, container: Some(container), ..TaskStatus::default() }
}

impl World {
    pub(super) fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].alive && self.nodes[node].life == life
    }

    fn time(&self) -> Now {
        Now { monotonic: self.queue.now(), wall: self.wall() }
    }

    /// A daemon starts, and takes over what it finds.
    pub(super) fn boot(&mut self, node: usize, life: u64) {
        let agent = &mut self.nodes[node];
        if agent.alive || agent.life != life {
            return;
        }
        agent.alive = true;
        agent.daemon = Daemon::default();
        self.queue.after(Duration::from_millis(20), Event::Connect { node, life });
        let found: Vec<ContainerId> = self.nodes[node].containers.keys().copied().collect();
        for id in found {
            self.recover(node, id);
        }
    }

    /// What became of a container while no daemon looked.
    fn recover(&mut self, node: usize, id: ContainerId) {
        let forgets = self.mutant == Some(crate::mutant::Mutant::ForgetsShims);
        let agent = &mut self.nodes[node];
        let Some(record) = agent.containers.get_mut(&id) else { return };
        // Reports that the earlier daemon sent but had not saved yet are behind this one.
        record.status.revision += 1 << 20;
        let shim = agent.shims.get(&id).filter(|_| !forgets).cloned();
        agent.daemon.machines.insert(id, Machine::resume(policy(&record.spec), record.life.clone()));
        match shim {
            Some(Shim { generation, exit: Some(exit), .. }) => {
                self.happened(node, id, TaskEvent::Exited { generation, exit });
            }
            Some(Shim { generation, pid, started_at, .. }) => {
                self.happened(node, id, TaskEvent::Started { generation, pid, started_at });
            }
            None => {}
        }
        self.happened(node, id, TaskEvent::Tick);
    }

    /// A daemon is killed.
    pub(super) fn kill(&mut self, node: usize) {
        self.manager.sessions.remove(&node);
        let agent = &mut self.nodes[node];
        if !agent.alive {
            return;
        }
        agent.alive = false;
        agent.life += 1;
        agent.daemon = Daemon::default();
        let life = agent.life;
        let delay = self.random.millis(50, 8000);
        self.queue.after(delay, Event::Boot { node, life });
    }

    /// One move of a container's machine.
    pub(super) fn happened(&mut self, node: usize, id: ContainerId, event: TaskEvent) {
        let event = match self.mutant {
            Some(mutant) => mutant.event(event),
            None => Some(event),
        };
        let (now, life) = (self.time(), self.nodes[node].life);
        let Some(event) = event else { return };
        let agent = &mut self.nodes[node];
        let Some(machine) = agent.daemon.machines.get_mut(&id) else { return };
        let actions = machine.step(event, now);
        let gone = machine.stage() == Stage::Removed;
        self.save(node, id);
        if gone && let Some(record) = self.nodes[node].containers.remove(&id) {
            let agent = &mut self.nodes[node];
            agent.daemon.machines.remove(&id);
            agent.daemon.reports.insert(record.task, record.status);
        }
        for action in actions {
            let delay = self.random.millis(0, 3);
            self.queue.after(delay, Event::Perform { node, life, container: id, action });
        }
        self.tell_soon(node);
        self.reconcile_soon(node);
        self.tick_soon(node);
    }

    /// Brings record and report up to the machine.
    fn save(&mut self, node: usize, id: ContainerId) {
        let wall = self.wall();
        let agent = &mut self.nodes[node];
        let (Some(machine), Some(record)) = (agent.daemon.machines.get(&id), agent.containers.get_mut(&id)) else {
            return;
        };
        record.life = machine.save();
        let mut next = status(id, machine);
        (next.revision, next.at) = (record.status.revision, record.status.at);
        if next != record.status {
            record.status = TaskStatus { revision: next.revision + 1, at: wall, ..next };
        }
    }

    pub(super) fn tell_soon(&mut self, node: usize) {
        let agent = &mut self.nodes[node];
        if agent.alive && !std::mem::replace(&mut agent.daemon.tell_due, true) {
            self.queue.after(Duration::from_millis(5), Event::Tell { node, life: agent.life });
        }
    }

    pub(super) fn reconcile_soon(&mut self, node: usize) {
        let agent = &mut self.nodes[node];
        if agent.alive
            && agent.daemon.assignments.is_some()
            && !std::mem::replace(&mut agent.daemon.reconcile_due, true)
        {
            self.queue.after(Duration::from_millis(2), Event::Reconcile { node, life: agent.life });
        }
    }

    fn tick_soon(&mut self, node: usize) {
        let agent = &mut self.nodes[node];
        let Some(at) = agent.daemon.machines.values().filter_map(Machine::deadline).min() else { return };
        if agent.daemon.tick_at.is_none_or(|sooner| at < sooner) {
            agent.daemon.tick_at = Some(at);
            self.queue.at(at, Event::Tick { node, life: agent.life });
        }
    }

    pub(super) fn tick(&mut self, node: usize) {
        let now = self.queue.now();
        let daemon = &mut self.nodes[node].daemon;
        daemon.tick_at = None;
        let is_due = |machine: &Machine| machine.deadline().is_some_and(|at| at <= now);
        let due: Vec<ContainerId> =
            daemon.machines.iter().filter(|(_, machine)| is_due(machine)).map(|(id, _)| *id).collect();
        for id in due {
            self.happened(node, id, TaskEvent::Tick);
        }
        self.tick_soon(node);
    }

    pub(super) fn reconcile(&mut self, node: usize) {
        let agent = &mut self.nodes[node];
        agent.daemon.reconcile_due = false;
        let Some(assignments) = agent.daemon.assignments.take() else { return };
        let mut actions = worker::reconcile(&assignments, &agent.observed());
        if let Some(mutant) = self.mutant {
            mutant.reconcile(&mut actions);
        }
        let (life, acted) = (agent.life, !actions.is_empty());
        for action in actions {
            self.trace.note(self.queue.now(), &format!("  node {node} {action:?}"));
            self.carry_out(node, &assignments, action);
            if self.chaos && self.random.below(400) == 0 {
                self.trace.note(self.queue.now(), "killed between two actions");
                self.kill(node);
            }
            if !self.lives(node, life) {
                return;
            }
        }
        self.nodes[node].daemon.assignments = Some(assignments);
        if acted {
            self.reconcile_soon(node);
        }
    }

    fn carry_out(&mut self, node: usize, assignments: &Assignments, action: Action) {
        match action {
            Action::Create(task) => {
                if let Some(task) = assignments.tasks.get(&task) {
                    self.create(node, assignments, task);
                }
            }
            Action::Adopt { task, container } => {
                if let Some(task) = assignments.tasks.get(&task) {
                    self.adopt(node, task, container);
                }
            }
            Action::SetGoal { container, goal } => self.happened(node, container, TaskEvent::Goal(goal)),
            Action::SetIntent { container, intent } => self.intend(node, container, intent),
            Action::ReportShutdown(task) => {
                let at = self.wall();
                // Above what an earlier daemon may have said of it.
                let revision = u64::try_from(at.0).unwrap_or(1);
                let status = TaskStatus { state: TaskState::Shutdown, revision, at, ..TaskStatus::default() };
                self.nodes[node].daemon.reports.insert(task, status);
                self.tell_soon(node);
            }
            Action::Forget(task) => {
                self.nodes[node].daemon.reports.remove(&task);
            }
        }
    }

    fn create(&mut self, node: usize, assignments: &Assignments, task: &Task) {
        let secrets = &task.spec.container.secrets;
        if secrets.iter().any(|file| file.id.is_none_or(|id| !assignments.secrets.contains_key(&id))) {
            self.violate(format!("task {} is assigned without its secret", short(&task.id)));
        }
        let mut bits = [0; 32];
        for chunk in bits.chunks_mut(8) {
            chunk.copy_from_slice(&self.random.word().to_le_bytes());
        }
        let id = ContainerId::from_random(bits);
        let goal = worker::goal_of(task);
        let life = Saved {
            goal: self.mutant.map_or(goal, |mutant| mutant.goal(goal)),
            reached: TaskState::Accepted,
            stopped: task.intent.stopped,
            restarts_done: task.intent.restarts,
            ..Saved::default()
        };
        let machine = Machine::resume(policy(&task.spec.container), life.clone());
        let record = Record {
            name: task.name.clone(),
            task: task.id,
            service: task.service,
            slot: task.slot,
            spec: task.spec.container.clone(),
            intent: task.intent,
            life,
            status: TaskStatus::default(),
            runs: 0,
            asked: 0,
        };
        let agent = &mut self.nodes[node];
        if agent.containers.values().any(|other| other.name == record.name) {
            self.violate(format!("two containers are named {}", record.name));
            return;
        }
        agent.containers.insert(id, record);
        agent.daemon.machines.insert(id, machine);
        self.happened(node, id, TaskEvent::Tick);
    }

    /// A task takes over the container of the one that it continues.
    fn adopt(&mut self, node: usize, task: &Task, id: ContainerId) {
        let agent = &mut self.nodes[node];
        let Some(record) = agent.containers.get_mut(&id) else { return };
        record.asked += 1;
        let before = std::mem::replace(&mut record.task, task.id);
        let status = std::mem::take(&mut record.status);
        record.intent = task.intent;
        agent.daemon.reports.insert(before, status);
        self.happened(node, id, TaskEvent::Adopted { restarts: task.intent.restarts });
        if task.intent.stopped {
            self.happened(node, id, TaskEvent::Stop(Default::default()));
        }
        self.happened(node, id, TaskEvent::Goal(worker::goal_of(task)));
    }

    fn intend(&mut self, node: usize, id: ContainerId, intent: RunIntent) {
        let agent = &mut self.nodes[node];
        let (Some(record), Some(machine)) = (agent.containers.get_mut(&id), agent.daemon.machines.get(&id)) else {
            return;
        };
        record.asked += 1;
        let before = std::mem::replace(&mut record.intent, intent);
        let restarts = intent.restarts > machine.restarts_done() && !intent.stopped;
        if intent.stopped && !before.stopped {
            self.happened(node, id, TaskEvent::Stop(Default::default()));
        }
        if !intent.stopped && before.stopped {
            self.happened(node, id, TaskEvent::Run);
        }
        if restarts {
            let options = Default::default();
            self.happened(node, id, TaskEvent::Restart { count: Some(intent.restarts), options });
        }
    }
}
