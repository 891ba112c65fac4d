//! The moves of a container's life.

use std::time::Duration;

use model::{Health, TaskState, Timestamp};

use super::{Action, Event, Exit, Goal, Now, Policy, Saved, Stage, StopOptions, Turn};
use crate::health::Monitor;

/// How long after a SIGKILL the next one is sent, should the first have been lost.
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// When what could not be removed is tried again, unless a user asks before.
const REMOVE_AGAIN: Duration = Duration::from_secs(5);

/// A run that is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) kill_at: Duration,
}

/// The life of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub(super) policy: Policy,
    pub(super) goal: Goal,
    pub(super) stage: Stage,
    /// The furthest state that the task has been in; terminal ones are final.
    pub(super) reached: TaskState,
    /// A user has stopped it.
    pub(super) stopped: bool,
    /// Run again as soon as the present run, if any, has ended.
    pub(super) rerun: bool,
    /// How the present or next ending is done.
    pub(super) options: StopOptions,
    pub(super) ending: Option<Ending>,
    /// The present run is frozen.
    pub(super) paused: bool,
    pub(super) generation: u64,
    /// Restarts by policy in a row.
    pub(super) attempts: u64,
    pub(super) restart_count: u32,
    pub(super) restarts_wanted: u64,
    pub(super) restarts_done: u64,
    pub(super) last_exit: Option<Exit>,
    pub(super) error: Option<String>,
    pub(super) monitor: Option<Monitor>,
    /// What an earlier daemon's probes said of the run that this one takes over.
    pub(super) verdict: Health,
    /// When to try again what could not be removed.
    pub(super) retry: Option<Duration>,
    /// The hook that is under way.
    pub(super) hook: Option<(Turn, u32)>,
    /// Hooks of the present run that have passed.
    pub(super) post_started: u32,
    /// Hooks of the present run that have ended.
    pub(super) pre_stopped: u32,
    /// A hook after the start was killed: the present run is of no use.
    pub(super) cut: bool,
}

impl Machine {
    /// A container that has just been recorded.
    pub fn new(policy: Policy, goal: Goal) -> Self {
        Self::resume(policy, Saved { goal, reached: TaskState::Accepted, ..Saved::default() })
    }

    /// A container that an earlier daemon left at rest. One that ran is told of through [`Event::Started`] or
    /// [`Event::Exited`] next.
    pub fn resume(policy: Policy, saved: Saved) -> Self {
        let Saved {
            goal,
            prepared,
            rejected,
            pending,
            reached,
            stopped,
            generation,
            attempts,
            restart_count,
            restarts_done,
            last_exit,
            error,
            health,
            post_started,
            pre_stopped,
        } = saved;
        let stage = match (rejected, generation, prepared) {
            (true, ..) => Stage::Rejected,
            (_, 1.., _) if pending => Stage::Waiting { until: Duration::ZERO },
            (_, 1.., _) => Stage::Exited,
            (_, _, true) => Stage::Prepared,
            _ => Stage::New,
        };
        Self {
            policy,
            goal,
            stage,
            reached,
            stopped,
            rerun: false,
            options: StopOptions::default(),
            ending: None,
            paused: false,
            generation,
            attempts,
            restart_count,
            restarts_wanted: restarts_done,
            restarts_done,
            last_exit,
            error,
            monitor: None,
            verdict: health,
            retry: None,
            hook: None,
            post_started,
            pre_stopped,
            cut: false,
        }
    }

    /// What the next daemon must know.
    pub fn save(&self) -> Saved {
        Saved {
            goal: self.goal,
            prepared: !matches!(self.stage, Stage::New | Stage::Preparing | Stage::Rejected),
            rejected: self.stage == Stage::Rejected,
            pending: matches!(self.stage, Stage::Waiting { .. } | Stage::Starting),
            reached: self.reached,
            stopped: self.stopped,
            generation: self.generation,
            attempts: self.attempts,
            restart_count: self.restart_count,
            restarts_done: self.restarts_done,
            last_exit: self.last_exit,
            error: self.error.clone(),
            health: self.health(),
            post_started: self.post_started,
            pre_stopped: self.pre_stopped,
        }
    }

