use std::time::Duration;

use model::{ContainerPhase, HealthTest, Healthcheck, RestartCondition, RestartPolicy, TaskState, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::health::Probe;

const SECOND: Duration = Duration::from_secs(1);

fn now(at: Duration) -> Now {
    Now { monotonic: at, wall: Timestamp(1_000_000_000).plus(at) }
}

fn policy(condition: RestartCondition) -> Policy {
    Policy {
        restart: RestartPolicy { condition, ..RestartPolicy::default() },
        stop_signal: 15,
        grace: 10 * SECOND,
        health: None,
        hooks: Hooks::default(),
        auto_remove: false,
        standalone: false,
    }
}

/// A machine with its clock; events take no time.
struct Life {
    machine: Machine,
    at: Duration,
}

impl Life {
    fn new(policy: Policy, goal: Goal) -> Self {
        Self { machine: Machine::new(policy, goal), at: SECOND }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.machine.step(event, now(self.at))
    }

    fn after(&mut self, time: Duration) -> Vec<Action> {
        self.at += time;
        self.step(Event::Tick)
    }

    fn started(&mut self) -> Vec<Action> {
        let generation = self.machine.generation();
        let started_at = now(self.at).wall;
        self.step(Event::Started { generation, pid: 7, started_at })
    }

    fn exited(&mut self, code: i32) -> Vec<Action> {
        let generation = self.machine.generation();
        let started_at = match self.machine.stage() {
            Stage::Running { started_at, .. } => started_at,
            _ => now(self.at).wall,
        };
        let exit = Exit { code, oom_killed: false, started_at, finished_at: now(self.at).wall };
        self.step(Event::Exited { generation, exit })
    }

    fn running(policy: Policy) -> Self {
        let mut life = Self::new(policy, Goal::Run);
        assert_eq!(life.step(Event::Tick), [Action::Prepare]);
        assert_eq!(life.step(Event::Prepared), [Action::Start { generation: 1 }]);
        assert_eq!(life.started(), []);
        assert_eq!(life.machine.task_state(), TaskState::Running);
        life
    }
}

#[test]
fn a_task_waits_until_it_may_run() {
    let mut life = Life::new(policy(RestartCondition::No), Goal::Ready);
    assert_eq!(life.step(Event::Tick), [Action::Prepare]);
    assert_eq!(life.machine.task_state(), TaskState::Preparing);
    assert_eq!(life.step(Event::Prepared), []);
    assert_eq!(life.machine.task_state(), TaskState::Ready);
    assert_eq!(life.step(Event::Goal(Goal::Run)), [Action::Start { generation: 1 }]);
    assert_eq!(life.machine.task_state(), TaskState::Starting);
    life.started();
    assert_eq!(life.exited(0), []);
    assert_eq!(life.machine.task_state(), TaskState::Complete);
    assert_eq!(life.machine.phase(), ContainerPhase::Exited);
}

#[test]
fn failures_before_and_after_the_start() {
    let mut life = Life::new(policy(RestartCondition::Always), Goal::Run);
    life.step(Event::Tick);
    assert_eq!(life.step(Event::PrepareFailed("no such image: x".into())), []);
    assert_eq!(life.machine.task_state(), TaskState::Rejected);
    assert_eq!(life.machine.error(), Some("no such image: x"));

    let mut life = Life::new(policy(RestartCondition::Always), Goal::Run);
    life.step(Event::Tick);
    life.step(Event::Prepared);
    life.step(Event::StartFailed { generation: 1, code: 127, error: "not found".into() });
    assert_eq!(life.machine.task_state(), TaskState::Failed);
    assert_eq!(life.machine.phase(), ContainerPhase::Created);
    assert_eq!(life.machine.last_exit().map(|exit| exit.code), Some(127));
}

#[test]
fn the_back_off_doubles_and_a_long_run_resets_it() {
    let mut life = Life::running(policy(RestartCondition::Always));
    for (attempt, wait) in
        [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000].into_iter().enumerate()
    {
        assert_eq!(life.exited(1), []);
        assert_eq!(life.machine.phase(), ContainerPhase::Restarting);
        assert_eq!(life.machine.task_state(), TaskState::Running);
        assert_eq!(life.machine.restart_count() as usize, attempt + 1);
        assert_eq!(life.after(Duration::from_millis(wait - 1)), [], "attempt {attempt}");
        assert_eq!(life.after(Duration::from_millis(1)), [Action::Start { generation: attempt as u64 + 2 }]);
        life.started();
    }
    life.after(10 * SECOND);
    life.exited(1);
    assert_eq!(life.after(Duration::from_millis(100)).len(), 1);
}

#[test]
fn policies() {
    let rests = |condition, code| {
        let mut life = Life::running(policy(condition));
        life.exited(code);
        life.machine.task_state()
    };
    assert_eq!(rests(RestartCondition::No, 3), TaskState::Failed);
    assert_eq!(rests(RestartCondition::OnFailure, 0), TaskState::Complete);
    assert_eq!(rests(RestartCondition::OnFailure, 3), TaskState::Running);
    assert_eq!(rests(RestartCondition::UnlessStopped, 0), TaskState::Running);

    let mut twice = policy(RestartCondition::OnFailure);
    twice.restart.max_attempts = Some(2);
    let mut life = Life::running(twice);
    for _ in 0..2 {
        life.exited(1);
        assert_eq!(life.after(SECOND).len(), 1);
        life.started();
    }
    life.exited(1);
    assert_eq!(life.machine.task_state(), TaskState::Failed);
}

#[test]
fn a_user_stops_starts_and_restarts_the_same_container() {
    let mut life = Life::running(policy(RestartCondition::Always));
    assert_eq!(life.step(Event::Stop(StopOptions::default())), [Action::Signal(15)]);
    assert_eq!(life.after(9 * SECOND), []);
    assert_eq!(life.after(SECOND), [Action::Kill]);
    assert_eq!(life.exited(137), []);
    assert_eq!((life.machine.task_state(), life.machine.phase()), (TaskState::Running, ContainerPhase::Exited));
    assert_eq!(life.after(100 * SECOND), []);
    assert_eq!(life.step(Event::Run), [Action::Start { generation: 2 }]);
    life.started();
    let restart =
        Event::Restart { count: Some(4), options: StopOptions { signal: Some(2), grace: Some(Duration::ZERO) } };
    assert_eq!(life.step(restart), [Action::Signal(2), Action::Kill]);
    assert_eq!(life.machine.restarts_done(), 0);
    assert_eq!(life.exited(0), [Action::Start { generation: 3 }]);
    assert_eq!(life.machine.restarts_done(), 4);
    life.started();
    // The options were that restart's only.
    assert_eq!(life.step(Event::Goal(Goal::End)), [Action::Signal(15)]);
    life.exited(0);
    assert_eq!(life.machine.task_state(), TaskState::Shutdown);
}

#[test]
fn a_stop_that_comes_while_it_starts_is_not_lost() {
    let mut life = Life::new(policy(RestartCondition::Always), Goal::Run);
    life.step(Event::Tick);
    life.step(Event::Prepared);
    assert_eq!(life.step(Event::Goal(Goal::End)), []);
    assert_eq!(life.started(), [Action::Signal(15)]);
    life.exited(143);
    assert_eq!(life.machine.task_state(), TaskState::Shutdown);
}

#[test]
fn a_forced_removal_kills_at_once_and_a_failed_one_can_be_tried_again() {
    let mut life = Life::running(policy(RestartCondition::Always));
    let remove = Goal::Remove { volumes: true, force: true };
    assert_eq!(life.step(Event::Goal(remove)), [Action::Kill]);
    assert_eq!(life.step(Event::Goal(Goal::Run)), []);
    assert_eq!(life.exited(137), [Action::Remove { volumes: true }]);
    assert_eq!(life.step(Event::RemoveFailed("busy".into())), []);
    assert_eq!(life.machine.phase(), ContainerPhase::Dead);
    assert_eq!(life.after(5 * SECOND), [Action::Remove { volumes: true }]);
    assert_eq!(life.step(Event::RemoveFailed("busy".into())), []);
    assert_eq!(life.step(Event::Goal(remove)), [Action::Remove { volumes: true }]);
    assert_eq!(life.step(Event::Removed), []);
    assert_eq!(life.machine.stage(), Stage::Removed);
    assert_eq!(life.step(Event::Run), []);
}

#[test]
fn a_standalone_container_is_removed_when_it_rests_if_it_asked_for_that() {
    let standalone = Policy { auto_remove: true, standalone: true, ..policy(RestartCondition::No) };
    let mut life = Life::new(standalone, Goal::Exist);
    assert_eq!(life.step(Event::Tick), []);
    assert_eq!(life.step(Event::Run), [Action::Prepare]);
    life.step(Event::Prepared);
    life.started();
    assert_eq!(life.exited(3), [Action::Remove { volumes: true }]);

    let mut life = Life::running(Policy { standalone: true, ..policy(RestartCondition::No) });
    life.exited(3);
    assert_eq!(life.step(Event::Run), [Action::Start { generation: 2 }]);
}

#[test]
fn another_task_takes_over_and_runs_the_same_container() {
    let mut life = Life::running(policy(RestartCondition::No));
    life.exited(1);
    assert_eq!(life.machine.task_state(), TaskState::Failed);
    assert_eq!(life.step(Event::Adopted { restarts: 3 }), []);
    assert_eq!(life.machine.task_state(), TaskState::Ready);
    assert_eq!(life.step(Event::Goal(Goal::Run)), [Action::Start { generation: 2 }]);
    life.started();
    assert_eq!((life.machine.task_state(), life.machine.restarts_done()), (TaskState::Running, 3));
}

#[test]
fn health_is_probed_while_it_runs() {
    let spec = Healthcheck { test: Some(HealthTest::Exec(vec!["check".into()])), ..Healthcheck::default() };
    let health = crate::health::Check::of(Some(&spec), None, &[]);
    let mut life = Life::running(Policy { health, ..policy(RestartCondition::No) });
    assert_eq!(life.machine.health(), model::Health::Starting);
    assert_eq!(life.machine.deadline(), Some(31 * SECOND));
    assert!(matches!(life.after(30 * SECOND)[..], [Action::Probe(_)]));
    let probe = Probe { start: Timestamp(1), end: Timestamp(2), exit_code: 0, output: String::new() };
    life.step(Event::Probed(probe));
    assert_eq!(life.machine.health(), model::Health::Healthy);
    // The next daemon keeps the verdict until it has probed.
    let mut next = Machine::resume(life.machine.policy().clone(), life.machine.save());
    let event = Event::Started { generation: 1, pid: 7, started_at: Timestamp(1) };
    assert!(matches!(next.step(event, now(life.at))[..], [Action::Probe(_)]));
    assert_eq!(next.health(), model::Health::Healthy);
}

fn goals() -> impl Strategy<Value = Goal> {
    prop_oneof![
        Just(Goal::Exist),
        Just(Goal::Ready),
        Just(Goal::Run),
        Just(Goal::End),
        any::<(bool, bool)>().prop_map(|(volumes, force)| Goal::Remove { volumes, force }),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let generation = 0u64..6;
    prop_oneof![
        goals().prop_map(Event::Goal),
        Just(Event::Stop(StopOptions::default())),
        Just(Event::Run),
        (0u64..4).prop_map(|count| Event::Restart { count: Some(count), options: StopOptions::default() }),
        Just(Event::Prepared),
        Just(Event::PrepareFailed("x".into())),
        generation.clone().prop_map(|generation| Event::Started { generation, pid: 1, started_at: Timestamp(1) }),
        generation.clone().prop_map(|generation| Event::StartFailed { generation, code: 127, error: "x".into() }),
        (generation, 0i32..3, 1i64..9).prop_map(|(generation, code, at)| Event::Exited {
            generation,
            exit: Exit { code, oom_killed: false, started_at: Timestamp(1), finished_at: Timestamp(at) },
        }),
        (0u64..6, any::<bool>(), 0u32..3, 0u8..3).prop_map(|(generation, post, index, how)| Event::Hooked {
            generation,
            turn: if post { Turn::PostStart } else { Turn::PreStop },
            index,
            end: [HookEnd::Passed, HookEnd::Failed("x".into()), HookEnd::Cut("x".into())][usize::from(how)].clone(),
        }),
        Just(Event::Removed),
        Just(Event::RemoveFailed("x".into())),
        Just(Event::Tick),
    ]
}

proptest! {
    #[test]
    fn the_task_never_goes_back(goal in goals(), events in proptest::collection::vec((events(), 0u64..20), 0..40)) {
        let mut machine = Machine::new(policy(RestartCondition::OnFailure), goal);
        let mut at = SECOND;
        let mut reached = machine.task_state();
        for (event, seconds) in events {
            at += SECOND * u32::try_from(seconds).unwrap();
            machine.step(event, now(at));
            prop_assert!(machine.task_state() >= reached);
            prop_assert!(!reached.is_terminal() || machine.task_state() == reached);
            reached = machine.task_state();
        }
    }

    /// Whatever has happened, and wherever a daemon died, asking for removal ends in it.
    #[test]
    fn a_removal_is_always_carried_out(goal in goals(), events in proptest::collection::vec((events(), 0u64..20), 0..40), restart: bool) {
        let mut life = Life::new(policy(RestartCondition::Always), goal);
        for (event, seconds) in events {
            life.at += SECOND * u32::try_from(seconds).unwrap();
            life.step(event);
        }
        if restart && life.machine.stage() != Stage::Removed {
            let was = life.machine.stage();
            life.machine = Machine::resume(life.machine.policy().clone(), life.machine.save());
            if let Stage::Running { .. } = was {
                life.started();
            }
        }
        life.step(Event::Goal(Goal::Remove { volumes: true, force: false }));
        for _ in 0..20 {
            match life.machine.stage() {
                Stage::Removed => break,
                Stage::Preparing => drop(life.step(Event::Prepared)),
                Stage::Starting => drop(life.started()),
                Stage::Running { .. } => drop(life.exited(0)),
                Stage::Removing => drop(life.step(Event::Removed)),
                _ => drop(life.after(SECOND)),
            }
        }
        prop_assert_eq!(life.machine.stage(), Stage::Removed);
    }

    #[test]
    fn what_is_saved_comes_back(goal in goals(), events in proptest::collection::vec((events(), 0u64..20), 0..40)) {
        let mut life = Life::new(policy(RestartCondition::Always), goal);
        for (event, seconds) in events {
            life.at += SECOND * u32::try_from(seconds).unwrap();
            life.step(event);
        }
        let saved = life.machine.save();
        let resumed = Machine::resume(life.machine.policy().clone(), saved.clone()).save();
        prop_assert_eq!(resumed.reached, saved.reached);
        prop_assert_eq!((resumed.goal, resumed.generation, resumed.stopped), (saved.goal, saved.generation, saved.stopped));
    }
}

#[test]
fn what_is_paused_is_not_probed_and_thaws_to_end() {
    let health = Healthcheck { test: Some(HealthTest::Shell("true".into())), ..Healthcheck::default() };
    let check = crate::health::Check::of(Some(&health), None, &["sh".into()]);
    let mut life = Life::new(Policy { health: check, ..policy(RestartCondition::No) }, Goal::Run);
    life.step(Event::Tick);
    life.step(Event::Prepared);
    life.started();
    life.step(Event::Paused(true));
    assert_eq!(life.machine.phase(), ContainerPhase::Paused);
    assert!(life.machine.deadline().is_none());
    assert!(life.after(1000 * SECOND).is_empty(), "a frozen process can't answer");
    assert_eq!(life.step(Event::Stop(StopOptions::default())), [Action::Signal(15), Action::Resume]);
    assert_eq!(life.machine.phase(), ContainerPhase::Running);
    assert_eq!(life.after(10 * SECOND), [Action::Kill], "once thawed it has the usual time");
    life.exited(137);
    life.step(Event::Paused(true));
    assert_eq!(life.machine.phase(), ContainerPhase::Exited, "what has ended can't be paused");
}

fn with_hooks(post_start: u32, pre_stop: u32) -> Policy {
    Policy { hooks: Hooks { post_start, pre_stop }, ..policy(RestartCondition::No) }
}

fn hook(turn: Turn, index: u32) -> Action {
    Action::Hook { turn, index, thaw: false }
}

impl Life {
    fn starting(policy: Policy) -> Self {
        let mut life = Self::new(policy, Goal::Run);
        life.step(Event::Tick);
        life.step(Event::Prepared);
        life
    }

    fn hooked(&mut self, turn: Turn, index: u32, end: HookEnd) -> Vec<Action> {
        let generation = self.machine.generation();
        self.step(Event::Hooked { generation, turn, index, end })
    }
}

#[test]
fn it_counts_as_started_when_its_hooks_have_passed() {
    let mut life = Life::starting(with_hooks(2, 0));
    assert_eq!(life.started(), [hook(Turn::PostStart, 0)]);
    assert_eq!(life.machine.task_state(), TaskState::Starting);
    assert_eq!(life.step(Event::Tick), []);
    assert_eq!(life.hooked(Turn::PostStart, 0, HookEnd::Passed), [hook(Turn::PostStart, 1)]);
    // The next daemon goes on with the hook that was under way.
    let mut next = Machine::resume(life.machine.policy().clone(), life.machine.save());
    let event = Event::Started { generation: 1, pid: 7, started_at: Timestamp(1) };
    assert_eq!(next.step(event, now(life.at)), [hook(Turn::PostStart, 1)]);
    assert_eq!(life.hooked(Turn::PostStart, 1, HookEnd::Passed), []);
    assert_eq!(life.machine.task_state(), TaskState::Running);
    // Each run has its own.
    life.exited(1);
    life.step(Event::Adopted { restarts: 0 });
    assert_eq!(life.step(Event::Goal(Goal::Run)), [Action::Start { generation: 2 }]);
    assert_eq!(life.started(), [hook(Turn::PostStart, 0)]);
}

#[test]
fn a_hook_that_fails_after_the_start_fails_the_container_for_good() {
    let mut life = Life::starting(Policy {
        restart: RestartPolicy { condition: RestartCondition::Always, ..RestartPolicy::default() },
        ..with_hooks(1, 1)
    });
    life.started();
    let end = HookEnd::Failed("exited with status 3".into());
    assert_eq!(life.hooked(Turn::PostStart, 0, end), [Action::Signal(15)], "no hook before the signal");
    assert_eq!(life.machine.task_state(), TaskState::Failed);
    let mut next = Machine::resume(life.machine.policy().clone(), life.machine.save());
    let event = Event::Started { generation: 1, pid: 7, started_at: Timestamp(1) };
    assert_eq!(next.step(event, now(life.at)), [Action::Signal(15)]);
    assert_eq!(life.after(10 * SECOND), [Action::Kill]);
    assert_eq!(life.exited(137), []);
    assert_eq!((life.machine.stage(), life.machine.error()), (Stage::Exited, Some("exited with status 3")));
}

#[test]
fn a_hook_that_is_cut_off_leaves_the_rest_to_the_restart_policy() {
    for (condition, stage_rests) in [(RestartCondition::Always, false), (RestartCondition::No, true)] {
        // The hook or the container may be told of first.
        for hook_first in [true, false] {
            let mut life = Life::starting(Policy { hooks: Hooks { post_start: 1, pre_stop: 1 }, ..policy(condition) });
            life.started();
            let cut = HookEnd::Cut("killed".into());
            if hook_first {
                assert_eq!(life.hooked(Turn::PostStart, 0, cut.clone()), [Action::Signal(15)]);
            }
            life.exited(0);
            if !hook_first {
                assert_eq!(life.hooked(Turn::PostStart, 0, cut), []);
            }
            assert_eq!(life.machine.stage() == Stage::Exited, stage_rests);
            let state = if stage_rests { TaskState::Failed } else { TaskState::Starting };
            assert_eq!(life.machine.task_state(), state, "{condition:?}");
            assert!(life.machine.error().is_some() || !stage_rests);
        }
    }
}

#[test]
fn hooks_come_before_the_stop_signal_and_the_grace_period_after_them() {
    let mut life = Life::running(with_hooks(0, 2));
    assert_eq!(life.step(Event::Stop(StopOptions::default())), [hook(Turn::PreStop, 0)]);
    assert_eq!(life.after(60 * SECOND), []);
    let failed = HookEnd::Failed("no".into());
    assert_eq!(life.hooked(Turn::PreStop, 0, failed), [hook(Turn::PreStop, 1)], "it keeps nothing from ending");
    let mut next = Machine::resume(life.machine.policy().clone(), life.machine.save());
    let event = Event::Started { generation: 1, pid: 7, started_at: Timestamp(1) };
    assert_eq!(next.step(event, now(life.at)), [hook(Turn::PreStop, 1)]);
    assert_eq!(life.hooked(Turn::PreStop, 1, HookEnd::Passed), [Action::Signal(15)]);
    assert_eq!(life.after(9 * SECOND), []);
    assert_eq!(life.after(SECOND), [Action::Kill]);
}

#[test]
fn another_grace_period_counts_after_the_hooks() {
    let brief = StopOptions { grace: Some(SECOND), ..StopOptions::default() };
    // `stop -t 1` says it second, `restart -t 1` first.
    let mut life = Life::running(with_hooks(0, 1));
    life.step(Event::Stop(StopOptions::default()));
    assert_eq!(life.step(Event::Stop(brief)), [], "the hook goes on");
    life.hooked(Turn::PreStop, 0, HookEnd::Passed);
    assert_eq!(life.after(SECOND), [Action::Kill]);
    let mut life = Life::running(with_hooks(0, 1));
    life.step(Event::Stop(brief));
    life.step(Event::Restart { count: Some(1), options: StopOptions::default() });
    assert_eq!(life.hooked(Turn::PreStop, 0, HookEnd::Passed), [Action::Signal(15)]);
    assert_eq!(life.after(SECOND), [Action::Kill]);
}

#[test]
fn what_is_killed_waits_for_no_hooks() {
    let mut life = Life::running(with_hooks(0, 1));
    let kill = StopOptions { signal: Some(9), grace: Some(Duration::MAX) };
    assert_eq!(life.step(Event::Stop(kill)), [Action::Signal(9)]);
    let mut life = Life::running(with_hooks(0, 1));
    life.step(Event::Stop(StopOptions::default()));
    assert_eq!(life.step(Event::Stop(kill)), [Action::Signal(9)]);
    let mut life = Life::running(with_hooks(0, 1));
    life.step(Event::Stop(StopOptions::default()));
    let forced = Event::Goal(Goal::Remove { volumes: true, force: true });
    assert_eq!(life.step(forced), [Action::Kill]);
    let mut life = Life::running(with_hooks(0, 1));
    life.step(Event::Paused(true));
    let thawed = Action::Hook { turn: Turn::PreStop, index: 0, thaw: true };
    assert_eq!(life.step(Event::Stop(StopOptions::default())), [thawed]);
    let mut life = Life::running(with_hooks(0, 1));
    life.step(Event::Stop(StopOptions::default()));
    life.step(Event::Run);
    assert_eq!(life.hooked(Turn::PreStop, 0, HookEnd::Passed), [Action::Signal(15)]);
    assert_eq!(life.exited(0), [Action::Start { generation: 2 }], "what its hooks have ended begins anew");
}
