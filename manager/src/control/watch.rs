//! `WatchStack`: a stack now and after each change of it; changes that come faster than the client reads are one.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::control::StackState;
use futures::Stream;
use model::ServiceId;
use tokio::sync::watch::Receiver;
use tonic::Status;

use super::waiting;
use crate::state::State;
use crate::store::Store;

/// What a watcher reads.
pub type StackStream = Pin<Box<dyn Stream<Item = Result<StackState, Status>> + Send>>;

/// Least time between two messages.
const COALESCE: Duration = Duration::from_millis(20);

/// What is watched.
pub enum Scope {
    /// A stack.
    Stack(String),
    /// Services.
    Services(Vec<ServiceId>),
}

struct Watcher {
    store: Arc<Store>,
    scope: Scope,
    changes: Receiver<u64>,
    sent: Option<StackState>,
}

/// Its states.
pub fn watch(store: Arc<Store>, scope: Scope) -> StackStream {
    let changes = store.watch();
    let watcher = Watcher { store, scope, changes, sent: None };
    Box::pin(futures::stream::unfold(watcher, |mut watcher| async move {
        let next = watcher.next().await?;
        Some((Ok(next), watcher))
    }))
}

impl Watcher {
    /// The next state that differs; `None` once the manager ends.
    async fn next(&mut self) -> Option<StackState> {
        loop {
            if self.sent.is_some() {
                tokio::select! {
                    changed = self.changes.changed() => changed.ok()?,
                    () = self.store.stopped() => return None,
                }
                tokio::time::sleep(COALESCE).await;
            }
            self.changes.mark_unchanged();
            let now = view(&self.store.snapshot(), &self.scope);
            let same = |sent: &StackState| StackState { version: now.version, ..sent.clone() } == now;
            if !self.sent.as_ref().is_some_and(same) {
                self.sent = Some(now.clone());
                return Some(now);
            }
        }
    }
}

fn view(state: &State, scope: &Scope) -> StackState {
    let services: Vec<&model::Service> = match scope {
        Scope::Stack(stack) => state.services_of_stack(stack).collect(),
        Scope::Services(ids) => ids.iter().filter_map(|id| state.services.get(id)).collect(),
    };
    let tasks: Vec<&model::Task> = services.iter().flat_map(|service| state.tasks_of(service.id)).collect();
    let networks = state
        .networks
        .values()
        .filter(|network| matches!(scope, Scope::Stack(stack) if network.spec.stack.as_ref() == Some(stack)));
    let waiting = waiting::explain(state, &services);
    StackState {
        version: state.version,
        waiting: waiting.reasons,
        hopeless: waiting.hopeless,
        networks: networks.cloned().map(Into::into).collect(),
        tasks: tasks.into_iter().cloned().map(Into::into).collect(),
        services: services.into_iter().cloned().map(Into::into).collect(),
    }
}