    /// One move.
    pub fn step(&mut self, event: Event, now: Now) -> Vec<Action> {
        if self.stage == Stage::Removed {
            return Vec::new();
        }
        self.take(event, now);
        self.settle(now)
    }

    fn take(&mut self, event: Event, now: Now) {
        match event {
            Event::Goal(goal) => self.set_goal(goal),
            Event::Stop(options) => {
                (self.stopped, self.rerun, self.options) = (true, false, options);
                // A new request sends its own signal, as a second `docker stop` does.
                self.ending = None;
            }
            // An ended task has its say in a new one, which takes the container over.
            Event::Run | Event::Restart { .. } if self.is_over() => {}
            Event::Run => self.run_again(),
            Event::Restart { count, options } => {
                self.restarts_wanted = count.unwrap_or(self.restarts_wanted).max(self.restarts_wanted);
                // Who has just been told how long it may take to end is not told otherwise.
                if !self.is_ending() || options != StopOptions::default() {
                    self.options = options;
                }
                self.run_again();
                self.rerun = true;
            }
            Event::Adopted { restarts } => self.adopted(restarts),
            Event::Prepared if self.stage == Stage::Preparing => {
                self.stage = Stage::Prepared;
                self.error = None;
                self.advance(TaskState::Ready);
            }
            Event::PrepareFailed(error) if self.stage == Stage::Preparing => {
                self.stage = Stage::Rejected;
                self.error = Some(error);
                self.advance(TaskState::Rejected);
                self.rest();
            }
            Event::Started { generation, pid, started_at } => self.started(generation, pid, started_at, now),
            Event::StartFailed { generation, code, error } if generation == self.generation => {
                self.start_failed(code, error, now);
            }
            Event::Exited { generation, exit } if generation == self.generation => self.exited(exit, now),
            Event::Paused(paused) => self.paused = paused && matches!(self.stage, Stage::Running { .. }),
            Event::Probed(probe) => {
                if let Some(monitor) = &mut self.monitor {
                    monitor.finish(probe, now);
                }
            }
            Event::Hooked { generation, turn, index, end } if generation == self.generation => {
                self.hooked(turn, index, end);
            }
            Event::Removed if self.stage == Stage::Removing => self.stage = Stage::Removed,
            Event::RemoveFailed(error) if self.stage == Stage::Removing => {
                self.stage = Stage::Exited;
                self.retry = Some(now.monotonic + REMOVE_AGAIN);
                self.error = Some(error);
            }
            // A result that nobody waits for any more, or time.
            Event::Prepared
            | Event::PrepareFailed(_)
            | Event::StartFailed { .. }
            | Event::Exited { .. }
            | Event::Hooked { .. }
            | Event::Removed
            | Event::RemoveFailed(_)
            | Event::Tick => {}
        }
    }

    fn set_goal(&mut self, goal: Goal) {
        self.retry = None;
        // Removal is not taken back; it may become forced.
        let keep = matches!((self.goal, goal), (Goal::Remove { .. }, other) if !matches!(other, Goal::Remove { .. }));
        if keep || self.goal == goal {
            return;
        }
        self.goal = goal;
        if matches!(goal, Goal::Remove { force: true, .. }) {
            self.ending = None;
        }
    }

    fn is_over(&self) -> bool {
        !self.policy.standalone && self.reached.is_terminal()
    }

    /// A user wants it to run: what its policy counted is forgotten.
    fn run_again(&mut self) {
        if matches!(self.goal, Goal::Exist) {
            self.goal = Goal::Run;
        }
        self.stopped = false;
        self.attempts = 0;
        let at_rest = matches!(self.stage, Stage::Exited | Stage::Waiting { .. });
        self.rerun = self.rerun || at_rest || self.is_ending();
        if self.stage == Stage::Rejected {
            self.stage = Stage::New;
        }
        if self.policy.standalone && self.reached.is_terminal() {
            self.reached = TaskState::Ready;
        }
    }

