//! How a rolling update goes on: how many tasks may give way now, and when it is over or has failed. Nothing is remembered but what
//! the tasks themselves say, so another leader goes on where this one was.

use model::{FailureAction, Health, Service, Task, TaskState, Timestamp, UpdateConfig, UpdateState, UpdateStatus};

use super::Plan;
use super::rolling::{Seat, is_done, is_exclusive};
use crate::state::Command;

/// How many more tasks may give way now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed(usize);

impl Allowed {
    /// One more.
    pub fn take(&mut self) -> bool {
        let some = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        some
    }
}

/// A whole of millionths.
const WHOLE: u128 = 1_000_000;

/// How tasks give way now: forth or back.
pub fn config(service: &Service) -> UpdateConfig {
    let back = service.update.as_ref().is_some_and(|update| update.state.is_back());
    let config = if back { service.spec.rollback } else { service.spec.update };
    config.unwrap_or_default()
}

/// Whether tasks of the old spec go, though new ones have failed.
pub fn goes_on_regardless(service: &Service) -> bool {
    let settled = service
        .update
        .as_ref()
        .is_none_or(|update| matches!(update.state, UpdateState::Completed | UpdateState::RollbackCompleted));
    settled || config(service).failure_action == FailureAction::Continue
}

/// Decides; `None`: the service goes back to what it was.
pub fn decide(service: &Service, seats: &[Seat<'_>], now: Timestamp, plan: &mut Plan) -> Option<Allowed> {
    let update = match &service.update {
        Some(update) if update.state.goes_on() => update,
        Some(update) if matches!(update.state, UpdateState::Paused | UpdateState::RollbackPaused) => {
            return Some(Allowed(0));
        }
        // What comes late, on a node that was away, follows.
        _ => return Some(Allowed(usize::MAX)),
    };
    let config = config(service);
    let failed: Vec<&Task> =
        seats.iter().filter_map(|seat| seat.current.filter(|task| has_failed(task, update))).collect();
    let share = failed.len() as u128 * WHOLE;
    let may = u128::from(config.max_failure_ratio) * seats.len() as u128;
    if let Some(first) = failed.first().filter(|_| share > may && config.failure_action != FailureAction::Continue) {
        return fail(service, update, config, first, plan);
    }
    let busy = seats.iter().filter(|seat| is_busy(service, seat, update, config, now, plan)).count();
    let is_behind = seats.iter().any(|seat| seat.is_behind(service));
    if busy == 0 && !is_behind {
        finish(service, seats, update, config, now, plan);
    }
    let most = if config.parallelism == 0 { usize::MAX } else { config.parallelism as usize };
    Some(Allowed(most.saturating_sub(busy)))
}

/// Whether a task of the new spec does not do what is asked of it.
fn has_failed(task: &Task, update: &UpdateStatus) -> bool {
    task.meta.created_at >= update.started_at && is_down(task)
}

/// Whether it does not do what is asked of it.
pub fn is_down(task: &Task) -> bool {
    let container = task.status.container.as_ref();
    let again = container.is_some_and(|container| container.restart_count > 0 || container.health == Health::Unhealthy);
    let ended = matches!(task.status.state, TaskState::Failed | TaskState::Rejected);
    ended || again && !task.intent.stopped
}

/// Whether it is under way: tasks of others wait for it.
fn is_busy(
    service: &Service,
    seat: &Seat<'_>,
    update: &UpdateStatus,
    config: UpdateConfig,
    now: Timestamp,
    plan: &mut Plan,
) -> bool {
    let Some(task) = seat.current else {
        return seat.ends && seat.old.is_empty() && is_exclusive(service);
    };
    if is_down(task) {
        return false;
    }
    let settled = task.status.serves() || is_done(task) || task.intent.stopped && task.status.state >= TaskState::Ready;
    // What an update before this one has left is the restart policy's.
    let is_new = task.meta.created_at >= update.started_at;
    if !seat.old.is_empty() || is_new && !settled {
        return true;
    }
    let until = task.status.at.plus(config.delay);
    if is_new && until > now {
        plan.wake(until);
        return true;
    }
    false
}

fn fail(
    service: &Service,
    update: &UpdateStatus,
    config: UpdateConfig,
    first: &Task,
    plan: &mut Plan,
) -> Option<Allowed> {
    let why = first.status.error.clone().unwrap_or_else(|| match &first.status.container {
        Some(container) if container.health == Health::Unhealthy => "its health check fails".into(),
        Some(container) if container.exit_code.is_some() => {
            format!("it ended with code {}", container.exit_code.unwrap_or_default())
        }
        _ => format!("it is {}", first.status.state),
    });
    let reason = format!("failure or early termination of task {}: {why}", first.id);
    let seen = service.meta.version;
    if config.failure_action == FailureAction::Rollback && !update.state.is_back() && service.previous.is_some() {
        plan.commands.push(Command::RollbackService { service: service.id, failed: Some(reason), seen });
        return None;
    }
    let (state, what) = match update.state.is_back() {
        true => (UpdateState::RollbackPaused, "rollback"),
        false => (UpdateState::Paused, "update"),
    };
    let status = UpdateStatus { state, message: format!("{what} paused due to {reason}"), ..update.clone() };
    plan.commands.push(Command::SetUpdate { service: service.id, status, seen });
    Some(Allowed(0))
}

/// All tasks are new ones: they are watched for a while.
fn finish(
    service: &Service,
    seats: &[Seat<'_>],
    update: &UpdateStatus,
    config: UpdateConfig,
    now: Timestamp,
    plan: &mut Plan,
) {
    let new = seats.iter().filter_map(|seat| seat.current).filter(|task| task.meta.created_at >= update.started_at);
    let last = new.map(|task| task.status.at).max();
    let until = last.map_or(update.started_at, |last| last.plus(config.monitor));
    if until > now {
        plan.wake(until);
        return;
    }
    let (state, message) = match update.state.is_back() {
        true => (UpdateState::RollbackCompleted, "rollback completed"),
        false => (UpdateState::Completed, "update completed"),
    };
    let status = UpdateStatus { state, completed_at: now, message: message.into(), ..update.clone() };
    plan.commands.push(Command::SetUpdate { service: service.id, status, seen: service.meta.version });
}
