//! The state of a project as the manager tells it, in the model's words.

use std::collections::{BTreeMap, BTreeSet};

use api::control::{StackState, WatchStackRequest};
use model::{Place, Service, Task, TaskId};

use crate::client::Client;
use crate::error::{Error, Result};

/// Services and tasks of one project at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Its services.
    pub services: Vec<Service>,
    /// Their tasks.
    pub tasks: Vec<Task>,
    /// How many networks it still has.
    pub networks: usize,
    /// Why a task does not start yet.
    pub waiting: BTreeMap<TaskId, String>,
    /// Tasks that wait for what will not happen by itself.
    pub hopeless: BTreeSet<TaskId>,
    /// The version of the cluster's state.
    pub version: u64,
}

impl TryFrom<StackState> for View {
    type Error = Error;

    fn try_from(state: StackState) -> Result<Self> {
        let services: Result<Vec<Service>, api::Error> = state.services.into_iter().map(Service::try_from).collect();
        let tasks: Result<Vec<Task>, api::Error> = state.tasks.into_iter().map(Task::try_from).collect();
        let waiting = state.waiting.into_iter().filter_map(|(id, why)| Some((id.parse().ok()?, why)));
        Ok(Self {
            services: services?,
            tasks: tasks?,
            networks: state.networks.len(),
            waiting: waiting.collect(),
            hopeless: state.hopeless.iter().filter_map(|id| id.parse().ok()).collect(),
            version: state.version,
        })
    }
}

impl View {
    /// The service of this key.
    pub fn service(&self, key: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.spec.key() == key)
    }

    /// The tasks of this service in the order of their slots.
    pub fn tasks_of(&self, service: &Service) -> Vec<&Task> {
        let mut tasks: Vec<&Task> = self.tasks.iter().filter(|task| task.service == service.id).collect();
        tasks.sort_by_key(|task| (task.slot, task.meta.created_at, task.id));
        tasks
    }

    /// The newest task of each slot that is meant to exist.
    pub fn current_tasks(&self, service: &Service) -> Vec<&Task> {
        let mut newest: BTreeMap<Place, &Task> = BTreeMap::new();
        for task in self.tasks_of(service) {
            let held = newest.get(&task.place()).is_some_and(|held| held.is_live() && !task.is_live());
            if !held && (task.is_live() || task.status.state.is_terminal()) {
                newest.insert(task.place(), task);
            }
        }
        newest.into_values().collect()
    }
}

/// Changes of one project; the first is its present state.
pub struct Watch(tonic::Streaming<StackState>);

impl Watch {
    /// Begins to watch.
    pub async fn open(client: &mut Client, stack: &str) -> Result<Self> {
        let request = WatchStackRequest { stack: stack.into(), services: Vec::new() };
        Ok(Self(client.control.watch_stack(request).await?.into_inner()))
    }

    /// Begins to watch services by their ids.
    pub async fn services(client: &mut Client, services: Vec<String>) -> Result<Self> {
        let request = WatchStackRequest { stack: String::new(), services };
        Ok(Self(client.control.watch_stack(request).await?.into_inner()))
    }

    /// The state after the next change.
    pub async fn next(&mut self) -> Result<View> {
        match self.0.message().await? {
            Some(state) => View::try_from(state),
            None => {
                Err(Error::NotConverged("the daemon ended while the application changed; look at `orca ps -a`".into()))
            }
        }
    }
}