    fn adopted(&mut self, restarts: u64) {
        self.reached = TaskState::Accepted;
        self.goal = Goal::Ready;
        self.stopped = false;
        (self.restarts_wanted, self.restarts_done) = (restarts, restarts);
        self.attempts = 0;
        self.rerun = self.stage == Stage::Exited || self.is_ending();
        if self.stage == Stage::Rejected {
            self.stage = Stage::New;
        }
    }

    fn started(&mut self, generation: u64, pid: u32, started_at: Timestamp, now: Now) {
        let verdict = self.verdict;
        let adopted = self.stage != Stage::Starting;
        if generation < self.generation || matches!(self.stage, Stage::Removing) {
            return;
        }
        if generation != self.generation {
            self.forget_hooks();
        }
        self.generation = generation;
        self.stage = Stage::Running { pid, started_at };
        self.error = None;
        self.ending = None;
        self.paused = false;
        if self.is_begun() {
            self.advance(TaskState::Running);
        }
        self.monitor = self.policy.health.clone().map(|check| match adopted {
            true => Monitor::adopt(check, verdict, now),
            false => Monitor::new(check, now),
        });
    }

    fn start_failed(&mut self, code: i32, error: String, now: Now) {
        if self.stage != Stage::Starting {
            return;
        }
        self.last_exit = Some(Exit { code, oom_killed: false, started_at: Timestamp::NEVER, finished_at: now.wall });
        self.error = Some(error);
        self.stage = Stage::Exited;
        self.rerun = false;
        self.advance(if self.goal == Goal::End { TaskState::Shutdown } else { TaskState::Failed });
        self.rest();
    }

    fn exited(&mut self, exit: Exit, now: Now) {
        // What an earlier daemon has seen already is told again after a restart.
        let known = self.last_exit.is_some_and(|last| last.finished_at == exit.finished_at);
        if self.stage == Stage::Removing || known && !matches!(self.stage, Stage::Running { .. }) {
            return;
        }
        self.last_exit = Some(exit);
        self.ending = None;
        self.paused = false;
        self.options = StopOptions::default();
        self.monitor = None;
        self.stage = Stage::Exited;
        let begun = self.is_begun();
        self.forget_hooks();
        if begun {
            self.advance(TaskState::Running);
        }
        if self.rerun || self.stopped || !matches!(self.goal, Goal::Run) {
            return;
        }
        if exit.finished_at.since(exit.started_at) >= self.policy.window() {
            self.attempts = 0;
        }
        if self.reached != TaskState::Failed && self.policy.runs_again(exit.code, self.attempts) {
            self.attempts += 1;
            self.restart_count = self.restart_count.saturating_add(1);
            self.stage = Stage::Waiting { until: now.monotonic + self.policy.delay(self.attempts) };
        } else {
            if !begun && self.error.is_none() {
                self.error = Some(format!("it ended with code {} before its post_start hooks had passed", exit.code));
            }
            self.advance(if exit.code == 0 && begun { TaskState::Complete } else { TaskState::Failed });
        }
    }

    /// What to do now, from what is wanted and where the container is alone.
    fn settle(&mut self, now: Now) -> Vec<Action> {
        match self.stage {
            Stage::New | Stage::Prepared | Stage::Rejected | Stage::Exited => self.settle_idle(now),
            Stage::Waiting { until } => {
                if self.goal != Goal::Run || self.stopped || self.rerun {
                    self.stage = Stage::Exited;
                    return self.settle_idle(now);
                }
                if until <= now.monotonic { self.begin_run() } else { Vec::new() }
            }
            Stage::Running { .. } => self.settle_running(now),
            Stage::Preparing | Stage::Starting | Stage::Removing | Stage::Removed => Vec::new(),
        }
    }

