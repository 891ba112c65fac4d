//! Services as Swarm has them: tasks give way one after the other, and leave a history.

use std::collections::BTreeMap;

use model::{Place, Service, Task, TaskState, Timestamp, UpdateOrder};

use super::task::{create, is_over, is_unfit, keep, new_task, remove, shut_down};
use super::update::{self, Allowed};
use super::wanted::Wanted;
use super::{Plan, dependencies};
use crate::state::{IdSource, State};

/// One place of a service, and who is there.
pub struct Seat<'a> {
    pub place: Place,
    /// The task that is as the service wants it.
    pub current: Option<&'a Task>,
    /// Live ones that are to give way to it.
    pub old: Vec<&'a Task>,
    /// One that has been told to end has not done so yet.
    pub ends: bool,
}

impl Seat<'_> {
    /// Whether it waits for its turn in an update.
    pub fn is_behind(&self, service: &Service) -> bool {
        self.current.is_none() && self.old.iter().any(|task| task.spec_version != service.spec_version)
    }
}

/// Reconciles one service.
pub fn reconcile(state: &State, service: &Service, now: Timestamp, ids: &mut IdSource, plan: &mut Plan) {
    let wanted = Wanted::of(state, service);
    let may_end = !service.removing || dependencies::dependents_are_gone(state, service);
    let mut places: BTreeMap<Place, Vec<&Task>> = wanted.places().map(|place| (place, Vec::new())).collect();
    for task in state.tasks_of(service.id) {
        if !wanted.keeps(task.place()) {
            let goes = task.desired < TaskState::Remove && may_end;
            plan.commands.extend(goes.then(|| remove(task)));
        } else if wanted.has(task.place()) {
            places.entry(task.place()).or_default().push(task);
        }
        // What else there is stays as it is until its node is there again.
    }
    if service.removing {
        return;
    }
    let seats: Vec<Seat<'_>> = places.into_iter().map(|(place, tasks)| seat(state, service, place, &tasks)).collect();
    let mut allowed = match update::decide(service, &seats, now, plan) {
        Some(allowed) => allowed,
        // The service itself is about to change.
        None => return,
    };
    let mut hand = Hand { state, service, now, ids, plan };
    for seat in &seats {
        hand.see_to(seat, &mut allowed);
    }
}

fn seat<'a>(state: &State, service: &Service, place: Place, tasks: &[&'a Task]) -> Seat<'a> {
    let fits = |task: &&Task| task.spec_version == service.spec_version && !is_unfit(state, service, task);
    let live = || tasks.iter().copied().filter(|task| task.is_live());
    let current = live().filter(fits).max_by_key(|task| (task.meta.created_at, task.id));
    let old = live().filter(|task| Some(task.id) != current.map(|current| current.id)).collect();
    Seat { place, current, old, ends: tasks.iter().any(|task| !task.is_live() && !is_over(task)) }
}

/// Whether two containers of one place cannot even be there together, one of them at rest.
pub fn is_exclusive(service: &Service) -> bool {
    let is_fixed = |a: &model::AttachmentSpec| a.ipv4_address.is_some() || a.ipv6_address.is_some();
    service.spec.container_name.is_some() || service.spec.network.attachments().iter().any(is_fixed)
}

/// In which order tasks give way now.
pub fn order(service: &Service) -> UpdateOrder {
    update::config(service).order
}

struct Hand<'a, 'b> {
    state: &'a State,
    service: &'a Service,
    now: Timestamp,
    ids: &'b mut IdSource,
    plan: &'b mut Plan,
}

impl Hand<'_, '_> {
    fn see_to(&mut self, seat: &Seat<'_>, allowed: &mut Allowed) {
        match (seat.current, seat.old.as_slice()) {
            (None, []) => self.fill(seat),
            // One of those that an update left half way is enough.
            (None, [_, _, ..]) => {
                let best = seat.old.iter().position(|task| task.status.serves()).unwrap_or(0);
                let others = seat.old.iter().enumerate().filter(|(index, _)| *index != best);
                self.plan.commands.extend(others.map(|(_, task)| shut_down(task)));
            }
            (None, [old]) if seat.is_behind(self.service) && !allowed.take() => {
                // What fails while it waits for its turn is tried again as it is.
                if old.status.state == TaskState::Orphaned {
                    self.plan.commands.push(shut_down(old));
                }
            }
            (None, [old]) => self.begin(seat, old),
            (Some(current), []) => keep(self.state, self.service, current, self.now, self.ids, self.plan),
            (Some(current), old) => self.hand_over(current, old),
        }
    }

    fn fill(&mut self, seat: &Seat<'_>) {
        if seat.ends && is_exclusive(self.service) {
            return;
        }
        let most = match seat.ends && order(self.service) == UpdateOrder::StopFirst {
            true => TaskState::Ready,
            false => TaskState::Running,
        };
        self.create(seat.place, most);
    }

    /// The first step of giving way.
    fn begin(&mut self, seat: &Seat<'_>, old: &Task) {
        if is_over(old) || is_exclusive(self.service) {
            self.plan.commands.push(shut_down(old));
            return;
        }
        // A task that only moves is never missed.
        let moves = old.spec_version == self.service.spec_version;
        let start_first = moves || order(self.service) == UpdateOrder::StartFirst;
        self.create(seat.place, if start_first { TaskState::Running } else { TaskState::Ready });
    }

    fn create(&mut self, place: Place, most: TaskState) {
        let task = new_task(self.state, self.service, place, self.ids, self.now, most);
        self.plan.commands.push(create(self.service, task));
    }

    /// The old one ends when the new one serves, or can begin at once.
    fn hand_over(&mut self, current: &Task, old: &[&Task]) {
        let stop_first = current.desired < TaskState::Running;
        // Where it fits nowhere the old one may be in its way.
        let prepared = current.status.state >= TaskState::Ready || current.node.is_none();
        let failed = update::is_down(current) || current.status.state == TaskState::Orphaned;
        // Where a task that must go has no other place, it goes all the same.
        let nowhere = current.node.is_none() && old.iter().all(|old| old.spec_version == current.spec_version);
        let rests = current.intent.stopped && current.status.state >= TaskState::Ready;
        let serves = current.status.serves() || is_done(current) || rests || nowhere;
        // Whoever goes on whatever fails wants no task of the old spec.
        let gives_up = failed && update::goes_on_regardless(self.service);
        let ends = gives_up || if stop_first { prepared && !failed } else { serves };
        let over = old.iter().filter(|task| ends || is_over(task)).map(|task| shut_down(task));
        self.plan.commands.extend(over);
        keep(self.state, self.service, current, self.now, self.ids, self.plan);
    }
}

/// Whether it has ended as it should.
pub fn is_done(task: &Task) -> bool {
    task.status.state == TaskState::Complete
}