    fn settle_idle(&mut self, now: Now) -> Vec<Action> {
        match self.goal {
            Goal::Remove { .. } if self.retry.is_some_and(|at| at > now.monotonic) => Vec::new(),
            Goal::Remove { volumes, .. } => {
                self.stage = Stage::Removing;
                self.retry = None;
                self.advance(TaskState::Shutdown);
                vec![Action::Remove { volumes }]
            }
            Goal::End => {
                self.advance(TaskState::Shutdown);
                Vec::new()
            }
            Goal::Exist => Vec::new(),
            // One that is to rest is made ready too, as `docker create` makes it.
            Goal::Ready | Goal::Run if self.stage == Stage::New => {
                self.stage = Stage::Preparing;
                self.advance(TaskState::Preparing);
                vec![Action::Prepare]
            }
            Goal::Ready => {
                if self.stage == Stage::Exited && self.rerun {
                    self.advance(TaskState::Ready);
                }
                Vec::new()
            }
            Goal::Run if self.stopped => {
                self.advance_stopped();
                Vec::new()
            }
            Goal::Run if self.stage == Stage::Prepared || self.stage == Stage::Exited && self.rerun => self.begin_run(),
            Goal::Run => {
                self.rest();
                match self.goal {
                    Goal::Remove { .. } => self.settle_idle(now),
                    _ => Vec::new(),
                }
            }
        }
    }

    /// A stopped container's task counts as running, even if the container has never run.
    fn advance_stopped(&mut self) {
        self.restarts_done = self.restarts_wanted;
        if matches!(self.stage, Stage::Exited) {
            self.advance(TaskState::Running);
        }
        self.rest();
    }

    fn begin_run(&mut self) -> Vec<Action> {
        self.stage = Stage::Starting;
        self.rerun = false;
        self.restarts_done = self.restarts_wanted;
        self.generation += 1;
        self.forget_hooks();
        self.advance(TaskState::Starting);
        vec![Action::Start { generation: self.generation }]
    }

    fn settle_running(&mut self, now: Now) -> Vec<Action> {
        let must_end = match self.goal {
            Goal::Run => self.stopped || self.rerun,
            Goal::End | Goal::Remove { .. } => true,
            // Adopted by a task that may not run yet.
            Goal::Ready | Goal::Exist => self.stopped || self.rerun,
        };
        // What its hooks have failed does not run on.
        if must_end || self.cut || self.reached == TaskState::Failed {
            return self.end_run(now);
        }
        // A container that was taken over while it ran.
        if self.is_begun() {
            self.advance(if self.goal == Goal::Run { TaskState::Running } else { TaskState::Ready });
        }
        if self.paused {
            return Vec::new();
        }
        let due = self.monitor.as_mut().and_then(|monitor| monitor.begin(now));
        due.map(Action::Probe).into_iter().chain(self.post_start()).collect()
    }

    fn end_run(&mut self, now: Now) -> Vec<Action> {
        let forced = matches!(self.goal, Goal::Remove { force: true, .. });
        let failed = self.cut || self.reached == TaskState::Failed;
        if self.ending.is_none()
            && !forced
            && !failed
            && !self.is_killed()
            && let Some(hooks) = self.pre_stop()
        {
            return hooks;
        }
        let mut actions = Vec::new();
        let ending = match self.ending {
            Some(ending) => ending,
            None if forced => Ending { kill_at: now.monotonic },
            None => {
                actions.push(Action::Signal(self.options.signal.unwrap_or(self.policy.stop_signal)));
                Ending { kill_at: now.monotonic.saturating_add(self.options.grace.unwrap_or(self.policy.grace)) }
            }
        };
        self.ending = Some(ending);
        if std::mem::take(&mut self.paused) {
            actions.push(Action::Resume);
        }
        if ending.kill_at <= now.monotonic {
            actions.push(Action::Kill);
            self.ending = Some(Ending { kill_at: now.monotonic + KILL_AGAIN });
        }
        actions
    }

    /// It rests: a container that asked for that is removed.
    fn rest(&mut self) {
        if self.policy.auto_remove && matches!(self.stage, Stage::Exited | Stage::Rejected) {
            self.goal = Goal::Remove { volumes: true, force: false };
        }
    }

    pub(super) fn advance(&mut self, to: TaskState) {
        if !self.reached.is_terminal() && to > self.reached {
            self.reached = to;
        }
    }
}
